"""A sample for people to judge, and what it says of all: drawn by risk, and still without bias.

In: a risk for each answer; then people's verdicts on the drawn ones. Out: the drawn ones with the probability that each
had; the rate of an error over all answers, with its interval.

Covers: a share drawn at random and the rest in proportion to risk, without replacement, of a fixed size; the estimates
of Horvitz and Thompson (1952) and Hájek (1971); intervals for these very answers and for new patients like these;
reviewing that stops early. Does not cover: where risks come from (story.py), verdicts (studio/).

Every answer can be drawn, and its verdict counts one over its probability, so that looking where errors are likely
makes the estimate sharper and not worse. Rejected: a random sample and a risky one side by side. The risky half would
then say nothing about the rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from pydantic import Field

from residency.errors import EvaluationError
from residency.evaluate.intervals import LEVEL, Array, Interval, cluster_codes, student, wilson
from residency.records import Prediction
from residency.settings import Settings

CERTAIN = 1 - 1e-9  # a probability above is one: the answer is in every sample


class Shown(StrEnum):
    """How answers are put before a reviewer."""

    SINGLE = "single"  # one at a time
    PAIR = "pair"  # two systems' answers to the same question, side by side, in random order


class ReviewSettings(Settings):
    """Which answers of an iteration people are to look at, and how."""

    sample: int = Field(default=100, ge=1, le=100_000, description="answers of each task to look at, count")
    random_share: float = Field(default=0.5, gt=0, le=1, description="share of them drawn evenly, the rest by risk")
    shown: Shown = Field(default=Shown.SINGLE, description="single: the tuned system's answers; pair: beside another's")
    against: str = Field(default="few_shot", description="pair: the other system")
    readers: int = Field(default=1, ge=1, le=10, description="people who look at each answer, count")
    duplicates: float = Field(
        default=0.1, ge=0, le=0.5, description="share shown to the same person again, untold, to measure consistency"
    )
    annotators: int = Field(default=2, ge=1, le=10, description="people who annotate each document blindly, count")
    explore: float = Field(
        default=0.3, gt=0, le=1, description="annotation: share of documents that come at random, the rest by doubt"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """One answer of a sample. ``turn`` is its place in the random order in which it is looked at."""

    id: str
    probability: float
    turn: int


def risk_of(prediction: Prediction) -> float:
    """How likely an answer is to need a person, as far as the system itself knows: 1 where it could not be read, half
    where it says nothing of its confidence."""
    if not prediction.scored:
        return 1.0
    return 0.5 if prediction.confidence is None else 1 - prediction.confidence


def inclusion_probabilities(risks: Sequence[float], count: int, *, random_share: float) -> Array:
    """The probability of each answer to be among the ``count`` drawn: (n,), their sum is ``count``.

    ``random_share`` of the sample is spread evenly, the rest in proportion to risk. What would come out above one is
    drawn with certainty, and the rest is spread again over the others.
    """
    risk = np.asarray(risks, dtype=np.float64)
    if not 0 < random_share <= 1:
        raise EvaluationError(
            f"A random share of {random_share:g} leaves answers that are never looked at.",
            fix="Give a share above 0 and at most 1.",
        )
    if len(risk) == 0 or not np.isfinite(risk).all() or (risk < 0).any():
        raise EvaluationError("Risks are numbers from 0 up, one an answer.", fix="Give a risk for every answer.")
    if count >= len(risk):
        return np.ones(len(risk))
    even = np.full(len(risk), 1 / len(risk))
    share = random_share * even + (1 - random_share) * (risk / risk.sum() if risk.sum() > 0 else even)
    certain = np.zeros(len(risk), dtype=bool)
    while True:
        chance = np.where(certain, 1.0, (count - certain.sum()) * share / share[~certain].sum())
        above = ~certain & (chance >= CERTAIN)
        if not above.any():
            return chance
        certain |= above


def draw(ids: Sequence[str], probabilities: Array, *, seed: int) -> list[Drawn]:
    """A sample of fixed size in which each answer is with its probability: systematic, from a random order (Madow 1949,
    Goodman and Kish 1950). The order in which it is looked at is drawn too, so that whoever stops early has a random
    part of it."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(ids))
    ends = np.cumsum(probabilities[order])
    count = round(float(ends[-1]))
    marks = rng.uniform() + np.arange(count)
    places = np.minimum(np.searchsorted(ends, marks * (ends[-1] / count), side="right"), len(ids) - 1)
    picked = order[places]
    turns = rng.permutation(len(picked))
    drawn = [
        Drawn(id=ids[one], probability=float(probabilities[one]), turn=int(turn))
        for one, turn in zip(picked, turns, strict=True)
    ]
    return sorted(drawn, key=lambda one: one.turn)


