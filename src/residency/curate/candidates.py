"""Candidates: the labels that a document's findings speak for, judged by the training patients.

In: documents with findings, the label of every training patient's document, knowledge from outside where there is any.
Out: for every document all labels of the closed set with their shares, the likeliest first.

Covers: naive Bayes over what a document speaks of and what it says about it; each training document judged without
its own patient; shares made honest by one temperature.
Does not cover: the text beside the findings; labels without a training patient. That a finding is spoken of at all is
a sign too, and partly a habit of the source: expect less on documents of another source.

A prompt that shows candidates lets a small model weigh cases it could not remember. They come from training patients
only, so that nothing held out can leak through them.

Rejected, measured on development patients, 2026-11: concepts above a finding as signs (they count one finding many
times, and lose), logistic regression (loses with a dozen reports a label). docs/decisions.md has the figures.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from residency.curate.knowledge import Fact
from residency.records import Document, Status

SMOOTHING = 0.1  # seen counts are raised by it; chosen by us on development patients, 2026-11
TEMPERATURES = tuple(1.25**step for step in range(24))  # 1 to about 170: naive Bayes counts dependent signs twice

Ranking = tuple[tuple[str, float], ...]  # (label, share), the likeliest first; shares sum to one


@dataclass(frozen=True, slots=True)
class _Case:
    """One training document: what it shows, whose it is, what it is."""

    patient: str
    label: str
    signs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ranker:
    """What the training documents taught, to be asked about any document, new ones too."""

    counts: _Counts
    temperature: float

    @classmethod
    def fitted(
        cls, training: Sequence[Document], label_of: Mapping[str, str], labels: Sequence[str], known: Sequence[Fact]
    ) -> Ranker:
        """``label_of`` gives the label of each training document by its id; ``known`` are facts about ``labels`` that
        descend from nothing held out. A fact counts as a training document with this sign would, but says nothing of
        how common its label is."""
        signs = {document.id: signs_of(document) for document in training}
        counts = _Counts([_Case(d.patient, label_of[d.id], signs[d.id]) for d in training], labels, known)
        judged = [(counts.logs(signs[d.id], without=d.patient), labels.index(label_of[d.id])) for d in training]
        return cls(counts, _honest_temperature(judged))

    def rank(self, document: Document) -> Ranking:
        """All labels with their shares; documents of the same patient that were trained on have no say."""
        row = self.counts.logs(signs_of(document), without=document.patient)
        return _ranked(self.counts.labels, _shares(row, self.temperature))

    def speaking_for(self, document: Document, label: str) -> dict[tuple[str, str], float]:
        """The document's findings, by ``Finding.key``, that training patients with ``label`` showed more often than
        those with the other labels, with the log of how many times as often."""
        own = {finding.key for finding in document.findings if finding.status is not Status.FAMILY}
        lifts = {
            (concept, status): self.counts.lift(concept, label) + self.counts.lift(f"{concept} {status}", label)
            for concept, status in sorted(own)
        }
        return {key: lift for key, lift in lifts.items() if lift > 0}


def signs_of(document: Document) -> frozenset[str]:
    """What a document speaks of, and what it says about it; findings of relatives are no signs."""
    own = [finding for finding in document.findings if finding.status is not Status.FAMILY]
    return frozenset([f.concept for f in own] + [f"{f.concept} {f.status.value}" for f in own])


class _Counts:
    """How often each sign goes with each label among the training documents."""

    def __init__(self, cases: Sequence[_Case], labels: Sequence[str], known: Sequence[Fact]) -> None:
        self.labels = labels
        self.of_patient: dict[str, list[_Case]] = defaultdict(list)
        self.signs: dict[str, Counter[str]] = {label: Counter() for label in labels}
        self.totals: Counter[str] = Counter()
        self.documents: Counter[str] = Counter()
        for case in cases:
            self.of_patient[case.patient].append(case)
            self.signs[case.label].update(case.signs)
            self.totals[case.label] += len(case.signs)
            self.documents[case.label] += 1
        for fact in known:
            signs = (fact.concept, f"{fact.concept} {fact.status.value}")
            self.signs[fact.label].update(signs)
            self.totals[fact.label] += len(signs)
        self.known = frozenset().union(*(counts for counts in self.signs.values()))

    def logs(self, signs: frozenset[str], *, without: str) -> list[float]:
        """Log of prior times likelihood for each label, the documents of the patient ``without`` left out."""
        left_out = self.of_patient.get(without, [])
        seen = signs & self.known
        return [self._log(label, seen, [case for case in left_out if case.label == label]) for label in self.labels]

    def lift(self, sign: str, label: str) -> float:
        """Log of the sign's share among the signs of ``label`` over its mean share among those of the other labels."""
        others = [self._share(sign, other) for other in self.labels if other != label]
        if sign not in self.known or not others:
            return 0.0
        return math.log(self._share(sign, label) / (math.fsum(others) / len(others)))

    def _share(self, sign: str, label: str) -> float:
        return (self.signs[label][sign] + SMOOTHING) / (self.totals[label] + SMOOTHING * len(self.known))

    def _log(self, label: str, seen: frozenset[str], left_out: Sequence[_Case]) -> float:
        total = self.totals[label] - sum(len(case.signs) for case in left_out)
        below = math.log(total + SMOOTHING * len(self.known)) if self.known else 0.0
        prior = math.log(self.documents[label] - len(left_out) + SMOOTHING)
        counts = self.signs[label]
        # fsum: a set has another order in every process, and a plain sum another last digit, which decides ties.
        return prior + math.fsum(
            math.log(counts[sign] - sum(sign in case.signs for case in left_out) + SMOOTHING) - below for sign in seen
        )


def _honest_temperature(judged: Sequence[tuple[Sequence[float], int]]) -> float:
    """The temperature with the smallest log loss on the training documents, each judged without its own patient."""

    def loss(temperature: float) -> float:
        return -sum(math.log(max(_shares(row, temperature)[gold], 1e-12)) for row, gold in judged)

    return min(TEMPERATURES, key=loss) if judged else 1.0


def _shares(row: Sequence[float], temperature: float) -> list[float]:
    highest = max(row)
    weights = [math.exp((value - highest) / temperature) for value in row]
    return [weight / sum(weights) for weight in weights]


def _ranked(labels: Sequence[str], shares: Sequence[float]) -> Ranking:
    return tuple(sorted(zip(labels, shares, strict=True), key=lambda pair: (-pair[1], pair[0])))
