"""What is gained by asking a person about the least certain answers?

In: confidences, whether each answer was right, patients. Out: the curve of accuracy against coverage; an
``Abstention``: the threshold below which a person is asked, chosen so that the answers above it keep a target risk.

Covers: selective accuracy and coverage, areas under the risk-coverage and the generalized risk-coverage curve, a
threshold with a guarantee. Does not cover: making confidence honest first (maps.py); the order of cases is all that
counts here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from residency.evaluate.calibration.event import checked
from residency.evaluate.intervals import (
    DRAWS,
    Array,
    Interval,
    cases_interval,
    cluster_codes,
    effective_n,
    share_interval,
)

RISK = 0.05  # largest share of wrong answers above the threshold, unless a team says otherwise
DOUBT = 0.05  # chance that the promise fails, over calibration sets
STARTS = 5
STEPS = 100  # coverages that are tried; more gain nothing that cases could tell


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """Answering only where confidence is at least ``threshold``, and asking a person otherwise."""

    threshold: float
    coverage: float  # share of all cases that are answered
    accuracy: Interval  # of the answered ones


@dataclass(frozen=True, slots=True)
class Selective:
    """What confidence is worth for choosing which answers to trust."""

    points: tuple[CoveragePoint, ...]  # from the most certain cases to all
    aurc: float  # area under the risk-coverage curve, lower is better
    excess_aurc: float  # above that of a perfect order of the same answers
    augrc: float  # area under the generalized curve: the mean risk of an unnoticed mistake (Traub et al. 2024)
    accuracy: float  # at full coverage
    aurc_interval: Interval


@dataclass(frozen=True, slots=True)
class Abstention:
    """Answer from ``threshold`` on, ask a person below. None: no threshold keeps the promise, a person answers all."""

    threshold: float | None
    risk: float  # promised largest share of wrong answers among those given
    doubt: float  # chance that the promise fails
    coverage: float  # share of the calibration cases that are answered
    n: int  # calibration cases
    clusters: int
    note: str = ""

    def answers(self, confidence: float | None) -> bool:
        """Whether an answer of this confidence is given."""
        return self.threshold is not None and confidence is not None and confidence >= self.threshold


def selective(
    confidence: Sequence[float | None],
    correct: Sequence[bool],
    clusters: Sequence[str],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Selective:
    """Accuracy against coverage when the least certain answers are left to a person.

    One point for each distinct confidence. Cases of equal confidence are answered together and share their errors, so
    that their order does not matter. A case without a confidence is never answered; the area counts it last, and wrong.
    """
    given = np.array([value is not None for value in confidence], dtype=bool)
    known, _ = checked([value for value in confidence if value is not None], [])
    sure = np.full(len(given), -1.0)  # below every threshold
    sure[given] = known
    right = np.where(given, np.asarray(correct, dtype=np.float64), 0.0)
    names = np.asarray(clusters)
    points = []
    for threshold in np.unique(known)[::-1]:
        answered = sure >= threshold
        accuracy = share_interval(right[answered], names[answered].tolist())
        points.append(CoveragePoint(float(threshold), float(answered.mean()), accuracy))
    area = cases_interval(lambda cases: aurc(sure[cases], right[cases]), clusters, seed=seed, draws=draws)
    wrong = float(1 - right.mean())
    perfect = wrong + (1 - wrong) * math.log(1 - wrong) if wrong < 1 else 1.0
    return Selective(
        tuple(points),
        aurc=area.value,
        excess_aurc=area.value - perfect,
        augrc=augrc(sure, right),
        accuracy=float(right.mean()),
        aurc_interval=area,
    )


def aurc(confidence: Sequence[float] | Array, correct: Sequence[float] | Array) -> float:
    """Area under the risk-coverage curve: the mean over i of the error rate among the i most certain cases.

    Ties by expectation: every case of a group of equal confidence counts as the group's mean error (Geifman & El-Yaniv
    2017, EVALUATION.md d7).
    """
    losses = _losses(confidence, correct)
    return float((np.cumsum(losses) / np.arange(1, len(losses) + 1)).mean())


def augrc(confidence: Sequence[float] | Array, correct: Sequence[float] | Array) -> float:
    """Mean over i of the errors among the i most certain cases, as a share of all cases (Traub et al. 2024)."""
    losses = _losses(confidence, correct)
    return float(np.cumsum(losses).mean() / len(losses))


def choose_threshold(
    confidence: Sequence[float],
    correct: Sequence[bool],
    clusters: Sequence[str],
    *,
    risk: float = RISK,
    doubt: float = DOUBT,
) -> Abstention:
    """The lowest threshold above which at most ``risk`` of the answers are wrong, with certainty 1 - ``doubt``.

    Learn then Test (Angelopoulos et al. 2021): coverages are tested from small to large by the binomial tail, until one
    fails. That is done from up to ``STARTS`` coverages, so that one mistake among the most certain answers does not end
    it, each with its share of ``doubt``; the first is the smallest at which no mistake at all would be proof. Mistakes
    are counted against the effective number of cases, because cases of one patient go together. Not valid where lower
    confidence means fewer mistakes.
    """
    sure, right = checked(confidence, correct)
    codes, count = cluster_codes(clusters)
    order = np.argsort(-sure, kind="stable")
    ranked, wrong, patients = sure[order], 1 - right[order], codes[order]
    starts = max((n for n in range(1, STARTS + 1) if 2 * _proof(risk, doubt / n) <= count), default=1)
    sizes = _sizes(ranked, patients, _proof(risk, doubt / starts))
    passed = [_tail(wrong[:size], patients[:size], risk) <= doubt / starts for size in sizes]
    covered = 0
    for start in range(0, len(sizes), max(1, -(-len(sizes) // starts))):
        failed = next((place for place in range(start, len(sizes)) if not passed[place]), len(sizes))
        covered = max(covered, sizes[failed - 1] if failed > start else 0)
    threshold = float(ranked[covered - 1]) if covered else None
    note = ""
    if threshold is None:
        note = f"{len(sure)} cases of {count} patients do not show a risk of at most {risk:g} at any coverage"
    return Abstention(threshold, risk, doubt, covered / len(sure), len(sure), count, note)


def _proof(risk: float, doubt: float) -> int:
    """Patients among whom no mistake at all would be proof of at most this risk."""
    return math.ceil(math.log(doubt) / math.log(1 - risk))


def _sizes(ranked: Array, patients: NDArray[np.intp], needed: int) -> list[int]:
    """How many of the most certain cases are answered: at most ``STEPS`` choices that do not depend on outcomes, from
    the first with ``needed`` patients on. Equal confidences go together."""
    _, met = np.unique(patients, return_index=True)
    if len(met) < needed:
        return []
    first = int(np.sort(met)[needed - 1]) + 1
    sizes = np.linspace(first, len(ranked), STEPS).astype(int)
    return sorted({int(np.searchsorted(-ranked, -ranked[size - 1], side="right")) for size in sizes})


def _tail(wrong: Array, patients: NDArray[np.intp], risk: float) -> float:
    """Chance of so few mistakes if the risk were just too high: P(X <= k), X binomial, with effective counts."""
    from scipy.special import betainc

    _, codes = np.unique(patients, return_inverse=True)
    n = effective_n(wrong, codes, int(codes.max()) + 1)
    mistakes = float(wrong.mean()) * n
    return float(1 - betainc(mistakes + 1, n - mistakes, risk)) if mistakes < n else 1.0


def _losses(confidence: Sequence[float] | Array, correct: Sequence[float] | Array) -> Array:
    """Errors in the order of confidence, ties by expectation."""
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    _, group = np.unique(-sure, return_inverse=True)
    means = np.bincount(group, weights=1 - right) / np.bincount(group)
    return means[np.sort(group)]
