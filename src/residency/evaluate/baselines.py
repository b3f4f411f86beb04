"""What a tuned model must beat: systems that cost nothing to train and are hard to beat with few reports.

In: texts and labels of the training split, texts or extracted findings of the cases. Out: their
predictions.

Covers: classify (most frequent label; character n-grams with logistic regression), extract (what the
terminology step found), generate (the first sentences; the found findings in one sentence).
Does not cover: prompting the base model; that is an ordinary model run (run.py).

Nothing here ever sees a test answer; what has to be chosen is chosen by cross-validation over training patients.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from residency.errors import EvaluationError
from residency.records import Example, Finding, Prediction, Status, TaskKind, record_id

MAJORITY, LINEAR, TERMINOLOGY, LEAD = "majority", "linear", "terminology", "lead"  # names of the systems
STRENGTHS = (10.0, 100.0, 1000.0)  # C of the logistic regression, inverse of its penalty; tried on training folds
FOLDS = 3
BASELINES: Mapping[TaskKind, tuple[str, ...]] = {
    TaskKind.CLASSIFY: ("linear", "candidates"),
    TaskKind.EXTRACT: ("terminology",),
    TaskKind.GENERATE: ("terminology",),
}
"""The systems without a language model that the story asks, by kind of task."""
LEAD_SENTENCES = 3
MIN_TEXTS, MIN_SHARE = 3, 0.1  # a character n-gram must occur in so many training texts, or in this share of few
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


def majority_baseline(train_labels: Sequence[str], examples: Sequence[Example]) -> list[Prediction]:
    """The most frequent training label for every case; probabilities are the labels' training frequencies."""
    _need_labels(train_labels)
    frequencies = _frequencies(train_labels)
    return [_closed(example, MAJORITY, frequencies) for example in examples]


def linear_baseline(
    train_texts: Sequence[str],
    train_labels: Sequence[str],
    train_patients: Sequence[str],
    examples: Sequence[Example],
    texts: Sequence[str],
    *,
    seed: int = 0,
) -> list[Prediction]:
    """TF-IDF and logistic regression; the penalty is chosen by cross-validation over training patients.

    ``texts`` are those of ``examples``, in their order. With one training label, or too few patients to hold some out,
    it falls back to the majority label, or to the middle penalty.
    """
    _need_labels(train_labels)
    if not len(train_texts) == len(train_labels) == len(train_patients) or len(texts) != len(examples):
        raise EvaluationError(
            "Texts, labels, patients and cases of the linear baseline differ in number.",
            fix="Give one label and one patient for every training text, and one text for every case.",
        )
    if len(set(train_labels)) == 1 or not any(text.strip() for text in train_texts):
        return [_closed(example, LINEAR, _frequencies(train_labels)) for example in examples]
    begun = time.monotonic()
    strength = _choose_strength(train_texts, train_labels, train_patients, seed)
    classifier = _classifier(strength, len(train_texts)).fit(list(train_texts), list(train_labels))
    rows = classifier.predict_proba(list(texts)) if texts else []
    seconds = (time.monotonic() - begun) / max(len(examples), 1)
    names = [str(name) for name in classifier.classes_]
    return [
        _closed(example, LINEAR, dict(zip(names, map(float, row), strict=True)), seconds)
        for example, row in zip(examples, rows, strict=True)
    ]


def candidates_baseline(
    examples: Sequence[Example], candidates: Mapping[str, Sequence[tuple[str, float]]]
) -> list[Prediction]:
    """The likeliest candidate that a prompt shows, for classify tasks; ``candidates`` by document id."""
    return [_closed(example, "candidates", dict(candidates[example.parents[0]])) for example in examples]


def findings_baseline(examples: Sequence[Example], findings: Mapping[str, Sequence[Finding]]) -> list[Prediction]:
    """The terminology step alone, for extract tasks; ``findings`` by document id."""
    predictions = []
    for example in examples:
        distinct = {finding.key: finding for finding in _of_documents(example, findings)}
        value = [{"concept": f.concept, "label": f.label, "status": f.status.value} for f in distinct.values()]
        output = "; ".join(f"{f.label} {f.status.value}" for f in distinct.values())
        predictions.append(_answer(example, TERMINOLOGY, output, value))
    return predictions


