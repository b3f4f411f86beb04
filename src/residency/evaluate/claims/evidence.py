"""What in a text bears an answer out: places that a reader can look up.

In: an answer, the text that it is about, what claims are checked with. Out: places of the text that bear it out, and
the claims that no place does.

Covers: texts and lists of findings, by their claims; a label, by the mentions of findings that go with it. Does not
cover: what the model looked at: that is not known, and a place that fits an answer need not be its cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from residency.evaluate.claims.check import check_all
from residency.evaluate.claims.claim import Checked
from residency.evaluate.claims.means import Means
from residency.evaluate.claims.read import claims_of, claims_of_findings
from residency.evaluate.claims.source import read_source
from residency.records import Finding, TaskKind

MENTIONS = 10  # for a label; the strongest first


def evidence_of(
    kind: TaskKind, value: Any, text: str, means: Means
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """For an extract or generate task: what bears the answer out, and the claims that the text does not bear out."""
    claims = claims_of_findings(value) if kind is TaskKind.EXTRACT else claims_of(str(value), means)
    checked = check_all(claims, read_source(text, means))
    supported = [_borne_out(one) for one in checked if not one.is_hallucination and one.evidence]
    return supported, [_open(one) for one in checked if one.is_hallucination]


def mentions_for(findings: Sequence[Finding], weights: Mapping[tuple[str, str], float]) -> list[dict[str, Any]]:
    """For a label: the mentions of findings that speak for it, ``weights`` by ``Finding.key``, the strongest first."""
    placed = [one for one in findings if weights.get(one.key, 0) > 0 and one.start is not None]
    placed.sort(key=lambda one: (-weights[one.key], one.start))
    return [
        {
            "start": one.start, "end": one.end, "concept": one.concept, "label": one.label,
            "status": one.status.value, "weight": round(weights[one.key], 4),
        }
        for one in placed[:MENTIONS]
    ]  # fmt: skip


def _borne_out(one: Checked) -> dict[str, Any]:
    start, end = one.evidence or (0, 0)
    return {"start": start, "end": end, "claim": one.claim.text, "ground": one.ground}


def _open(one: Checked) -> dict[str, Any]:
    place = dict(zip(("start", "end"), one.evidence, strict=True)) if one.evidence else {}
    return {"claim": one.claim.text, "verdict": one.verdict, "problem": one.problem, **place}
