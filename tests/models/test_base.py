"""A base is read from plain, whole files, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.filesize import decimal
from safetensors.torch import load_file, save_file

from residency.errors import ModelError
from residency.models.base import (
    Base,
    BaseWeights,
    Precision,
    _require_room,
    identify,
    load_base,
    load_reading,
    resolve,
)
from residency.models.quantized import count_parameters

Damage = Callable[[Path], None]


def only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def torn_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def config_is_a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]", encoding="utf-8")


def torn_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def a_weight_too_few(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def edit_config(**changes: object) -> Damage:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), encoding="utf-8")

    return edit


BROKEN: dict[str, tuple[Damage, str]] = {
    "only pickles": (only_pickles, "pickle"),
    "no weights": (no_weights, "no weights"),
    "no tokenizer": (no_tokenizer, "tokenizer.json is missing"),
    "torn tokenizer": (torn_tokenizer, "tokenizer cannot be read"),
    "no config": (no_config, "config.json"),
    "config is a list": (config_is_a_list, "config.json"),
    "torn weights": (torn_weights, "weights cannot be read"),
    "a weight too few": (a_weight_too_few, "1 weights are missing"),
    "weights of other sizes": (edit_config(hidden_size=64), "weights cannot be read|missing"),
    "code of its own": (edit_config(auto_map={"AutoModelForCausalLM": "evil.Model"}), "auto_map"),
    "sliding windows": (edit_config(sliding_window=16), "sliding_window"),
    "soft caps": (edit_config(attn_logit_softcapping=50.0), "attn_logit_softcapping"),
    "unknown architecture": (edit_config(model_type="no-such-model"), "weights cannot be read"),
}


def load(folder: Path) -> Base:
    return load_base(str(folder), precision=Precision.FP32, template_name="chatml", device="cpu")


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_refused_with_a_reason(case: str, tiny_folder: Path, tmp_path: Path) -> None:
    damage, reason = BROKEN[case]
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "broken"))
    damage(folder)
    with pytest.raises(ModelError, match=reason) as caught:
        load(folder)
    assert caught.value.fix


def test_windows_that_are_switched_off_are_no_reason(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "qwen-like"))
    edit_config(sliding_window=16, use_sliding_window=False)(folder)
    load(folder)


def test_a_folder_outside_the_catalogue_has_to_name_its_template(tiny_folder: Path) -> None:
    with pytest.raises(ModelError, match="chat template has to be named") as caught:
        load_base(str(tiny_folder))
    assert "chatml" in caught.value.fix


def test_a_template_inside_the_folder_is_not_used(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "with-template"))
    (folder / "chat_template.jinja").write_text("{{ 'evil' }}", encoding="utf-8")
    with pytest.raises(ModelError, match="chat template has to be named"):
        load_base(str(folder))
    assert load(folder).template == "chatml"


@pytest.mark.parametrize("name", ["no-such-base", "llama-3.1-8b-instruct", "meta-llama/Llama-3.1-8B-Instruct"])
def test_a_name_that_is_no_folder_downloads_nothing(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError):
        load_base(name)


def test_the_identity_is_that_of_the_weights(tiny: Base, tiny_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_folder, tmp_path / "copy"))
    edit_config(max_position_embeddings=77)(copy)
    assert identify(str(copy)) == tiny.sha256
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] + 1
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert identify(str(copy)) != tiny.sha256


@pytest.mark.parametrize(("precision", "dtype"), [(Precision.FP32, torch.float32), (Precision.BF16, torch.bfloat16)])
def test_weights_are_held_as_asked(tiny_folder: Path, precision: Precision, dtype: torch.dtype) -> None:
    base = load_base(str(tiny_folder), precision=precision, template_name="chatml", device="cpu")
    assert {parameter.dtype for parameter in base.model.parameters()} == {dtype}
    assert base.precision is precision
    assert not any(parameter.requires_grad for parameter in base.model.parameters())


@pytest.mark.parametrize("weights", [BaseWeights.INT8, BaseWeights.NF4])
def test_a_base_can_be_loaded_with_narrow_weights_and_stays_the_same_base(tiny_folder, tiny, weights) -> None:
    narrow = load_base(str(tiny_folder), precision=Precision.FP32, weights=weights, template_name="chatml")
    assert (narrow.weights, narrow.sha256, tiny.weights) == (weights, tiny.sha256, BaseWeights.LOADED)
    assert count_parameters(narrow.model) == count_parameters(tiny.model)
    ids = torch.arange(40)[None]
    found, wide = (base.model(input_ids=ids).logits for base in (narrow, tiny))
    assert torch.equal(found, tiny.quantized(weights).model(input_ids=ids).logits)
    assert not torch.equal(found, wide)
    kept = [tensor for tensor in narrow.model.state_dict().values() if tensor.dtype is torch.float32]
    assert all(tensor.untyped_storage().nbytes() < 2 * tensor.nbytes + 64 for tensor in kept), "the file is still held"


def test_narrow_weights_need_less_room_on_a_gpu(tiny_folder, monkeypatch) -> None:
    vocabulary = json.loads((tiny_folder / "config.json").read_text())["vocab_size"]

    def needed(weights: BaseWeights, device: str) -> str:
        monkeypatch.setattr("residency.models.base.available_bytes", lambda device: 0)
        with pytest.raises(ModelError, match="the weights take") as caught:
            _require_room(tiny_folder, Precision.FP32, device, weights, vocabulary)
        return caught.value.message.partition("the weights take ")[2].partition(",")[0]

    # 2 blocks of 9,216 numbers in linear layers; 320 x 32 in the embedding and 160 in norms stay as they are.
    rest = 4 * (vocabulary * 32 + 160)
    assert needed(BaseWeights.LOADED, "cuda") == f"{decimal(rest + 4 * 18_432)} as fp32"
    assert needed(BaseWeights.INT8, "cpu") == needed(BaseWeights.LOADED, "cuda")
    assert needed(BaseWeights.INT8, "cuda").startswith(decimal(rest + int(1.01 * 18_432)))


@pytest.mark.parametrize(
    ("able", "expected"), [({"avx512_bf16": True}, "bf16"), ({"avx2": True}, "fp32"), ({}, "fp32")]
)
def test_auto_follows_the_processor(able: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert resolve(Precision.AUTO, "cpu") == expected
    assert resolve(Precision.FP32, "cpu") is Precision.FP32


def test_weights_that_memory_cannot_hold_are_refused_before_they_are_read(tiny_folder, monkeypatch) -> None:
    monkeypatch.setattr("residency.models.base.available_bytes", lambda device: 10_000)
    monkeypatch.setattr("residency.models.base._read_weights", lambda *given: pytest.fail("the weights were read"))
    with pytest.raises(ModelError, match=r"the weights take \d.* as fp32, and 10.0 kB of memory are free"):
        load_base(str(tiny_folder), precision=Precision.FP32, template_name="chatml", device="cpu")


def test_reading_needs_a_template_as_well(tiny_folder) -> None:
    with pytest.raises(ModelError, match="its chat template has to be named"):
        load_reading(str(tiny_folder))
