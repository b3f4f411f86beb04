"""Every metric there is: what a reader must know about each.

In: nothing. Out: ``METRICS`` by name; the headline of each kind of task; ``metric_of`` for a name.

Covers: titles, directions, largest values, which of them may decide. The report's titles, the comparison's directions
and the gate's choices derive from it. Does not cover: how a metric is computed (its kind's module).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from residency.records import Status, TaskKind

TOP = (1, 3, 5, 10)  # the gold label is among so many most likely ones; EVALUATION.md d1. The first is accuracy
REPEATED_WORDS = 4  # length of the word sequences whose repetition is counted (Welleck et al. 2020, seq-rep-4)
OWN = "own:"  # before the name of a metric that a team wrote itself
CLASSIFY, EXTRACT, GENERATE = (frozenset({kind}) for kind in TaskKind)
TEXTS = EXTRACT | GENERATE  # whose outputs make claims about a source


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

    @property
    def decides(self) -> bool:
        """Whether a gate may hang on it."""
        return self.ranks and not self.surface


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
        *(Metric(f"top{k}_accuracy", f"top-{k} accuracy", CLASSIFY) for k in TOP[1:]),
        Metric("mrr", "mean reciprocal rank", CLASSIFY),
        Metric("f1", "F1 of findings", EXTRACT),
        Metric("precision", "precision of findings", EXTRACT),
        Metric("recall", "recall of findings", EXTRACT),
        Metric("concept_f1", "F1 of concepts, status ignored", EXTRACT),
        Metric("document_f1", "F1 of findings, mean over documents", EXTRACT),
        Metric("exact_match", "documents without any error", EXTRACT),
        *(Metric(f"f1_{status}", f"F1 of findings that are {status}", EXTRACT) for status in Status),
        Metric("span_f1", "F1 of spans, label and boundaries", EXTRACT),
        Metric("span_partial_f1", "F1 of spans, half for an overlap", EXTRACT),
        Metric("span_type_f1", "F1 of spans, label and any overlap", EXTRACT),
        Metric("polarity_flip_rate", "findings turned into their opposite", EXTRACT, lower_is_better=True),
        Metric("fact_f1", "F1 of facts", GENERATE),
        Metric("fact_precision", "precision of facts", GENERATE),
        Metric("fact_recall", "recall of facts", GENERATE),
        Metric("fact_flip_rate", "facts turned into their opposite", GENERATE, lower_is_better=True),
        *_rouge_metrics(),
        Metric("bleu", "BLEU", GENERATE, surface=True, ceiling=100.0),
        Metric("chrf", "chrF", GENERATE, surface=True, ceiling=100.0),
        Metric("length_ratio", "words written per word of the gold answer", GENERATE, ranks=False, ceiling=None),
        Metric("repetition", f"repeated {REPEATED_WORDS}-word sequences", GENERATE, lower_is_better=True),
        # By the table of critical errors where there is one; otherwise polarity flips alone.
        Metric("critical_error_rate", "documents with a critical error", lower_is_better=True),
        Metric("critical_cost", "severity of critical errors a document", lower_is_better=True, ceiling=None),
        Metric("hallucination_rate", "claims that the source does not bear out", TEXTS, lower_is_better=True),
        Metric("hallucinated_document_rate", "documents with such a claim", TEXTS, lower_is_better=True),
        Metric("omission_rate", "gold facts left out", TEXTS, lower_is_better=True),
        Metric("perplexity", "perplexity of the gold answer", lower_is_better=True, ceiling=None),
        Metric("bits_per_byte", "bits per byte of the gold answer", lower_is_better=True, ceiling=None),
        Metric("unscored_rate", "outputs that could not be read", lower_is_better=True),
    )
}
"""Every metric that comes with the product."""


OF_SOURCES = frozenset(
    {"critical_error_rate", "critical_cost", "hallucination_rate", "hallucinated_document_rate", "omission_rate"}
)
"""Metrics that need more than answers: the source texts, or the table of critical errors (safety.py)."""


def metric_of(name: str) -> Metric:
    """A metric by its name. A team's own is a score from 0 to 1 a case, higher is better; so is it with a new name."""
    if name.startswith(OWN):
        return Metric(name, name.removeprefix(OWN).replace("_", " "))
    return METRICS.get(name) or Metric(name, name.replace("_", " "), ceiling=None)


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