def pick_copies(drawn: Sequence[Drawn], count: int, *, seed: int) -> list[str]:
    """The ids that a reviewer gets a second time without being told, spread over the whole order."""
    rng = np.random.default_rng([seed, len(drawn)])
    picked = rng.choice(len(drawn), size=min(count, len(drawn)), replace=False)
    return [drawn[place].id for place in sorted(picked)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """How frequent something is among all answers, as far as people have looked."""

    these: Interval  # of the answers that could be drawn: no uncertainty is left once all were looked at
    new: Interval  # of answers to new patients like these
    total: float  # Horvitz-Thompson: of all answers, how many
    looked_at: int
    drawn: int
    population: int


def estimate_rate(
    values: Sequence[float],
    probabilities: Sequence[float],
    patients: Sequence[str],
    *,
    drawn: int,
    population: int,
    level: float = LEVEL,
) -> Rate:
    """The rate from the judged ones of a sample: value 1 where the verdict says so, else 0, or the share of several
    reviewers. ``probabilities`` are those of ``draw``; ``drawn`` is the size of the whole sample.

    The rate is Hájek's: sum of y / pi over sum of 1 / pi. For these answers its variance is that of Hájek 1964 for
    fixed-size samples of high entropy, n / (n - 1) sum (1 - pi) (u - U)^2 with u = (y - rate) / (pi N) and U their
    mean weighted by 1 - pi. For new patients it is the one between patients, of the same linearized values (Korn and
    Graubard 1998), which the finite number of answers does not shrink. Both become a Wilson interval with as many cases
    as would give that variance; without any variance, with Kish's number of cases.
    """
    y, patients = np.asarray(values, dtype=np.float64), list(patients)
    if len(y) == 0:
        raise EvaluationError("Nobody has judged an answer of this sample yet.", fix="Run: residency review TASK")
    if not len(y) == len(probabilities) == len(patients):
        raise EvaluationError("Verdicts, probabilities and patients differ in number.", fix="Give one of each.")
    # Who stopped early looked at a random part of the sample: its probabilities shrink by that share.
    pi = np.asarray(probabilities, dtype=np.float64) * min(1.0, len(y) / drawn)
    weight = 1 / pi
    rate = float(weight @ y / weight.sum())
    around = weight * (y - rate) / weight.sum()  # each answer's part of the error of the rate
    n = len(y)
    codes, clusters = cluster_codes(patients)
    kish = float(weight.sum() ** 2 / (weight**2).sum())
    between = np.bincount(codes, weights=around, minlength=clusters)
    new = clusters / (clusters - 1) * float((between**2).sum()) if clusters > 1 else np.nan
    left = 1 - pi
    middle = float(left @ around / left.sum()) if left.sum() > 0 else 0.0
    these = n / (n - 1) * float(left @ (around - middle) ** 2) if n > 1 else np.nan
    unseen = max(0.0, 1 - n / population)
    return Rate(
        these=_interval(rate, these, kish / max(unseen, 1e-12), n, clusters, n - 1, level, seen_all=unseen == 0),
        new=_interval(rate, new, min(kish, float(clusters)), n, clusters, clusters - 1, level),
        total=float(weight @ y),
        looked_at=n,
        drawn=drawn,
        population=population,
    )


def _interval(
    rate: float,
    variance: float,
    without_variance: float,
    n: int,
    clusters: int,
    freedom: int,
    level: float,
    *,
    seen_all: bool = False,
) -> Interval:
    """Wilson's interval with the number of cases that would have this variance."""
    if seen_all:
        return Interval(rate, rate, rate, n, clusters, "all were looked at", n_eff=float(n))
    if freedom < 1 or np.isnan(variance):
        return Interval(rate, None, None, n, clusters, "none", note="one case says nothing about the spread")
    spread = rate * (1 - rate)
    cases = spread / variance if variance > 0 and spread > 0 else without_variance
    low, high = wilson(rate * cases, cases, level=level, quantile=student(level, freedom))
    return Interval(rate, min(low, rate), max(high, rate), n, clusters, "Wilson, weighted", n_eff=float(cases))
