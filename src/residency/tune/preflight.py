"""What would waste a training run, found before its first step.

In: training and validation examples, their samples, the closed label sets, a recipe, the base's context. Out: a
``Preflight`` with exact counts, or one TrainingError that lists everything wrong.

Covers: nothing to train or validate on, a patient on both sides, answers outside the label set, samples longer than
the base can read; samples that are cut, have nothing to learn, or do not follow the chat template: counted, and refused
above the recipe's limits. Does not cover: whether labels are right; near copies across the split (curate/); memory and
time (forecast.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from residency.errors import TrainingError
from residency.records import Example, TaskKind
from residency.tune.lora import Recipe
from residency.tune.render import Sample

COUNTED = ("training", "validation")


@dataclass(frozen=True, slots=True)
class Preflight:
    """Counts of one run's training samples. ``masked`` and ``mismatched`` ones are left out of the run."""

    samples: int
    tokens: int
    supervised: int
    truncated: int  # questions that were cut
    cut_tokens: int
    masked: int  # nothing to learn: not even the answer fits
    mismatched: int  # tokens that are not what the chat template says
    longest: int  # tokens
    by_task: Mapping[str, int]

    def __str__(self) -> str:
        return (
            f"{self.samples:,} samples, {self.tokens:,} tokens, {self.supervised:,} of them learned; "
            f"{self.truncated:,} samples truncated, {self.masked:,} fully masked, "
            f"{self.mismatched:,} against the chat template"
        )


def preflight(
    training: Sequence[Example],
    validation: Sequence[Example],
    samples: Sequence[Sample],
    checked: Sequence[Sample],
    labels: Mapping[str, Sequence[str]],
    recipe: Recipe,
    *,
    context: int,
    held_out: frozenset[str] = frozenset(),
) -> Preflight:
    """Checks a run. ``samples`` are those of ``training``, ``checked`` those of ``validation``.

    ``labels`` gives the closed set of each classify task; ``context`` is how many tokens the base can read;
    ``held_out`` are patients that must not be trained on (those of calibration and test; validation's are added).
    """
    problems = [
        *_nothing_there(training, validation),
        *_shared_patients(training, held_out | {example.patient for example in validation}),
        *_strange_answers([*training, *validation], labels),
    ]
    for side, of_side in zip(COUNTED, (samples, checked), strict=True):
        problems += (f"{side}: {problem}" for problem in _unfit(of_side, recipe, context))
    if problems:
        raise TrainingError(
            f"Training cannot start: {'; '.join(problems)}.",
            fix="Correct the split, the labels or the prompts; for samples that are cut or too long change "
            "recipe.max_tokens, which is at most the base's context. See them: residency tune --show 3.",
        )
    return counts(samples)


def counts(samples: Sequence[Sample]) -> Preflight:
    """What there is to learn from."""
    return Preflight(
        samples=len(samples),
        tokens=sum(len(sample.ids) for sample in samples),
        supervised=sum(sample.supervised for sample in samples),
        truncated=sum(sample.cut > 0 for sample in samples),
        cut_tokens=sum(sample.cut for sample in samples),
        masked=sum(not sample.supervised for sample in samples),
        mismatched=sum(sample.mismatched for sample in samples),
        longest=max((len(sample.ids) for sample in samples), default=0),
        by_task=dict(sorted(Counter(sample.task for sample in samples).items())),
    )


def usable(samples: Sequence[Sample]) -> list[Sample]:
    """Those that something can be learned from."""
    return [sample for sample in samples if sample.supervised and not sample.mismatched]


def _nothing_there(training: Sequence[Example], validation: Sequence[Example]) -> Iterator[str]:
    if not training:
        yield "there is no training example"
    if not validation:
        yield "there is no validation example to choose a checkpoint by"
    missing = sorted({e.task for e in training} - {e.task for e in validation})
    if validation and missing:
        yield f"no validation example for task {', '.join(missing)}"


def _shared_patients(training: Sequence[Example], held_out: frozenset[str]) -> Iterator[str]:
    shared = {example.patient for example in training} & held_out
    if shared:
        yield f"{len(shared)} patients are both trained on and held out"


def _strange_answers(examples: Sequence[Example], labels: Mapping[str, Sequence[str]]) -> Iterator[str]:
    closed = {task: frozenset(names) for task, names in labels.items()}
    strange = Counter(
        example.task
        for example in examples
        if example.kind is TaskKind.CLASSIFY and example.answer not in closed.get(example.task, frozenset())
    )
    yield from (f"{count} answers of task {task} are not in its label set" for task, count in sorted(strange.items()))


def _unfit(samples: Sequence[Sample], recipe: Recipe, context: int) -> Iterator[str]:
    """What is wrong with one side's samples, beyond the recipe's limits."""
    if not samples:
        return
    all_of = f"of {len(samples)} samples"
    too_long = sum(len(sample.ids) > context for sample in samples)
    if too_long:
        yield f"{too_long} {all_of} are longer than the {context} tokens that the base reads"
    cut = sum(sample.cut > 0 for sample in samples)
    if cut > recipe.most_truncated * len(samples):
        yield f"the question of {cut} {all_of} is cut (recipe.most_truncated is {recipe.most_truncated:g})"
    masked = sum(not sample.supervised for sample in samples)
    mismatched = sum(sample.mismatched for sample in samples)
    left = usable(samples)
    if len(samples) - len(left) > recipe.most_unusable * len(samples):
        limit = f"(recipe.most_unusable is {recipe.most_unusable:g})"
        if masked:
            yield f"{masked} {all_of} have no room for their answer {limit}"
        if mismatched:
            yield f"the tokens of {mismatched} {all_of} are not what the chat template says {limit}"
    without = sorted({sample.task for sample in samples} - {sample.task for sample in left})
    if without:
        yield f"nothing can be learned of task {', '.join(without)}"
