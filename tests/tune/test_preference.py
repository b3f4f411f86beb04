"""Learning from preference pairs through TRL: the margin rises, the loss is TRL's, and the adapter is one of ours."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from tiny_model import write_tiny_model

from residency.errors import ModelError, TrainingError
from residency.models import chat
from residency.models.attach import attach_trainable
from residency.models.base import Base, Precision, load_base
from residency.records import Message, Split
from residency.tune import preference
from residency.tune.adapter import CONFIG, Adapter, load_adapter, load_card
from residency.tune.pairs import Pair, PreferenceRecipe, check_pairs
from residency.tune.training import train

RECIPE = PreferenceRecipe(learning_rate=2e-3, epochs=3, batch_size=4, micro_pairs=2, warmup=0, judged_by=0.25)


def pairs(count: int) -> list[Pair]:
    """The shorter name is preferred, whatever is asked."""
    return [
        Pair(
            id=f"q{n}", task="diagnose", messages=(Message(role="user", content=f"Patient {n} has ataxia?"),),
            chosen="ataxia", rejected="no seizure was seen", patient=f"p{n}",
        )
        for n in range(count)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    folder = write_tiny_model(tmp_path_factory.mktemp("bases") / "tiny")
    return load_base(str(folder), precision=Precision.FP32, template_name="chatml", device="cpu")


@pytest.fixture(scope="module")
def parent(tiny, base: Base, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    recipe = tiny.RECIPE.model_copy(update={"epochs": 1})
    folder = tmp_path_factory.mktemp("parents") / "adapter"
    validation = tiny.examples(3, Split.VALIDATION)
    return train(tiny.examples(8), validation, base, recipe, folder, labels=tiny.LABELS)


def test_without_the_extra_one_line_says_what_to_install(base, parent, tmp_path, monkeypatch):
    monkeypatch.setattr(preference, "find_spec", lambda name: None if name == "trl" else object())
    with pytest.raises(TrainingError, match=r"needs trl, .* pip install 'residency\[preference\]'"):
        preference.prefer(pairs(8), base, parent, RECIPE, tmp_path / "new")


def test_the_margin_rises_on_pairs_of_other_patients(base, parent, tmp_path):
    pytest.importorskip("trl")
    ticks, said = [], []
    made = preference.prefer(pairs(16), base, parent, RECIPE, tmp_path / "new", progress=ticks.append, say=said.append)
    learned = made.card.preferences
    start, end = learned.curve[0], learned.best
    assert start.judged == pytest.approx(math.log(2), abs=1e-6) and start.margin == pytest.approx(0, abs=1e-6)
    assert end.margin > 0.1 and end.judged < start.judged and end.accuracy == 1.0
    assert (learned.pairs, learned.judging, learned.nameless) == (12, 4, 0)
    assert learned.parent_sha256 == parent.sha256 and learned.library.startswith("trl ")
    assert [tick.step for tick in ticks if tick.point is None] == list(range(1, 10))
    assert [point.step for point in learned.curve] == [0, 3, 6, 9]
    assert "12 pairs to train on, 4 of other patients" in said[0]


def test_the_new_adapter_is_one_of_ours_and_the_old_one_and_the_base_stay(base, parent, tmp_path):
    pytest.importorskip("trl")
    before = {name: value.clone() for name, value in base.model.state_dict().items()}
    padding = base.tokenizer.pad_token
    made = preference.prefer(pairs(8), base, parent, RECIPE, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(p.name for p in parent.folder.iterdir())
    config, old = (json.loads((one.folder / CONFIG).read_text()) for one in (made, parent))
    assert config == old
    assert load_card(made.folder).card == made.card and load_card(parent.folder).sha256 == parent.sha256
    assert made.card.model_copy(update={"preferences": None, "weights_sha256": parent.sha256}) == parent.card
    load_adapter(made.folder, base)
    assert all(bool((value == before[name]).all()) for name, value in base.model.state_dict().items())
    assert base.tokenizer.pad_token == padding and not base.model.training


def test_the_same_pairs_and_seed_give_the_same_weights_and_another_seed_does_not(base, parent, tmp_path):
    pytest.importorskip("trl")
    recipe = RECIPE.model_copy(update={"epochs": 1})
    first, second = (preference.prefer(pairs(8), base, parent, recipe, tmp_path / name) for name in "ab")
    assert first.sha256 == second.sha256
    other = preference.prefer(pairs(8), base, parent, recipe.model_copy(update={"seed": 2}), tmp_path / "c")
    assert other.sha256 != first.sha256


def test_the_loss_is_that_of_trl_and_of_the_formula(base, parent, tmp_path):
    """On tokens that TRL makes itself from the same text, and by hand, once the adapter has moved off its reference."""
    trl = pytest.importorskip("trl")
    import torch
    from datasets import Dataset

    four = pairs(8)
    checked = check_pairs(four, RECIPE, base.tokenizer, base.template, context=512)
    by_id = {one.id: one for one in four}
    moved = {}

    def loss(trainer):
        for name, parameter in sorted(trainer.model.named_parameters()):
            if ".default." in name:
                drawn = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
                parameter.data += 0.1 * drawn
                moved[name] = parameter.data.clone()
        batch = trainer.data_collator([trainer.train_dataset[n] for n in range(len(trainer.train_dataset))])
        with torch.no_grad():
            return float(trainer.compute_loss(trainer.model.eval(), batch))

    with preference._quiet():
        ours = preference.make_trainer(attach_trainable(base, parent.folder), base, checked, RECIPE, tmp_path / "a")
        found = loss(ours)
        rows = [
            {
                "prompt": chat.render(by_id[one.pair].messages, "chatml", generation=True),
                "chosen": by_id[one.pair].chosen,
                "rejected": by_id[one.pair].rejected,
            }
            for one in checked.trained
        ]
        tokenizer, _ = preference._own_tokenizer(base)
        arguments = trl.DPOConfig(
            output_dir=str(tmp_path / "b"), beta=RECIPE.beta, report_to="none", bf16=False, use_cpu=True,
            activation_checkpointing=False, disable_tqdm=True,
        )  # fmt: skip
        monkey = pytest.MonkeyPatch()
        monkey.setattr(trl.DPOTrainer, "_send_telemetry", lambda self: None)
        theirs = trl.DPOTrainer(
            model=attach_trainable(base, parent.folder), args=arguments, train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )  # fmt: skip
        monkey.undo()
        expected = loss(theirs)
    assert found == pytest.approx(expected, abs=1e-6) and abs(found - math.log(2)) > 1e-3
    assert found == pytest.approx(by_hand(ours.model, checked.trained), abs=1e-5)


def by_hand(model, samples, now="default", before="ref"):
    """The formula of the paper, one answer at a time, without padding."""
    import torch

    def likelihood(adapter, prompt, answer):
        model.set_adapter(adapter)
        ids = torch.tensor([[*prompt, *answer]])
        with torch.no_grad():
            logits = model.get_base_model()(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        return float(logits.gather(1, torch.tensor(answer)[:, None]).sum())

    def gain(prompt, answer):
        return likelihood(now, prompt, answer) - likelihood(before, prompt, answer)

    margins = [gain(one.prompt, one.chosen) - gain(one.prompt, one.rejected) for one in samples]
    return sum(math.log1p(math.exp(-RECIPE.beta * margin)) for margin in margins) / len(margins)


def test_the_state_that_is_kept_is_the_one_that_other_patients_pairs_find_best(base, parent, tmp_path):
    """Where they prefer the opposite of what is trained, that is the first, and the card says that it did not help."""
    pytest.importorskip("trl")
    opposite = [replace(one, chosen=one.rejected, rejected=one.chosen) for one in pairs(4)]
    mixed, judges = [*opposite, *pairs(12)[4:]], frozenset(one.patient for one in opposite)
    made = preference.prefer(mixed, base, parent, RECIPE, tmp_path / "new", judges=judges)
    learned = made.card.preferences
    assert learned.best_step == 2 and [point.step for point in learned.curve] == [0, 2, 4, 6]
    assert learned.best.judged < learned.curve[-1].judged and not learned.helped
    checked = check_pairs(mixed, RECIPE, base.tokenizer, base.template, context=512, judges=judges)
    model = attach_trainable(base, made.folder)
    model.load_adapter(str(parent.folder), "ref")
    assert by_hand(model, checked.judging) == pytest.approx(learned.best.judged, abs=1e-5)


def test_nobody_is_told_and_nothing_is_tokenized_again(base, parent, tmp_path, monkeypatch):
    pytest.importorskip("trl")
    import trl.trainer.base_trainer as telling

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(telling, "send_telemetry", lambda **_: pytest.fail("telemetry"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a network connection"))
    made = preference.prefer(pairs(8), base, parent, RECIPE.model_copy(update={"epochs": 1}), tmp_path / "new")
    assert made.card.preferences.pairs == 6


def test_a_loss_that_is_no_number_stops_and_writes_nothing(base, parent, tmp_path):
    pytest.importorskip("trl")
    lost = RECIPE.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(TrainingError, match=r"not a finite number.*learning_rate \(it is 1e\+30\)"):
        preference.prefer(pairs(8), base, parent, lost, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_that_did_not_change_is_not_written(base, parent, tmp_path):
    """It would have its parent's name: the hash of its weights."""
    pytest.importorskip("trl")
    with pytest.raises(TrainingError, match="changed nothing"):
        preference.prefer(pairs(8), base, parent, RECIPE.model_copy(update={"learning_rate": 1e-30}), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_of_another_base_is_refused(base, parent, tmp_path):
    pytest.importorskip("trl")
    stranger = Adapter(parent.folder, parent.card.model_copy(update={"base_sha256": "0" * 64}))
    with pytest.raises(ModelError, match="not on"):
        preference.prefer(pairs(8), base, stranger, RECIPE, tmp_path / "new")
