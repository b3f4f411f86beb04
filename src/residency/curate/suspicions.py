"""Suspicions: labels that a second look is worth, the most suspicious first.

In: documents with findings and a label column. Out: ``Suspicions``: for each doubtful label the label that the other
documents suggest, how sure that is, and which findings speak for which; how many labels are wrong, by estimate.

Covers: every label judged by a model that saw no document of its patient (or of its group, where ``by`` says so), by
what the text speaks of and says about it, or by its words where a project has no terminology; one doubtful label a
document. Does not cover: labels that occur with one patient (or group) only, and documents without a sign; they are
counted as not judged. A suspicion is no verdict: a rare course of a disease looks like a wrong label.

The model is naive Bayes, out of fold. The rest is confident learning (Northcutt, Jiang and Chuang, "Confident Learning:
Estimating Uncertainty in Dataset Labels", JAIR 70, 2021): a label counts as an error where another label is as likely
as it is, on average, for the documents that carry it. In this module and not from cleanlab, which brings pandas, tqdm
and termcolor for the sixty lines that are needed. Rejected, measured on the planted wrong labels, 2026-11-24: logistic
regression over the same findings, with and without TF-IDF words (no better, and a hundred times slower), and words
beside the findings in naive Bayes (they tell the writer, not the disease). docs/decisions.md has the figures.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from residency.curate.candidates import SMOOTHING, TEMPERATURES, signs_of
from residency.curate.deduplicate.signature import own_words
from residency.records import Document, Status
from residency.settings import Settings

_NAMED = 3  # signs that a reason names on either side
_UNSEEN = -1e4  # log probability of a label that the fold's training documents do not have

Numbers = npt.NDArray[Any]


class Apart(StrEnum):
    """What the judging model has seen nothing of."""

    PATIENT = "patient"
    GROUP = "group"  # harder: another publication or site; labels of one group only are not judged


class Signs(StrEnum):
    """What a label is judged by."""

    FINDINGS = "findings"
    WORDS = "words"  # outside replaced places; weaker, for projects without a terminology


class SuspicionSettings(Settings):
    """How labels are judged."""

    by: Apart = Field(default=Apart.PATIENT, description="what the judging model must not have seen: patient, or group")
    signs: Signs = Field(default=Signs.FINDINGS, description="what labels are judged by: findings, or words")
    folds: int = Field(default=10, ge=2, le=50, description="parts that take turns at being judged, 2 to 50")
    most: int = Field(default=150, ge=1, description="how many suspicions are listed; the rest is a count")


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One doubtful label. The two shares add up to one: which of the two labels the other documents speak for."""

    document: str  # id
    key: str
    patient: str
    label: str
    suggested: str
    label_share: float
    suggested_share: float
    likely_wrong: bool  # by confident learning; the others are merely less likely than another label
    speaks_for_suggested: tuple[str, ...]  # the strongest signs, in words
    speaks_for_label: tuple[str, ...]

    @property
    def reason(self) -> str:
        """One sentence for the person who decides."""
        against = ", ".join(self.speaks_for_suggested) or "no single finding"
        kept = f"; for {self.label}: {', '.join(self.speaks_for_label)}" if self.speaks_for_label else ""
        return f"{self.suggested_share:.0%} for {self.suggested}: {against}{kept}"


@dataclass(frozen=True, slots=True)
class Suspicions:
    """The doubtful labels, the most suspicious first, and what the list is of."""

    listed: tuple[Suspicion, ...]
    doubtful: int  # labels that are less likely than another one, listed or not
    likely_wrong: int  # by confident learning: an estimate of how many labels are wrong
    judged: int
    not_judged: Mapping[str, int] = field(default_factory=dict)  # reason -> documents


