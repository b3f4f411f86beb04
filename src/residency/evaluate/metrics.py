"""What is measured: every metric of every kind of task, each with its interval.

In: examples with gold answers, and the predictions of one system for exactly these examples.
Out: a ``Score`` for every metric; the ``Tally`` behind each of them (for paired comparison); scores of single cases.

Covers: classify (accuracy, balanced accuracy, macro-F1, top-3, mean reciprocal rank), extract (strict, concept and
per-status F1, polarity flips), generate (facts, ROUGE, BLEU, chrF, length, repetition), all (perplexity, bits per byte,
unscored). Does not cover: whether a difference is real (compare.py), whether a confidence is honest (calibration.py).

An output that could not be read is wrong, and counted: a wrong label, no findings, an empty text. A metric that is not
defined on the cases (e.g. precision where nothing was output) has no ``Score``: it is missing, not zero.

Rejected: own implementations of ROUGE, BLEU and chrF; figures must be comparable with the packages everybody uses.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from residency.errors import EvaluationError
from residency.evaluate.intervals import (
    DRAWS,
    Array,
    Interval,
    Shape,
    Statistic,
    Tally,
    interval,
    ratio,
    upper_bound,
)
from residency.records import Example, Finding, Prediction, Score, Status, TaskKind

Find = Callable[[str], Sequence[Finding]]  # the findings that a text names, e.g. the terminology step
Facts = frozenset[tuple[str, str]]  # (concept, status)

TOP = 3
SHOWN = 5  # ids named in an error
REPEATED_WORDS = 4  # length of the word sequences whose repetition is counted (Welleck et al. 2020, seq-rep-4)
OPPOSITE = {Status.PRESENT.value: Status.ABSENT.value, Status.ABSENT.value: Status.PRESENT.value}
CLASSIFY, EXTRACT, GENERATE = (frozenset({kind}) for kind in TaskKind)


@dataclass(frozen=True, slots=True)
class Metric:
    """What a reader must know about a metric. ``surface``: similarity of wording, which must not decide anything."""

    name: str
    title: str
    kinds: frozenset[TaskKind] = frozenset(TaskKind)
    lower_is_better: bool = False
    surface: bool = False
    # False: a description, such as the length of the outputs; neither direction is better.
    ranks: bool = True
    ceiling: float | None = 1.0


def _rouge_metrics() -> Iterable[Metric]:
    for kind, title in (
        ("rouge1", "ROUGE-1"),
        ("rouge2", "ROUGE-2"),
        ("rougeL", "ROUGE-L"),
        ("rougeLsum", "ROUGE-Lsum"),
    ):
        yield Metric(kind, f"{title} F1", GENERATE, surface=True)
        yield Metric(f"{kind}_stem", f"{title} F1, stemmed", GENERATE, surface=True)


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", CLASSIFY),
        Metric("balanced_accuracy", "balanced accuracy", CLASSIFY),
        Metric("macro_f1", "macro-F1", CLASSIFY),
        Metric("top3_accuracy", f"top-{TOP} accuracy", CLASSIFY),
        Metric("mrr", "mean reciprocal rank", CLASSIFY),
        Metric("f1", "F1 of findings", EXTRACT),
        Metric("precision", "precision of findings", EXTRACT),
        Metric("recall", "recall of findings", EXTRACT),
        Metric("concept_f1", "F1 of concepts, status ignored", EXTRACT),
        Metric("document_f1", "F1 of findings, mean over documents", EXTRACT),
        Metric("exact_match", "documents without any error", EXTRACT),
        *(Metric(f"f1_{status}", f"F1 of findings that are {status}", EXTRACT) for status in Status),
        Metric("polarity_flip_rate", "findings turned into their opposite", EXTRACT, lower_is_better=True),
        Metric("critical_error_rate", "documents with a polarity flip", EXTRACT, lower_is_better=True),
        Metric("fact_f1", "F1 of facts", GENERATE),
        Metric("fact_precision", "precision of facts", GENERATE),
        Metric("fact_recall", "recall of facts", GENERATE),
        Metric("fact_flip_rate", "facts turned into their opposite", GENERATE, lower_is_better=True),
        *_rouge_metrics(),
        Metric("bleu", "BLEU", GENERATE, surface=True, ceiling=100.0),
        Metric("chrf", "chrF", GENERATE, surface=True, ceiling=100.0),
        Metric("length_ratio", "words written per word of the gold answer", GENERATE, ranks=False, ceiling=None),
        Metric("repetition", f"repeated {REPEATED_WORDS}-word sequences", GENERATE, lower_is_better=True),
        Metric("perplexity", "perplexity of the gold answer", lower_is_better=True, ceiling=None),
        Metric("bits_per_byte", "bits per byte of the gold answer", lower_is_better=True, ceiling=None),
        Metric("unscored_rate", "outputs that could not be read", lower_is_better=True),
    )
}
"""Every metric there is: the report's titles, the comparison's directions and the gate's choices derive from it."""


