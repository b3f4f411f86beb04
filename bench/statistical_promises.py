"""Does the evaluation keep its statistical promises? Simulated worlds whose truth is known.

    python bench/statistical_promises.py [--runs 2000] [--seed 1]

In: nothing. Out: a line for each promise: what was measured, what was promised, kept or not; exit status 1 if one was
not kept. A simulation errs, too: a line is kept if its promise lies within three standard errors of what was measured.

Covers: intervals, verdicts, calibration, label sets, thresholds. Does not cover: worlds unlike the simulated ones.

Not called statistics.py, because Python would then find it in place of its own module of that name.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from residency.evaluate.assessment import Assess, assess
from residency.evaluate.calibration.conformal import coverage_of, fit_label_sets
from residency.evaluate.calibration.logistic import calibration_slope
from residency.evaluate.calibration.reliability import expected_calibration_error, null_band
from residency.evaluate.calibration.selective import aurc, choose_threshold
from residency.evaluate.compare import Verdict, compare_tallies
from residency.evaluate.critical.find import CriticalError
from residency.evaluate.critical.rates import CriticalCase, critical_scores
from residency.evaluate.critical.table import ANY, CriticalTable, ErrorKind, Row
from residency.evaluate.intervals import (
    Interval,
    Shape,
    Tally,
    bootstrap_interval,
    cases_interval,
    mean_interval,
    ratio,
    share_interval,
)
from residency.evaluate.paired import holm
from residency.evaluate.power import required_n, required_n_margin
from residency.evaluate.slices import own_slices
from residency.records import Example, Finding, Prediction, Split, Status, TaskKind

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)
DESIGNS = ((30, 1), (15, 3), (30, 3), (60, 4), (200, 3), (200, 8))  # patients, cases of a patient at most
CORRELATIONS = (0.0, 0.1, 0.4)
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Line:
    """One promise."""

    what: str
    measured: float
    low: float
    high: float
    error: float = 0.0  # standard error of the simulation
    note: str = ""

    @property
    def kept(self) -> bool:
        return self.low - 3 * self.error <= self.measured <= self.high + 3 * self.error

    def __str__(self) -> str:
        mark = "kept" if self.kept else "NOT KEPT"
        return f"{self.what:58s}{self.measured:9.4f}   {self.low:6.3f} to {self.high:6.3f}   {mark:9s}{self.note}"


def main() -> None:
    """All promises, a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2_000, help="simulated studies for each promise")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{'promise':58s}{'measured':>9s}   {'promised':>16s}")
    kept = True
    for promise in (coverage, verdicts, plans, confidence, sets_and_thresholds, speed):
        for line in promise(np.random.default_rng(arguments.seed), arguments.runs):
            print(line, flush=True)
            kept &= line.kept
    sys.exit(0 if kept else 1)


# --- intervals -------------------------------------------------------------------------------------------------------