def suspicious_labels(
    documents: Sequence[Document], column: str, settings: SuspicionSettings | None = None
) -> Suspicions:
    """The doubtful labels of a column. The order of the documents makes no difference."""
    settings = settings or SuspicionSettings()
    labeled = sorted((d for d in documents if d.answers.get(column, "").strip()), key=lambda d: (d.key, d.id))
    cases = [_case(document, column, settings) for document in labeled]
    reasons = {case.document.id: _why_not_judged(case, among) for among in [_units(cases)] for case in cases}
    not_judged = Counter(reason for reason in reasons.values() if reason)
    judged = [case for case in cases if not reasons[case.document.id]]
    if not judged:
        return Suspicions((), 0, 0, 0, dict(not_judged))
    opinion = _out_of_fold(judged, settings.folds)
    wrong = _likely_wrong(opinion)
    doubtful = [row for row in opinion.by_doubt() if opinion.known[row] and opinion.margin[row] <= 0]
    listed = tuple(_suspicion(judged[row], opinion, row, bool(wrong[row])) for row in doubtful[: settings.most])
    known = int(opinion.known.sum())
    if known < len(judged):
        not_judged["label of one fold only"] = len(judged) - known
    return Suspicions(listed, len(doubtful), int(wrong.sum()), known, dict(not_judged))


# --- cases ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    """One labeled document: what it shows, and whose it is."""

    document: Document
    label: str
    unit: str  # patient or group
    signs: Mapping[str, str]  # sign -> the same in words


def _case(document: Document, column: str, settings: SuspicionSettings) -> _Case:
    by_group = settings.by is Apart.GROUP and document.group
    unit = f"group {document.group}" if by_group else f"patient {document.patient}"
    words = settings.signs is Signs.WORDS
    signs = {word: word for word in own_words(document)} if words else _findings_in_words(document)
    return _Case(document, " ".join(document.answers[column].split()), unit, signs)


def _findings_in_words(document: Document) -> dict[str, str]:
    """The signs of candidates.py, each as the document says it: that a finding is spoken of, and what is said."""
    said: dict[str, str] = {}
    for finding in document.findings:
        present = finding.status is Status.PRESENT
        words = finding.label if present else f"{finding.label} ({finding.status.value})"
        said[finding.concept] = said[f"{finding.concept} {finding.status.value}"] = words
    return {sign: said[sign] for sign in signs_of(document)}


def _units(cases: Sequence[_Case]) -> dict[str, set[str]]:
    units: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        units[case.label].add(case.unit)
    return units


def _why_not_judged(case: _Case, units: Mapping[str, set[str]]) -> str:
    """Empty for a case that can be judged."""
    if not case.signs:
        return "no sign"
    return "" if len(units[case.label]) > 1 else f"label of one {case.unit.split()[0]} only"


# --- opinions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Opinion:
    """What models that had not seen a case's unit think of it."""

    labels: tuple[str, ...]
    given: Numbers  # (cases,), the label's number
    logs: Numbers  # (cases, labels), log probabilities, not calibrated
    suggested: Numbers  # (cases,), the likeliest other label's number
    margin: Numbers  # (cases,), log probability of the label less that of the suggested one
    known: Numbers  # (cases,), whether the models that judged it knew the label
    temperature: float
    evidence: Mapping[int, tuple[tuple[str, ...], tuple[str, ...]]]  # for doubtful rows: signs for either label

    def by_doubt(self) -> list[int]:
        """The rows, the most doubtful first."""
        return [int(row) for row in np.argsort(self.margin, kind="stable")]

    def shares(self) -> Numbers:
        """Calibrated probabilities."""
        return _softmax(self.logs / self.temperature)


def _out_of_fold(cases: Sequence[_Case], folds: int) -> _Opinion:
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.naive_bayes import MultinomialNB

    labels = tuple(sorted({case.label for case in cases}))
    given = np.array([labels.index(case.label) for case in cases])
    vectorizer = DictVectorizer(dtype=np.float32)
    table = vectorizer.fit_transform([dict.fromkeys(case.signs, 1) for case in cases])  # (cases, signs), sparse
    names = vectorizer.get_feature_names_out()
    fold = _folds([case.unit for case in cases], folds)
    logs = np.full((len(cases), len(labels)), _UNSEEN, dtype=np.float32)
    evidence: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for part in range(folds):
        inside, outside = np.flatnonzero(fold == part), np.flatnonzero(fold != part)
        if not len(inside) or not len(outside):
            continue
        model = MultinomialNB(alpha=SMOOTHING).fit(table[outside], given[outside])
        logs[np.ix_(inside, model.classes_)] = model.predict_log_proba(table[inside])
        place = {int(label): number for number, label in enumerate(model.classes_)}
        for row, (label, other) in zip(inside, _pairs(logs[inside], given[inside]), strict=True):
            if label in place and other in place and logs[row, label] <= logs[row, other]:
                weight = model.feature_log_prob_[place[other]] - model.feature_log_prob_[place[label]]
                evidence[int(row)] = _evidence(cases[int(row)], names, table[[row]].indices, weight)
    suggested = np.array([other for _, other in _pairs(logs, given)])
    rows = np.arange(len(cases))
    margin = logs[rows, given] - logs[rows, suggested]
    known = logs[rows, given] > _UNSEEN
    temperature = _honest_temperature(logs[known], given[known])
    return _Opinion(labels, given, logs, suggested, margin, known, temperature, evidence)


