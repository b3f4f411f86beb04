"""Counts and memory by shape: as on disk and in memory where that can be had, and small where promised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from residency.errors import ModelError
from residency.models.base import load_base
from residency.models.catalogue import catalogue
from residency.models.embedded import EMBEDDED
from residency.records import Split
from residency.tune.adapter import CARD, may_be_adapter
from residency.tune.engine.loss import nats
from residency.tune.engine.step import Engine
from residency.tune.lora import Depth, Recipe, attach, trainable
from residency.tune.render import render
from residency.tune.sizes import memory_of, sizes_of
from residency.tune.training import train

LARGE = {"llama-3-70b-instruct": (70.55e9, 80), "mixtral-8x22b-instruct": (140.6e9, 56)}
# As their publishers count them, in millions.
PUBLISHED = {
    EMBEDDED: 134.5, "smollm2-360m-instruct": 361.8, "smollm2-1.7b-instruct": 1711, "qwen2.5-0.5b-instruct": 494,
    "qwen2.5-1.5b-instruct": 1544, "qwen2.5-7b-instruct": 7616, "llama-3.1-8b-instruct": 8030,
    "llama-3.2-1b-instruct": 1236, "llama-3.2-3b-instruct": 3213, "llama-3-70b-instruct": 70554,
    "mixtral-8x22b-instruct": 140630,
}  # fmt: skip


@pytest.mark.parametrize("name", [entry.name for entry in catalogue().bases])
def test_every_base_of_the_catalogue_has_as_many_parameters_as_published(name) -> None:
    sizes = sizes_of(name, Recipe(targets=("q_proj",)))
    assert sizes.parameters / 1e6 == pytest.approx(PUBLISHED[name], rel=1e-3)
    assert sizes.linear <= sizes.in_blocks < sizes.parameters


@pytest.mark.parametrize("name", LARGE)
def test_the_adapter_of_a_large_base_is_on_every_block_and_below_a_hundredth_of_it(name) -> None:
    parameters, blocks = LARGE[name]
    sizes = sizes_of(name)
    assert sizes.parameters == pytest.approx(parameters, rel=1e-3)
    assert sizes.adapted == sizes.blocks == blocks
    assert 0 < sizes.adapter_bytes < 0.01 * sizes.base_bytes


def test_the_experts_of_a_large_mixture_are_adapted_in_every_block() -> None:
    from residency.tune.sizes import _on_meta

    named = trainable(attach(_on_meta("mixtral-8x22b-instruct"), Recipe()))
    for block in range(56):
        mine = [name for name in named if f".layers.{block}." in name]
        assert sum(".experts." in name for name in mine) == 2 * 2  # A and B of gate with up, and of down
        assert sum("self_attn" in name for name in mine) == 2 * 4


@pytest.mark.parametrize("depth", Depth)
def test_the_adapter_of_the_embedded_base_is_small(depth) -> None:
    assert sizes_of("embedded", Recipe(depth=depth)).adapter_bytes < 25e6


def test_adapter_bytes_are_those_of_the_file(tiny, tmp_path) -> None:
    base, folder = tiny.tiny_base("Mixtral"), tmp_path / "tiny"
    folder.mkdir()
    base.model.config.save_pretrained(folder)
    recipe = tiny.RECIPE.model_copy(update={"dropout": 0.0})
    validation = tiny.examples(6, Split.VALIDATION)
    adapter = train(tiny.examples(4), validation, base, recipe, tmp_path / "a", labels=tiny.LABELS)
    sizes = sizes_of(str(folder), recipe)
    assert sizes.trained == adapter.card.trainable
    assert sizes.trained + sizes.parameters == adapter.card.total
    file = (adapter.folder / "adapter_model.safetensors").stat().st_size
    assert 0 < file - sizes.adapter_bytes < 0.3 * file  # a table of names, large beside a tiny adapter


@pytest.mark.parametrize("recompute", [False, True])
def test_what_a_token_leaves_behind_is_as_forecast(tmp_path, tiny, recompute) -> None:
    """Bytes that autograd holds between the forward and the backward pass."""
    wide = dict(hidden_size=64, intermediate_size=160, num_attention_heads=4)
    base, folder = tiny.tiny_base(**wide), tmp_path / "tiny"
    folder.mkdir()
    base.model.config.save_pretrained(folder)
    recipe = Recipe(rank=4, recompute=recompute)
    engine = Engine(attach(base, recipe), micro_tokens=4096, recompute=recompute)
    samples = render(tiny.examples(40), base.tokenizer, "chatml", max_tokens=400)
    [packed] = engine._packed(samples)
    fixed = {tensor.data_ptr() for tensor in (*engine.model.parameters(), *engine.model.buffers())}
    held: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in fixed:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = nats(engine._scores(packed), packed.targets).sum()
    tokens, learned = packed.ids.shape[1], len(packed.rows)
    sizes = sizes_of(str(folder), recipe)
    logits = 4 * learned * sizes.vocabulary
    # With blocks that compute again, that of one block comes only in the backward pass.
    expected = 4 * tokens * ((3 + 1) * 64 if recompute else sizes.kept)
    assert sum(held.values()) - logits == pytest.approx(expected, rel=0.15)
    loss.backward()


def test_memory_falls_with_narrow_weights_with_more_gpus_and_with_recomputing() -> None:
    fp32, bf16, int8, nf4, shared = memory_of(sizes_of("llama-3-70b-instruct"), micro_tokens=1024, gpus=8)
    assert fp32.total > bf16.total > int8.total > nf4.total > shared.total
    again = memory_of(sizes_of("llama-3-70b-instruct", Recipe(recompute=True)), micro_tokens=1024, gpus=8)[-1]
    assert again.activations < shared.activations / 5 and again.weights == shared.weights
    assert len(memory_of(sizes_of("embedded"), micro_tokens=1024, gpus=1)) == 4


def test_quantization_is_not_offered_for_a_mixture() -> None:
    places = [memory.place for memory in memory_of(sizes_of("mixtral-8x22b-instruct"), micro_tokens=1024, gpus=8)]
    assert not any("nf4" in place or "int8" in place for place in places) and len(places) == 3


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", json.dumps({"model_type": "mamba"}), "[" * 100_000])
def test_what_is_no_decoder_is_refused_by_name(tmp_path: Path, content) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match="neither a base"):
        sizes_of(str(tmp_path))


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_attention_heads": 5},
        {"num_attention_heads": 128},
        {"head_dim": 0},
        {"head_dim": "wide"},
        {"hidden_size": 9 * 10**18},
        {"rope_parameters": 5},
    ],
)
def test_what_nobody_can_build_is_refused_by_name(tmp_path: Path, wrong) -> None:
    small = catalogue().bases[0].shape.model_copy(update={"layers": 2}).config()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **small, **wrong}))
    with pytest.raises(ModelError, match="cannot build a decoder"):
        sizes_of(str(tmp_path))


@pytest.mark.parametrize("look", [sizes_of, load_base])
def test_the_home_of_a_user_that_there_is_none_of_is_a_name_as_any_other(look) -> None:
    with pytest.raises(ModelError):
        look("~nobody-of-this-name")


def test_the_command_says_what_a_base_takes(capsys) -> None:
    from residency.cli.tune import show_sizes

    show_sizes("Llama-3-70B-Instruct", Recipe(recompute=True), 8)
    said = capsys.readouterr().out
    assert "70,553,706,496 parameters, 141.1 GB in bf16" in said and "0.59% of the base" in said


@pytest.mark.parametrize("name", ["my_model v2", "modèle", "___"])
def test_a_folder_may_be_called_anything(tmp_path: Path, name: str) -> None:
    small = catalogue().bases[0].shape.model_copy(update={"layers": 2}).config()
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.json").write_text(json.dumps({"model_type": "llama", **small}))
    assert sizes_of(str(tmp_path / name)).blocks == 2


def test_saving_deletes_nothing_but_an_adapter(tmp_path: Path) -> None:
    held = tmp_path / "adapter"
    held.mkdir()
    may_be_adapter(held)
    (held / CARD).write_text("{}")
    may_be_adapter(held)
    (held / "pairs.jsonl").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for folder in (held, tmp_path / "link"):
        with pytest.raises(ModelError, match="something else"):
            may_be_adapter(folder)
