"""What the page shows of the report's data.

In: the report as plain data. Out: the same data, plus what a template should not have to compute: charts, tables turned
to systems by metrics, a sentence for every task, answers compared with gold.

Covers: arranging. Does not cover: measuring; no number is made here that is not in the data or a count of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from markupsafe import Markup

from residency.evaluate import charts
from residency.evaluate.metrics import metric_of
from residency.evaluate.report import words
from residency.evaluate.slices import too_few
from residency.records import Status

WIDE, NARROW = 728, 328  # px: the text column of the page, and of a phone 360 px wide
HALF = 340  # px: two charts beside each other on the page, one on a phone
KINDS = ("tuned", "prompt", "baseline")  # the order of systems in charts and tables
OTHER = "other"
Plain = Mapping[str, Any]
Fact = tuple[str, str]  # (status, name), as a reader sees them


def plain(value: Any) -> Any:
    """Plain data for JSON: records, enums, paths and NumPy numbers become what JSON knows; not finite becomes None."""
    if value is None or (isinstance(value, str | bool | int) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [plain(item) for item in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
    if hasattr(value, "tolist"):  # NumPy arrays and numbers
        return plain(value.tolist())
    return str(value)


def page(report: Plain) -> dict[str, Any]:
    """Everything that the template reads, by name. A key whose value is null is as good as missing."""
    resolved = report.get("settings") or {}  # there, null is a value
    report = without_null(report)
    systems = _systems(report)
    return {
        "r": report,
        "systems": systems,
        "tasks": [_task(task, report, systems) for task in _tasks(report)],
        "flow": _both_widths(_flow, report.get("data") or {}),
        "curve": _both_widths(_curve, report.get("training") or {}),
        "cases": {side: _cases(report, side) for side in ("worst", "best")},
        "settings": list(_flat(resolved)),
        "unread": _unread(report, systems),
        "critical": _harm(report, systems, "critical"),
        "claims": _harm(report, systems, "claims"),
        "not_reviewed": _not_reviewed(report.get("deidentification") or {}),
    }


def without_null(value: Any) -> Any:
    """The data without the keys and items that are null."""
    if isinstance(value, Mapping):
        return {key: without_null(item) for key, item in value.items() if item is not None}
    return [without_null(item) for item in value if item is not None] if isinstance(value, list) else value


def _both_widths(draw: Any, *data: Any) -> dict[str, Markup] | None:
    """The same chart for the page and for a phone; the charts escape their texts. None where there is nothing."""
    if draw(*data, WIDE) is None:
        return None
    return {"wide": Markup(draw(*data, WIDE)), "narrow": Markup(draw(*data, NARROW))}


# --- systems and tasks ----------------------------------------------------------------------------------------------


def _systems(report: Plain) -> list[dict[str, Any]]:
    """Tuned first, then prompts, then baselines; a system that has scores and no entry comes last, under its name."""
    known = {system["name"]: dict(system) for system in report.get("systems") or []}
    for score in report.get("scores") or []:
        known.setdefault(score["system"], {"name": score["system"]})
    for system in known.values():
        system["title"] = system.get("title") or system["name"]
        system["kind"] = system.get("kind") if system.get("kind") in KINDS else OTHER
    return sorted(known.values(), key=lambda system: (*KINDS, OTHER).index(system["kind"]))


def _tasks(report: Plain) -> list[dict[str, Any]]:
    """The tasks; one that has scores and no entry is shown under its name."""
    known = {task["name"]: dict(task) for task in report.get("tasks") or []}
    for score in report.get("scores") or []:
        known.setdefault(score["task"], {"name": score["task"]})
    return list(known.values())


def _task(task: dict[str, Any], report: Plain, systems: Sequence[Plain]) -> dict[str, Any]:
    name = task["name"]
    scores = {(s["system"], s["metric"]): s for s in report.get("scores") or [] if s["task"] == name}
    metric = task.get("headline_metric") or next((m for _, m in scores), None)
    rows = [(system, scores.get((system["name"], metric))) for system in systems]
    rows = [(system, score) for system, score in rows if score or any(s == system["name"] for s, _ in scores)]
    comparisons = _comparisons([c for c in report.get("comparisons") or [] if c["task"] == name], systems)
    return {
        **task,
        "metric": metric and metric_of(metric),
        "sentence": task.get("sentence") or _sentence(task, metric, rows),
        "forest": _both_widths(_forest, name, metric, rows) if metric and rows else None,
        "headline_comparisons": [c for c in comparisons if c["metric"] == metric],
        "comparisons": comparisons,
        "table": _score_table(scores, systems, metric),
        "slices": _slices((report.get("slices") or {}).get(name), metric),
        "calibration": _calibration(name, (report.get("calibration") or {}).get(name), systems),
    }


def _sentence(task: Plain, metric: str | None, rows: Iterable[tuple[Plain, Plain | None]]) -> str | None:
    """The headline in words, for a task that brings none: every system's value, in the order of the chart."""
    parts = []
    for system, score in rows:
        if metric and score and score.get("value") is not None:
            span = words.measured_range(score.get("low"), score.get("high"), metric)
            value = words.measured(score["value"], metric)
            parts.append(f"{value} ({span}) for {system['title']}" if span else f"{value} for {system['title']}")
    if not parts or not metric:
        return None
    cases = words.of_things(task.get("n"), "held-out case") or "the held-out cases"
    patients = words.of_things(task.get("patients"), "patient")
    return f"On {cases}{f' of {patients}' if patients else ''}, {metric_of(metric).title} is {'; '.join(parts)}."


