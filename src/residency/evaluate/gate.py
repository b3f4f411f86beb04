"""May the specialist go on? A policy, written before the numbers are known, is held against the evidence.

In: ``GateSettings`` (the lines of the policy) and ``GateEvidence`` (scores, comparisons, people's reviews).
Out: a ``GateResult``: GO, NO-GO or INCONCLUSIVE for each line and overall, each with its reason and the next step.

Covers: better than another system, not worse than another system, a least or largest value, unread outputs, human
reviews, reviewed de-identification. Does not cover: running what is missing; the next step says what to run.

A line is passed when the whole interval is on its good side, refused when the whole interval is on its bad side, and
inconclusive otherwise, or where the number was not measured. One refusal refuses; GO needs every line.

Rejected: judging by the value alone. Then chance decides, most of all where there are few cases. Rejected: gating on
ROUGE, BLEU or chrF: they count shared words, and "No ataxia" shares most of its words with "Ataxia".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from residency.evaluate.compare import Comparison, Verdict
from residency.evaluate.metrics import METRICS, metric_of
from residency.evaluate.metrics.catalogue import OWN
from residency.records import Score
from residency.settings import Settings

TUNED = "tuned"  # the name of the system that a gate decides about, unless a line says otherwise


class GateVerdict(StrEnum):
    """What the gate says."""

    GO = "GO"
    NO_GO = "NO-GO"
    INCONCLUSIVE = "INCONCLUSIVE"


EXIT_STATUS: Mapping[GateVerdict, int] = {GateVerdict.GO: 0, GateVerdict.NO_GO: 1, GateVerdict.INCONCLUSIVE: 3}
"""Exit status of a command that ends with a gate; 2 is left to usage and project errors."""


def _gateable(name: str) -> str:
    """Pydantic validator: the metric exists and may decide something."""
    usable = ", ".join(metric.name for metric in METRICS.values() if not metric.surface and metric.ranks)
    if name.startswith(OWN):
        return name
    if name not in METRICS:
        raise ValueError(f"there is no such metric; use one of {usable}")
    if METRICS[name].surface:
        raise ValueError(
            f"{METRICS[name].title} measures similarity of wording, not whether the answer is right (one 'no' too many "
            "hardly changes it), so that it cannot decide; gate on fact_f1, fact_recall or fact_flip_rate"
        )
    if not METRICS[name].ranks:
        raise ValueError(f"{METRICS[name].title} describes outputs; no value of it is better than another")
    return name


GateMetric = Annotated[str, AfterValidator(_gateable)]


class BetterThan(Settings):
    """The system must beat another one."""

    rule: Literal["better_than"] = "better_than"
    task: str = Field(description="name of the task")
    metric: GateMetric = Field(description="name of the metric")
    baseline: str = Field(description="name of the other system")
    system: str = Field(default=TUNED, description="name of the system that is judged")
    margin: float = Field(
        default=0.0, ge=0, description="least gain, in the metric's unit; its interval must lie above"
    )


class NotWorseThan(Settings):
    """The system may lose at most the margin against another one."""

    rule: Literal["not_worse_than"] = "not_worse_than"
    task: str = Field(description="name of the task")
    metric: GateMetric = Field(description="name of the metric")
    baseline: str = Field(description="name of the other system")
    system: str = Field(default=TUNED, description="name of the system that is judged")
    margin: float = Field(gt=0, description="largest loss that does not matter, in the metric's unit")


class AtLeast(Settings):
    """The metric must reach a value."""

    rule: Literal["at_least"] = "at_least"
    task: str = Field(description="name of the task")
    metric: GateMetric = Field(description="name of the metric")
    value: float = Field(description="least value, in the metric's unit")
    system: str = Field(default=TUNED, description="name of the system that is judged")


class AtMost(Settings):
    """The metric must not pass a value."""

    rule: Literal["at_most"] = "at_most"
    task: str = Field(description="name of the task")
    metric: GateMetric = Field(description="name of the metric")
    value: float = Field(description="largest value, in the metric's unit")
    system: str = Field(default=TUNED, description="name of the system that is judged")


class UnscoredAtMost(Settings):
    """Outputs that could not be read may be no more than a share, as counted: they are wrong in all else already."""

    rule: Literal["unscored_at_most"] = "unscored_at_most"
    task: str = Field(description="name of the task")
    rate: float = Field(ge=0, le=1, description="largest share of outputs that could not be read, 0 to 1")
    system: str = Field(default=TUNED, description="name of the system that is judged")


class ReviewsAtLeast(Settings):
    """People must have read answers."""

    rule: Literal["reviews_at_least"] = "reviews_at_least"
    task: str = Field(description="name of the task")
    count: int = Field(ge=1, description="least number of answers that an expert has judged")


class DeidentificationReviewed(Settings):
    """People must have read enough de-identified texts for the policy's bounds, and released them."""

    rule: Literal["deidentification_reviewed"] = "deidentification_reviewed"


