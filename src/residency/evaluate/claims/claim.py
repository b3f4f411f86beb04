"""The nouns of claim checking: what a text claims, and what its source says about that.

In: nothing. Out: the types that the other rooms of claims/ hand each other.

Covers: the kinds of claims, the three verdicts, what a claim can be wrong about, what the evidence is. Does not cover:
reading claims (read.py) and judging them (check.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from residency.evaluate.claims.amounts import Amount
from residency.evaluate.claims.sides import Side
from residency.evaluate.claims.times import Time
from residency.records import Status

Place = tuple[int, int]  # code points, half-open


class Verdict(StrEnum):
    """What the source says about a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NOT_FOUND = "not found"


class Ground(StrEnum):
    """Why a claim is supported: what is equal in the claim and its evidence."""

    VERBATIM = "verbatim"
    NAME = "same concept"  # under another name
    NARROWER = "narrower concept"  # the source is more exact than the claim
    VALUE = "same value"  # in another unit or spelling
    WORDING = "same words"  # in another order, with endings or a slip of the keyboard


class Problem(StrEnum):
    """What is wrong with a claim that is not supported (EVALUATION.md d8)."""

    FABRICATION = "fabrication"  # nothing like it in the source
    OVER_SPECIFIED = "over-specified"  # the source names a wider concept only
    POLARITY = "polarity"
    EXPERIENCER = "experiencer"  # a relative has it, not the patient, or the other way round
    TEMPORALITY = "temporality"  # resolved, or at another time
    CERTAINTY = "certainty"  # doubted in the source, stated in the claim, or the other way round
    LATERALITY = "laterality"
    VALUE = "value"
    UNIT = "unit"
    SUBJECT = "subject"  # another age or sex: another person


@dataclass(frozen=True, slots=True)
class FindingClaim:
    """A concept with its status, perhaps on one side."""

    text: str
    concept: str
    status: Status
    place: Place | None = None  # None: a finding given as data
    side: Side | None = None


@dataclass(frozen=True, slots=True)
class AmountClaim:
    """A number with its unit, and what it is a number of."""

    text: str
    amount: Amount
    place: Place


@dataclass(frozen=True, slots=True)
class TimeClaim:
    """The patient's age, or when it began."""

    text: str
    time: Time
    place: Place


@dataclass(frozen=True, slots=True)
class SexClaim:
    """The patient's sex."""

    text: str
    sex: str  # male | female
    place: Place


@dataclass(frozen=True, slots=True)
class WordingClaim:
    """A piece of text in which nothing else was read; its words must stand together in the source."""

    text: str
    words: tuple[str, ...]  # light forms
    place: Place


Claim = FindingClaim | AmountClaim | TimeClaim | SexClaim | WordingClaim


@dataclass(frozen=True, slots=True)
class Checked:
    """A claim with its verdict. ``evidence`` is a place in the source: what supports it, or speaks against it."""

    claim: Claim
    verdict: Verdict
    ground: Ground | None = None
    problem: Problem | None = None
    evidence: Place | None = None
    factor: float | None = None  # a wrong value: the larger of claimed and said over the smaller

    @property
    def is_hallucination(self) -> bool:
        """Whether the source does not bear the claim out."""
        return self.verdict is not Verdict.SUPPORTED
