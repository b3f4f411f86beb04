"""May the specialist go on? A policy, written before the numbers are known, is held against the evidence.

In: ``GateSettings`` (the lines of the policy) and ``GateEvidence`` (scores, comparisons, people's reviews).
Out: a ``GateResult``: GO, NO-GO or INCONCLUSIVE for each line and overall, each with its reason and the next step.

Covers: better than another system, not worse than another system, a least or largest value, each on all cases or on a
slice; honest confidence, zero tolerance of critical errors, forgetting, unread outputs, human reviews, reviewed
de-identification; how many cases would settle what is open. Does not cover: what a policy may say (policy.py); running
what is missing; the next step says what to run.

A line is passed when the whole interval is on its good side, refused when the whole interval is on its bad side, and
inconclusive otherwise, or where the number was not measured. One refusal refuses; GO needs every line.

Rejected: judging by the value alone. Then chance decides, most of all where there are few cases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from residency.errors import first_of
from residency.evaluate.calibration.reliability import Honesty
from residency.evaluate.compare import Comparison, Verdict
from residency.evaluate.forgetting import Memory, remembered
from residency.evaluate.metrics import metric_of
from residency.evaluate.policy import (
    AtLeast,
    AtMost,
    BetterThan,
    Calibrated,
    DeidentificationReviewed,
    GateLine,
    GateSettings,
    NoCriticalErrors,
    NotForgotten,
    NotWorseThan,
    OnMetric,
    ReviewsAtLeast,
    UnscoredAtMost,
)
from residency.evaluate.power import POWER, certification_n, normal_quantiles
from residency.evaluate.slices import FEWEST_PATIENTS
from residency.records import Score

CRITICAL = "critical_error_rate"
EVERYWHERE = ("", "")  # in place of a slice and its value: all cases
NAMED = 8  # slices and values named in a sentence


class GateVerdict(StrEnum):
    """What the gate says."""

    GO = "GO"
    NO_GO = "NO-GO"
    INCONCLUSIVE = "INCONCLUSIVE"


EXIT_STATUS: Mapping[GateVerdict, int] = {GateVerdict.GO: 0, GateVerdict.NO_GO: 1, GateVerdict.INCONCLUSIVE: 3}
"""Exit status of a command that ends with a gate; 2 is left to usage and project errors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What was measured on the cases of one value of a slice; nothing where they are of ``too_few`` patients."""

    scores: Sequence[Score] = ()
    comparisons: Sequence[Comparison] = ()
    too_few: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class GateEvidence:
    """What is known when the gate is asked. The next steps are commands or sentences that fit the project."""

    scores: Sequence[Score]
    comparisons: Sequence[Comparison]
    slices: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)  # task -> slice -> its values
    parts: Mapping[tuple[str, str, str], Part] = field(default_factory=dict)  # by task, slice, value
    calibration: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by task: reliability, as plain data
    critical: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)  # by task and system
    severities: Sequence[float] = ()  # in the table of critical errors
    forgetting: Mapping[str, Any] | None = None
    reviews: Mapping[str, int] = field(default_factory=dict)  # task -> answers that a person has judged
    deidentification: str | None = None  # GO, NO-GO or INCONCLUSIVE; None where nobody looked
    deidentification_reason: str = ""
    review_step: str = "Have an expert judge answers of {task} in the review."
    deidentification_step: str = (
        "Have the privacy officer read a sample of the de-identified texts and record the verdict."
    )
    evaluate_step: str = "Run the evaluation."


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """The number of a line beside its limit. ``required_n``: cases that would settle an open line at this value."""

    value: float
    limit: float
    low: float | None
    high: float | None
    n: int
    patients: int
    required_n: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LineResult:
    """One line of the policy with its verdict. ``next_step`` is empty on GO; ``line`` is None without a policy."""

    line: GateLine | None
    title: str
    verdict: GateVerdict
    reason: str
    next_step: str = ""
    measured: Measured | None = None  # what the verdict rests on, where it is a number


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
        case Calibrated():
            return _judge_calibration(line, evidence)
        case NoCriticalErrors():
            return _judge_critical(line, evidence)
        case NotForgotten():
            return _judge_forgetting(line, evidence)
        case ReviewsAtLeast():
            return _judge_reviews(line, evidence)
        case DeidentificationReviewed():
            return _judge_deidentification(line, evidence)


def _judge_comparison(line: BetterThan | NotWorseThan, evidence: GateEvidence) -> LineResult:
    threshold = line.margin if isinstance(line, BetterThan) else -line.margin
    words = "better than" if isinstance(line, BetterThan) else "not worse than"
    title = f"{line.task}: {line.system} {words} {line.baseline} in {metric_of(line.metric).title}"
    title += (f", margin {line.margin:g}" if line.margin else "") + _where(line)
    wanted = (line.task, line.metric, line.system, line.baseline)
    known = _on(line, evidence).comparisons
    found = next((c for c in known if (c.task, c.metric, c.candidate, c.baseline) == wanted), None)
    if found is None:
        return _not_measured(line, title, evidence)
    gain, reason = _gain(found), _comparison_reason(found)
    measured = Measured(
        value=found.difference, limit=-threshold if found.lower_is_better else threshold, low=found.low,
        high=found.high, n=found.n, patients=found.clusters, required_n=found.required_n,
    )  # fmt: skip
    if gain is None:
        return _inconclusive(line, title, reason, _more_cases(found.required_n), measured)
    if gain[0] > threshold:
        return LineResult(line=line, title=title, verdict=GateVerdict.GO, reason=reason, measured=measured)
    if gain[1] <= threshold:
        step = (
            f"Look at the cases where {line.system} loses against {line.baseline}; change data or recipe; tune again."
        )
        return _refused(line, title, reason, step, measured)
    needed = _to_settle(-found.difference if found.lower_is_better else found.difference, gain, threshold, found.n)
    return _inconclusive(line, title, reason, _more_cases(needed), replace(measured, required_n=needed))


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
    title = f"{line.task}: {metric_of(line.metric).title} of {line.system} {sign} {line.value:g}{_where(line)}"
    found = _find_score(_on(line, evidence).scores, line.task, line.system, line.metric)
    if found is None:
        return _not_measured(line, title, evidence)
    measured = Measured(
        value=found.value, limit=line.value, low=found.low, high=found.high, n=found.n, patients=found.clusters
    )
    if found.low is None or found.high is None:
        reason = f"{found.value:.3f} has no interval: {found.note or 'too few patients'}."
        return _inconclusive(line, title, reason, _more_cases(None), measured)
    reason = f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}], {found.n} cases of {found.clusters} patients."
    good, bad = found.low >= line.value, found.high < line.value
    if isinstance(line, AtMost):
        good, bad = found.high <= line.value, found.low > line.value
    if good:
        return LineResult(line=line, title=title, verdict=GateVerdict.GO, reason=reason, measured=measured)
    if bad:
        step = f"Look at the worst cases of {line.task}; change data or recipe; tune again."
        return _refused(line, title, reason, step, measured)
    if found.metric == CRITICAL and found.value == 0:
        needed: int | None = certification_n(line.value, 0) if 0 < line.value < 1 else None
    else:
        needed = _to_settle(found.value, (found.low, found.high), line.value, found.n)
    return _inconclusive(line, title, reason, _more_cases(needed), replace(measured, required_n=needed))


def _to_settle(value: float, interval: tuple[float, float], limit: float, n: int) -> int | None:
    """Cases that would settle a line four times in five, if the value stays and the interval narrows as the root of
    their number; None where the value is the limit."""
    gap = value - limit
    reach = value - interval[0] if gap > 0 else interval[1] - value
    if gap == 0 or not math.isfinite(reach):
        return None
    z_alpha, z_beta = normal_quantiles(POWER)
    return max(n + 1, math.ceil(n * (reach * (1 + z_beta / z_alpha) / gap) ** 2))


def _judge_unscored(line: UnscoredAtMost, evidence: GateEvidence) -> LineResult:
    title = f"{line.task}: unread outputs of {line.system} at most {line.rate:.1%}"
    found = _find_score(evidence.scores, line.task, line.system, "unscored_rate")
    if found is None:
        return _not_measured(line, title, evidence)
    reason = f"{found.unscored} of {found.n} outputs could not be read ({found.value:.1%})."
    measured = Measured(
        value=found.value, limit=line.rate, low=found.low, high=found.high, n=found.n, patients=found.clusters
    )
    if found.value <= line.rate:
        return LineResult(line=line, title=title, verdict=GateVerdict.GO, reason=reason, measured=measured)
    step = f"Look at the unread outputs of {line.task}; show the answer format in the prompt, or allow longer answers."
    return _refused(line, title, reason, step, measured)


def _judge_calibration(line: Calibrated, evidence: GateEvidence) -> LineResult:
    title = f"{line.task}: confidence is honest"
    found = evidence.calibration.get(line.task)
    if not found:
        return _not_measured(line, title, evidence)
    low, high = found["null_band"]
    measured = Measured(
        value=found["ece"], limit=high, low=found["ece_interval"]["low"], high=found["ece_interval"]["high"],
        n=found["n"], patients=found["clusters"], required_n=line.cases if found["n"] < line.cases else None,
    )  # fmt: skip
    reason = (
        f"Calibration error {found['ece']:.3f}; honest confidences give {low:.3f} to {high:.3f} on {found['n']} cases: "
        f"{found['honesty']}."
    )
    if found["honesty"] != Honesty.CALIBRATED:
        step = f"Look at the reliability of {line.task}; label more calibration patients, and run again."
        return _refused(line, title, reason, step, measured)
    if found["n"] < line.cases:
        return _inconclusive(line, title, f"{reason} Too few to show it.", _more_cases(line.cases), measured)
    return LineResult(line=line, title=title, verdict=GateVerdict.GO, reason=reason, measured=measured)


def _judge_critical(line: NoCriticalErrors, evidence: GateEvidence) -> LineResult:
    title = f"{line.task}: no critical error of {line.system} with severity {line.severity:g} or above"
    if not any(severity >= line.severity for severity in evidence.severities):
        known = ", ".join(f"{one:g}" for one in sorted(set(evidence.severities))) or "none"
        reason = f"No row of the table of critical errors is so severe; its severities: {known}."
        return _inconclusive(line, title, reason, "Correct the severity, or the table under evaluate: critical.")
    found = evidence.critical.get((line.task, line.system))
    if found is None:
        return _not_measured(line, title, evidence)
    counted = [row for row in found["counted"] if row["severity"] >= line.severity]
    count = sum(row["count"] for row in counted)
    measured = Measured(
        value=count, limit=0, low=None, high=None, n=found["n"], patients=found.get("patients", found["n"])
    )  # fmt: skip
    if not count:
        reason = f"None among {found['n']} documents."
        return LineResult(line=line, title=title, verdict=GateVerdict.GO, reason=reason, measured=measured)
    kinds = first_of([f"{row['error']} {row['what']} ({row['count']})" for row in counted], NAMED)
    step = f"Look at the critical errors of {line.task} in the report; change data or recipe; tune again."
    return _refused(line, title, f"{count} among {found['n']} documents: {kinds}.", step, measured)


def _judge_forgetting(line: NotForgotten, evidence: GateEvidence) -> LineResult:
    title = f"plain English kept to within {line.margin:g} bits per byte"
    found = evidence.forgetting
    if found is None:
        return _not_measured(line, title, evidence)
    low, high = found["low"], found["high"]
    measured = Measured(
        value=found["difference"], limit=line.margin, low=low, high=high, n=found["passages"],
        patients=found["passages"],
    )  # fmt: skip
    between = f" [{low:+.4f}, {high:+.4f}]" if low is not None and high is not None else ""
    reason = f"{found['before']:.4f} before and {found['after']:.4f} after: {found['difference']:+.4f}{between}."
    memory = remembered(low, high, line.margin)
    if memory is Memory.KEPT:
        return LineResult(line=line, title=title, verdict=GateVerdict.GO, reason=reason, measured=measured)
    if memory is Memory.FORGOTTEN:
        step = "Tune with a smaller learning rate, fewer epochs or a lower rank."
        return _refused(line, title, reason, step, measured)
    return _inconclusive(line, title, reason, "The control text is too short to tell; allow a larger margin.", measured)


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


def _on(line: OnMetric, evidence: GateEvidence) -> Part:
    """What was measured on the cases that a line is about."""
    name, value = next(iter(line.where.items()), EVERYWHERE)
    part = evidence.parts.get((line.task, name, value), Part())
    if line.where:
        return part
    # What harms is compared by the gate's own measurement, which goes first: it knows the source texts and the table.
    return Part(scores=evidence.scores, comparisons=[*part.comparisons, *evidence.comparisons])


def _where(line: OnMetric) -> str:
    return "".join(f", where {name} is {value}" for name, value in line.where.items())


def _find_score(scores: Sequence[Score], task: str, system: str, metric: str) -> Score | None:
    wanted = (task, system, metric)
    return next((score for score in scores if (score.task, score.system, score.metric) == wanted), None)


def _not_measured(line: GateLine, title: str, evidence: GateEvidence) -> LineResult:
    reason, step = "Not measured, or not defined on these cases.", evidence.evaluate_step
    if isinstance(line, OnMetric) and line.where:
        ((name, value),) = line.where.items()
        known = evidence.slices.get(line.task, {})
        if name not in known:
            reason = f"There is no slice {name!r}; slices are {first_of(sorted(known), NAMED) or 'none'}."
            step = "Correct gate: lines: where: in the project file."
        elif value not in known[name]:
            reason = f"No case has {name} {value!r}; there is {first_of(sorted(known[name]), NAMED)}."
            step = "Correct gate: lines: where: in the project file, or label such cases."
        elif _on(line, evidence).too_few:
            reason = f"Fewer than {FEWEST_PATIENTS} patients have {name} {value!r}: a statement about persons."
            step = "Label such cases of more patients."
    return _inconclusive(line, title, reason, step)


def _refused(line: GateLine, title: str, reason: str, step: str, measured: Measured) -> LineResult:
    return LineResult(
        line=line, title=title, verdict=GateVerdict.NO_GO, reason=reason, next_step=step, measured=measured
    )


def _inconclusive(
    line: GateLine, title: str, reason: str, next_step: str, measured: Measured | None = None
) -> LineResult:
    return LineResult(
        line=line, title=title, verdict=GateVerdict.INCONCLUSIVE, reason=reason, next_step=next_step, measured=measured
    )


def _more_cases(required: int | None) -> str:
    if required is None:
        return "Label more test cases, of more patients."
    return f"Label more test cases: about {required:,} would settle it if what was measured stays."