def score(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    labels: Sequence[str] = (),
    find: Find | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Score]:
    """Every metric of one system on one task, with 95 % intervals clustered by patient.

    ``labels`` is the closed set of a classify task; ``find`` reads findings out of a text, for the facts of a generate
    task. Raises ``EvaluationError`` where examples and predictions do not belong together.
    """
    aligned = align(examples, predictions)
    clusters = [example.patient for example in examples]
    unscored = sum(not prediction.scored for prediction in aligned)
    scores = []
    for name, tally in tallies(examples, aligned, labels=labels, find=find).items():
        if math.isnan(tally.value):
            continue
        scores.append(_score(aligned[0], name, interval(tally, clusters, seed=seed, draws=draws), tally, unscored))
    return scores


def tallies(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    labels: Sequence[str] = (),
    find: Find | None = None,
) -> dict[str, Tally]:
    """What every case adds to every metric of the task's kind, by the metric's name, in the order of ``METRICS``.

    Two systems can be compared if both were tallied with the same ``labels``.
    """
    aligned = align(examples, predictions)
    kind = examples[0].kind
    if kind is TaskKind.CLASSIFY:
        found = _classify_tallies(examples, aligned, labels)
    elif kind is TaskKind.EXTRACT:
        found = _extract_tallies(examples, aligned)
    else:
        found = _generate_tallies(examples, aligned, find)
    found |= _likelihood_tallies(examples, aligned)
    found["unscored_rate"] = Tally.of_scores([float(not prediction.scored) for prediction in aligned])
    return {
        name: replace(found[name], lower_is_better=metric.lower_is_better, ceiling=metric.ceiling)
        for name, metric in METRICS.items()
        if name in found
    }


def case_scores(
    kind: TaskKind, example: Example, prediction: Prediction, *, find: Find | None = None
) -> dict[str, float]:
    """Scores of one case, for tables of the best and the worst. All but bits_per_byte are 0 where unscored."""
    if kind is TaskKind.CLASSIFY:
        scores = _classify_case(example, prediction)
    elif kind is TaskKind.EXTRACT:
        scores = _extract_case(example, prediction)
    else:
        scores = _generate_case(example, prediction, find)
    if prediction.nats is not None and example.answer:
        scores["bits_per_byte"] = prediction.nats / math.log(2) / len(example.answer.encode())
    return scores


HEADLINE: Mapping[TaskKind, str] = {
    TaskKind.CLASSIFY: "accuracy",
    TaskKind.EXTRACT: "f1",
    TaskKind.GENERATE: "fact_f1",
}
"""The metric that stands for a task where there is room for one."""

CASE_HEADLINE: Mapping[TaskKind, str] = {
    TaskKind.CLASSIFY: "accuracy",
    TaskKind.EXTRACT: "document_f1",
    TaskKind.GENERATE: "fact_f1",
}
"""The entry of ``case_scores`` that ranks single cases."""