def _forest(name: str, metric: str, rows: Iterable[tuple[Plain, Plain | None]], width: int) -> str:
    estimates = []
    for system, found in rows:
        score = found or {}
        low, high = score.get("low"), score.get("high")
        estimates.append(
            charts.Estimate(
                label=system["title"],
                value=score.get("value"),
                low=low,
                high=high,
                kind=system["kind"],
                shown=words.measured(score.get("value"), metric) or "",
                range_shown=words.measured_range(low, high, metric),
            )
        )
    shown = "; ".join(f"{e.label}: {e.shown or 'not measured'} {e.range_shown}".strip() for e in estimates)
    title = f"{name}: {metric_of(metric).title} of every system"
    return charts.forest(
        estimates, title=title, description=f"{shown}.", width=width, ceiling=metric_of(metric).ceiling
    )


def _comparisons(found: Sequence[Plain], systems: Sequence[Plain]) -> list[dict[str, Any]]:
    """Comparisons of one task; the charts of one unit share their axis, so that rows can be compared."""
    limits: dict[str, float] = {}
    units = ["points" if words.is_share(c["metric"]) else str(c["metric"]) for c in found]
    for comparison, unit in zip(found, units, strict=True):
        ends = [abs(v) for key in ("difference", "low", "high") if (v := comparison.get(key)) is not None]
        limits[unit] = max([limits.get(unit, 0.0), *ends])
    return [_comparison(c, systems, limits[unit] or 1.0) for c, unit in zip(found, units, strict=True)]


def _comparison(comparison: Plain, systems: Sequence[Plain], limit: float) -> dict[str, Any]:
    titles = {system["name"]: system["title"] for system in systems}
    chart = charts.difference(
        comparison.get("difference"),
        comparison.get("low"),
        comparison.get("high"),
        limit=limit,
        title=words.measured_difference(comparison.get("difference"), comparison["metric"]) or "not measured",
    )
    return {
        **comparison,
        "metric_title": metric_of(comparison["metric"]).title,
        "lower_is_better": metric_of(comparison["metric"]).lower_is_better,
        "system_title": titles.get(comparison.get("system"), comparison.get("system")),
        "against_title": titles.get(comparison.get("against"), comparison.get("against")),
        "chart": Markup(chart),
    }


def _score_table(
    scores: Mapping[tuple[str, str], Plain], systems: Sequence[Plain], headline: str | None
) -> dict[str, Any]:
    """Systems by metrics: the headline first, surface similarity last."""
    names = list(dict.fromkeys(metric for _, metric in scores))
    names.sort(key=lambda m: (metric_of(m).surface, m != headline))
    present = {system for system, _ in scores}
    rows = [
        {"system": system, "scores": [scores.get((system["name"], metric)) for metric in names]}
        for system in systems
        if system["name"] in present
    ]
    titles = {system["name"]: system.get("title") or system["name"] for system in systems}
    notes = dict.fromkeys(
        f"{metric_of(s['metric']).title}{_of_whom(s, scores, titles)}: {s['note']}"
        for s in scores.values()
        if s.get("note")
    )
    return {"metrics": [metric_of(name) for name in names], "rows": rows, "notes": list(notes)}


