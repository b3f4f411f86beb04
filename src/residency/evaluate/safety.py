"""What could do harm on one task: claims without a source, facts left out, critical errors; of every system.

In: examples, the answers of every system, the source text of every example, the means to check claims, the table of
critical errors. Out: ``Score``s, and what the report shows of each system.

Covers: claims of texts and lists of findings (claims/), critical errors of every kind of task (critical/). Does not
cover: tasks in a field without a terminology; these have no claims to check, and say so by having no such score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from residency.evaluate.claims.claim import Checked
from residency.evaluate.claims.means import Means
from residency.evaluate.claims.rates import Audit, audits, claim_scores, claim_tallies, read_sources
from residency.evaluate.critical.find import critical_errors
from residency.evaluate.critical.rates import CriticalCase, critical_cases, critical_scores, critical_tallies
from residency.evaluate.critical.table import CriticalTable, unknown_labels
from residency.evaluate.intervals import Tally
from residency.evaluate.metrics.alignment import align
from residency.records import Example, Prediction, Score, TaskKind

SHOWN = 6  # claims and cases that the report shows of a system
AROUND = 60  # code points of the source that are shown on either side of the evidence


def safety(
    examples: Sequence[Example],
    answers: Mapping[str, Sequence[Prediction]],
    texts: Mapping[str, str],
    *,
    means: Means | None,
    table: CriticalTable | None,
    labels: Collection[str],
    draws: int,
    seed: int,
) -> tuple[list[Score], dict[str, Any]]:
    """Scores of every system, and what the report shows, by system. ``texts``: the source by the id of the example."""
    scores: list[Score] = []
    shown: dict[str, Any] = {}
    for system, found, cases in _harm(examples, answers, texts, means, table):
        of = answers[system][0]
        if found is not None:
            scores += claim_scores(of, found, draws=draws, seed=seed)
            shown[system] = {"claims": _claims(found, texts)}
        if table is not None and cases is not None:
            scores += critical_scores(of, table, cases, draws=draws, seed=seed)
            shown.setdefault(system, {})["critical"] = _critical(cases, table, labels)
    return scores, shown


def harm_tallies(
    examples: Sequence[Example],
    answers: Mapping[str, Sequence[Prediction]],
    texts: Mapping[str, str],
    *,
    means: Means | None,
    table: CriticalTable | None,
) -> dict[str, dict[str, Tally]]:
    """What every case adds to every rate of harm, by system, for paired comparison. Arguments as for ``safety``."""
    return {
        system: {**(claim_tallies(found) if found else {}), **(critical_tallies(cases) if cases else {})}
        for system, found, cases in _harm(examples, answers, texts, means, table)
    }


def _harm(
    examples: Sequence[Example],
    answers: Mapping[str, Sequence[Prediction]],
    texts: Mapping[str, str],
    means: Means | None,
    table: CriticalTable | None,
) -> Iterator[tuple[str, list[Audit] | None, list[CriticalCase] | None]]:
    """The audits of every system's claims, and the critical errors of its answers; None where none can be found."""
    makes_claims = means is not None and examples[0].kind is not TaskKind.CLASSIFY
    sources = read_sources(texts, means) if means is not None and makes_claims else {}
    for system, predictions in answers.items():
        aligned = align(examples, predictions)
        found = audits(examples, aligned, sources, means) if means is not None and makes_claims else None
        cases = None
        if table is not None and (found is not None or examples[0].kind is TaskKind.CLASSIFY):
            each: Sequence[Audit | None] = found or [None] * len(examples)
            errors = [critical_errors(table, e, p, a) for e, p, a in zip(examples, aligned, each, strict=True)]
            cases = critical_cases(examples, aligned, errors)
        yield system, found, cases


def _claims(found: Sequence[Audit], texts: Mapping[str, str]) -> dict[str, Any]:
    checked = [one for audit in found for one in audit.checked]
    wrong = [(audit, one) for audit in found for one in audit.hallucinations]
    return {
        "claims": len(checked),
        "verdicts": Counter(one.verdict.value for one in checked),
        "problems": dict(Counter(one.problem.value for one in checked if one.problem is not None).most_common()),
        "facts": sum(len(audit.gold) for audit in found),
        "omitted": sum(len(audit.missing) for audit in found),
        "examples": [_example(audit, one, texts[audit.example]) for audit, one in wrong[:SHOWN]],
    }


def _example(audit: Audit, one: Checked, text: str) -> dict[str, Any]:
    return {
        "example": audit.example,
        "claim": one.claim.text,
        "status": getattr(one.claim, "status", None),
        "verdict": one.verdict,
        "problem": one.problem,
        "evidence": _excerpt(text, one.evidence) if one.evidence else None,
    }


def _excerpt(text: str, place: tuple[int, int]) -> str:
    """The evidence with a few words around it."""
    return " ".join(text[max(0, place[0] - AROUND) : place[1] + AROUND].split())


def _critical(cases: Sequence[CriticalCase], table: CriticalTable, labels: Collection[str]) -> dict[str, Any]:
    errors = [error for case in cases for error in case.errors]
    by_row = Counter((error.kind.value, error.row.what, error.row.than, error.row.why) for error in errors)
    severity = {(e.kind.value, e.row.what, e.row.than, e.row.why): e.severity for e in errors}
    worst = sorted((case for case in cases if case.errors), key=lambda case: (-case.severity, case.example))
    return {
        "documents": sum(bool(case.errors) for case in cases),
        "n": len(cases),
        "counted": [
            {"error": key[0], "what": key[1], "than": key[2], "why": key[3], "severity": severity[key], "count": count}
            for key, count in sorted(by_row.items(), key=lambda one: (-severity[one[0]] * one[1], one[0]))
        ],
        "cases": [{"example": case.example, "severity": case.severity} for case in worst[:SHOWN]],
        "table": table.note,
        "not_counted": unknown_labels(table, labels) if labels else (),
    }