def align(examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Prediction]:
    """The predictions in the order of the examples; an ``EvaluationError`` unless they fit one to one."""
    if not examples:
        raise EvaluationError("There are no cases to score.", fix="Check that the split has cases of this task.")
    wanted = [example.id for example in examples]
    by_example = {prediction.example: prediction for prediction in predictions}
    problems = [
        _named("case ids that occur more than once", _repeated(wanted)),
        _named("cases with more than one prediction", _repeated(p.example for p in predictions)),
        _named("cases without a prediction", [name for name in wanted if name not in by_example]),
        _named("predictions for cases that are not there", sorted(by_example.keys() - set(wanted))),
        _named("predictions of several systems", _different(p.system for p in predictions)),
        _named("predictions of several tasks", _different(p.task for p in predictions)),
        _named("cases of several tasks", _different(e.task for e in examples)),
        _named("predictions with numbers that are not finite", [p.example for p in predictions if not _finite(p)]),
    ]
    found = [problem for problem in problems if problem]
    if found:
        raise EvaluationError(
            f"Cases and predictions do not fit: {'; '.join(found)}.",
            fix="Score the predictions that were made for exactly these cases, or run the evaluation again.",
        )
    return [by_example[name] for name in wanted]


# --- classify --------------------------------------------------------------------------------------------------------


def _classify_tallies(
    examples: Sequence[Example], predictions: Sequence[Prediction], labels: Sequence[str]
) -> dict[str, Tally]:
    cases = [_classify_case(e, p) for e, p in zip(examples, predictions, strict=True)]
    found = {"accuracy": _mean_tally(cases, "accuracy")}
    gold = [str(example.gold) for example in examples]
    said = [None if p.value is None else str(p.value) for p in predictions]
    names = sorted({*labels, *gold, *(name for name in said if name is not None)})
    parts = _confusion_parts(gold, said, names)
    found["balanced_accuracy"] = Tally(parts, _balanced_accuracy, Shape.RATIO)
    found["macro_f1"] = Tally(parts, _macro_f1, Shape.RATIO)
    if any(prediction.probabilities for prediction in predictions):
        missing = [p.example for p in predictions if p.scored and not p.probabilities]
        if missing:
            raise EvaluationError(
                f"Some answers have probabilities and others have none: {_named('none', missing)}.",
                fix="Give the probabilities of every answer, or of none.",
            )
        found["top3_accuracy"] = _mean_tally(cases, "top3_accuracy")
        found["mrr"] = _mean_tally(cases, "mrr")
    return found


def _classify_case(example: Example, prediction: Prediction) -> dict[str, float]:
    scores = {"accuracy": float(prediction.scored and prediction.value == example.gold)}
    rank = gold_rank(example, prediction)
    scores["top3_accuracy"] = float(rank is not None and rank <= TOP)
    scores["mrr"] = 0.0 if rank is None else 1 / rank
    return scores


def gold_rank(example: Example, prediction: Prediction) -> int | None:
    """The place of the gold label by probability, first is 1; labels as probable as it stand before it.

    None where the system gave no probabilities, could not be read, or does not know the label.
    """
    probability = prediction.probabilities.get(str(example.gold)) if prediction.scored else None
    if probability is None:
        return None
    return sum(other >= probability for other in prediction.probabilities.values())


def _confusion_parts(gold: Sequence[str], said: Sequence[str | None], names: Sequence[str]) -> Array:
    """(n, 3L): for each label whether the case is a hit, a gold case, and an answer with it. Unscored is no answer."""
    place = {name: position for position, name in enumerate(names)}
    parts = np.zeros((3, len(gold), len(names)))
    for row, (right, answer) in enumerate(zip(gold, said, strict=True)):
        parts[0, row, place[right]] = answer == right
        parts[1, row, place[right]] = 1
        if answer is not None:
            parts[2, row, place[answer]] = 1
    return np.concatenate(list(parts), axis=1)


def _balanced_accuracy(sums: Array) -> Array:
    hits, gold, _ = np.split(sums, 3, axis=-1)
    return _mean_where_defined(ratio(hits, gold))