def _of_whom(score: Plain, scores: Mapping[tuple[str, str], Plain], titles: Mapping[str, str]) -> str:
    """Whose score a note is about; nothing where the note is the same for every system."""
    notes = {other.get("note") for other in scores.values() if other["metric"] == score["metric"]}
    return "" if notes == {score.get("note")} else f" ({titles.get(score['system'], score['system'])})"


def _unread(report: Plain, systems: Sequence[Plain]) -> list[dict[str, Any]]:
    """Outputs that could not be read, by task and system."""
    worst: dict[tuple[str, str], dict[str, Any]] = {}
    for score in report.get("scores") or []:
        if score.get("unscored") is not None:
            worst.setdefault((score["task"], score["system"]), {"unscored": score["unscored"], "n": score.get("n")})
    titles = {system["name"]: system["title"] for system in systems}
    return [{"task": task, "system": titles[system], **found} for (task, system), found in worst.items()]


def _harm(report: Plain, systems: Sequence[Plain], what: str) -> list[dict[str, Any]]:
    """Critical errors, or claims, of every task: a row a system with its scores; the details of the first of them."""
    metrics = {
        "critical": ("critical_error_rate", "critical_cost"),
        "claims": ("hallucination_rate", "hallucinated_document_rate", "omission_rate"),
    }[what]
    scores = {(s["task"], s["system"], s["metric"]): s for s in report.get("scores") or []}
    found = []
    for task, of_task in (report.get("safety") or {}).items():
        shown = [system for system in systems if (of_task.get(system["name"]) or {}).get(what)]
        rows = [{"system": s, "scores": [scores.get((task, s["name"], m)) for m in metrics]} for s in shown]
        if rows:
            details = of_task[shown[0]["name"]][what]
            found.append({"task": task, "metrics": [metric_of(m) for m in metrics], "rows": rows, **details})
    return found


# --- data and training ----------------------------------------------------------------------------------------------


def _flow(data: Plain, width: int) -> str | None:
    levels = [] if data.get("read") is None else [charts.Level(label="documents read", count=data["read"])]
    for step in data.get("steps") or []:
        if step.get("out") is not None:
            lost = step.get("dropped") or 0
            levels.append(charts.Level(label=str(step["step"]).replace("_", " "), count=step["out"], lost=lost))
    if not levels:
        return None
    shown = "; ".join(f"{level.label}: {level.count}, {level.lost} left out" for level in levels)
    return charts.flow(levels, title="Documents left after each step", description=f"{shown}.", width=width)


def _curve(training: Plain, width: int) -> str | None:
    train, validation = (_pairs(training.get(key), "step", "loss") for key in ("curve", "validation"))
    if not train and not validation:
        return None
    ends = [
        f"{name} loss {line[0][1]:.3g} at step {line[0][0]}, {line[-1][1]:.3g} at step {line[-1][0]}"
        for name, line in (("training", train), ("validation", validation))
        if line
    ]
    return charts.loss_curve(
        train, validation, title="Loss while training", description=f"{'; '.join(ends)}.", width=width
    )


def _pairs(points: Sequence[Plain] | None, first: str, second: str) -> list[tuple[float, float]]:
    """The points for which both values are known."""
    pairs = ((point.get(first), point.get(second)) for point in points or [])
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _not_reviewed(deidentification: Plain) -> int | None:
    """How many documents no person looked at after identifiers were replaced."""
    documents, reviewed = deidentification.get("documents"), deidentification.get("reviewed")
    return None if documents is None or reviewed is None else max(documents - reviewed, 0)


# --- slices ---------------------------------------------------------------------------------------------------------


