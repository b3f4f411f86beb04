"""Hallucination and omission as rates, with intervals.

In: the audit of every case. Out: ``Score``s: the share of claims that the source does not bear out, of documents with
such a claim, of gold facts that are left out, of critical facts of the source that are left out (EVALUATION.md d8).

Covers: intervals clustered by patient; outputs that could not be read: they claim nothing and omit everything. Does not
cover: which omission is dangerous (critical/).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from residency.evaluate.claims.check import check_all
from residency.evaluate.claims.claim import Checked, Verdict
from residency.evaluate.claims.means import Means
from residency.evaluate.claims.omission import Fact, facts_in, omitted
from residency.evaluate.claims.read import claims_of, claims_of_findings
from residency.evaluate.claims.source import SourceText, read_source
from residency.evaluate.intervals import DRAWS, Shape, Tally, as_score, interval
from residency.evaluate.metrics.alignment import align
from residency.evaluate.metrics.catalogue import metric_of
from residency.evaluate.metrics.facts import share_of_sums
from residency.records import Example, Finding, Prediction, Score, Status, TaskKind


@dataclass(frozen=True, slots=True)
class Audit:
    """One output held against its source and its gold answer."""

    example: str
    patient: str
    checked: tuple[Checked, ...]
    gold: tuple[Fact, ...]
    missing: tuple[Fact, ...]  # of the gold facts
    scored: bool

    @property
    def hallucinations(self) -> tuple[Checked, ...]:
        return tuple(one for one in self.checked if one.is_hallucination)


def audits(
    examples: Sequence[Example], predictions: Sequence[Prediction], sources: Mapping[str, SourceText], means: Means
) -> list[Audit]:
    """The audit of every case of a generate or extract task; ``sources`` by the id of the example."""
    return [
        audit(example, prediction, sources[example.id], means)
        for example, prediction in zip(examples, align(examples, predictions), strict=True)
    ]


def audit(example: Example, prediction: Prediction, source: SourceText, means: Means) -> Audit:
    """One output held against its source and its gold answer."""
    if example.kind is TaskKind.EXTRACT:
        claims, gold = claims_of_findings(prediction.value), facts_in(_as_finding(f) for f in example.gold)
    else:
        claims, gold = claims_of(str(prediction.value or ""), means), facts_in(means.find(str(example.gold)))
    return Audit(
        example=example.id,
        patient=example.patient,
        checked=tuple(check_all(claims, source)),
        gold=gold,
        missing=omitted(gold, claims, means.terminology),
        scored=prediction.scored,
    )


def read_sources(texts: Mapping[str, str], means: Means) -> dict[str, SourceText]:
    """Every source text, read once for all systems."""
    return {name: read_source(text, means) for name, text in texts.items()}


def claim_scores(of: Prediction, found: Sequence[Audit], *, draws: int = DRAWS, seed: int = 0) -> list[Score]:
    """The rates of one system on one task, which ``of`` names; a rate of nothing is left out."""
    patients = [one.patient for one in found]
    unscored = sum(not one.scored for one in found)
    scores = []
    for name, tally in claim_tallies(found).items():
        if not math.isfinite(tally.value):
            continue
        known = interval(tally, patients, draws=draws, seed=seed)
        scores.append(as_score(of, name, known, tally.note, unscored=unscored))
    return scores


def claim_tallies(found: Sequence[Audit]) -> dict[str, Tally]:
    """What every case adds to each rate."""
    claimed = np.array([(len(one.hallucinations), len(one.checked)) for one in found], dtype=np.float64)
    facts = np.array([(len(one.missing), len(one.gold)) for one in found], dtype=np.float64)
    tallies = {
        "hallucination_rate": Tally(claimed, share_of_sums, Shape.RATIO, note=_by_problem(found)),
        "hallucinated_document_rate": Tally.of_scores([float(bool(one.hallucinations)) for one in found]),
        "omission_rate": Tally(facts, share_of_sums, Shape.RATIO),
    }
    return {name: replace(tally, lower_is_better=metric_of(name).lower_is_better) for name, tally in tallies.items()}


def _by_problem(found: Sequence[Audit]) -> str:
    """How many claims were contradicted or not found, by what is wrong with them."""
    checked = [one for audit in found for one in audit.checked]
    problems = Counter(one.problem for one in checked if one.problem is not None)
    contradicted = sum(one.verdict is Verdict.CONTRADICTED for one in checked)
    named = ", ".join(f"{problem} {count}" for problem, count in sorted(problems.items(), key=lambda p: (-p[1], p[0])))
    return f"{len(checked)} claims, {contradicted} contradicted" + (f": {named}" if named else "")


def _as_finding(found: Mapping[str, str]) -> Finding:
    return Finding(concept=found["concept"], label=found["label"], status=Status(found["status"]))