def findings_sentence_baseline(
    examples: Sequence[Example], findings: Mapping[str, Sequence[Finding]]
) -> list[Prediction]:
    """The found findings that are present as one sentence, for generate tasks; ``findings`` by document id."""
    predictions = []
    for example in examples:
        present = [f.label for f in _of_documents(example, findings) if f.status is Status.PRESENT]
        names = list(dict.fromkeys(map(_inside_sentence, present)))
        listed = " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
        text = f"Patient with {listed}." if listed else "Patient without recorded findings."
        predictions.append(_answer(example, TERMINOLOGY, text, text))
    return predictions


def lead_baseline(examples: Sequence[Example], texts: Sequence[str]) -> list[Prediction]:
    """The first sentences of the text, for generate tasks; ``texts`` in the order of ``examples``."""
    predictions = []
    for example, text in zip(examples, texts, strict=True):
        sentences = [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]
        lead = " ".join(sentences[:LEAD_SENTENCES])
        predictions.append(_answer(example, LEAD, lead, lead or None))
    return predictions


def _choose_strength(texts: Sequence[str], labels: Sequence[str], patients: Sequence[str], seed: int) -> float:
    """The penalty with the smallest log loss on held-out training patients; of equal ones the strongest penalty."""
    import numpy as np
    from sklearn.model_selection import GroupKFold

    if len(set(patients)) < 2 * FOLDS:
        return STRENGTHS[len(STRENGTHS) // 2]
    folds = list(GroupKFold(n_splits=FOLDS, shuffle=True, random_state=seed).split(texts, labels, patients))
    losses = dict.fromkeys(STRENGTHS, 0.0)
    for train, held_out in folds:
        features, known = _features(len(train)), [labels[i] for i in train]
        if len(set(known)) < 2:
            continue
        inside = features.fit_transform([texts[i] for i in train])
        outside = features.transform([texts[i] for i in held_out])
        for strength in STRENGTHS:
            fitted = _regression(strength).fit(inside, known)
            place = {name: column for column, name in enumerate(fitted.classes_)}
            rows = fitted.predict_proba(outside)
            # A label that the fold's training part does not have costs every strength the same.
            gold = [rows[r, place[labels[i]]] if labels[i] in place else 1.0 for r, i in enumerate(held_out)]
            losses[strength] -= float(np.log(np.maximum(gold, 1e-12)).sum())
    return min(STRENGTHS, key=lambda strength: losses[strength])


def _classifier(strength: float, texts: int) -> Any:
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_features(texts), _regression(strength))


def _features(texts: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Chosen by us on neurology reports of patients outside the demo: words, alone or as well, were right less often.
    least = max(1, min(MIN_TEXTS, int(MIN_SHARE * texts)))
    return TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=least, strip_accents="unicode"
    )


def _regression(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=1_000)


def _inside_sentence(name: str) -> str:
    """Lower-case first letter, except for abbreviations."""
    return name[:1].lower() + name[1:] if name[1:2].islower() else name


def _of_documents(example: Example, findings: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    missing = [document for document in example.parents if document not in findings]
    if missing:
        raise EvaluationError(
            f"No findings are given for document {missing[0]} of case {example.id}.",
            fix="Run the terminology step on every document, also on those in which it finds nothing.",
        )
    return [finding for document in example.parents for finding in findings[document]]


def _frequencies(labels: Sequence[str]) -> dict[str, float]:
    counts = Counter(labels)
    return {label: counts[label] / len(labels) for label in sorted(counts)}


def _need_labels(labels: Sequence[str]) -> None:
    if not labels:
        raise EvaluationError("There are no training labels.", fix="Check that the training split has labeled cases.")


def _closed(example: Example, system: str, probabilities: dict[str, float], seconds: float = 0.0) -> Prediction:
    best = max(probabilities, key=lambda label: probabilities[label])
    return _answer(
        example, system, best, best, confidence=probabilities[best], probabilities=probabilities, seconds=seconds
    )


def _answer(example: Example, system: str, output: str, value: Any, **more: Any) -> Prediction:
    return Prediction(
        id=record_id("p", system=system, example=example.id),
        example=example.id,
        task=example.task,
        system=system,
        output=output,
        value=value,
        **more,
    )
