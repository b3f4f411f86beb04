"""Reading a base model: weights, tokenizer, and what is known of them.

In: "embedded", a name of the catalogue, or a local folder. Out: a ``Base``.

Covers: precision, device, refusing what is not plain data (pickles, remote code), refusing what is broken
(a missing tokenizer, torn or incomplete weights), what memory cannot hold, and what transformer.py would compute
wrongly.
Does not cover: downloading. Nothing here opens a network connection; every call to transformers says local files only.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from residency.errors import ModelError
from residency.models.catalogue import (
    CatalogueEntry,
    Shape,
    catalogue,
    entry_named,
    entry_of_folder,
    name_of_folder,
    template,
)
from residency.models.embedded import EMBEDDED, embedded_folder, sha256_of
from residency.models.memory import available_bytes

if TYPE_CHECKING:
    import torch

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
# A config with one of these set scales or clips in ways that packed scoring (transformer.py) does not follow.
UNSUPPORTED = ("attn_logit_softcapping", "final_logit_softcapping", "attention_chunk_size", "quantization_config")


class Precision(StrEnum):
    """How numbers are held. ``auto``: bf16 where the processor multiplies bf16 natively, else fp32."""

    AUTO = "auto"
    BF16 = "bf16"
    FP32 = "fp32"


class BaseWeights(StrEnum):
    """How the weights of the frozen linear layers are held while an adapter is trained on them (quantized.py)."""

    LOADED = "loaded"  # in the precision that the base was loaded in
    INT8 = "int8"  # one byte a number
    NF4 = "nf4"  # half a byte, as in QLoRA


BYTES = {BaseWeights.INT8: 1.01, BaseWeights.NF4: 0.54}  # a number, scales included


@dataclass(frozen=True, slots=True)
class Base:
    """A base model in memory. ``sha256`` identifies its weights, whatever folder they lie in.

    Do not change ``model``; take ``fork()`` to train or to attach an adapter.
    """

    model: torch.nn.Module
    tokenizer: Any
    entry: CatalogueEntry
    sha256: str
    folder: Path
    precision: Precision  # bf16 or fp32, never auto
    weights: BaseWeights = BaseWeights.LOADED

    @property
    def template(self) -> str:
        """Name of the chat template."""
        return self.entry.chat_template

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def fork(self) -> torch.nn.Module:
        """A second module tree over the same tensors.

        Adapters replace modules in the fork and leave the base as it is; the weights are not copied. Do not
        change a weight of the fork in place.
        """
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return copy.deepcopy(self.model, memo={id(tensor): tensor for tensor in tensors})

    def quantized(self, weights: BaseWeights) -> Base:
        """A second base with narrow linear layers; what is not quantized is shared. This one stays in memory as well:
        where that matters, load the base so instead. ModelError where most weights are no linear layers."""
        from residency.models.quantized import quantize_layers

        model = self.fork()
        quantize_layers(model, weights)
        return replace(self, model=model, weights=weights)


def load_base(
    name: str,
    *,
    precision: Precision = Precision.AUTO,
    weights: BaseWeights = BaseWeights.LOADED,
    template_name: str | None = None,
    device: str | None = None,
    empty: bool = False,
) -> Base:
    """The base called ``name``: "embedded", a folder, or a catalogue name that is also a folder here.

    ``template_name`` names a chat template for a folder that the catalogue does not know, or overrides the catalogue's.
    ``weights`` narrows the linear layers, to train an adapter on. ``device`` defaults to the first GPU, else the CPU.
    ``empty`` reads no weights and gives no identity: they are on the meta device, for another process to fill in.
    ModelError says what is wrong and how to go on.
    """
    folder = _folder_of(name)
    config = _config_of(folder)
    _refuse_what_we_would_compute_wrongly(folder, config)
    _require_plain_files(folder)
    entry = _entry_of(folder, config, template_name)
    chosen = device or _default_device()
    resolved = resolve(precision, chosen)
    if empty:
        return Base(_without_weights(folder, resolved), _read_tokenizer(folder), entry, "", folder, resolved)
    _require_room(folder, resolved, chosen, weights, entry.shape.vocabulary)
    model = _read_weights(folder, resolved)
    if weights is not BaseWeights.LOADED:
        from residency.models.quantized import quantize_layers

        quantize_layers(model, weights)
        _leave_file(model)
    tokenizer = _read_tokenizer(folder)
    return Base(model.to(chosen), tokenizer, entry, weights_sha256(folder), folder, resolved, weights)


def load_reading(name: str, *, template_name: str | None = None) -> tuple[Any, CatalogueEntry]:
    """Tokenizer and entry of the base called ``name``: how it reads, without its weights."""
    folder = _folder_of(name)
    return _read_tokenizer(folder), _entry_of(folder, _config_of(folder), template_name)


def identify(name: str) -> str:
    """The content identity of the base called ``name``, without loading it."""
    folder = _folder_of(name)
    _require_plain_files(folder)
    return weights_sha256(folder)


def resolve(precision: Precision, device: str = "cpu") -> Precision:
    """``auto`` as bf16 or fp32 for this machine."""
    if precision is not Precision.AUTO:
        return precision
    return Precision.BF16 if has_native_bf16(device) else Precision.FP32


def has_native_bf16(device: str = "cpu") -> bool:
    """Whether bf16 is multiplied in hardware (AVX-512 BF16 or AMX on x86, compute capability 8 on NVIDIA).

    Elsewhere PyTorch emulates it, several times slower than fp32.
    """
    import torch

    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def weights_sha256(folder: Path) -> str:
    """Content identity of the weights: a hash over the hashes of all safetensors files, names left out."""
    digests = sorted(sha256_of(path) for path in folder.glob("*.safetensors"))
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _folder_of(name: str) -> Path:
    if name in ("embedded", EMBEDDED):
        return embedded_folder()
    folder = Path(os.path.expanduser(name))  # where there is no such user, a name as any other
    if folder.is_dir():
        return folder.resolve()
    known = entry_named(name)
    if known is not None:
        raise ModelError(
            f"The base {known.name} is not on this machine.",
            fix=f"It is {known.origin}. Give the path of its folder instead of its name; nothing is downloaded.",
        )
    raise ModelError(
        f"{name!r} is neither a folder nor a known base.",
        fix=f'Use "embedded", the path of a folder, or one of: {", ".join(e.name for e in catalogue().bases)}.',
    )


def _config_of(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ModelError(
            f"{path}: missing or not JSON.", fix="Give the folder of a transformers model, with config.json in it."
        ) from None
    if not isinstance(config, dict):
        raise ModelError(f"{path}: not a JSON object.", fix="Copy the model folder again.")
    return config


def _refuse_what_we_would_compute_wrongly(folder: Path, config: Mapping[str, Any]) -> None:
    if "auto_map" in config:
        raise ModelError(
            f"{folder}: this model needs Python code of its own (auto_map).",
            fix="Use a base whose architecture is part of transformers; code from a model folder is never run.",
        )
    sliding = config.get("sliding_window") is not None and config.get("use_sliding_window", True)
    found = [name for name in UNSUPPORTED if config.get(name) is not None] + ["sliding_window"] * bool(sliding)
    if found:
        raise ModelError(
            f"{folder}: config.json sets {', '.join(found)}, which residency does not compute.",
            fix="Serve this base with an OpenAI-shaped server and name the server instead.",
        )


def _require_plain_files(folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        pickles = any(path.suffix in PICKLES for path in folder.iterdir())
        found = "only pickled weights, and reading a pickle can run code" if pickles else "no weights"
        raise ModelError(
            f"{folder}: {found}.", fix="Convert the model to safetensors, or get a safetensors copy of it."
        )
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            f"{folder}: tokenizer.json is missing.", fix="Copy the tokenizer's files into the model folder."
        )


def _entry_of(folder: Path, config: Mapping[str, Any], template_name: str | None) -> CatalogueEntry:
    known = entry_of_folder(folder, config)
    if known is not None and template_name is not None:
        return known.model_copy(update={"template": template(template_name).name})
    if known is not None and known.template is not None:
        return known
    if template_name is None:
        names = ", ".join(one.name for one in catalogue().templates)
        raise ModelError(
            f"{folder}: the catalogue names none for this base, so its chat template has to be named.",
            fix=f"Name one of the pinned templates: {names}. The folder's own is code and is not used.",
        )
    try:
        shape = Shape.of_config(config)
    except (KeyError, ValueError):
        raise ModelError(
            f"{folder}: config.json does not give the sizes of a decoder.", fix="Use a decoder model."
        ) from None
    return CatalogueEntry(
        name=name_of_folder(folder),
        licence="unknown",
        origin="a local folder",
        model_type=str(config.get("model_type", "")),
        shape=shape,
        template=template(template_name).name,
    )


def _require_room(folder: Path, precision: Precision, device: str, weights: BaseWeights, vocabulary: int) -> None:
    """ModelError where the weights are larger than the memory that is left."""
    wide = 2 if precision is Precision.BF16 else 4
    # On a CPU what is read and what is kept lie in the same memory, so a narrow base needs room for a wide one first.
    narrow = wide if device == "cpu" else BYTES.get(weights, wide)
    needed = 0
    for shape in _shapes(folder):
        linear = len(shape) == 2 and vocabulary not in shape
        needed += int(math.prod(shape) * (narrow if linear else wide))
    free = available_bytes(device)
    if needed > free:
        held = f"{precision}, linear layers as {weights}" if narrow < wide else f"{precision}"
        raise ModelError(
            f"{folder}: the weights take {decimal(needed)} as {held}, and {decimal(free)} of memory are free.",
            fix="Use a smaller base, or a machine with more memory; an OpenAI-shaped server can answer in its place.",
        )


def _shapes(folder: Path) -> list[list[int]]:
    """Of all weights; files that cannot be read have none and are refused later."""
    from safetensors import SafetensorError, safe_open

    shapes: list[list[int]] = []
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(str(path), framework="pt") as file:
                shapes += [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
        except (OSError, SafetensorError):
            continue
    return shapes


def _leave_file(model: torch.nn.Module) -> None:
    """Copies what is still a view of the weights' file: one such view keeps all of the file's pages in memory."""
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


def _default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _read_weights(folder: Path, precision: Precision) -> torch.nn.Module:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16 if precision is Precision.BF16 else torch.float32,
            attn_implementation="sdpa",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: the weights cannot be read ({type(error).__name__}).",
            fix="Copy the model folder again and compare its files' hashes with the publisher's.",
        ) from error
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        # transformers fills them with random numbers and goes on.
        raise ModelError(
            f"{folder}: {len(missing)} weights are missing, {missing[0]} among them.",
            fix="Copy the model folder again.",
        )
    return model.eval().requires_grad_(False)


def _without_weights(folder: Path, precision: Precision) -> torch.nn.Module:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    dtype = torch.bfloat16 if precision is Precision.BF16 else torch.float32
    with torch.device("meta"):
        model: torch.nn.Module = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")  # type: ignore[no-untyped-call]
    return model.eval().requires_grad_(False)


def _read_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_fast=True)
    except Exception as error:  # tokenizers raises bare Exception for a torn file
        raise ModelError(
            f"{folder}: the tokenizer cannot be read ({type(error).__name__}).", fix="Copy the tokenizer's files again."
        ) from error
