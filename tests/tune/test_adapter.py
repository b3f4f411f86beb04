"""An adapter on disk says what it is, and is refused where it is not that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from residency.errors import ModelError, TrainingError
from residency.models.catalogue import RecipeDefault
from residency.records import Split
from residency.tune.adapter import content_sha256, load_adapter, load_card
from residency.tune.lora import Recipe, attach, resolve, trainable
from residency.tune.training import train


@pytest.fixture(scope="module")
def adapter(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters") / "a"
    return train(
        tiny.examples(6), tiny.examples(3, Split.VALIDATION), tiny.tiny_base(), tiny.RECIPE, folder, labels=tiny.LABELS
    )


def copy_of(adapter, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in adapter.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_the_folder_holds_a_peft_adapter_and_its_card(adapter) -> None:
    assert sorted(path.name for path in adapter.folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "card.json",
    ]
    targets = json.loads((adapter.folder / "adapter_config.json").read_text())["target_modules"]
    assert targets == sorted(targets), "PEFT's own order changes from process to process, and the hash with it"
    card = load_card(adapter.folder).card
    assert card == adapter.card
    assert (card.base, card.template, card.examples) == ("tiny", "chatml", {"diagnose": 6})
    assert adapter.sha256 == content_sha256(adapter.folder)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_plain_peft_loads_the_same_weights(tiny, adapter) -> None:
    from peft import PeftModel

    ours = load_adapter(adapter.folder, tiny.tiny_base())
    plain = PeftModel.from_pretrained(tiny.tiny_base().model, str(adapter.folder))
    ids = torch.arange(40)[None]
    torch.testing.assert_close(ours(input_ids=ids).logits, plain(input_ids=ids).logits)
    assert not torch.equal(ours(input_ids=ids).logits, tiny.tiny_base().model(input_ids=ids).logits)


def test_an_adapter_of_other_weights_is_refused(tiny, adapter) -> None:
    with pytest.raises(ModelError, match="was trained on tiny ffffffffffff, not on tiny 0000"):
        load_adapter(adapter.folder, replace(tiny.tiny_base(), sha256="0" * 64))


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_changed_files_are_refused(adapter, tmp_path, name) -> None:
    folder = copy_of(adapter, tmp_path)
    path = folder / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelError, match="not those of its card"):
        load_card(folder)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "card.json"])
def test_a_folder_with_a_missing_file_is_refused(adapter, tmp_path, name) -> None:
    folder = copy_of(adapter, tmp_path)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_card(folder)


def test_a_person_goes_before_the_catalogue_and_the_catalogue_before_the_default(tiny) -> None:
    known = {"learning_rate": RecipeDefault(value=0.002, note="n"), "epochs": RecipeDefault(value=9, note="n")}
    entry = tiny.tiny_base().entry.model_copy(update={"recipe": known})
    resolved = resolve(Recipe(epochs=2), entry)
    assert (resolved.recipe.learning_rate, resolved.recipe.epochs, resolved.recipe.batch_size) == (0.002, 2, 8)
    assert [resolved.source[n] for n in ("learning_rate", "epochs", "batch_size")] == [
        "catalogue",
        "project",
        "default",
    ]
    wrong = entry.model_copy(update={"recipe": {"epochs": RecipeDefault(value=0, note="n")}})
    with pytest.raises(TrainingError, match="recipe of tiny: epochs"):
        resolve(Recipe(), wrong)


def test_a_fresh_adapter_changes_nothing_and_leaves_the_base_alone(tiny) -> None:
    base = tiny.tiny_base()
    ids = torch.arange(40)[None]
    before = base.model(input_ids=ids).logits
    model = attach(base, tiny.RECIPE).eval()
    torch.testing.assert_close(model(input_ids=ids).logits, before)
    for parameter in trainable(model).values():
        parameter.data.add_(1.0)
    torch.testing.assert_close(base.model(input_ids=ids).logits, before)


def test_an_unknown_target_is_refused(tiny) -> None:
    with pytest.raises(TrainingError, match="no linear layer called query") as caught:
        attach(tiny.tiny_base(), Recipe(targets=("query", "q_proj")))
    assert "k_proj" in caught.value.fix