GateLine = Annotated[
    BetterThan | NotWorseThan | AtLeast | AtMost | UnscoredAtMost | ReviewsAtLeast | DeidentificationReviewed,
    Field(discriminator="rule"),
]
"""Every rule there is."""


class GateSettings(Settings):
    """The policy of a project."""

    lines: tuple[GateLine, ...] = Field(default=(), description="rules; GO needs all of them, and at least one")

    @model_validator(mode="after")
    def _directions(self) -> GateSettings:
        for number, line in enumerate(self.lines):
            if isinstance(line, AtLeast | AtMost):
                wanted = "at_most" if metric_of(line.metric).lower_is_better else "at_least"
                if line.rule != wanted:
                    raise ValueError(
                        f"lines[{number}]: {line.metric} is better the {_direction(line.metric)}; use {wanted}"
                    )
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class GateEvidence:
    """What is known when the gate is asked. The next steps are commands or sentences that fit the project."""

    scores: Sequence[Score]
    comparisons: Sequence[Comparison]
    reviews: Mapping[str, int] = field(default_factory=dict)  # task -> answers that a person has judged
    deidentification: str | None = None  # GO, NO-GO or INCONCLUSIVE; None where nobody looked
    deidentification_reason: str = ""
    review_step: str = "Have an expert judge answers of {task} in the review."
    deidentification_step: str = (
        "Have the privacy officer read a sample of the de-identified texts and record the verdict."
    )
    evaluate_step: str = "Run the evaluation."


@dataclass(frozen=True, kw_only=True, slots=True)
class LineResult:
    """One line of the policy with its verdict. ``next_step`` is empty on GO; ``line`` is None without a policy."""

    line: GateLine | None
    title: str
    verdict: GateVerdict
    reason: str
    next_step: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class GateResult:
    """The verdict, and every line that led to it."""

    verdict: GateVerdict
    lines: tuple[LineResult, ...]

    @property
    def exit_status(self) -> int:
        return EXIT_STATUS[self.verdict]


NO_POLICY = LineResult(
    line=None,
    title="a policy",
    verdict=GateVerdict.INCONCLUSIVE,
    reason="The project file says nothing about what must hold.",
    next_step="Write at least one rule under gate: lines: in the project file.",
)


def decide(settings: GateSettings, evidence: GateEvidence) -> GateResult:
    """Hold every line of the policy against the evidence."""
    lines = tuple(_judge_line(line, evidence) for line in settings.lines) or (NO_POLICY,)
    verdicts = {line.verdict for line in lines}
    worst = next(v for v in (GateVerdict.NO_GO, GateVerdict.INCONCLUSIVE, GateVerdict.GO) if v in verdicts)
    return GateResult(verdict=worst, lines=lines)


def _judge_line(line: GateLine, evidence: GateEvidence) -> LineResult:
    match line:
        case BetterThan() | NotWorseThan():
            return _judge_comparison(line, evidence)
        case AtLeast() | AtMost():
            return _judge_value(line, evidence)
        case UnscoredAtMost():
            return _judge_unscored(line, evidence)
        case ReviewsAtLeast():
            return _judge_reviews(line, evidence)
        case DeidentificationReviewed():
            return _judge_deidentification(line, evidence)


def _judge_comparison(line: BetterThan | NotWorseThan, evidence: GateEvidence) -> LineResult:
    threshold = line.margin if isinstance(line, BetterThan) else -line.margin
    words = "better than" if isinstance(line, BetterThan) else "not worse than"
    title = f"{line.task}: {line.system} {words} {line.baseline} in {metric_of(line.metric).title}"
    title += f", margin {line.margin:g}" if line.margin else ""
    wanted = (line.task, line.metric, line.system, line.baseline)
    found = next((c for c in evidence.comparisons if (c.task, c.metric, c.candidate, c.baseline) == wanted), None)
    if found is None:
        return _not_measured(line, title, evidence)
    gain, reason = _gain(found), _comparison_reason(found)
    if gain is None:
        return _inconclusive(line, title, reason, _more_cases(found.required_n))
    if gain[0] > threshold:
        return LineResult(line=line, title=title, verdict=GateVerdict.GO, reason=reason)
    if gain[1] <= threshold:
        step = (
            f"Look at the cases where {line.system} loses against {line.baseline}; change data or recipe; tune again."
        )
        return LineResult(line=line, title=title, verdict=GateVerdict.NO_GO, reason=reason, next_step=step)
    return _inconclusive(line, title, reason, _more_cases(found.required_n))


