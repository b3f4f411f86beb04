"""The base that comes with the package is converted once, whole, and checked whenever it is used."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from residency.errors import ModelError
from residency.models import embedded
from residency.models.embedded import (
    GGUF_NAME,
    INSTALL,
    MANIFEST,
    WRITTEN,
    embedded_folder,
    find_gguf,
    is_intact,
)
from residency.places import cache_folder


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The converted base in a cache of its own, shared by the slow tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESIDENCY_CACHE", str(tmp_path_factory.mktemp("cache")))
        return embedded_folder()


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ModelError, match="not installed") as caught:
        find_gguf()
    assert INSTALL in caught.value.fix


def test_another_file_under_the_same_name_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "other_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    (package / GGUF_NAME).write_bytes(b"GGUF and something else")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(embedded, "PACKAGE", "other_smollm2")
    with pytest.raises(ModelError, match="not the file"):
        find_gguf()


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RESIDENCY_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "residency"
    monkeypatch.setenv("RESIDENCY_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"files": {}}', '{"files": {"model.safetensors": "00"}}'])
def test_a_folder_with_a_broken_manifest_is_not_intact(tmp_path: Path, content: str) -> None:
    assert not is_intact(tmp_path)
    (tmp_path / MANIFEST).write_text(content, encoding="utf-8")
    assert not is_intact(tmp_path)


def test_a_folder_is_intact_until_a_byte_changes(tmp_path: Path) -> None:
    for name in WRITTEN:
        (tmp_path / name).write_text(name, encoding="utf-8")
    digests = {name: embedded.sha256_of(tmp_path / name) for name in WRITTEN}
    (tmp_path / MANIFEST).write_text(json.dumps({"files": digests}), encoding="utf-8")
    assert is_intact(tmp_path)
    (tmp_path / "model.safetensors").write_text("model.safetensorz", encoding="utf-8")
    assert not is_intact(tmp_path)


@pytest.mark.slow
def test_the_conversion_gives_the_weights_that_transformers_reads(converted: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    path = find_gguf()
    theirs = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).state_dict()
    ours = load_file(converted / "model.safetensors")
    assert set(theirs) - set(ours) == {"lm_head.weight"}  # tied to the embedding
    assert all(torch.equal(weight, theirs[name].bfloat16()) for name, weight in ours.items())


@pytest.mark.slow
def test_the_converted_tokenizer_splits_digits_and_gives_every_text_back(converted: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert tokenizer.tokenize("1234") == ["1", "2", "3", "4"]
    for text in ("Müller’s sign — β 5.5mg\n\n\tnaïve", "  two  spaces ", "患者"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


@pytest.mark.slow
def test_a_damaged_cache_is_found_and_rebuilt(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDENCY_CACHE", str(converted.parent))
    weights = converted / "model.safetensors"
    whole = embedded.sha256_of(weights)
    with weights.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\x00\x01\x02\x03")
    assert not is_intact(converted)
    assert embedded_folder() == converted
    assert embedded.sha256_of(weights) == whole
    assert [path.name for path in converted.parent.iterdir()] == [converted.name]


@pytest.mark.slow
def test_two_processes_convert_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDENCY_CACHE", str(tmp_path))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        folders = [task.get() for task in [pool.apply_async(embedded_folder) for _ in range(2)]]
    assert folders[0] == folders[1]
    assert is_intact(folders[0])
    assert [path.name for path in tmp_path.iterdir()] == [folders[0].name]


@pytest.mark.slow
def test_the_embedded_base_answers(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from residency.models.base import load_base
    from residency.models.transformer import TransformerModel
    from residency.records import Message

    monkeypatch.setenv("RESIDENCY_CACHE", str(converted.parent))
    model = TransformerModel(load_base("embedded"))
    asked = [Message(role="user", content="What is the capital of France? Answer with one word.")]
    assert "Paris" in model.generate([asked], max_tokens=20)[0].text
    paris, tea = model.choose([asked], ["Paris", "Tea"])[0]
    assert paris > tea
