"""Making confidence honest.

In: predictions of the calibration split. Out: a ``ConfidenceMap`` that turns confidences into honest ones.

Covers: temperature (label probabilities), Platt (confidence of any kind), isotonic (any monotone map, for many cases);
choosing among them by cross-fitting over patients; confidences of the calibration cases themselves, each from a map
that was fitted without its patient. Does not cover: judging the result (reliability.py); answers never change.

Rejected: choosing the map by the fit on its own cases: isotonic regression would always win.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from residency.errors import EvaluationError
from residency.evaluate.calibration.event import checked, is_right, logit, with_confidence
from residency.evaluate.calibration.logistic import fit_logistic
from residency.evaluate.intervals import Array, cluster_codes
from residency.evaluate.metrics import align
from residency.records import Example, Prediction

COLDEST, HOTTEST = 0.05, 20.0  # temperatures searched; at either end a model is far beyond repair by temperature
FLOOR = 1e-12  # probabilities below it count as this, so that one impossible gold label cannot decide the fit
FOLDS = 5
ISOTONIC_FROM = 1_000  # cases; with fewer its steps follow chance (EVALUATION.md d7)


class MapKind(StrEnum):
    """How confidence is changed."""

    NONE = "none"
    TEMPERATURE = "temperature"  # all label probabilities flatter or steeper
    PLATT = "platt"  # the log odds of confidence shifted and stretched
    ISOTONIC = "isotonic"  # any rising steps


@dataclass(frozen=True, slots=True)
class ConfidenceMap:
    """A map and how it came about. A temperature above 1 lowers confidence, below 1 raises it, at 1 does nothing."""

    kind: MapKind
    n: int  # cases that it was fitted on
    temperature: float = 1.0
    intercept: float = 0.0  # Platt, log odds
    slope: float = 1.0
    steps: tuple[tuple[float, float], ...] = ()  # isotonic: (confidence, honest confidence), linear in between
    nll_before: float | None = None  # mean log loss on these cases, nats: of the gold label, or of "right"
    nll_after: float | None = None
    note: str = ""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> ConfidenceMap:
        """From plain data, as a run keeps it."""
        steps = tuple((float(place), float(value)) for place, value in plain["steps"])
        return cls(**{**plain, "kind": MapKind(plain["kind"]), "steps": steps})

    def apply(self, prediction: Prediction) -> Prediction:
        """The prediction with honest confidence; its answer stays."""
        if not prediction.scored or self.kind is MapKind.NONE:
            return prediction
        if self.kind is MapKind.TEMPERATURE:
            return self._flatten(prediction)
        if prediction.confidence is None:
            return prediction
        return replace(prediction, confidence=float(self.convert(np.array([prediction.confidence]))[0]))

    def convert(self, confidence: Array) -> Array:
        """Honest confidences, (n,); Platt and isotonic only."""
        if self.kind is MapKind.PLATT:
            return np.asarray(expit(self.intercept + self.slope * logit(confidence)))
        places, values = zip(*self.steps, strict=True)
        return np.interp(confidence, places, values)

    def _flatten(self, prediction: Prediction) -> Prediction:
        """Calibrated probabilities; the confidence is the largest of them."""
        if not prediction.probabilities:
            return prediction
        labels = list(prediction.probabilities)
        values = [float(value) for value in np.exp(_scaled(_logs([prediction]), self.temperature)[0])]
        return replace(prediction, probabilities=dict(zip(labels, values, strict=True)), confidence=max(values))


IDENTITY = ConfidenceMap(MapKind.NONE, 0, note="not calibrated")


def fit_map(
    examples: Sequence[Example], predictions: Sequence[Prediction], *, kind: MapKind | None = None, seed: int = 0
) -> ConfidenceMap:
    """The map of this kind; without one, the kind that is best on patients that it was not fitted on.

    Best: the smallest log loss of "the answer is right" in ``FOLDS``-fold cross-fitting; where several are equally good
    the first of temperature, Platt, isotonic.
    """
    aligned = align(examples, predictions)
    if kind is not None:
        return _fit(kind, examples, aligned)
    losses = {
        candidate: _event_loss(examples, cross_fitted(examples, aligned, kind=candidate, seed=seed))
        for candidate in _possible(examples, aligned)
    }
    if not losses:
        return replace(IDENTITY, n=len(aligned), note="not calibrated: no answer has a confidence")
    best = min(losses, key=lambda candidate: round(losses[candidate], 9))
    found = _fit(best, examples, aligned)
    tried = ", ".join(f"{candidate} {loss:.3f}" for candidate, loss in losses.items())
    return replace(found, note="; ".join(filter(None, (found.note, f"log loss in cross-fitting: {tried}"))))


def cross_fitted(
    examples: Sequence[Example], predictions: Sequence[Prediction], *, kind: MapKind, seed: int = 0
) -> list[Prediction]:
    """The predictions, each with a confidence from a map that was fitted on other patients."""
    aligned = align(examples, predictions)
    codes, count = cluster_codes([example.patient for example in examples])
    fold_of = np.random.default_rng(seed).permutation(count)[codes] % min(FOLDS, count)
    out = list(aligned)
    for fold in range(min(FOLDS, count) if count > 1 else 0):
        others = np.flatnonzero(fold_of != fold).tolist()
        fitted = _fit(kind, [examples[i] for i in others], [aligned[i] for i in others])
        for i in np.flatnonzero(fold_of == fold).tolist():
            out[i] = fitted.apply(aligned[i])
    return out


def _possible(examples: Sequence[Example], aligned: Sequence[Prediction]) -> list[MapKind]:
    kept = with_confidence(examples, aligned)[1]
    kinds = [MapKind.TEMPERATURE] if any(p.probabilities for p in kept) else []
    kinds += [MapKind.PLATT] if kept else []
    return kinds + ([MapKind.ISOTONIC] if len(kept) >= ISOTONIC_FROM else [])


def _fit(kind: MapKind, examples: Sequence[Example], aligned: Sequence[Prediction]) -> ConfidenceMap:
    if kind is MapKind.NONE:
        return IDENTITY
    if kind is MapKind.TEMPERATURE:
        return fit_temperature(examples, aligned)
    cases, kept = with_confidence(examples, aligned)
    sure = [float(p.confidence or 0.0) for p in kept]
    right = [is_right(e, p) for e, p in zip(cases, kept, strict=True)]
    return fit_platt(sure, right) if kind is MapKind.PLATT else fit_isotonic(sure, right)


def fit_platt(confidence: Sequence[float], correct: Sequence[bool]) -> ConfidenceMap:
    """Slope and intercept on the log odds, with smoothed targets so that they are always finite (Platt 1999)."""
    sure, right = checked(confidence, correct)
    hits, misses = float(right.sum()), float((1 - right).sum())
    if hits == 0 or misses == 0 or np.ptp(sure) == 0:
        note = f"left alone: {len(sure)} cases, {hits:g} right; confidence or outcome never varies"
        return replace(IDENTITY, n=len(sure), note=note)
    target = np.where(right == 1, (hits + 1) / (hits + 2), 1 / (misses + 2))
    odds = logit(sure)
    found = fit_logistic(np.column_stack([np.ones(len(odds)), odds]), target)
    if found is None or found[1] <= 0:
        return replace(IDENTITY, n=len(sure), note="left alone: more confidence does not mean more right answers")
    made = ConfidenceMap(MapKind.PLATT, len(sure), intercept=float(found[0]), slope=float(found[1]))
    return replace(made, nll_before=_binary_loss(sure, right), nll_after=_binary_loss(made.convert(sure), right))


def fit_isotonic(confidence: Sequence[float], correct: Sequence[bool]) -> ConfidenceMap:
    """The rising steps nearest to the outcomes (Zadrozny & Elkan 2002)."""
    from sklearn.isotonic import IsotonicRegression

    sure, right = checked(confidence, correct)
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(sure, right)
    steps = tuple(zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True))
    note = f"{len(sure)} cases: its steps follow chance below {ISOTONIC_FROM}" if len(sure) < ISOTONIC_FROM else ""
    made = ConfidenceMap(MapKind.ISOTONIC, len(sure), steps=steps, note=note)
    return replace(made, nll_before=_binary_loss(sure, right), nll_after=_binary_loss(made.convert(sure), right))


def fit_temperature(examples: Sequence[Example], predictions: Sequence[Prediction]) -> ConfidenceMap:
    """The temperature with the smallest log loss of the gold labels (Guo et al. 2017); the calibration split goes in.

    The loss is convex in 1 / temperature, so that a bounded one-dimensional search finds the minimum. Left at 1, with
    the reason, where the cases cannot tell: fewer than two, no probabilities, all answers right or all wrong.
    """
    aligned = align(examples, predictions)
    fitted = [(e, p) for e, p in zip(examples, aligned, strict=True) if str(e.gold) in p.probabilities and p.scored]
    for _, prediction in fitted:
        _check_probabilities(prediction)
    right = sum(prediction.value == example.gold for example, prediction in fitted)
    if len(fitted) < 2 or right in (0, len(fitted)):
        note = (
            f"left at 1: of {len(aligned)} cases {len(fitted)} have a probability of the gold label, {right} are right"
        )
        return replace(IDENTITY, n=len(fitted), note=note)
    logs = _logs([prediction for _, prediction in fitted])
    gold = np.array([list(p.probabilities).index(str(e.gold)) for e, p in fitted])
    temperature = _best_temperature(logs, gold)
    notes = []
    if len(fitted) < len(aligned):
        notes.append(f"{len(aligned) - len(fitted)} cases without a probability of the gold label left out")
    if min(temperature / COLDEST, HOTTEST / temperature) < 1.01:
        notes.append("at the end of the searched range")
    before, after = _log_loss(logs, gold, 1.0), _log_loss(logs, gold, temperature)
    return ConfidenceMap(
        MapKind.TEMPERATURE,
        len(fitted),
        temperature=temperature,
        nll_before=before,
        nll_after=after,
        note="; ".join(notes),
    )


def _best_temperature(logs: Array, gold: NDArray[np.intp]) -> float:
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda inverse: _log_loss(logs, gold, 1 / inverse), bounds=(1 / HOTTEST, 1 / COLDEST), method="bounded"
    )
    return float(1 / found.x)


def _log_loss(logs: Array, gold: NDArray[np.intp], temperature: float) -> float:
    return float(-_scaled(logs, temperature)[np.arange(len(gold)), gold].mean())


def _scaled(logs: Array, temperature: float) -> Array:
    """Normalized log probabilities at a temperature, (n, labels)."""
    hot = logs / temperature
    hot = hot - hot.max(axis=1, keepdims=True)
    return hot - np.log(np.exp(hot).sum(axis=1, keepdims=True))


def _logs(predictions: Sequence[Prediction]) -> Array:
    """Log probabilities, (n, labels), each row in its own prediction's order of labels."""
    widths = {len(prediction.probabilities) for prediction in predictions}
    if len(widths) != 1:
        raise EvaluationError(
            f"Predictions have {min(widths)} to {max(widths)} labels.", fix="Calibrate one system on one label set."
        )
    rows = np.array([list(prediction.probabilities.values()) for prediction in predictions], dtype=np.float64)
    return np.log(np.maximum(rows, FLOOR))


def _check_probabilities(prediction: Prediction) -> None:
    values = list(prediction.probabilities.values())
    if min(values) < 0 or not math.isclose(sum(values), 1.0, abs_tol=1e-6):
        raise EvaluationError(
            f"The probabilities of case {prediction.example} are not a distribution: they sum to {sum(values):.6g}.",
            fix="Give one probability for every label of the set, at least 0 and together 1.",
        )


def _event_loss(examples: Sequence[Example], predictions: Sequence[Prediction]) -> float:
    cases, kept = with_confidence(examples, predictions)
    right = np.array([float(is_right(e, p)) for e, p in zip(cases, kept, strict=True)])
    return _binary_loss(np.array([float(p.confidence or 0.0) for p in kept]), right)


def _binary_loss(sure: Array, right: Array) -> float:
    likely = np.clip(np.where(right == 1, sure, 1 - sure), FLOOR, 1.0)
    return float(-np.log(likely).mean())