def coverage(rng: np.random.Generator, runs: int) -> Iterator[Line]:
    """Intervals hold the truth as often as they say."""
    for patients, largest in DESIGNS:
        for correlation in CORRELATIONS if largest > 1 else (0.0,):
            cells = [_share_coverage(rng, share, correlation, patients, largest, runs) for share in SHARES]
            what = f"accuracy, {patients} patients of 1 to {largest}, correlation {correlation:g}"
            error = math.sqrt(0.05 * 0.95 / runs / len(SHARES))
            note = f"single shares {min(cells):.3f} to {max(cells):.3f}"
            yield Line(what, float(np.mean(cells)), 0.935, 0.965, error, note)
    few = max(200, runs // 4)
    yield _at_level("mean of scores, 40 patients", [_mean_covered(rng) for _ in range(few)])
    yield _at_level("F1, bootstrap, 40 patients", [_f1_covered(rng, run) for run in range(few)])
    held = [_severity_held(rng, run) for run in range(few)]
    yield Line("severity of rare critical errors, upper end, 300 patients", *_rate(held, 0.935, 1.0))


def _share_coverage(
    rng: np.random.Generator, share: float, correlation: float, patients: int, largest: int, runs: int
) -> float:
    covered = 0
    for _ in range(runs):
        codes = np.repeat(np.arange(patients), rng.integers(1, largest + 1, size=patients))
        chances = np.full(patients, share)
        if correlation:
            weight = 1 / correlation - 1
            chances = rng.beta(share * weight, (1 - share) * weight, size=patients)
        found = share_interval((rng.random(len(codes)) < chances[codes]).astype(float), _names(codes))
        covered += found.low is not None and found.high is not None and found.low <= share <= found.high
    return covered / runs


def _mean_covered(rng: np.random.Generator) -> bool:
    codes = np.repeat(np.arange(40), rng.integers(1, 4, size=40))
    level = rng.beta(6, 3, size=40)[codes]
    found = mean_interval(rng.beta(5 * level, 5 * (1 - level)), _names(codes), ceiling=1.0)
    return found.low is not None and found.high is not None and found.low <= 2 / 3 <= found.high


def _f1_covered(rng: np.random.Generator, seed: int) -> bool:
    gold = rng.integers(1, 8, size=80)
    hits = rng.binomial(gold, np.repeat(rng.beta(6, 3, size=40), 2))
    parts = np.column_stack([2 * hits, gold + hits + rng.integers(0, 3, size=80)]).astype(float)
    found = bootstrap_interval(parts, _names(np.arange(80) // 2), _two_sums, seed=seed, draws=1_000)
    truth = 2 * 4 * (2 / 3) / (4 + 4 * (2 / 3) + 1)
    return found.low is not None and found.high is not None and found.low <= truth <= found.high


def _severity_held(rng: np.random.Generator, seed: int) -> bool:
    """One document in fifty has a critical error; from 1 to 5 severe."""
    severity = rng.choice([1.0, 2.0, 3.0, 5.0], size=300) * (rng.random(300) < 0.02)
    errors = [(_critical(float(one)),) if one else () for one in severity]
    cases = [CriticalCase(f"e{i}", f"p{i}", None, found) for i, found in enumerate(errors)]
    cost = critical_scores(_prediction(0, "x", {"x": 1.0}), _NO_TABLE, cases, draws=600, seed=seed)[1]
    return cost.high is None or ((cost.low or 0.0) >= 0 and cost.high >= 0.02 * 11 / 4)


_NO_TABLE = CriticalTable((), None)


def _critical(severity: float) -> CriticalError:
    return CriticalError(ErrorKind.VALUE, "number", severity, Row(ErrorKind.VALUE, ANY, "2", severity, (), ""))


# --- verdicts --------------------------------------------------------------------------------------------------------


def verdicts(rng: np.random.Generator, runs: int) -> Iterator[Line]:
    """BETTER is said falsely at most one time in forty, and pairing finds more."""
    for largest in (1, 3):
        said = [_share_verdict(*_pair(rng, 100, largest, 0.0)) is Verdict.BETTER for _ in range(runs)]
        yield _at_most(f"false BETTER, 100 patients of 1 to {largest}", said, 0.025)
    few = max(200, runs // 4)
    said = [_f1_verdict(rng, run) is Verdict.BETTER for run in range(few)]
    yield _at_most("false BETTER, F1, 45 patients of 2", said, 0.025)
    lost = [_share_verdict(*_pair(rng, 150, 1, -0.06), margin=0.06) in _NOT_WORSE for _ in range(runs)]
    yield _at_most("false NON-INFERIOR or better, loss equal to the margin", lost, 0.025)
    family = [min(holm(rng.random(6).tolist())) <= 0.05 for _ in range(runs)]
    yield _at_most("any false find among six metrics (Holm)", family, 0.05)
    paired, unpaired = _powers(rng, runs)
    yield Line("power of the paired verdict / of the unpaired z-test", paired / max(unpaired, 1e-9), 1.5, math.inf,
               note=f"{paired:.3f} and {unpaired:.3f}, gain .05, 250 cases")  # fmt: skip


_NOT_WORSE = (Verdict.BETTER, Verdict.EQUIVALENT, Verdict.NON_INFERIOR)


def _pair(
    rng: np.random.Generator, patients: int, largest: int, gain: float
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Two systems that are right on the same cases six times of ten, with a true difference of ``gain``."""
    codes = np.repeat(np.arange(patients), rng.integers(1, largest + 1, size=patients))
    chance = rng.beta(2.1, 0.9, size=patients)[codes]
    common, same = rng.random(len(codes)) < chance, rng.random((2, len(codes))) < 0.6
    answers = np.where(same, common, rng.random((2, len(codes))) < chance)
    # The systems are right on 0.7 of the cases: turning wrong answers right, or right ones wrong, makes the difference.
    turned = rng.random(len(codes)) < (gain / 0.3 if gain > 0 else -gain / 0.7)
    answers[0] = answers[0] | turned if gain > 0 else answers[0] & ~turned
    return answers[0].astype(float), answers[1].astype(float), _names(codes)


def _share_verdict(candidate: np.ndarray, baseline: np.ndarray, patients: list[str], margin: float = 0.0) -> Verdict:
    systems = Tally.of_scores(candidate), Tally.of_scores(baseline)
    return compare_tallies(*systems, patients, margin=margin, permutations=999).verdict


def _f1_verdict(rng: np.random.Generator, seed: int) -> Verdict:
    gold = rng.integers(1, 8, size=90)
    chance = np.repeat(rng.beta(4, 3, size=45), 2)
    tallies = []
    for _ in range(2):
        parts = np.column_stack([2 * rng.binomial(gold, chance), 2 * gold]).astype(float)
        tallies.append(Tally(parts, _two_sums, Shape.RATIO))
    return compare_tallies(*tallies, _names(np.arange(90) // 2), draws=1_000, permutations=999, seed=seed).verdict


def _powers(rng: np.random.Generator, runs: int) -> tuple[float, float]:
    paired = unpaired = 0
    for _ in range(runs):
        candidate, baseline, patients = _pair(rng, 250, 1, 0.05)
        paired += _share_verdict(candidate, baseline, patients) is Verdict.BETTER
        error = math.sqrt((candidate.var() + baseline.var()) / len(candidate))
        unpaired += candidate.mean() - baseline.mean() > 1.959964 * error
    return paired / runs, unpaired / runs


def plans(rng: np.random.Generator, runs: int) -> Iterator[Line]:
    """As many cases as planned settle a study as often as planned."""
    few = max(200, runs // 2)
    needed = required_n(0.1, 0.3) or 0
    settled = [_planned(rng, needed, 0.2, 0.1, 0.0) is Verdict.BETTER for _ in range(few)]
    yield Line(f"power with the planned {needed} cases, BETTER", *_rate(settled, 0.75, 0.85))
    needed = required_n_margin(0.06, 0.2) or 0
    settled = [_planned(rng, needed, 0.1, 0.1, 0.06) in _NOT_WORSE for _ in range(few)]
    yield Line(f"power with the planned {needed} cases, NON-INFERIOR", *_rate(settled, 0.75, 0.85))


def _planned(rng: np.random.Generator, n: int, gains: float, losses: float, margin: float) -> Verdict:
    kinds = rng.choice([1, -1, 0], p=[gains, losses, 1 - gains - losses], size=n)
    return _share_verdict((kinds == 1).astype(float), (kinds == -1).astype(float), _names(np.arange(n)), margin)


# --- confidence ------------------------------------------------------------------------------------------------------


def confidence(rng: np.random.Generator, runs: int) -> Iterator[Line]:
    """An honest system is called dishonest one time in twenty."""
    few = max(200, runs // 4)
    for n in (50, 200):
        alarms = []
        for run in range(few):
            sure = rng.beta(5, 2, size=n)
            right = (rng.random(n) < sure).tolist()
            alarms.append(expected_calibration_error(sure.tolist(), right) > null_band(sure, seed=run)[1])
        yield Line(f"honest system outside its null band, {n} cases", *_rate(alarms, 0.04, 0.06))
    covered = []
    for _ in range(few):
        codes = np.arange(240) // 3
        odds = rng.normal(size=240) * 2 + 1
        found = calibration_slope(odds, (rng.random(240) < expit(odds)).astype(float), _names(codes))
        covered.append(found.low is not None and found.high is not None and found.low <= 1 <= found.high)
    yield _at_level("slope of an honest system, 80 patients of 3", covered)
    truth = aurc(*_sure_and_right(rng, 500_000))
    areas = [_area(rng, run) for run in range(few)]
    within = [one.low is not None and one.high is not None and one.low <= truth <= one.high for one in areas]
    yield _at_level("area under the risk-coverage curve, 80 patients of 2", within)


def _sure_and_right(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """An honest system's confidences, and what came true."""
    sure = rng.beta(4, 2, size=n)
    return sure, (rng.random(n) < sure).astype(float)


def _area(rng: np.random.Generator, seed: int) -> Interval:
    sure, right = _sure_and_right(rng, 160)
    names = _names(np.arange(160) // 2)
    return cases_interval(lambda places: aurc(sure[places], right[places]), names, seed=seed, draws=600)


def sets_and_thresholds(rng: np.random.Generator, runs: int) -> Iterator[Line]:
    """Label sets hold the gold label, and thresholds keep the risk, as often as stated."""
    few = max(100, runs // 10)
    test = _labelled(rng, 2_000, 1)
    for cases in (1, 3):
        measured, inside = [], []
        for run in range(few):
            sets = fit_label_sets(*_labelled(rng, 60, cases), coverage=0.9, seed=run)
            value = coverage_of(sets, *test).coverage.value
            measured.append(value)
            inside.append(sets.band[0] <= value <= sets.band[1])
        error = float(np.std(measured)) / math.sqrt(few)
        expected = 55 / 61
        yield Line(
            f"coverage of label sets, 60 patients of {cases}", float(np.mean(measured)), expected, expected, error
        )
        yield Line("  true coverage inside its Beta band", *_rate(inside, 0.93, 0.97))
    for cases in (1, 3):
        broken = [_risk_broken(rng, cases) for _ in range(max(200, runs // 4))]
        yield _at_most(f"threshold that breaks its risk of .1, 300 patients of {cases}", broken, 0.05)


def _labelled(rng: np.random.Generator, patients: int, cases: int) -> tuple[list[Example], list[Prediction]]:
    """A system that knows label chances roughly; cases of a patient have the same gold label."""
    rows = np.repeat(np.arange(patients), cases)
    odds = rng.normal(size=(patients, 6)) * 2
    gold = (odds + rng.gumbel(size=odds.shape)).argmax(axis=1)[rows]
    said = np.exp(odds[rows] + rng.normal(size=(len(rows), 6)))
    said /= said.sum(axis=1, keepdims=True)
    examples = [_example(i, TaskKind.CLASSIFY, f"l{g}", f"p{rows[i]}") for i, g in enumerate(gold)]
    return examples, [
        _prediction(i, f"l{row.argmax()}", {f"l{k}": float(p) for k, p in enumerate(row)}) for i, row in enumerate(said)
    ]


def _risk_broken(rng: np.random.Generator, cases: int) -> bool:
    """Half of the patients share their luck over all their cases."""
    sure = rng.beta(5, 1.2, size=300 * cases)
    patients = np.repeat(np.arange(300), cases)
    luck = np.where(rng.random(300) < 0.5, rng.random(300), np.nan)[patients]
    draw = np.where(np.isnan(luck), rng.random(len(sure)), luck)
    found = choose_threshold(sure.tolist(), (draw < sure**0.5).tolist(), _names(patients), risk=0.1)
    if found.threshold is None:
        return False
    fresh = rng.beta(5, 1.2, size=20_000)
    return bool(1 - (fresh[fresh >= found.threshold] ** 0.5).mean() > 0.1)


# --- speed -----------------------------------------------------------------------------------------------------------


def speed(rng: np.random.Generator, _: int) -> Iterator[Line]:
    """All metrics of a thousand cases with the draws of a report, compared with another system, with slices."""
    total = 0.0
    for kind in TaskKind:
        examples, predictions, others, texts = _thousand(kind)
        how = Assess(find=_find if kind is TaskKind.GENERATE else None)
        begun = time.perf_counter()
        found = assess(examples, predictions, how=how, against=others)
        seconds = time.perf_counter() - begun
        total += seconds
        yield Line(f"seconds, 1,000 cases, {kind}, {len(found['metrics'])} metrics, compared", seconds, 0, SECONDS)
        begun = time.perf_counter()
        assess(examples, predictions, how=how, slices=own_slices(examples, texts))
        sliced = time.perf_counter() - begun
        yield Line(f"seconds, the same in slices, {kind}", sliced, 0, SECONDS)
    yield Line("seconds, all kinds, compared", total, 0, SECONDS)


def _thousand(kind: TaskKind) -> tuple[list[Example], list[Prediction], list[Prediction], list[str]]:
    draw = random.Random(0)
    labels = [f"disease {i}" for i in range(28)]
    words = ["ataxia", "dysarthria", "seizures", "walks", "no", "with", "severe", "onset", "at", "age", "of", "four"]

    def answer() -> object:
        if kind is TaskKind.CLASSIFY:
            return draw.choice(labels)
        if kind is TaskKind.EXTRACT:
            places = [draw.randrange(0, 2_000) for _ in range(8)]
            return [
                {"concept": f"HP:{draw.randint(1, 60)}", "label": "x", "status": draw.choice(list(Status)).value,
                 "start": place, "end": place + 9} for place in places
            ]  # fmt: skip
        return " ".join(draw.choices(words, k=60))

    examples = [_example(i, kind, answer(), f"p{i // 2}") for i in range(1_000)]
    systems = []
    for _ in range(2):
        values = [example.gold if draw.random() < 0.6 else answer() for example in examples]
        chances = {label: 1 / len(labels) for label in labels} if kind is TaskKind.CLASSIFY else {}
        systems.append([_prediction(i, value, chances, draw.random()) for i, value in enumerate(values)])
    return examples, systems[0], systems[1], [" ".join(draw.choices(words, k=draw.randint(20, 400))) for _ in examples]


def _find(text: str) -> list[Finding]:
    found = []
    parts = text.split()
    for place, word in enumerate(parts):
        if word in ("ataxia", "dysarthria", "seizures"):
            status = Status.ABSENT if place and parts[place - 1] == "no" else Status.PRESENT
            found.append(Finding(concept=word, label=word, status=status))
    return found


# --- small parts -----------------------------------------------------------------------------------------------------


def _example(number: int, kind: TaskKind, gold: object, patient: str) -> Example:
    return Example(
        id=f"e{number}", task="t", kind=kind, messages=(), answer=str(gold), gold=gold, patient=patient,
        split=Split.TEST,
    )  # fmt: skip


def _prediction(number: int, value: object, chances: dict[str, float], confidence: float | None = None) -> Prediction:
    return Prediction(
        id=f"r{number}", example=f"e{number}", task="t", system="s", output=str(value), value=value,
        confidence=confidence if confidence is not None else max(chances.values()), probabilities=chances,
        nats=3.0, tokens=4,
    )  # fmt: skip


def _two_sums(sums: np.ndarray) -> np.ndarray:
    return ratio(sums[..., 0], sums[..., 1])


def _names(codes: np.ndarray) -> list[str]:
    return codes.astype(np.str_).tolist()


def _rate(events: list[bool], low: float, high: float) -> tuple[float, float, float, float]:
    rate = float(np.mean(events))
    return rate, low, high, math.sqrt(max(rate * (1 - rate), 1e-4) / len(events))


def _at_level(what: str, covered: list[bool]) -> Line:
    return Line(what, *_rate(covered, 0.935, 0.965))


def _at_most(what: str, events: list[bool], promised: float) -> Line:
    return Line(what, *_rate(events, 0.0, promised))


if __name__ == "__main__":
    main()
