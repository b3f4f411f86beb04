"""Preference pairs: what people prefer to what a model wrote, checked before anything is learned from it.

In: pairs of answers to one question, a tokenizer, a recipe. Out: ``PairSample``: tokens of the question and of both
answers; the two sides, split by patient; one TrainingError that lists everything wrong.

Covers: the tokens of training and serving (render.py makes them); pairs that say nothing, say it twice, or contradict
another one; pairs that are too long; patients that are held out; a patient on both sides.
Does not cover: learning from them (preference.py), where they come from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from pydantic import Field

from residency.errors import TrainingError, first_of
from residency.records import Example, Message, Split, TaskKind
from residency.settings import Settings
from residency.tune.lora import Schedule
from residency.tune.render import Sample, render

NAMED = 5  # ids in one message
NO_LIMIT = 2**31  # tokens


class PreferenceRecipe(Settings):
    """How an adapter learns from preference pairs (direct preference optimization, Rafailov et al. 2023)."""

    beta: float = Field(
        default=0.1, gt=0, le=10, description="weight of staying near the adapter that it begins with, ratio"
    )
    # TRL's 1e-6 is for all weights; its guide to PEFT says about ten times as much for LoRA.
    learning_rate: float = Field(default=1e-5, gt=0, le=1, description="peak learning rate of AdamW, per step")
    batch_size: int = Field(default=8, ge=1, le=4096, description="pairs a step, count")
    epochs: int = Field(default=3, ge=1, le=1000, description="passes over the training pairs, count")
    micro_pairs: int = Field(
        default=2, ge=1, description="pairs held in memory at once, count; a step is split where it has more"
    )
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps in which the rate rises, 0 to 1")
    schedule: Schedule = Field(default=Schedule.LINEAR, description="constant, linear or cosine")
    weight_decay: float = Field(
        default=0.0, ge=0, le=10, description="decoupled weight decay of AdamW, per unit of rate"
    )
    max_norm: float = Field(
        default=1.0, gt=0, description="largest L2 norm of a step's gradient; longer ones are scaled down"
    )
    max_tokens: int = Field(
        default=1024, ge=16, le=131072, description="longest question with its longer answer, tokens; none is cut"
    )
    most_unusable: float = Field(
        default=0.0, ge=0, le=1, description="largest share of pairs that may be left out for their length or because "
        "their tokens are not what the chat template says; more refuse the run, 0 to 1",
    )  # fmt: skip
    judged_by: float = Field(
        default=0.2, gt=0, lt=1, description="share of the pairs, whole patients, that is not trained on and judges"
    )
    seed: int = Field(default=1, ge=0, description="seed of the sides and of the order of the pairs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two answers to one question, of which people prefer ``chosen``. ``patient`` is empty where nobody knows."""

    id: str
    task: str
    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    patient: str = ""

    @property
    def question(self) -> tuple[tuple[str, str], ...]:
        return tuple((message.role, message.content) for message in self.messages)


@dataclass(frozen=True, slots=True)
class PairSample:
    """One pair as tokens: what both answers begin with, and each answer with its end-of-turn token."""

    pair: str  # id
    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]

    @property
    def longest(self) -> int:
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


@dataclass(frozen=True, slots=True)
class Sides:
    """Pairs that are trained on, and pairs of other patients that judge."""

    trained: list[Pair]
    judging: list[Pair]


@dataclass(frozen=True, slots=True)
class PairCounts:
    """What became of all pairs."""

    trained: int
    judging: int
    repeated: int  # said before, left out
    too_long: int  # left out
    mismatched: int  # tokens that are not what the chat template says; left out
    nameless: int  # without a patient: nobody can tell whether it is one who is held out
    longest: int  # tokens
    by_task: Mapping[str, int]

    def __str__(self) -> str:
        return (
            f"{self.trained:,} pairs to train on, {self.judging:,} of other patients to judge by; {self.repeated:,} "
            f"said twice, {self.too_long:,} too long, {self.mismatched:,} against the chat template; "
            f"{self.nameless:,} name no patient"
        )


