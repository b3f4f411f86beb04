"""The policy of a gate: what must hold before anyone uses an adapter, written before the numbers are known.

In: the lines under ``gate`` in a project file. Out: ``GateSettings``, or every problem of them.

Covers: which rules there are, what each may say; metrics that cannot decide. Does not cover: judging (gate.py); names
of tasks and systems, which the project knows (project.py), and of slices, which the cases know (gate.py).

Rejected: gating on ROUGE, BLEU or chrF: they count shared words, and "No ataxia" shares most of its words with
"Ataxia".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from residency.evaluate.forgetting import MARGIN
from residency.evaluate.metrics import METRICS, metric_of
from residency.evaluate.metrics.catalogue import OWN
from residency.settings import Settings

TUNED = "tuned"  # the name of the system that a gate decides about, unless a line says otherwise
ENOUGH_TO_CALL_HONEST = 100  # cases; with fewer, a bin of the calibration error holds half a dozen. Chosen by us


def _gateable(name: str) -> str:
    """Pydantic validator: the metric exists and may decide something."""
    usable = ", ".join(metric.name for metric in METRICS.values() if metric.decides)
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


class Rule(Settings):
    """A line of the policy. Its limits are numbers that an interval can lie above or below: .nan and .inf are none."""

    model_config = ConfigDict(allow_inf_nan=False)


class OnMetric(Rule):
    """What all rules about a metric say."""

    task: str = Field(description="name of the task")
    metric: GateMetric = Field(description="name of the metric")
    system: str = Field(default=TUNED, description="name of the system that is judged")
    where: Mapping[str, str] = Field(
        default={}, max_length=1, description="on the cases of one slice only, as slice: value; on all if left out"
    )


class BetterThan(OnMetric):
    """The system must beat another one."""

    rule: Literal["better_than"] = "better_than"
    baseline: str = Field(description="name of the other system")
    margin: float = Field(
        default=0.0, ge=0, description="least gain, in the metric's unit; its interval must lie above"
    )


class NotWorseThan(OnMetric):
    """The system may lose at most the margin against another one."""

    rule: Literal["not_worse_than"] = "not_worse_than"
    baseline: str = Field(description="name of the other system")
    margin: float = Field(gt=0, description="largest loss that does not matter, in the metric's unit")


class AtLeast(OnMetric):
    """The metric must reach a value."""

    rule: Literal["at_least"] = "at_least"
    value: float = Field(description="least value, in the metric's unit")


class AtMost(OnMetric):
    """The metric must not pass a value."""

    rule: Literal["at_most"] = "at_most"
    value: float = Field(description="largest value, in the metric's unit")


class UnscoredAtMost(Rule):
    """Outputs that could not be read may be no more than a share, as counted: they are wrong in all else already."""

    rule: Literal["unscored_at_most"] = "unscored_at_most"
    task: str = Field(description="name of the task")
    rate: float = Field(ge=0, le=1, description="largest share of outputs that could not be read, 0 to 1")
    system: str = Field(default=TUNED, description="name of the system that is judged")


class Calibrated(Rule):
    """The tuned system's confidence must be honest: its calibration error is what honest ones give by chance."""

    rule: Literal["calibrated"] = "calibrated"
    task: str = Field(description="name of the task")
    cases: int = Field(
        default=ENOUGH_TO_CALL_HONEST,
        ge=1,
        description="fewest cases that may show honesty; fewer leave it open, count",
    )


class NoCriticalErrors(Rule):
    """Zero tolerance: not one critical error of this severity or above."""

    rule: Literal["no_critical_errors"] = "no_critical_errors"
    task: str = Field(description="name of the task")
    severity: float = Field(gt=0, description="least severity that counts, as in the table of critical errors")
    system: str = Field(default=TUNED, description="name of the system that is judged")


class NotForgotten(Rule):
    """Tuning must not have cost plain English more than the margin."""

    rule: Literal["not_forgotten"] = "not_forgotten"
    margin: float = Field(default=MARGIN, gt=0, description="largest loss that does not matter, in bits per byte")


class ReviewsAtLeast(Rule):
    """People must have read answers."""

    rule: Literal["reviews_at_least"] = "reviews_at_least"
    task: str = Field(description="name of the task")
    count: int = Field(ge=1, description="least number of answers that an expert has judged")


class DeidentificationReviewed(Rule):
    """People must have read enough de-identified texts for the policy's bounds, and released them."""

    rule: Literal["deidentification_reviewed"] = "deidentification_reviewed"


GateLine = Annotated[
    BetterThan
    | NotWorseThan
    | AtLeast
    | AtMost
    | UnscoredAtMost
    | Calibrated
    | NoCriticalErrors
    | NotForgotten
    | ReviewsAtLeast
    | DeidentificationReviewed,
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


def _direction(metric: str) -> str:
    return "lower" if metric_of(metric).lower_is_better else "higher"
