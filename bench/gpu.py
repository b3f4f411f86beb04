"""Training on a GPU: our engine beside TRL's SFTTrainer with PEFT, on a base of random weights with the sizes of an 8B.

In: nothing; weights and samples are drawn. Out: a table (standard output) and a JSON file: tokens a second, peak memory
of the device, the loss; before it, whether our loss and gradient are those of transformers with PEFT on this device.

Every system runs in a process of its own, one after the other, on the same samples in the same order. Samples are
reports of drawn length with several questions each, as a project has them; TRL reads the report anew for each question.
TRL has its own defaults (blocks compute again in the backward pass); ours is measured with and without that.
QLoRA: our nf4, and bitsandbytes under PEFT; what is not installed is left out, and said.

Covers: LoRA and QLoRA on one device. Does not cover: what a run ends with (random weights learn nothing), several GPUs.

    python bench/gpu.py [--shape 8b] [--device cuda] [--json gpu.json]
    python bench/gpu.py --shape tiny --device cpu
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

SEED = 1
RATE = 1e-4
QUESTIONS = 3  # about each report
WARM = 1  # steps that are not measured: kernels are chosen in them
# Largest relative difference that still is rounding. Losses are means over many tokens, gradients single products.
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 0.01, 0.1


@dataclass(frozen=True)
class Scale:
    """Sizes of the base and of the work."""

    config: dict[str, int]
    shortest: int  # report, tokens
    longest: int
    batch: int
    steps: int
    micro_tokens: int


SCALES = {
    "8b": Scale(
        dict(
            hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
            num_key_value_heads=8, vocab_size=128256, max_position_embeddings=8192,
        ),
        shortest=200, longest=1200, batch=12, steps=8, micro_tokens=4096,
    ),
    "tiny": Scale(
        dict(
            hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, vocab_size=512, max_position_embeddings=512,
        ),
        shortest=70, longest=120, batch=6, steps=2, micro_tokens=512,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class System:
    """One way to train."""

    trainer: str  # ours or trl
    weights: str = "bf16"  # bf16 or nf4
    recompute: bool = False


SYSTEMS = {
    "ours": System("ours"),
    "ours-recompute": System("ours", recompute=True),
    "trl": System("trl"),
    "ours-nf4": System("ours", weights="nf4"),
    "trl-nf4": System("trl", weights="nf4"),
}


class Missing(Exception):
    """A package that this system needs is not there."""


# --- the base and the samples -----------------------------------------------------------------------------------


def draw_base(scale: Scale, device: str) -> Any:
    """A Llama of random bf16 weights, made on the device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from residency.models.base import Base, Precision
    from residency.models.catalogue import CatalogueEntry, Shape

    torch.manual_seed(SEED)
    config = AutoConfig.for_model("llama", **scale.config)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    entry = CatalogueEntry(
        name="random", licence="none", origin="random weights", model_type="llama",
        shape=Shape.of_config(config.to_dict()), template=None,
    )  # fmt: skip
    return Base(model.eval().requires_grad_(False), None, entry, "", Path(), Precision.BF16)


