"""The catalogue is complete and agrees with itself; a folder finds its entry only where name and sizes fit."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import ValidationError

from residency.errors import ModelError
from residency.models import catalogue as module
from residency.models.catalogue import CatalogueEntry, Shape, catalogue, entry_named, entry_of_folder
from residency.models.embedded import EMBEDDED

ENTRIES = catalogue().bases


def config_of(entry: CatalogueEntry, **changes: object) -> dict[str, object]:
    return {"model_type": entry.model_type, **entry.shape.config(), **changes}


def test_names_are_unique_and_the_embedded_base_is_among_them() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)
    assert EMBEDDED in names


def test_no_two_bases_look_the_same() -> None:
    looks = [(entry.model_type, entry.shape.model_copy(update={"context": 1})) for entry in ENTRIES]
    assert all(looks.count(look) == 1 for look in looks)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_base_says_where_it_comes_from_and_names_a_template_or_why_not(entry: CatalogueEntry) -> None:
    assert entry.licence and entry.origin
    if entry.template is None:
        assert "chat template" in entry.notes
        with pytest.raises(ModelError, match=entry.name):
            _ = entry.chat_template
    else:
        assert module.template(entry.template).end_of_turn in module.template(entry.template).control_tokens
    assert entry.shape.hidden % entry.shape.heads == 0
    assert entry.shape.heads % entry.shape.kv_heads == 0


def test_every_template_file_belongs_to_an_entry_and_the_other_way_round() -> None:
    folder = Path(str(files("residency.models"))) / "templates"
    assert {path.name for path in folder.iterdir()} == {template.file for template in catalogue().templates}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_folder_finds_its_entry_by_sizes_whatever_it_is_called(entry: CatalogueEntry) -> None:
    assert entry_of_folder(Path("/models/download-7"), config_of(entry)) == entry
    assert entry_of_folder(Path("/models/download-7"), config_of(entry, max_position_embeddings=77)) == entry
    assert Shape.of_config(entry.shape.config()) == entry.shape


def test_a_config_that_does_not_say_what_is_tied_finds_its_entry_and_other_experts_do_not() -> None:
    silent = config_of(ENTRIES[0])
    del silent["tie_word_embeddings"]
    assert ENTRIES[0].shape.tied and entry_of_folder(Path("/m"), silent) == ENTRIES[0]
    mixture = next(entry for entry in ENTRIES if entry.shape.experts)
    assert entry_of_folder(Path("/m"), config_of(mixture, num_local_experts=4)) is None


@pytest.mark.parametrize(
    "change", [{"hidden_size": 8}, {"model_type": "mamba"}, {"vocab_size": 3}, {"num_hidden_layers": None}]
)
def test_a_name_alone_makes_no_entry(change: dict[str, object]) -> None:
    entry = ENTRIES[0]
    assert entry_of_folder(Path("/models") / entry.name, config_of(entry, **change)) is None


def test_a_name_is_found_however_it_is_capitalized() -> None:
    assert entry_named("SmolLM2-135M-Instruct") == entry_named(EMBEDDED)
    assert entry_named("gpt-9") is None


def test_an_unknown_template_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match="chatml"):
        module.template("vicuna")


def test_an_unknown_field_of_an_entry_is_an_error() -> None:
    with pytest.raises(ValidationError):
        CatalogueEntry.model_validate({**ENTRIES[0].model_dump(), "license": "MIT"})


def test_missing_key_value_heads_mean_as_many_as_query_heads() -> None:
    config = config_of(ENTRIES[0])
    del config["num_key_value_heads"]
    assert Shape.of_config(config).kv_heads == ENTRIES[0].shape.heads


def test_importing_the_package_is_light() -> None:
    heavy = "import residency.models, residency.models.catalogue, residency.models.chat, residency.models.base, sys;"
    heavy += (
        "print([m for m in ('torch', 'transformers', 'peft', 'jinja2', 'httpx', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