def _gain(found: Comparison) -> tuple[float, float] | None:
    """The interval of the gain; without one (all right against all wrong) what the comparison's verdict amounts to."""
    above = math.nextafter(0.0, 1.0)
    by_verdict = {Verdict.BETTER: (above, math.inf), Verdict.WORSE: (-math.inf, -above)}
    return found.gain or by_verdict.get(found.verdict)


def _comparison_reason(found: Comparison) -> str:
    reason = f"{found.candidate_value:.3f} against {found.baseline_value:.3f}: difference {found.difference:+.3f}"
    if found.low is not None and found.high is not None:
        reason += f" [{found.low:+.3f}, {found.high:+.3f}]"
    unit = "a loss is positive" if found.lower_is_better else "a gain is positive"
    note = f"; {found.note}" if found.note else ""
    return f"{reason} ({unit}), {found.n} cases of {found.clusters} patients{note}."


def _judge_value(line: AtLeast | AtMost, evidence: GateEvidence) -> LineResult:
    sign = "≥" if isinstance(line, AtLeast) else "≤"
    title = f"{line.task}: {metric_of(line.metric).title} of {line.system} {sign} {line.value:g}"
    found = _find_score(evidence, line.task, line.system, line.metric)
    if found is None:
        return _not_measured(line, title, evidence)
    if found.low is None or found.high is None:
        reason = f"{found.value:.3f} has no interval: {found.note or 'too few patients'}."
        return _inconclusive(line, title, reason, _more_cases(None))
    reason = f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}], {found.n} cases of {found.clusters} patients."
    good, bad = found.low >= line.value, found.high < line.value
    if isinstance(line, AtMost):
        good, bad = found.high <= line.value, found.low > line.value
    if good:
        return LineResult(line=line, title=title, verdict=GateVerdict.GO, reason=reason)
    if bad:
        step = f"Look at the worst cases of {line.task}; change data or recipe; tune again."
        return LineResult(line=line, title=title, verdict=GateVerdict.NO_GO, reason=reason, next_step=step)
    return _inconclusive(line, title, reason, _more_cases(None))


def _judge_unscored(line: UnscoredAtMost, evidence: GateEvidence) -> LineResult:
    title = f"{line.task}: unread outputs of {line.system} at most {line.rate:.1%}"
    found = _find_score(evidence, line.task, line.system, "unscored_rate")
    if found is None:
        return _not_measured(line, title, evidence)
    reason = f"{found.unscored} of {found.n} outputs could not be read ({found.value:.1%})."
    if found.value <= line.rate:
        return LineResult(line=line, title=title, verdict=GateVerdict.GO, reason=reason)
    step = f"Look at the unread outputs of {line.task}; show the answer format in the prompt, or allow longer answers."
    return LineResult(line=line, title=title, verdict=GateVerdict.NO_GO, reason=reason, next_step=step)


def _judge_reviews(line: ReviewsAtLeast, evidence: GateEvidence) -> LineResult:
    title = f"{line.task}: at least {line.count} answers judged by an expert"
    done = evidence.reviews.get(line.task, 0)
    reason = f"{done or 'None'} of {line.count} answers judged."
    if done >= line.count:
        return LineResult(line=line, title=title, verdict=GateVerdict.GO, reason=reason)
    step = f"{evidence.review_step.replace('{task}', line.task)} {line.count - done} more answers are needed."
    return _inconclusive(line, title, reason, step)


def _judge_deidentification(line: DeidentificationReviewed, evidence: GateEvidence) -> LineResult:
    title = "de-identified texts read and released by people"
    if evidence.deidentification is None:
        return _inconclusive(line, title, "No verdict is recorded.", evidence.deidentification_step)
    verdict = GateVerdict(evidence.deidentification)
    step = "" if verdict is GateVerdict.GO else evidence.deidentification_step
    return LineResult(line=line, title=title, verdict=verdict, reason=evidence.deidentification_reason, next_step=step)


def _find_score(evidence: GateEvidence, task: str, system: str, metric: str) -> Score | None:
    wanted = (task, system, metric)
    return next((score for score in evidence.scores if (score.task, score.system, score.metric) == wanted), None)


def _not_measured(line: GateLine, title: str, evidence: GateEvidence) -> LineResult:
    return _inconclusive(line, title, "Not measured, or not defined on these cases.", evidence.evaluate_step)


def _inconclusive(line: GateLine, title: str, reason: str, next_step: str) -> LineResult:
    return LineResult(line=line, title=title, verdict=GateVerdict.INCONCLUSIVE, reason=reason, next_step=next_step)


def _more_cases(required: int | None) -> str:
    if required is None:
        return "Label more test cases, of more patients."
    return f"Label more test cases: about {required} would settle it if the difference is as observed."


def _direction(metric: str) -> str:
    return "lower" if metric_of(metric).lower_is_better else "higher"