def _macro_f1(sums: Array) -> Array:
    """Mean F1 over the labels that are gold or answered at least once, as scikit-learn averages."""
    hits, gold, answered = np.split(sums, 3, axis=-1)
    return _mean_where_defined(ratio(2 * hits, gold + answered))


def _mean_where_defined(values: Array) -> Array:
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1).astype(np.float64))


# --- extract ---------------------------------------------------------------------------------------------------------


def _extract_tallies(examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, Tally]:
    cases = [_extract_case(e, p) for e, p in zip(examples, predictions, strict=True)]
    pairs = [(_facts(e.gold), _facts(p.value)) for e, p in zip(examples, predictions, strict=True)]
    found = _overlap_tallies([_overlap(gold, said) for gold, said in pairs], prefix="")
    found["concept_f1"] = Tally(
        np.array([_overlap(_concepts(gold), _concepts(said)) for gold, said in pairs]), _f1, Shape.RATIO
    )
    for status in Status:
        counts = [_overlap(_with_status(gold, status), _with_status(said, status)) for gold, said in pairs]
        found[f"f1_{status}"] = Tally(np.array(counts), _f1, Shape.RATIO)
    found["document_f1"] = _mean_tally(cases, "document_f1")
    found["exact_match"] = _mean_tally(cases, "exact_match")
    found["polarity_flip_rate"] = _flip_tally(pairs)
    flipped = [float(case["polarity_flips"] > 0) for case in cases]
    bound = upper_bound(sum(flipped), len(flipped))
    note = f"one-sided 95 % upper bound {bound:.4f}, every document counted as independent"
    found["critical_error_rate"] = replace(Tally.of_scores(flipped), note=note)
    return found


def _extract_case(example: Example, prediction: Prediction) -> dict[str, float]:
    gold, said = _facts(example.gold), _facts(prediction.value)
    hits, gold_count, said_count = _overlap(gold, said)
    both_empty = not gold and not said
    return {
        "document_f1": float(prediction.scored and (both_empty or 2 * hits / (gold_count + said_count))),
        "exact_match": float(prediction.scored and gold == said),
        "polarity_flips": float(polarity_flips(gold, said)),
    }


def polarity_flips(gold: Facts, said: Facts) -> int:
    """Concepts of which the output says present where gold says only absent, or the other way round.

    An output that says both counts: it asserts the opposite of the truth. Gold that says both cannot be flipped.
    """
    return sum(
        (concept, OPPOSITE[status]) in said and (concept, OPPOSITE[status]) not in gold
        for concept, status in gold
        if status in OPPOSITE
    )


def _flip_tally(pairs: Sequence[tuple[Facts, Facts]]) -> Tally:
    parts = [(polarity_flips(gold, said), sum(status in OPPOSITE for _, status in gold)) for gold, said in pairs]
    flips = sum(count for count, _ in parts)
    return Tally(np.array(parts, dtype=np.float64), _share_of_sums, Shape.RATIO, note=f"{flips} polarity flip(s)")


def _facts(findings: Iterable[Mapping[str, Any]] | None) -> Facts:
    """Findings as a set of (concept, status). A name outside the terminology stands for itself, and is never gold."""
    return frozenset((f["concept"] or f"name:{f['label'].casefold()}", str(f["status"])) for f in findings or ())


def _concepts(facts: Facts) -> frozenset[str]:
    return frozenset(concept for concept, _ in facts)


def _with_status(facts: Facts, status: Status) -> Facts:
    return frozenset(fact for fact in facts if fact[1] == status.value)


def _overlap(gold: frozenset[Any], said: frozenset[Any]) -> tuple[float, float, float]:
    """(hits, gold, said)."""
    return float(len(gold & said)), float(len(gold)), float(len(said))


