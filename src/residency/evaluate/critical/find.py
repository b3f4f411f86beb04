"""The critical errors of one answer.

In: a table, an example with its prediction, and for texts and lists of findings the audit of its claims.
Out: ``CriticalError``s, each with the row that says so.

Covers: every kind of row (table.py). A narrower or wider name of a red flag keeps it: an answer that says "seizure"
has not missed a focal seizure. Does not cover: errors in what was never asked.

An answer that could not be read has missed every critical finding; a label that could not be read is wrong, and comes
with no confidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from residency.evaluate.claims.claim import AmountClaim, Checked, FindingClaim, Problem
from residency.evaluate.claims.omission import Fact
from residency.evaluate.claims.rates import Audit
from residency.evaluate.critical.table import ANY, CriticalTable, ErrorKind, Row
from residency.evaluate.metrics.facts import OPPOSITE
from residency.records import Example, Prediction, Status


@dataclass(frozen=True, slots=True)
class CriticalError:
    """An error and the row of the table that it falls under. ``about``: a concept or label, never text of a report."""

    kind: ErrorKind
    about: str
    severity: float
    row: Row


def critical_errors(
    table: CriticalTable, example: Example, prediction: Prediction, audit: Audit | None = None
) -> tuple[CriticalError, ...]:
    """The critical errors of an answer, each (kind, what it is about) once."""
    found = _of_label(table, example, prediction) if audit is None else _of_claims(table, audit)
    return tuple({(error.kind, error.about): error for error in found}.values())


# --- labels ----------------------------------------------------------------------------------------------------------


def _of_label(table: CriticalTable, example: Example, prediction: Prediction) -> Iterator[CriticalError]:
    said, gold = prediction.value, str(example.gold)
    if said is None or said == gold:
        return
    for row in table.of(ErrorKind.CONFUSED):
        if row.what == gold and row.than in (said, ANY):
            yield CriticalError(row.error, gold, row.severity, row)
    for row in table.of(ErrorKind.UNSUPPORTED):
        if prediction.confidence is not None and prediction.confidence >= float(row.than):
            yield CriticalError(row.error, str(said), row.severity, row)


# --- claims ----------------------------------------------------------------------------------------------------------


def _of_claims(table: CriticalTable, audit: Audit) -> Iterator[CriticalError]:
    said = [Fact(c.claim.concept, c.claim.status) for c in audit.checked if isinstance(c.claim, FindingClaim)]
    yield from _missed(table, audit.gold, said)
    yield from _turned(table, audit.gold, said)
    for checked in audit.checked:
        yield from _wrong_side(table, checked)
        yield from _wrong_amount(table, checked)


def _missed(table: CriticalTable, gold: Sequence[Fact], said: Sequence[Fact]) -> Iterator[CriticalError]:
    present = [fact.concept for fact in said if fact.status is Status.PRESENT]
    for fact in gold:
        row = table.about(ErrorKind.MISSED, fact.concept)
        if row is None or fact.status is not Status.PRESENT:
            continue
        flipped = Fact(fact.concept, Status.ABSENT) in said  # an error of its own
        kept = any(table.is_a(concept, row.what) or table.is_a(fact.concept, concept) for concept in present)
        if not kept and not flipped:
            yield CriticalError(row.error, fact.concept, row.severity, row)


def _turned(table: CriticalTable, gold: Sequence[Fact], said: Sequence[Fact]) -> Iterator[CriticalError]:
    """Findings that the answer gives the opposite status, or to the wrong person. Gold that says both cannot be."""
    stated = set(gold)
    for fact in said:
        of_gold = {known.status for known in gold if known.concept == fact.concept}
        opposite = OPPOSITE.get(fact.status)
        if fact in stated or not of_gold:
            continue
        if opposite is not None and Status(opposite) in of_gold:
            row = table.about(ErrorKind.FLIPPED, fact.concept)
        elif Status.FAMILY in of_gold | {fact.status}:
            row = table.about(ErrorKind.EXPERIENCER, fact.concept)
        else:
            continue
        if row is not None:
            yield CriticalError(row.error, fact.concept, row.severity, row)


def _wrong_side(table: CriticalTable, checked: Checked) -> Iterator[CriticalError]:
    if checked.problem is Problem.LATERALITY and isinstance(checked.claim, FindingClaim):
        row = table.about(ErrorKind.LATERALITY, checked.claim.concept)
        if row is not None:
            yield CriticalError(row.error, checked.claim.concept, row.severity, row)


def _wrong_amount(table: CriticalTable, checked: Checked) -> Iterator[CriticalError]:
    if not isinstance(checked.claim, AmountClaim) or checked.factor is None:
        return
    about = checked.claim.amount.base or "number"
    if checked.problem is Problem.UNIT:
        yield from (CriticalError(row.error, about, row.severity, row) for row in table.of(ErrorKind.UNIT))
        return
    for row in table.of(ErrorKind.VALUE):
        if checked.factor >= float(row.than):
            yield CriticalError(row.error, about, row.severity, row)