def _folds(units: Sequence[str], folds: int) -> Numbers:
    """The fold of each case: units in the order of their hashes, dealt out in turn."""
    ordered = sorted(set(units), key=lambda unit: hashlib.sha256(f"suspicions:{unit}".encode()).hexdigest())
    fold_of = {unit: number % folds for number, unit in enumerate(ordered)}
    return np.array([fold_of[unit] for unit in units])


def _pairs(logs: Numbers, given: Numbers) -> Iterator[tuple[int, int]]:
    """For each row the given label and the likeliest other one."""
    others = logs.copy()
    others[np.arange(len(logs)), given] = -np.inf
    return zip(map(int, given), map(int, others.argmax(axis=1)), strict=True)


def _evidence(
    case: _Case, names: Numbers, present: Numbers, weight: Numbers
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The strongest signs for the suggested label, and for the given one."""
    ordered = sorted(present, key=lambda sign: (-weight[sign], names[sign]))
    for_other = [sign for sign in ordered if weight[sign] > 0]
    for_label = [sign for sign in reversed(ordered) if weight[sign] < 0]
    return _in_words(case, names, for_other), _in_words(case, names, for_label)


def _in_words(case: _Case, names: Numbers, signs: Sequence[int]) -> tuple[str, ...]:
    """The first signs in words, each once."""
    return tuple(dict.fromkeys(case.signs[str(names[sign])] for sign in signs))[:_NAMED]


def _likely_wrong(opinion: _Opinion) -> Numbers:
    """Confident learning: another label reaches its own average confidence, and is the likeliest that does.

    Rule: t(k) = mean of p(k) over cases labeled k; wrong where the argmax of p(k) over those k with p(k) >= t(k) is not
    the label. Cases whose label their model did not know count on neither side.
    """
    shares = opinion.shares()
    rows = np.arange(len(shares))
    weights = shares[rows, opinion.given] * opinion.known
    counts = np.bincount(opinion.given, weights=opinion.known, minlength=len(opinion.labels))
    sums = np.bincount(opinion.given, weights=weights, minlength=len(opinion.labels))
    threshold = sums / np.maximum(counts, 1)
    confident = np.where(shares >= threshold, shares, -1.0)  # (cases, labels)
    best = confident.argmax(axis=1)
    return np.asarray((confident[rows, best] > 0) & (best != opinion.given) & (opinion.margin < 0) & opinion.known)


def _honest_temperature(logs: Numbers, given: Numbers) -> float:
    """The temperature with the smallest log loss; the wrong labels among the cases push it up a little."""
    rows = np.arange(len(logs))

    def loss(temperature: float) -> float:
        return float(-np.log(np.maximum(_softmax(logs / temperature)[rows, given], 1e-12)).sum())

    return min(TEMPERATURES, key=loss)


def _softmax(logs: Numbers) -> Numbers:
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _suspicion(case: _Case, opinion: _Opinion, row: int, wrong: bool) -> Suspicion:
    share = float(1 / (1 + np.exp(min(-opinion.margin[row] / opinion.temperature, 700))))  # e**700 is the last float
    for_suggested, for_label = opinion.evidence.get(row, ((), ()))
    return Suspicion(
        document=case.document.id,
        key=case.document.key,
        patient=case.document.patient,
        label=case.label,
        suggested=opinion.labels[opinion.suggested[row]],
        label_share=share,
        suggested_share=1 - share,
        likely_wrong=wrong,
        speaks_for_suggested=for_suggested,
        speaks_for_label=for_label,
    )