def _overlap_tallies(counts: Sequence[tuple[float, float, float]], *, prefix: str) -> dict[str, Tally]:
    parts = np.array(counts)
    return {
        f"{prefix}f1": Tally(parts, _f1, Shape.RATIO),
        f"{prefix}precision": Tally(parts, lambda sums: ratio(sums[..., 0], sums[..., 2]), Shape.RATIO),
        f"{prefix}recall": Tally(parts, lambda sums: ratio(sums[..., 0], sums[..., 1]), Shape.RATIO),
    }


def _f1(sums: Array) -> Array:
    return ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def _share_of_sums(sums: Array) -> Array:
    return ratio(sums[..., 0], sums[..., 1])


# --- generate --------------------------------------------------------------------------------------------------------


def _generate_tallies(
    examples: Sequence[Example], predictions: Sequence[Prediction], find: Find | None
) -> dict[str, Tally]:
    gold = [str(example.gold) for example in examples]
    written = [_text(prediction) for prediction in predictions]
    found: dict[str, Tally] = {}
    if find is not None:
        pairs = [(_named_facts(find(g)), _named_facts(find(w))) for g, w in zip(gold, written, strict=True)]
        found |= _overlap_tallies([_overlap(*pair) for pair in pairs], prefix="fact_")
        found["fact_flip_rate"] = _flip_tally(pairs)
    rouge = [_rouge(g, w) for g, w in zip(gold, written, strict=True)]
    found |= {name: _mean_tally(rouge, name, note="surface similarity") for name in rouge[0]}
    found["bleu"] = _sacrebleu_tally("BLEU", gold, written)
    found["chrf"] = _sacrebleu_tally("CHRF", gold, written)
    lengths = np.array([(len(w.split()), len(g.split())) for g, w in zip(gold, written, strict=True)], dtype=np.float64)
    found["length_ratio"] = Tally(lengths, _share_of_sums, Shape.RATIO)
    repeats = np.array([_repeated_sequences(text) for text in written], dtype=np.float64)
    found["repetition"] = Tally(repeats, _share_of_sums, Shape.RATIO)
    return found


def _generate_case(example: Example, prediction: Prediction, find: Find | None) -> dict[str, float]:
    gold, written = str(example.gold), _text(prediction)
    scores: dict[str, float] = {}
    if find is not None:
        gold_facts, facts = _named_facts(find(gold)), _named_facts(find(written))
        hits, gold_count, count = _overlap(gold_facts, facts)
        both_empty = not gold_facts and not facts
        scores["fact_f1"] = float(prediction.scored and (both_empty or 2 * hits / (gold_count + count)))
        scores["fact_flips"] = float(polarity_flips(gold_facts, facts))
    scores |= _rouge(gold, written)
    repeated, sequences = _repeated_sequences(written)
    scores["repetition"] = repeated / sequences if sequences else 0.0
    return scores


def _text(prediction: Prediction) -> str:
    return "" if prediction.value is None else str(prediction.value)


def _named_facts(findings: Sequence[Finding]) -> Facts:
    return frozenset(finding.key for finding in findings)


@lru_cache(maxsize=1 << 14)  # the score and the table of cases ask for the same pairs
def _rouge_values(gold: str, written: str) -> tuple[tuple[str, float], ...]:
    values = []
    for stem, scorer in _rouge_scorers().items():
        values += [(f"{kind}{stem}", float(s.fmeasure)) for kind, s in scorer.score(gold, written).items()]
    return tuple(values)


def _rouge(gold: str, written: str) -> dict[str, float]:
    """ROUGE F1 with and without Porter stemming; sentences for Lsum are lines (Lin 2004, rouge_score)."""
    return dict(_rouge_values(gold, written))


@lru_cache(maxsize=1)
def _rouge_scorers() -> dict[str, Any]:
    from rouge_score.rouge_scorer import RougeScorer

    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    return {"": RougeScorer(kinds), "_stem": RougeScorer(kinds, use_stemmer=True)}


