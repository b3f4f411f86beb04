"""A base of a few thousand random weights, and a run of it as a program (for the test that kills it).

python tiny.py FOLDER [KILL_AFTER_STEP [SETTING=VALUE ...]]
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

from residency.models.base import Base, Precision
from residency.models.catalogue import CatalogueEntry, FastDepth, Shape
from residency.records import Example, Message, Split, TaskKind
from residency.tune.lora import Recipe
from residency.tune.training import Tick, train

CONTROL = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
LABELS = {"diagnose": ("ataxia", "chorea", "myopathy")}


class ByteTokenizer:
    """One token a byte, and the control tokens after them."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        parts = re.split("(" + "|".join(map(re.escape, CONTROL)) + ")", text)
        return [i for part in parts for i in ([256 + CONTROL.index(part)] if part in CONTROL else part.encode())]

    def convert_tokens_to_ids(self, token: str) -> int:
        return 256 + CONTROL.index(token)

    def convert_ids_to_tokens(self, number: int) -> str:
        return CONTROL[number - 256]


SIZES = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2)
SHAPE = dict(layers=3, hidden=32, heads=4, kv_heads=2, intermediate=48, vocabulary=259, context=512)
# What a family needs beside the sizes; windows are short so that they matter.
FAMILIES: dict[str, dict[str, object]] = {
    "Llama": {},
    "Mistral": {"sliding_window": 9},
    "Mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "Qwen2": {},
    "Qwen3": {"head_dim": 8},
    "Gemma": {"head_dim": 8},
    "Gemma2": {"head_dim": 8, "sliding_window": 9},  # caps its scores, so samples go one by one
    "Gemma3": {"head_dim": 8, "sliding_window": 9, "layer_types": ["sliding_attention", "full_attention"] * 2},
    "GPT2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 512},  # absolute positions, another layout
}


def tiny_base(family: str = "Llama", **changes: object) -> Base:
    """A random decoder of one of ``FAMILIES``."""
    import torch
    import transformers

    # Larger first weights than usual: a frozen head that is almost zero could not be taught anything.
    settings: dict[str, object] = dict(vocab_size=259, initializer_range=0.2)
    if family != "GPT2":
        settings |= {"max_position_embeddings": 512, **SIZES}
    settings |= {**FAMILIES[family], **changes}
    prefix = "Gemma3Text" if family == "Gemma3" else family
    if family == "Gemma3":
        settings["layer_types"] = settings["layer_types"][:3]  # type: ignore[index]
    config = getattr(transformers, f"{prefix}Config")(**settings)
    name = f"{family}LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, name)(config).float().eval().requires_grad_(False)
    entry = CatalogueEntry(
        name="tiny",
        licence="none",
        origin="random",
        model_type=config.model_type,
        shape=Shape(**SHAPE),
        fast=FastDepth(layers=1, note="tiny"),
        template="chatml",
    )
    return Base(model, ByteTokenizer(), entry, "f" * 64, Path(), Precision.FP32)


def example(number: int, *, split: Split = Split.TRAIN, task: str = "diagnose", answer: str | None = None) -> Example:
    label = LABELS["diagnose"][number % 3]
    return Example(
        id=f"e-{split.value}-{task}-{number}",
        task=task,
        kind=TaskKind.CLASSIFY if task == "diagnose" else TaskKind.GENERATE,
        messages=(Message(role="user", content=f"{label[:2]} {number}?"),),
        answer=answer or label,
        gold=label,
        patient=f"p-{split.value}-{number}",
        split=split,
    )


def examples(count: int, split: Split = Split.TRAIN) -> list[Example]:
    return [example(number, split=split) for number in range(count)]


RECIPE = Recipe(
    learning_rate=1e-2, batch_size=4, epochs=3, rank=4, alpha=8, max_tokens=64, checkpoint_every=1, dropout=0.1
)


def main() -> None:
    folder = Path(sys.argv[1])
    kill_after = int(sys.argv[2]) if len(sys.argv) > 2 else None

    def die(tick: Tick) -> None:
        if tick.step == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    changes = dict(setting.split("=") for setting in sys.argv[3:])
    recipe = Recipe.model_validate(RECIPE.model_dump() | changes)
    train(examples(18), examples(6, Split.VALIDATION), tiny_base(), recipe, folder, labels=LABELS, progress=die)


if __name__ == "__main__":
    main()
