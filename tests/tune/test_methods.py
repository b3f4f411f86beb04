"""Every kind of adapter, on every kind of base: learned, resumed, saved so that plain PEFT computes the same."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from residency.errors import TrainingError
from residency.models.attach import attach as attach_folder
from residency.models.base import BaseWeights
from residency.models.quantized import QuantizedLinear, count_parameters
from residency.records import Split
from residency.settings import explain
from residency.tune.adapter import Adapter, load_adapter
from residency.tune.lora import ChosenBy, Method, Recipe, attach, held_as, trainable
from residency.tune.render import render
from residency.tune.training import train

PROGRAM = Path(__file__).with_name("tiny.py")
IDS = torch.arange(40)[None]
QUANTIZED = [BaseWeights.INT8, BaseWeights.NF4]
# PiSSA takes the weights apart, which a quantized base does not allow.
WAYS = [(method, BaseWeights.LOADED) for method in Method] + [
    (method, weights) for method in Method if method is not Method.PISSA for weights in QUANTIZED
]
ways = pytest.mark.parametrize(("method", "weights"), WAYS)


def recipe_of(tiny, method: Method, weights: BaseWeights = BaseWeights.LOADED, **changes) -> Recipe:
    return tiny.RECIPE.model_copy(update={"method": method, "base_weights": weights, **changes})


def run(tiny, folder: Path, recipe: Recipe, *, base=None, **settings) -> Adapter:
    validation = tiny.examples(6, Split.VALIDATION)
    base = base or tiny.tiny_base()
    return train(tiny.examples(18), validation, base, recipe, folder, labels=tiny.LABELS, **settings)


def plain_peft(base, folder: Path):
    from peft import PeftModel

    return PeftModel.from_pretrained(base.fork(), str(folder)).eval()


@torch.no_grad()
def loss_of(model, tiny) -> float:
    """Validation loss as transformers computes it, nats a token."""
    samples = render(tiny.examples(6, Split.VALIDATION), tiny.ByteTokenizer(), "chatml", max_tokens=64)
    nats = 0.0
    for one in samples:
        ids = torch.tensor(one.ids)
        logits = model(input_ids=ids[None]).logits[0, one.first - 1 : -1]
        nats += float(torch.nn.functional.cross_entropy(logits, ids[one.first :], reduction="sum"))
    return nats / sum(one.supervised for one in samples)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@ways
def test_what_is_saved_computes_in_plain_peft_what_was_trained(tiny, tmp_path, method, weights) -> None:
    recipe = recipe_of(tiny, method, weights, epochs=6, dropout=0.0)
    adapter = run(tiny, tmp_path / "a", recipe)
    curve = adapter.card.curve
    assert curve[-1].validation < 0.8 * curve[0].validation
    best = min(point.validation for point in curve)
    held = held_as(tiny.tiny_base(), weights)
    assert loss_of(plain_peft(held, adapter.folder), tiny) == pytest.approx(best, abs=1e-4)
    # On the base as it was loaded the loss differs by what quantizing rounds away, and by nothing otherwise.
    rounding = {BaseWeights.LOADED: 1e-4, BaseWeights.INT8: 0.02, BaseWeights.NF4: 0.3}[weights]
    assert loss_of(plain_peft(tiny.tiny_base(), adapter.folder), tiny) == pytest.approx(best, abs=rounding)


@ways
def test_an_adapter_is_served_merged_and_unmerged_alike(tiny, tmp_path, method, weights) -> None:
    adapter = run(tiny, tmp_path / "a", recipe_of(tiny, method, weights))
    for base in (tiny.tiny_base(), held_as(tiny.tiny_base(), weights)):
        apart = attach_folder(base, adapter.folder)(input_ids=IDS).logits
        merged = attach_folder(base, adapter.folder, merge=True)(input_ids=IDS).logits
        torch.testing.assert_close(apart, merged, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(apart, base.model(input_ids=IDS).logits, atol=1e-3)


@ways
def test_a_killed_run_ends_in_the_same_adapter(tiny, tmp_path, method, weights) -> None:
    recipe = recipe_of(tiny, method, weights)
    whole = run(tiny, tmp_path / "whole", recipe)
    changes = [f"method={method}", f"base_weights={weights}"]
    killed = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path / "again"), "7", *changes],
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL
    steps: list[int] = []
    resumed = run(tiny, tmp_path / "again", recipe, progress=lambda tick: steps.append(tick.step))
    assert steps[0] == 8
    assert resumed.sha256 == whole.sha256
    assert resumed.card.losses == whole.card.losses


@ways
def test_a_run_leaves_the_base_as_it_is(tiny, tmp_path, method, weights) -> None:
    base = tiny.tiny_base()
    before = {name: tensor.clone() for name, tensor in base.model.state_dict().items()}
    adapter = run(tiny, tmp_path / "a", recipe_of(tiny, method, weights), base=base)
    after = base.model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    card = adapter.card
    assert (card.recipe.method, card.recipe.base_weights, card.precision) == (method, weights, "fp32")
    assert card.total == card.trainable + count_parameters(base.model)


@pytest.mark.parametrize("method", Method)
def test_adapters_judged_in_the_middle_of_a_run_are_whole(tiny, tmp_path, method) -> None:
    """Saving what is trained so far changes nothing of it, and the judge sees the loss that the curve shows."""
    seen: list[float] = []

    def judge(folder: Path) -> float:
        seen.append(loss_of(load_adapter(folder, tiny.tiny_base()), tiny))
        return -seen[-1]

    judged = run(tiny, tmp_path / "a", recipe_of(tiny, method, choose_by=ChosenBy.METRIC), judge=judge)
    assert seen == pytest.approx([point.validation for point in judged.card.curve], abs=1e-4)
    assert judged.card.losses == run(tiny, tmp_path / "b", recipe_of(tiny, method)).card.losses


def test_rslora_multiplies_by_alpha_over_the_root_of_the_rank(tiny) -> None:
    found = {}
    for method in (Method.LORA, Method.RSLORA):
        model = attach(tiny.tiny_base(), recipe_of(tiny, method, rank=16, alpha=8.0))
        found[method] = model.get_base_model().model.layers[0].mlp.up_proj.scaling["default"]
    assert found == {Method.LORA: 8 / 16, Method.RSLORA: 8 / 4}


def test_dora_trains_the_length_of_every_row(tiny, tmp_path) -> None:
    base = tiny.tiny_base()
    model = attach(base, recipe_of(tiny, Method.DORA))
    lengths = {name: p for name, p in trainable(model).items() if "magnitude" in name}
    assert len(lengths) == 3 * 7
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector.default.weight"
    torch.testing.assert_close(lengths[name].detach(), base.model.model.layers[0].self_attn.q_proj.weight.norm(dim=1))
    adapter = run(tiny, tmp_path / "a", recipe_of(tiny, Method.DORA))
    assert json.loads((adapter.folder / "adapter_config.json").read_text())["use_dora"] is True


def test_pissa_starts_from_the_principal_directions_and_changes_nothing_yet(tiny) -> None:
    base = tiny.tiny_base()
    model = attach(base, recipe_of(tiny, Method.PISSA)).eval()
    torch.testing.assert_close(model(input_ids=IDS).logits, base.model(input_ids=IDS).logits, atol=1e-4, rtol=1e-4)
    layer = model.get_base_model().model.layers[1].mlp.up_proj
    update = layer.scaling["default"] * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    largest = torch.linalg.svdvals(base.model.model.layers[1].mlp.up_proj.weight)[:4]
    torch.testing.assert_close(torch.linalg.svdvals(update)[:4], largest, rtol=1e-2, atol=0)  # randomized


def test_pissa_is_saved_as_a_plain_adapter_of_twice_the_rank(tiny, tmp_path) -> None:
    adapter = run(tiny, tmp_path / "a", recipe_of(tiny, Method.PISSA))
    config = json.loads((adapter.folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (8, 16, True)
    assert adapter.card.recipe.rank == 4


@pytest.mark.parametrize("weights", QUANTIZED)
def test_linear_layers_are_narrow_while_training(tiny, weights) -> None:
    model = attach(held_as(tiny.tiny_base(), weights), recipe_of(tiny, Method.LORA, weights))
    narrow = [m for m in model.modules() if isinstance(m, QuantizedLinear)]
    assert len(narrow) == 3 * 7
    share = {BaseWeights.INT8: 1.2, BaseWeights.NF4: 0.6}[weights]  # bytes a number, scales included; fp32 has 4
    held = sum(buffer.nbytes for module in narrow for buffer in module.buffers())
    assert held < share * sum(m.in_features * m.out_features for m in narrow)


@pytest.mark.parametrize(
    ("family", "changes", "places"),
    [
        ("Llama", {"method": "pissa", "base_weights": "int8"}, ["recipe.base_weights"]),
        ("Llama", {"method": "pissa", "rank": 17}, ["recipe.rank"]),
        ("Mixtral", {"method": "dora", "dropout": 0.0}, ["recipe.method"]),
        ("Mixtral", {"method": "pissa", "dropout": 0.1}, ["recipe.method", "recipe.dropout"]),
        ("Mixtral", {"base_weights": "nf4", "dropout": 0.0}, ["recipe.base_weights"]),
        ("GPT2", {"base_weights": "int8", "targets": ("c_attn",)}, ["recipe.base_weights"]),
    ],
)
def test_what_cannot_go_together_is_refused_before_the_first_step(tiny, tmp_path, family, changes, places) -> None:
    recipe = Recipe.model_validate(tiny.RECIPE.model_dump() | changes)
    with pytest.raises(TrainingError) as caught:
        run(tiny, tmp_path / "a", recipe, base=tiny.tiny_base(family))
    assert all(f"{place}:" in caught.value.message for place in places)
    assert caught.value.fix
    assert not list(tmp_path.iterdir())


def test_a_fix_that_is_proposed_does(tiny) -> None:
    refused = Recipe.model_validate(tiny.RECIPE.model_dump() | {"method": "pissa", "dropout": 0.1})
    attention = refused.model_copy(update={"targets": ("q_proj", "k_proj", "v_proj", "o_proj")})
    assert trainable(attach(tiny.tiny_base("Mixtral"), attention))
    assert trainable(attach(tiny.tiny_base("Mixtral"), recipe_of(tiny, Method.RSLORA, dropout=0.0)))


def test_a_base_that_was_loaded_narrow_is_not_taken_for_another(tiny, tmp_path) -> None:
    base = tiny.tiny_base().quantized(BaseWeights.INT8)
    with pytest.raises(TrainingError, match="is nf4, and the base was loaded as int8"):
        run(tiny, tmp_path / "a", recipe_of(tiny, Method.LORA, BaseWeights.NF4), base=base)
    alike = [
        run(tiny, tmp_path / name, recipe_of(tiny, Method.LORA, BaseWeights.INT8), base=given)
        for name, given in (("b", base), ("c", tiny.tiny_base()))
    ]
    assert alike[0].sha256 == alike[1].sha256


def test_pissa_that_memory_cannot_hold_is_refused(tiny, monkeypatch) -> None:
    monkeypatch.setattr("residency.tune.pissa.available_bytes", lambda device: 100)
    with pytest.raises(TrainingError, match=r"recipe\.method: pissa copies"):
        attach(tiny.tiny_base(), recipe_of(tiny, Method.PISSA))


@pytest.mark.parametrize(("setting", "kinds"), [("method", Method), ("base_weights", BaseWeights)])
def test_a_wrong_word_is_answered_with_the_right_ones(setting, kinds) -> None:
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate({setting: "qlora"})
    [problem] = explain(caught.value)
    assert problem.startswith(f"{setting} (is 'qlora')") and all(f"'{kind}'" in problem for kind in kinds)


def test_dropout_of_dora_is_drawn_from_the_seed_and_off_when_measured(tiny, tmp_path) -> None:
    recipe = recipe_of(tiny, Method.DORA, dropout=0.5)
    first, again = (run(tiny, tmp_path / name, recipe).card for name in "ab")
    without = run(tiny, tmp_path / "c", recipe_of(tiny, Method.DORA, dropout=0.0)).card
    assert first.losses == again.losses != without.losses
    assert math.isfinite(first.losses[-1])