def _slices(found: Plain | None, headline: str | None) -> dict[str, Any] | None:
    """Rows of (slice, value, cases, patients, scores) of the metrics that may decide, the headline first."""
    matrix = (found or {}).get("matrix") or {}
    measured = dict.fromkeys(name for values in matrix.values() for scores in values.values() for name in scores)
    names = [name for name in measured if metric_of(name).ranks and not metric_of(name).surface]
    if not names:
        return None
    names.sort(key=lambda name: name != headline)
    rows = []
    for name, values in matrix.items():
        for value, scores in values.items():
            size: Plain = next(iter(scores.values()), {})
            row = {"slice": name, "value": value, "n": size.get("n"), "patients": size.get("patients")}
            row["too_few"] = size.get("patients") is not None and too_few(size["patients"])
            rows.append({**row, "scores": [scores.get(metric) for metric in names]})
    return {"metrics": [metric_of(name) for name in names], "rows": rows, "worst": _worst((found or {}).get("worst"))}


def _worst(found: Plain | None) -> str | None:
    keys = ("slice", "value", "metric", "measured", "n", "of")
    if found is None or any(found.get(key) is None for key in keys):
        return None
    name, value, metric, measured, n, of = (found[key] for key in keys)
    span = words.measured_range(found.get("low"), found.get("high"), metric)
    wide = f" ({span}, widened for being the worst of {of})" if span else ""
    where = f"{words.spaced(name)} = {value}"
    return f"Worst slice: {where}, {words.measured(measured, metric)}{wide}, {words.of_things(n, 'case')}."


# --- calibration ----------------------------------------------------------------------------------------------------


def _calibration(task: str, found: Plain | None, systems: Sequence[Plain]) -> dict[str, Any] | None:
    if not found:
        return None
    titles = {system["name"]: system["title"] for system in systems}
    return {
        **found,
        "system_title": titles.get(found.get("system"), found.get("system")),
        "reliability": _reliability(task, found.get("bins") or []),
        "risk": _risk(task, found.get("risk_coverage") or []),
        "band": _band(task, found),
        "sentences": [s for s in (_honesty(found), _asking(found), _sets(found)) if s],
    }