def draw_samples(scale: Scale) -> list[list[Any]]:
    """Batches of questions about reports; a fifth of a sample at most is learned."""
    import numpy as np

    from residency.tune.engine.layout import deal
    from residency.tune.render import Sample

    draw = np.random.default_rng(SEED)
    vocabulary = scale.config["vocab_size"]
    samples = []
    for _ in range(scale.batch * (scale.steps + WARM) // QUESTIONS):
        report = tuple(draw.integers(1, vocabulary, draw.integers(scale.shortest, scale.longest)).tolist())
        for _ in range(QUESTIONS):
            asked, answered = (tuple(draw.integers(1, vocabulary, n).tolist()) for n in (12, len(report) // 5))
            first = len(report) + len(asked)
            samples.append(Sample("e", "t", (*report, *asked, *answered), first, 1.0))
    return deal(samples, scale.batch, seed=SEED, epoch=0)


# --- one system, in its own process -----------------------------------------------------------------------------


def work(name: str, scale: Scale, device: str) -> dict[str, Any]:
    """Trains, and measures."""
    system, batches = SYSTEMS[name], draw_samples(scale)
    times: list[float] = []
    losses: list[float] = []

    def report(loss: float) -> None:
        _wait(device)
        times.append(time.perf_counter())
        losses.append(loss)

    (_ours if system.trainer == "ours" else _trl)(system, scale, device, batches, report)
    tokens = sum(len(sample.ids) for batch in batches[WARM:] for sample in batch)
    return {
        "tokens_a_second": tokens / (times[-1] - times[WARM - 1]),
        "peak_gb": _peak_bytes(device) / 1e9,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "steps": len(losses) - WARM,
    }


def _ours(system: System, scale: Scale, device: str, batches: list[list[Any]], report: Callable[[float], None]) -> None:
    import torch

    from residency.tune.engine.step import Engine
    from residency.tune.lora import Recipe, attach, trainable

    base = draw_base(scale, device)
    if system.weights == "nf4":
        base = _narrow(base)
    model = attach(base, Recipe(seed=SEED))
    del base
    parameters = list(trainable(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=RATE, fused=True)
    engine = Engine(model, micro_tokens=scale.micro_tokens, recompute=system.recompute)
    for batch in batches:
        total = sum(sample.supervised for sample in batch)
        loss = engine.learn(batch, 1 / total, None) / total
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        report(loss)


def _narrow(base: Any) -> Any:
    try:
        from residency.models.base import BaseWeights
    except ImportError:
        raise Missing("this version of residency has no nf4") from None
    return base.quantized(BaseWeights.NF4)


def _trl(system: System, scale: Scale, device: str, batches: list[list[Any]], report: Callable[[float], None]) -> None:
    try:
        from datasets import Dataset
        from transformers import PreTrainedTokenizerFast, TrainerCallback
        from trl import SFTConfig, SFTTrainer
    except ImportError as error:
        raise Missing(str(error)) from None
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    from residency.tune.lora import Recipe, attach

    base = draw_base(scale, device)
    if system.weights == "nf4":
        _narrow_with_bitsandbytes(base.model)
    model = attach(base, Recipe(seed=SEED))
    del base

    class Steps(TrainerCallback):
        def on_log(self, _args: Any, _state: Any, _control: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs:
                report(logs["loss"])

    rows = [{"input_ids": list(s.ids), "labels": [-100] * s.first + list(s.ids[s.first :])} for b in batches for s in b]
    padding = Tokenizer(WordLevel({"<pad>": 0}, unk_token="<pad>"))
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder, per_device_train_batch_size=scale.batch, max_steps=len(batches), learning_rate=RATE,
            lr_scheduler_type="constant", max_grad_norm=1.0, bf16=True, use_cpu=device == "cpu", logging_steps=1,
            save_strategy="no", report_to=[], disable_tqdm=True, max_length=None, completion_only_loss=True,
            train_sampling_strategy="sequential", dataset_kwargs={"skip_prepare_dataset": True},
        )  # fmt: skip
        SFTTrainer(
            model, args=settings, train_dataset=Dataset.from_list(rows), callbacks=[Steps()],
            processing_class=PreTrainedTokenizerFast(
                tokenizer_object=padding, pad_token="<pad>", eos_token="<pad>", unk_token="<pad>"
            ),
        ).train()  # fmt: skip


def _narrow_with_bitsandbytes(model: Any) -> None:
    """What transformers does when it loads a model in nf4, on one that is there already."""
    import torch

    try:
        import bitsandbytes as bnb
    except ImportError:
        raise Missing("bitsandbytes is not installed") from None
    head, device = model.get_output_embeddings(), next(model.parameters()).device
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is torch.nn.Linear and layer is not head:
                narrow = bnb.nn.Linear4bit(
                    layer.in_features, layer.out_features, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4"
                )
                narrow.weight = bnb.nn.Params4bit(layer.weight.data.cpu(), requires_grad=False, quant_type="nf4")
                setattr(parent, name, narrow.to(device))
    model.is_loaded_in_4bit = True  # PEFT asks this


# --- is it right? -----------------------------------------------------------------------------------------------


def check(scale: Scale, device: str) -> dict[str, Any]:
    """Our loss and gradient beside those of transformers with PEFT, on the same model: relative differences."""
    import torch
    import torch.nn.functional as F

    from residency.tune.engine.step import Engine
    from residency.tune.lora import Recipe, attach, trainable

    model = attach(draw_base(scale, device), Recipe(seed=SEED)).eval()
    draw = torch.Generator().manual_seed(SEED)
    for name, parameter in trainable(model).items():
        if "lora_B" in name:  # zero at first, which would hide the gradient of A
            parameter.data.copy_(torch.randn(parameter.shape, generator=draw) * 0.01)
    samples = draw_samples(scale)[0][: 2 * QUESTIONS]
    expected = 0.0
    for sample in samples:
        ids = torch.tensor(sample.ids, device=device)
        logits = model(input_ids=ids[None]).logits[0, sample.first - 1 : -1].float()
        loss = F.cross_entropy(logits, ids[sample.first :], reduction="sum")
        loss.backward()
        expected += float(loss.detach())
    wanted = torch.cat([p.grad.flatten().float() for p in trainable(model).values()])
    model.zero_grad(set_to_none=True)
    engine = Engine(model, micro_tokens=scale.micro_tokens)
    found = engine.learn(samples, 1.0, None)
    got = torch.cat([p.grad.flatten().float() for p in trainable(model).values()])
    loss_off, gradient_off = abs(found / expected - 1), float((got - wanted).norm() / wanted.norm())
    return {
        "packed": engine.packs,
        "loss": found,
        "loss_off": loss_off,
        "gradient_off": gradient_off,
        "right": engine.packs and loss_off < LOSS_TOLERANCE and gradient_off < GRADIENT_TOLERANCE,
    }


# --- all of them ------------------------------------------------------------------------------------------------


def in_a_process(what: str, given: argparse.Namespace) -> dict[str, Any]:
    """The last line that a worker prints; what went wrong where it prints none."""
    command = [sys.executable, __file__, "--worker", what, "--shape", given.shape, "--device", given.device]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        return {"failed": last[:200]}


def show(found: dict[str, dict[str, Any]]) -> str:
    """The table."""
    lines = [["system", "tokens a second", "peak GB", "first loss", "last loss"], ["---"] * 5]
    for name, row in found.items():
        if "tokens_a_second" in row:
            numbers = (f"{row[key]:.{digits}f}" for key, digits in (
                ("tokens_a_second", 0), ("peak_gb", 2), ("first_loss", 4), ("last_loss", 4)
            ))  # fmt: skip
            lines.append([name, *numbers])
        else:
            lines.append([name, "left out: " + row["missing"] if "missing" in row else "failed: " + row["failed"]])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()


def _peak_bytes(device: str) -> int:
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated())
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _about(device: str) -> dict[str, Any]:
    import torch

    on = torch.cuda.get_device_name() if device.startswith("cuda") else "processor"
    versions = {}
    for name in ("torch", "transformers", "peft", "trl", "bitsandbytes", "liger-kernel"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {"device": on, **versions}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SCALES, default="8b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="some of: " + ", ".join(SYSTEMS))
    parser.add_argument("--json", type=Path, default=Path("gpu.json"))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    scale = SCALES[given.shape]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if given.worker:
        one = check if given.worker == "check" else partial(work, given.worker)
        try:
            print(json.dumps(one(scale, given.device)))
        except Missing as missing:
            print(json.dumps({"missing": str(missing)}))
        return 0
    right = in_a_process("check", given)
    print(f"loss and gradient beside transformers with PEFT: {right}", flush=True)
    found = {}
    for name in given.systems.split(","):
        found[name] = in_a_process(name, given)
        print(f"{name}: {found[name]}", file=sys.stderr, flush=True)
    result = {"about": _about(given.device), "scale": asdict(scale), "check": right, "systems": found}
    given.json.write_text(json.dumps(result, indent=1) + "\n")
    print(show(found))
    return 0 if right.get("right") else 1


if __name__ == "__main__":
    sys.exit(main())
