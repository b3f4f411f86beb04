"""What it costs to score a closed set of labels: the trie against one plain pass, and against a pass for every label.

    python bench/scoring.py REPORTS.jsonl [--precision fp32] [--adapter FOLDER] [--count 3] [--checked 15]

In: reports with a diagnosis, all diagnoses being the labels; nothing of the data is in this repository. Out: a table on
standard output; exit status 1 where a goal is missed.

The reports are those of the middle length. Plain is transformers' own forward pass of the same module, without cache:
of the prompt alone, and of the prompt with each label. The latter is timed on some labels and multiplied.
Time is processor time of this process, the least of several turns that alternate. Scores are compared in nats.

``floor`` is what no exact way can go below where every token costs alike: the tokens of prompt and trie over those of
the prompt. Without ``--adapter`` a random one is made; its numbers do not matter to its cost.

Covers: the base, an adapter merged into it, an adapter beside it. Does not cover: batches of reports, a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from residency.models import chat
from residency.models.attach import attach, quiet_peft
from residency.models.base import Base, Precision, load_base
from residency.models.transformer import NODES, TransformerModel
from residency.models.trie import tries_of
from residency.records import Message

QUESTION = "Diagnosis?\n\n"
TURNS = 3
RANK = 16
GOALS = {"plain passes": 2.0, "difference in nats": 1e-4}  # the second one in fp32 only


@dataclass(frozen=True)
class Measured:
    """One report, one system; seconds of processor time."""

    prompt: int  # tokens
    nodes: int
    plain: float  # one pass of the prompt, logits of every position
    trie: float
    each: float  # one pass for every label
    difference: float  # largest, of the labels that were checked

    @property
    def passes(self) -> float:
        return self.trie / self.plain

    @property
    def floor(self) -> float:
        return (self.prompt + self.nodes) / self.prompt


def main() -> int:
    """All systems on the same reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--checked", type=int, default=15)
    chosen = parser.parse_args()
    base = load_base("embedded", precision=Precision(chosen.precision), device="cpu")
    reports = [json.loads(line) for line in chosen.reports.read_text(encoding="utf-8").splitlines()]
    labels = sorted({report["diagnosis"]["label"] for report in reports})
    conversations = _of_middle_length(base, [report["text"] for report in reports], chosen.count)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        adapter = chosen.adapter or _random_adapter(base, Path(folder))
        for name, path, merge in (("base", None, True), ("merged", adapter, True), ("beside", adapter, False)):
            plain = attach(base, path, merge=merge) if path else base.model
            model = TransformerModel(base, path, merge=merge)
            found = [_measure(base, plain, model, one, labels, chosen.checked) for one in conversations]
            good &= _show(f"{chosen.precision}, {name}", found, len(labels), exact=chosen.precision == "fp32")
    return 0 if good else 1


def _of_middle_length(base: Base, texts: Sequence[str], count: int) -> list[list[Message]]:
    ranked = sorted(texts, key=lambda text: (len(base.tokenizer(text)["input_ids"]), text))
    first = (len(ranked) - count) // 2
    return [[Message(role="user", content=QUESTION + text)] for text in ranked[first : first + count]]


def _random_adapter(base: Base, folder: Path) -> Path:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    with quiet_peft():
        model = get_peft_model(base.fork(), LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.01)
    model.save_pretrained(str(folder))
    return folder


def _measure(
    base: Base, plain: Any, model: TransformerModel, conversation: list[Message], labels: Sequence[str], checked: int
) -> Measured:
    prompt = chat.prompt_ids(base.tokenizer, conversation, base.template)
    answers = [chat.answer_ids(base.tokenizer, label, base.template) for label in labels]
    some = range(0, len(labels), max(1, len(labels) // checked))
    scores = model.choose([conversation], labels)[0]  # the first call is slower, and not timed
    trie, whole = [], []
    for _ in range(TURNS):
        trie.append(_seconds(lambda: model.choose([conversation], labels)))
        whole.append(_seconds(lambda: _logits(plain, prompt)))
    seconds, apart = 0.0, 0.0
    for number in some:
        begun = time.process_time()
        expected = _plain_score(plain, prompt, answers[number])
        seconds += time.process_time() - begun
        apart = max(apart, abs(expected - scores[number]))
    nodes = sum(len(one.tokens) for one in tries_of(answers, most_nodes=NODES))
    return Measured(len(prompt), nodes, min(whole), min(trie), seconds * len(labels) / len(some), apart)


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _logits(module: Any, ids: Sequence[int]) -> torch.Tensor:
    with torch.inference_mode():
        return module(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


def _plain_score(module: Any, prompt: Sequence[int], answer: Sequence[int]) -> float:
    """Log-probability of an answer in one pass."""
    logits = _logits(module, [*prompt, *answer[:-1]])[len(prompt) - 1 :].double()
    return float(logits.log_softmax(-1)[torch.arange(len(answer)), torch.tensor(answer)].sum())


def _show(name: str, found: Sequence[Measured], labels: int, *, exact: bool) -> bool:
    """One line a report; whether the goals are met."""
    print(f"\n{name}: {labels} labels")
    for one in found:
        print(
            f"  prompt {one.prompt} tokens, trie {one.nodes}: plain {one.plain:.2f} s, trie {one.trie:.2f} s, "
            f"a pass for every label {one.each:.1f} s; {one.passes:.2f} plain passes (floor {one.floor:.2f}), "
            f"1/{one.each / one.trie:.0f} of a pass for every label; scores apart by at most {one.difference:.1e}"
        )
    passes, difference = max(one.passes for one in found), max(one.difference for one in found)
    missed = [
        *(["plain passes"] if passes > GOALS["plain passes"] else []),
        *(["difference in nats"] if exact and difference > GOALS["difference in nats"] else []),
    ]
    for goal in missed:
        print(f"  MISSED: {goal}, at most {GOALS[goal]:g}")
    return not missed


if __name__ == "__main__":
    sys.exit(main())