@dataclass(frozen=True, slots=True)
class Checked:
    """Pairs that a run may learn from."""

    trained: list[PairSample]
    judging: list[PairSample]
    counts: PairCounts


def check_pairs(
    pairs: Sequence[Pair],
    recipe: PreferenceRecipe,
    tokenizer: Any,
    template: str,
    *,
    context: int,
    held_out: frozenset[str] = frozenset(),
    judges: frozenset[str] = frozenset(),
) -> Checked:
    """Checks pairs and deals them out. TrainingError lists everything wrong, by ids.

    ``context`` is how many tokens the base can read, ``held_out`` are patients that must not be trained on, ``judges``
    those whose pairs are on the judging side in any case.
    """
    said = once_each(pairs)
    sides = deal(said, share=recipe.judged_by, seed=recipe.seed, judges=judges)
    samples = [rendered(pair, tokenizer, template) for pair in said if _asks(pair)]
    limit = min(recipe.max_tokens, context)
    long = {one.pair for one, _ in samples if one.longest > limit}
    mismatched = {one.pair for one, follows in samples if not follows}
    problems = [
        *_nothing_there(pairs),
        *_empty_or_equal(pairs),
        *_contradictory(said),
        *_shared(said, sides, held_out),
        *_left_out(said, sides, long, mismatched, recipe, limit),
    ]
    if problems:
        raise TrainingError(
            f"Nothing was learned from the pairs: {'; '.join(problems)}.",
            fix="Correct the pairs, or change preference in the project file.",
        )
    usable = {one.pair: one for one, _ in samples if one.pair not in long | mismatched}
    trained = [usable[pair.id] for pair in sides.trained if pair.id in usable]
    judging = [usable[pair.id] for pair in sides.judging if pair.id in usable]
    counts = PairCounts(
        trained=len(trained),
        judging=len(judging),
        repeated=len(pairs) - len(said),
        too_long=len(long),
        mismatched=len(mismatched - long),
        nameless=sum(not pair.patient for pair in said),
        longest=max(one.longest for one in usable.values()),
        by_task=dict(sorted(Counter(pair.task for pair in sides.trained if pair.id in usable).items())),
    )
    return Checked(trained, judging, counts)


def once_each(pairs: Sequence[Pair]) -> list[Pair]:
    """Without those that an earlier one says already."""
    first: dict[tuple[Any, ...], Pair] = {}
    for pair in pairs:
        first.setdefault((pair.question, pair.chosen, pair.rejected), pair)
    return list(first.values())


def deal(pairs: Sequence[Pair], *, share: float, seed: int, judges: frozenset[str] = frozenset()) -> Sides:
    """Whole patients to either side, until ``share`` of the pairs judge; those of ``judges`` first.

    No question is on both sides either: pairs without a patient go by theirs.
    """
    groups = _together(pairs)
    judging = [pair for group in groups for pair in group if not judges.isdisjoint(one.patient for one in group)]
    others = [group for group in groups if judges.isdisjoint(one.patient for one in group)]
    Random(seed).shuffle(others)
    while others[1:] and len(judging) < share * len(pairs):
        judging += others.pop()
    chosen = {pair.id for pair in judging}
    return Sides([p for p in pairs if p.id not in chosen], [p for p in pairs if p.id in chosen])


