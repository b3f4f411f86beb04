"""What would waste a training run, found before its first step.

In: training and validation examples, their samples, the closed label sets. Out: a ``Preflight`` with exact counts, or
one TrainingError that lists everything wrong.

Covers: nothing to train or validate on, a patient on both sides, answers outside the label set, samples without a
supervised token, cut questions (counted; an error only where most are). Does not cover: whether labels are right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from residency.errors import TrainingError
from residency.records import Example, TaskKind
from residency.tune.render import Sample

MOST_CUT = 0.5  # a run whose questions are mostly cut trains another task; share chosen by us, 2026-11


@dataclass(frozen=True, slots=True)
class Preflight:
    """Counts of one run's training samples."""

    samples: int
    tokens: int
    supervised: int
    truncated: int  # questions that were cut
    cut_tokens: int
    by_task: Mapping[str, int]


def preflight(
    training: Sequence[Example],
    validation: Sequence[Example],
    samples: Sequence[Sample],
    checked: Sequence[Sample],
    labels: Mapping[str, Sequence[str]],
    *,
    held_out: frozenset[str] = frozenset(),
) -> Preflight:
    """Checks a run. ``samples`` are those of ``training``, ``checked`` those of ``validation``.

    ``labels`` gives the closed set of each classify task; ``held_out`` are patients that must not be trained on
    (those of calibration and test; validation patients are added here).
    """
    counts = Preflight(
        samples=len(samples),
        tokens=sum(len(sample.ids) for sample in samples),
        supervised=sum(sample.supervised for sample in samples),
        truncated=sum(sample.cut > 0 for sample in samples),
        cut_tokens=sum(sample.cut for sample in samples),
        by_task=dict(sorted(Counter(sample.task for sample in samples).items())),
    )
    problems = [
        *_nothing_there(training, validation),
        *_shared_patients(training, held_out | {example.patient for example in validation}),
        *_strange_answers([*training, *validation], labels),
        *_nothing_learned([*samples, *checked]),
    ]
    if samples and counts.truncated > MOST_CUT * len(samples):
        problems.append(f"the question of {counts.truncated} of {len(samples)} samples is cut")
    if problems:
        raise TrainingError(
            f"Training cannot start: {'; '.join(problems)}.",
            fix="Correct the split or the labels, or raise recipe.max_tokens where samples are cut.",
        )
    return counts


def _nothing_there(training: Sequence[Example], validation: Sequence[Example]) -> list[str]:
    found = []
    if not training:
        found.append("there is no training example")
    if not validation:
        found.append("there is no validation example to choose a checkpoint by")
    missing = sorted({e.task for e in training} - {e.task for e in validation})
    if validation and missing:
        found.append(f"no validation example for task {', '.join(missing)}")
    return found


def _shared_patients(training: Sequence[Example], held_out: frozenset[str]) -> list[str]:
    shared = {example.patient for example in training} & held_out
    return [f"{len(shared)} patients are both trained on and held out"] if shared else []


def _strange_answers(examples: Sequence[Example], labels: Mapping[str, Sequence[str]]) -> list[str]:
    closed = {task: frozenset(names) for task, names in labels.items()}
    strange = Counter(
        example.task
        for example in examples
        if example.kind is TaskKind.CLASSIFY and example.answer not in closed.get(example.task, frozenset())
    )
    return [f"{count} answers of task {task} are not in its label set" for task, count in sorted(strange.items())]


def _nothing_learned(samples: Sequence[Sample]) -> list[str]:
    empty = Counter(sample.task for sample in samples if not sample.supervised)
    return [f"{count} samples of task {task} have no room for their answer" for task, count in sorted(empty.items())]
