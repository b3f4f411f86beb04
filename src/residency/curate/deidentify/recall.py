"""Recall as a privacy officer can sign it: from documents that people read, with exact one-sided bounds.

In: what people found who read whole documents, what the machine had found in them before any verdict, how often each
class was found in all documents, the rule of the policy. Out: a ``Recall``: a row a class, and a verdict.

Covers: the upper bound of the share of identifiers missed in each class that occurs (Clopper and Pearson 1934,
one-sided: with m misses among n identifiers the bound is the beta quantile B(confidence; m + 1, n - m)); rare classes,
bounded together; documents with at least one miss, as a bound of their own; how many documents more would settle it.
Does not cover: choosing the documents (they must be a random sample); readers who overlook an identifier themselves.

The identifiers of one document are not independent: where a few documents hold many of the misses, the bound of a class
is too optimistic. The bound over documents does not have this weakness, and stands beside the classes.
Recall is that of the machine before people's verdicts: a document that was read and corrected would flatter it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from residency.curate.deidentify.feedback import Reading
from residency.curate.deidentify.policy import ReviewRule
from residency.records import Span

POOLED = "RARE"
_MOST = 100_000  # identifiers; more than that nobody reads


class Standing(StrEnum):
    """Whether the evidence is enough; the words of the gate."""

    GO = "GO"
    NO_GO = "NO-GO"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One class, or the rare ones together."""

    label: str
    classes: tuple[str, ...]  # more than one for the pool
    occurs: int  # found in all documents
    reviewed: int  # identifiers in the documents that were read
    missed: int
    bound: float  # of the share missed, ratio
    limit: float  # that the policy allows, ratio
    standing: Standing
    documents_needed: int | None  # more to read, if no further miss turns up; None where that would not help

    @property
    def recall(self) -> float:
        return 1 - self.missed / self.reviewed if self.reviewed else math.nan


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall:
    """What the documents read so far say."""

    rows: tuple[Row, ...]
    documents: int  # in all
    read: int
    with_a_miss: int  # of the documents that were read
    documents_bound: float  # of the share of documents with a miss, ratio
    confidence: float
    wrong: int  # spans that readers called ordinary
    standing: Standing

    @property
    def documents_needed(self) -> int:
        """Documents more to read until every class can be settled."""
        return max((row.documents_needed or 0 for row in self.rows), default=0)


def estimate_recall(
    readings: Iterable[Reading],
    found: Mapping[str, Sequence[Span]],
    occurs: Mapping[str, int],
    rule: ReviewRule,
    *,
    documents: int,
) -> Recall:
    """``found``: the machine's spans of each document that was read, by raw document id; a reading of a document that
    is not among them is left out. ``occurs``: identifiers found in all documents, by class."""
    counted = [reading for reading in readings if reading.document in found]
    reviewed: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    wrong = with_a_miss = 0
    for reading in counted:
        right = [s for s in found[reading.document] if not any(place.overlaps(s) for place in reading.wrong)]
        wrong += len(found[reading.document]) - len(right)
        # What a reader marks and the machine finds now, since its rules were improved, is no miss any more.
        missing = [place for place in reading.missed if not _covered(place.start, place.end, right)]
        reviewed.update(span.label for span in right)
        reviewed.update(place.label for place in missing)
        missed.update(place.label for place in missing)
        with_a_miss += bool(missing)
    counts = _Counts(reviewed, missed, Counter(occurs) | missed, read=len(counted), documents=documents)
    rows = _rows(counts, rule)
    return Recall(
        rows=rows,
        documents=documents,
        read=len(counted),
        with_a_miss=with_a_miss,
        documents_bound=upper_bound(with_a_miss, len(counted), rule.confidence),
        confidence=rule.confidence,
        wrong=wrong,
        standing=_overall(rows),
    )


def upper_bound(misses: int, trials: int, confidence: float) -> float:
    """The largest share of misses that is compatible with so many in so many trials. 1 without trials."""
    from scipy.stats import beta

    if misses >= trials:
        return 1.0
    return float(beta.ppf(confidence, misses + 1, trials - misses))


def in_percent(bound: float) -> str:
    """A bound as people read it, rounded up: what is shown never promises more than was shown."""
    return f"{math.ceil(1000 * bound - 1e-6) / 10:.1f}%"


def lower_bound(misses: int, trials: int, confidence: float) -> float:
    """The smallest such share. 0 without a miss."""
    from scipy.stats import beta

    return 0.0 if misses == 0 else float(beta.ppf(1 - confidence, misses, trials - misses + 1))


def trials_needed(misses: int, limit: float, confidence: float) -> int | None:
    """How many trials with so many misses bring the bound down to ``limit``; None where more than anybody reads."""
    low, high = misses + 1, _MOST
    if upper_bound(misses, high, confidence) > limit:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if upper_bound(misses, middle, confidence) <= limit else (middle + 1, high)
    return low


@dataclass(frozen=True, slots=True)
class _Counts:
    """Identifiers by class, and documents."""

    reviewed: Mapping[str, int]
    missed: Mapping[str, int]
    occurs: Mapping[str, int]
    read: int
    documents: int


def _rows(counts: _Counts, rule: ReviewRule) -> tuple[Row, ...]:
    occurs = counts.occurs
    classes = sorted((label for label, count in occurs.items() if count), key=lambda label: (-occurs[label], label))
    common = [label for label in classes if occurs[label] >= rule.pool_below or label in rule.missed_by_class]
    rare = tuple(label for label in classes if label not in common)
    rows = [_row(label, (label,), counts, rule) for label in common]
    if rare:
        rows.append(_row(rare[0] if len(rare) == 1 else POOLED, rare, counts, rule))
    return tuple(rows)


def _row(label: str, members: tuple[str, ...], counts: _Counts, rule: ReviewRule) -> Row:
    seen, lost, everywhere = (
        sum(of_class.get(member, 0) for member in members)
        for of_class in (counts.reviewed, counts.missed, counts.occurs)
    )
    limit = rule.missed_by_class.get(label, rule.missed_at_most)
    bound = upper_bound(lost, seen, rule.confidence)
    standing, needed = Standing.GO, None
    if bound > limit and lower_bound(lost, seen, rule.confidence) > limit:
        standing = Standing.NO_GO
    elif bound > limit:
        standing = Standing.INCONCLUSIVE
        trials = trials_needed(lost, limit, rule.confidence)
        needed = _documents(trials, seen, counts.read, everywhere / counts.documents)
    return Row(
        label=label, classes=members, occurs=everywhere, reviewed=seen, missed=lost,
        bound=bound, limit=limit, standing=standing, documents_needed=needed,
    )  # fmt: skip


def _documents(trials: int | None, seen: int, read: int, per_document: float) -> int | None:
    """Documents more that hold the identifiers still needed: at the rate seen so far, else at that of all documents."""
    if trials is None:
        return None
    rate = seen / read if seen and read else per_document
    return math.ceil((trials - seen) / rate)


def _covered(start: int, end: int, spans: Iterable[Span]) -> bool:
    covered = {i for span in spans for i in range(max(start, span.start), min(end, span.end))}
    return len(covered) == end - start


def _overall(rows: Sequence[Row]) -> Standing:
    standings = {row.standing for row in rows}
    if Standing.NO_GO in standings:
        return Standing.NO_GO
    return Standing.INCONCLUSIVE if Standing.INCONCLUSIVE in standings else Standing.GO