def _together(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Groups of pairs that share no patient and no question with another group, in an order of their content."""
    group_of: dict[Any, list[Pair]] = {}
    for pair in pairs:
        keys = [("question", pair.question), *([("patient", pair.patient)] if pair.patient else [])]
        joined = [pair]
        for found in {id(group): group for key in keys if (group := group_of.get(key)) is not None}.values():
            joined += found
        for one in joined:
            group_of["question", one.question] = joined
            if one.patient:
                group_of["patient", one.patient] = joined
    groups = {id(group): sorted(group, key=lambda pair: pair.id) for group in group_of.values()}
    return sorted(groups.values(), key=lambda group: group[0].id)


def rendered(pair: Pair, tokenizer: Any, template: str) -> tuple[PairSample, bool]:
    """The pair as tokens, and whether these are what the chat template says. Made by what makes training samples."""
    chosen, rejected = (_sample(pair, answer, tokenizer, template) for answer in (pair.chosen, pair.rejected))
    sample = PairSample(
        pair.id, chosen.ids[: chosen.first], chosen.ids[chosen.first :], rejected.ids[rejected.first :]
    )  # fmt: skip
    return sample, not (chosen.mismatched or rejected.mismatched)


def _sample(pair: Pair, answer: str, tokenizer: Any, template: str) -> Sample:
    example = Example(
        id=pair.id, task=pair.task, kind=TaskKind.GENERATE, messages=pair.messages, answer=answer, gold=answer,
        patient=pair.patient, split=Split.TRAIN,
    )  # fmt: skip
    # Nothing is cut here: what both answers begin with has to be the same, and what is too long is said.
    return render([example], tokenizer, template, max_tokens=NO_LIMIT)[0]


def _nothing_there(pairs: Sequence[Pair]) -> Iterator[str]:
    if not pairs:
        yield "there is no pair"
    repeated = [name for name, count in Counter(pair.id for pair in pairs).items() if count > 1]
    if repeated:
        yield f"{len(repeated)} ids stand at several pairs ({first_of(repeated, NAMED)})"


def _empty_or_equal(pairs: Sequence[Pair]) -> Iterator[str]:
    empty = [p.id for p in pairs if not p.chosen.strip() or not p.rejected.strip() or not _asks(p)]
    if empty:
        yield f"{len(empty)} pairs lack a question or an answer ({first_of(empty, NAMED)})"
    equal = [p.id for p in pairs if p.chosen.split() == p.rejected.split() and p.id not in empty]
    if equal:
        yield f"the chosen answer of {len(equal)} pairs is the rejected one ({first_of(equal, NAMED)})"


def _asks(pair: Pair) -> bool:
    return bool(pair.messages) and bool(pair.messages[-1].content.strip())


def _contradictory(pairs: Sequence[Pair]) -> Iterator[str]:
    """Pairs of which another one says the opposite."""
    said = {(pair.question, pair.chosen, pair.rejected) for pair in pairs}
    against = [p.id for p in pairs if p.chosen != p.rejected and (p.question, p.rejected, p.chosen) in said]
    if against:
        yield f"{len(against)} pairs contradict another one ({first_of(against, NAMED)})"


def _shared(pairs: Sequence[Pair], sides: Sides, held_out: frozenset[str]) -> Iterator[str]:
    private = [pair.id for pair in pairs if pair.patient in held_out]
    if private:
        yield f"{len(private)} pairs are of patients who are held out ({first_of(private, NAMED)})"
    both = {p.patient for p in sides.trained} & {p.patient for p in sides.judging} - {""}
    if both:
        yield f"{len(both)} patients are both trained on and judged by"


def _left_out(
    pairs: Sequence[Pair], sides: Sides, long: set[str], mismatched: set[str], recipe: PreferenceRecipe, limit: int
) -> Iterator[str]:
    gone = long | mismatched
    if len(gone) > recipe.most_unusable * len(pairs):
        allowed = f"(preference.most_unusable is {recipe.most_unusable:g})"
        if long:
            yield f"{len(long)} of {len(pairs)} pairs are longer than {limit} tokens {allowed}"
        if mismatched:
            yield f"the tokens of {len(mismatched)} of {len(pairs)} pairs are not what the chat template says {allowed}"
    for name, side in (("train on", sides.trained), ("judge by", sides.judging)):
        if pairs and all(pair.id in gone for pair in side):
            yield f"no pair is left to {name}; pairs of at least two patients or questions are needed"