def _sacrebleu_tally(name: str, gold: Sequence[str], written: Sequence[str]) -> Tally:
    """Corpus BLEU or chrF (0 to 100) with sacreBLEU's defaults and its signature as the note.

    The counts behind a sentence's score, and the score of summed counts, are sacreBLEU's own paired bootstrap's; they
    have no public name. The parity test holds them to ``corpus_score``.
    """
    import sacrebleu

    metric = getattr(sacrebleu, name)(force=True) if name == "BLEU" else getattr(sacrebleu, name)()
    parts = np.array(metric._extract_corpus_statistics(written, [gold]), dtype=np.float64)

    def corpus(sums: Array) -> Array:
        rows = sums.reshape(-1, sums.shape[-1])
        values = [metric._compute_score_from_stats(np.rint(row).astype(int).tolist()).score for row in rows]
        return np.array(values, dtype=np.float64).reshape(sums.shape[:-1])

    statistic: Statistic = corpus
    return Tally(parts, statistic, Shape.RATIO, note=f"surface similarity; {metric.get_signature()}")


def _repeated_sequences(text: str) -> tuple[int, int]:
    """How many word sequences of a text were there before in it, of how many."""
    words = text.casefold().split()
    sequences = [tuple(words[i : i + REPEATED_WORDS]) for i in range(len(words) - REPEATED_WORDS + 1)]
    return len(sequences) - len(set(sequences)), len(sequences)


# --- all kinds -------------------------------------------------------------------------------------------------------


def _likelihood_tallies(examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, Tally]:
    """Perplexity and bits per byte of the gold answers: target tokens only, the prompt is not counted.

    A question that a model could not take in has no likelihood and no answer; it is left out here, and counted as
    unscored elsewhere.
    """
    known = [p.nats is not None and p.tokens is not None for p in predictions]
    if not any(known):
        return {}
    missing = [p.example for p, there in zip(predictions, known, strict=True) if p.scored and not there]
    if missing:
        raise EvaluationError(
            f"The likelihood of the gold answer is not known everywhere: {_named('missing', missing)}.",
            fix="Run the evaluation again, so that every case is scored by the same model.",
        )
    nats = np.array([p.nats or 0.0 for p in predictions], dtype=np.float64)
    tokens = np.array([p.tokens or 0 for p in predictions], dtype=np.float64)
    size = np.array(
        [len(e.answer.encode()) * there for e, there in zip(examples, known, strict=True)], dtype=np.float64
    )
    left_out = f"{known.count(False)} cases that the model could not take in left out" if not all(known) else ""
    return {
        "perplexity": Tally(
            np.column_stack([nats, tokens]),
            lambda sums: np.exp(_share_of_sums(sums)),
            Shape.RATIO,
            note="; ".join(filter(None, ["comparable between systems with the same tokenizer only", left_out])),
        ),
        "bits_per_byte": Tally(np.column_stack([nats / math.log(2), size]), _share_of_sums, Shape.RATIO, note=left_out),
    }


def _mean_tally(cases: Sequence[Mapping[str, float]], name: str, *, note: str = "") -> Tally:
    return Tally.of_scores([case[name] for case in cases], note=note)


def _score(of: Prediction, metric: str, measured: Interval, tally: Tally, unscored: int) -> Score:
    return Score(
        task=of.task,
        system=of.system,
        metric=metric,
        value=measured.value,
        low=measured.low,
        high=measured.high,
        n=measured.n,
        clusters=measured.clusters,
        unscored=unscored,
        note="; ".join(filter(None, (tally.note, measured.note))),
    )


def _finite(prediction: Prediction) -> bool:
    numbers = [prediction.nats, prediction.confidence, *prediction.probabilities.values()]
    return all(number is None or math.isfinite(number) for number in numbers)


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _different(names: Iterable[str]) -> list[str]:
    distinct = sorted(set(names))
    return distinct if len(distinct) > 1 else []


def _named(problem: str, ids: Sequence[str]) -> str:
    """The problem with the first ids, empty where there are none."""
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return f"{problem}: {', '.join(ids[:SHOWN])}{more}" if ids else ""