def _honesty(found: Plain) -> str | None:
    """Slope and intercept, as clinicians know them, and the use of confidence for telling right from wrong."""
    parts = []
    for key, title in (
        ("slope", "calibration slope (1 is honest)"),
        ("in_the_large", "calibration in the large (0 is honest)"),
        ("auroc", "area under the ROC curve of confidence"),
    ):
        one = found.get(key) or {}
        if one.get("value") is not None:
            low, high = one.get("low"), one.get("high")
            span = f", {words.number(low)} to {words.number(high)}" if low is not None and high is not None else ""
            parts.append(f"{title} {words.number(one['value'])}{span}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else None


def _asking(found: Plain) -> str | None:
    """When to ask a person."""
    chosen = found.get("abstention") or {}
    risk, doubt, coverage = (chosen.get(key) for key in ("risk", "doubt", "coverage"))
    if risk is None or doubt is None or coverage is None:
        return None
    if chosen.get("threshold") is None:
        why = f": {chosen['note']}" if chosen.get("note") else ""
        return f"No threshold keeps mistakes to {words.percent(risk)}{why}. A person must read every answer."
    return (
        f"Answers from a confidence of {words.percent(chosen['threshold'])} on are wrong at most {words.percent(risk)} "
        f"of the time, with {words.percent(1 - doubt)} certainty; that is {words.percent(coverage)} of the calibration "
        "cases. Below it, ask a person."
    )


def _sets(found: Plain) -> str | None:
    """Label sets: what they promise, and what they did."""
    covered = found.get("covered") or {}
    value, band = (covered.get("coverage") or {}).get("value"), covered.get("band") or []
    if covered.get("stated") is None or value is None:
        return None
    span = words.measured_range(band[0], band[1], "accuracy") if len(band) == 2 else ""
    promised = f"; on so many cases the promise gives {span}" if span else ""
    size = f" A set has {words.number(covered['size'])} labels on average." if covered.get("size") is not None else ""
    note = (found.get("sets") or {}).get("note")
    return (
        f"Label sets that promise to hold the right label {words.percent(covered['stated'])} of the time hold it "
        f"{words.percent(value)} of the time here{promised}.{size}{f' {note}.' if note else ''}"
    )


def _reliability(task: str, bins: Sequence[Plain]) -> Markup | None:
    kept = [b for b in bins if b.get("confidence") is not None and b.get("accuracy") is not None]
    if not kept:
        return None
    shown = "; ".join(f"confidence {b['confidence']:.0%}, right {b['accuracy']:.0%}" for b in kept)
    points = [
        charts.Bin(
            confidence=b["confidence"], accuracy=b["accuracy"], low=b.get("low"), high=b.get("high"), n=b.get("n") or 0
        )
        for b in kept
    ]
    title = f"{task}: how often answers are right, by confidence"
    return Markup(charts.reliability(points, title=title, description=f"{shown}.", width=HALF))


def _risk(task: str, points: Sequence[Plain]) -> Markup | None:
    kept = _pairs(points, "coverage", "risk")
    if not kept:
        return None
    title = f"{task}: share of wrong answers, by share of cases answered"
    last = max(kept)
    shown = f"with {last[0]:.0%} of the cases answered, {last[1]:.0%} of the answers are wrong."
    return Markup(charts.risk_coverage(kept, title=title, description=shown, width=HALF))


def _band(task: str, found: Plain) -> Markup | None:
    value, low, high = (found.get(key) for key in ("ece", "ece_null_low", "ece_null_high"))
    if value is None or low is None or high is None:
        return None
    shown = f"measured {words.percent(value)}, by chance {words.measured_range(low, high, 'accuracy')}"
    title = f"{task}: expected calibration error"
    return Markup(charts.null_band(value, low, high, title=title, description=f"{shown}.", width=HALF))


# --- cases ----------------------------------------------------------------------------------------------------------


def _cases(report: Plain, side: str) -> list[dict[str, Any]]:
    kinds = {task["name"]: task.get("kind") for task in report.get("tasks") or []}
    return [_case(case, kinds.get(case.get("task"))) for case in (report.get("cases") or {}).get(side) or []]


def _case(case: Plain, kind: str | None) -> dict[str, Any]:
    gold, output = _answer(case.get("gold")), _answer(case.get("output"))
    facts = _facts(case.get("gold")), _facts(case.get("output"))
    compared = None
    if kind == "extract" and facts[0] is not None and facts[1] is not None:
        compared = _compare(facts[0], facts[1])
    others = [{**other, "output": _answer(other.get("output"))} for other in case.get("others") or []]
    return {**case, "kind": kind, "gold": gold, "output": output, "compared": compared, "others": others}


def _compare(gold: Sequence[Fact], output: Sequence[Fact]) -> dict[str, Any]:
    """Findings by how output and gold agree; ``turned``: name right, status wrong, as (name, gold, output)."""
    missed = [fact for fact in gold if fact not in output]
    extra = [fact for fact in output if fact not in gold]
    turned = [(name, status, other) for status, name in missed for other, same in extra if same == name]
    names = {name for name, _, _ in turned}
    return {
        "found": [fact for fact in gold if fact in output],
        "turned": turned,
        "missed": [fact for fact in missed if fact[1] not in names],
        "extra": [fact for fact in extra if fact[1] not in names],
        "total": len(gold),
    }


def _answer(value: Any) -> str | None:
    """A gold answer or an output as text; findings one status a line."""
    facts = _facts(value)
    if isinstance(value, list) and facts is not None:
        by_status: dict[str, list[str]] = {}
        for status, name in facts:
            by_status.setdefault(status, []).append(name)
        return "\n".join(f"{status}: {'; '.join(names)}" for status, names in by_status.items()) or "none"
    return value if value is None or isinstance(value, str) else str(value)


def _facts(value: Any) -> list[Fact] | None:
    """Findings as (status, name) for display, from data or from an answer's lines; None where it is neither."""
    if isinstance(value, list):
        if not all(isinstance(item, Mapping) and "label" in item and "status" in item for item in value):
            return None
        return list(dict.fromkeys((str(item["status"]), str(item["label"])) for item in value))
    if not isinstance(value, str) or not value.strip():
        return None
    facts: dict[Fact, None] = {}
    for line in value.strip().splitlines():
        status, colon, names = line.partition(":")
        if not colon or status.strip().casefold() not in set(Status):
            return [] if value.strip().casefold().rstrip(".") == "none" else None
        facts |= {(status.strip().casefold(), n.strip(" .")): None for n in names.split(";") if n.strip(" .")}
    return list(facts)


def _flat(value: Any, path: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as (dotted path, value)."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for position, item in enumerate(value):
            yield from _flat(item, f"{path}[{position}]")
    else:
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        yield path, "not set" if shown is None else str(shown)
