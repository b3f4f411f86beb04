"""The account of an iteration: everything a report says, as plain data.

In: what the stages left (``Told``). Out: one dict, JSON all the way down.

Covers: counting and picking, and the sentence of reasons at the top. Does not cover: measuring (evaluate/), drawing
(evaluate/report/). No number is made here that is not a count or a copy of one that a stage measured.
"""

from __future__ import annotations

import os
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Any

from residency import __version__
from residency.curate.deidentify import count_replaced
from residency.evaluate.calibration.maps import IDENTITY, ConfidenceMap
from residency.evaluate.compare import Comparison
from residency.evaluate.gate import GateResult, GateVerdict
from residency.evaluate.metrics import case_scores
from residency.evaluate.report.changes import changes, size
from residency.evaluate.report.view import plain
from residency.evaluate.run import System
from residency.models.catalogue import entry_named
from residency.records import Document, Dropped, Example, Prediction, Score, Split, TaskKind
from residency.release import Release
from residency.store.runs import Outcome
from residency.tasks import TaskSettings
from residency.tune.adapter import WEIGHTS, Adapter, AdapterCard
from residency.tune.lora import Depth

CASES_SHOWN = 4  # best and worst cases of each task
CLEANSED = "cleanse"  # the step whose changes are shown side by side
LONGEST_SHOWN = 2_000  # characters of a text that is shown so
DOCUMENTS_NAMED = 5  # ids named for a reason to drop
HEADLINE = {TaskKind.CLASSIFY: "accuracy", TaskKind.EXTRACT: "f1", TaskKind.GENERATE: "fact_f1"}
CASE_METRIC = {TaskKind.CLASSIFY: "accuracy", TaskKind.EXTRACT: "f1", TaskKind.GENERATE: "fact_f1"}
SYSTEMS = {
    System.TUNED: ("Specialist (tuned)", "tuned", "the base model with the adapter"),
    System.FEW_SHOT: ("Base, few-shot", "prompt", "the base model with instructions and solved examples"),
    System.ZERO_SHOT: ("Base, zero-shot", "prompt", "the base model with instructions"),
    "linear": ("TF-IDF + logistic regression", "baseline", "no language model; word and character n-grams of the text"),
    "candidates": ("Candidates alone", "baseline", "no language model; naive Bayes over the findings that were read"),
    "terminology": ("Terminology step alone", "baseline", "no language model; what the dictionary read in the text"),
}
LIBRARIES = ("torch", "transformers", "peft", "presidio-analyzer", "spacy", "scikit-learn", "numpy")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the stages of one iteration left."""

    project: str
    about: str
    settings: Mapping[str, Any]
    tasks: Sequence[TaskSettings]
    runs: Mapping[str, Outcome]  # by stage, in order
    curation: Sequence[str]  # stages of the curation steps, in order
    files: int
    documents: Sequence[Document]
    dropped: Sequence[Dropped]
    split_of: Mapping[str, Split]
    adapter: Adapter
    test: Mapping[str, Sequence[Example]]  # by task
    predictions: Mapping[tuple[str, str], Sequence[Prediction]]  # by system and task
    scores: Sequence[Score]
    comparisons: Sequence[Comparison]
    calibration: Mapping[str, Mapping[str, Any]]
    safety: Mapping[str, Mapping[str, Any]]  # by task, then by system
    forgetting: Mapping[str, Any]
    slices: Mapping[str, Mapping[str, Any]]
    find: Any
    verdict: GateResult
    released: Release


def account(told: Told) -> dict[str, Any]:
    """The report as data; ``verdict`` comes first."""
    open_lines = [line for line in told.verdict.lines if line.verdict is not GateVerdict.GO]
    decisive = [line for line in open_lines if line.verdict is told.verdict.verdict] or list(told.verdict.lines)
    return plain({
        "verdict": told.verdict.verdict,
        "exit_status": told.verdict.exit_status,
        "reasons": [f"{line.title}: {line.reason}" for line in decisive],
        "next_step": next((line.next_step for line in decisive if line.next_step), ""),
        "project": told.project,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "residency": __version__,
        "about": told.about,
        "iteration": told.adapter.sha256[:12],
        "gate": [
            {
                "name": line.title, "verdict": line.verdict, "reason": line.reason, "next_step": line.next_step,
                "rule": line.line.model_dump(mode="json") if line.line else None, "measured": line.measured,
            }
            for line in told.verdict.lines
        ],
        "data": _data(told),
        "deidentification": _deidentification(told),
        "cleansed": _cleansed(told),
        "findings": _findings(told.documents),
        "training": _training(told),
        "systems": _systems(told),
        "tasks": [_task(told, task) for task in told.tasks],
        "scores": told.scores,
        "comparisons": [_comparison(one) for one in told.comparisons],
        "calibration": {task: _calibration(found) for task, found in told.calibration.items() if found},
        "slices": told.slices,
        "safety": told.safety,
        "forgetting": told.forgetting,
        "cases": _cases(told),
        "stages": [_stage(name, outcome) for name, outcome in told.runs.items()],
        "settings": told.settings,
        "machine": machine(),
    })  # fmt: skip


# --- data -------------------------------------------------------------------------------------------------------


def formats_of(documents: Iterable[Document]) -> dict[str, int]:
    """Documents by the format they were read as, the most frequent first."""
    return dict(Counter(document.meta.get("format", "unknown") for document in documents).most_common())


def _data(told: Told) -> dict[str, Any]:
    steps = [{"step": name, **_flow(told.runs[name])} for name in told.curation]
    ingest_dropped = [d for d in told.dropped if d.step == "ingest"]
    if steps:
        read = steps[0]["in"]
        lost = len(ingest_dropped)
        steps.insert(0, {"step": "ingest", "in": read + lost, "out": read, "dropped": lost})
    counted = told.runs["split"].facts["classes"]
    classes = sorted((label or "(no label)", counts) for label, counts in counted.items())
    return {
        "files": told.files,
        "formats": formats_of(told.documents),
        "read": steps[0]["in"],
        "kept": len(told.documents),
        "patients": len({document.patient for document in told.documents}),
        "steps": steps,
        "dropped": _reasons(told.dropped),
        "split": _sides(told),
        "classes": [{"label": label, **counts} for label, counts in classes],
        "warnings": told.runs["split"].facts["warnings"],
    }


def _flow(outcome: Outcome) -> dict[str, Any]:
    facts = outcome.facts
    return {
        "in": facts["came"],
        "out": facts["kept"],
        "dropped": facts["dropped"],
        "changed": facts["changed"],
        "seconds": outcome.row.seconds,
    }


def _reasons(dropped: Iterable[Dropped]) -> list[dict[str, Any]]:
    by_reason: dict[tuple[str, str], list[str]] = {}
    for one in dropped:
        by_reason.setdefault((one.step, one.reason), []).append(one.key)
    return [
        {"step": step, "reason": reason, "count": len(keys), "documents": keys[:DOCUMENTS_NAMED]}
        for (step, reason), keys in sorted(by_reason.items())
    ]


def _sides(told: Told) -> list[dict[str, Any]]:
    documents = Counter(told.split_of[d.patient] for d in told.documents if d.patient in told.split_of)
    patients = Counter(told.split_of.values())
    return [{"split": side, "documents": documents[side], "patients": patients[side]} for side in Split]


def _deidentification(told: Told) -> dict[str, Any]:
    settings = told.released.settings
    counts = count_replaced(told.documents)
    return {
        "policy": settings.policy.name,
        "mode": settings.mode,
        "documents": len(told.documents),
        "documents_with_identifiers": sum(bool(document.spans) for document in told.documents),
        "by_class": [{"label": label, "count": count} for label, count in Counter(counts).most_common()],
        "reviewed": told.released.recall.read,
        "released": {"standing": told.released.standing, "reason": told.released.reason},
    }


def _cleansed(told: Told) -> list[dict[str, Any]]:
    """The documents that cleansing changed in most places, side by side; texts that fit on a screen."""
    if CLEANSED not in told.runs:
        return []
    steps = list(told.curation)
    before = {d.id: d for d in told.runs[steps[steps.index(CLEANSED) - 1]].read("documents", Document)}
    shown: list[dict[str, Any]] = []
    for after in told.runs[CLEANSED].read("documents", Document):
        old = before.get(after.id)
        if old is not None and old.text != after.text and len(old.text) <= LONGEST_SHOWN:
            shown.append({"report": after.key, "stretches": changes(old.text, after.text)})
    shown.sort(key=lambda one: (-size(one["stretches"]), one["report"]))
    return shown[:CASES_SHOWN]


def _findings(documents: Sequence[Document]) -> dict[str, Any]:
    statuses = Counter(finding.status.value for document in documents for finding in document.findings)
    return {"documents": len(documents), "mentions": statuses.total(), "by_status": dict(statuses.most_common())}


# --- training ---------------------------------------------------------------------------------------------------


def _training(told: Told) -> dict[str, Any]:
    card = told.adapter.card
    recipe = card.recipe.model_dump(mode="json")
    seconds = card.curve[-1].seconds if card.curve else None
    return {
        "base": card.base,
        "licence": card.licence,
        "method": "LoRA",
        "trainable": card.trainable,
        "total": card.total,
        "examples": sum(card.examples.values()),
        "tokens": card.tokens,
        "steps": card.curve[-1].step if card.curve else 0,
        "epochs": recipe["epochs"],
        "recipe": [
            # A setting that is off was not forgotten: null would be shown as "not measured".
            {"name": n, "value": "none" if v is None else v, "source": card.recipe_source[n]}
            for n, v in recipe.items()
        ],
        "curve": [{"step": step, "loss": loss} for step, loss in enumerate(card.losses, 1)],
        "validation": [{"step": point.step, "loss": point.validation} for point in card.curve],
        "seconds": seconds,
        "tokens_per_second": card.tokens / seconds if seconds else None,
        "adapter": told.adapter.sha256,
        "adapter_bytes": (told.adapter.folder / WEIGHTS).stat().st_size,
        "notes": [
            f"The weights are those after step {card.best_step}, the best on the validation patients.",
            *_depth(card),
            *([f"The question of {card.truncated} samples was cut to fit."] if card.truncated else []),
        ],
    }


def _depth(card: AdapterCard) -> list[str]:
    """What it costs to adapt the upper blocks only, where a run did."""
    entry = entry_named(card.base)
    if card.recipe.depth is Depth.FULL:
        return []
    measured = entry.fast.note if entry and entry.fast else "what that costs was not measured on this base"
    return [f"Adapters are on the last {card.layers} blocks (depth: fast): {measured}."]


# --- scores -----------------------------------------------------------------------------------------------------


def _systems(told: Told) -> list[dict[str, Any]]:
    names = dict.fromkeys(system for system, _ in told.predictions)
    shown = [(name, SYSTEMS.get(name, (name, "baseline", ""))) for name in names]
    return [{"name": name, "title": title, "kind": kind, "about": about} for name, (title, kind, about) in shown]


def _task(told: Told, task: TaskSettings) -> dict[str, Any]:
    test = told.test[task.name]
    return {
        "name": task.name,
        "kind": task.kind,
        "headline_metric": HEADLINE[task.kind],
        "n": len(test),
        "patients": len({example.patient for example in test}),
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    kept = ("task", "metric", "difference", "low", "high", "p", "verdict", "required_n", "note")
    return {name: getattr(one, name) for name in kept} | {"system": one.candidate, "against": one.baseline}


def _calibration(found: Mapping[str, Any]) -> dict[str, Any]:
    honest, trust = found["reliability"], found["selective"]
    return {
        "system": System.TUNED,
        "map": found["map"]["kind"],
        "fitted_on": found["map"]["n"],
        "slope": honest["slope"],
        "in_the_large": honest["in_the_large"],
        "auroc": honest["auroc"],
        "abstention": found["abstention"],
        "sets": found["sets"],
        "covered": found["covered"],
        "ece": honest["ece"],
        "ece_null_low": honest["null_band"][0],
        "ece_null_high": honest["null_band"][1],
        "verdict": honest["honesty"],
        "brier": honest["brier"]["value"],
        "bins": honest["bins"],
        "risk_coverage": [
            {"coverage": point["coverage"], "risk": 1 - point["accuracy"]["value"]} for point in trust["points"]
        ],
        "note": honest["note"],
    }


def _cases(told: Told) -> dict[str, list[dict[str, Any]]]:
    """The held-out cases where the specialist did best and worst; among equals the most certain ones."""
    best: list[dict[str, Any]] = []
    worst: list[dict[str, Any]] = []
    texts = {document.id: document.text for document in told.documents}
    for task in told.tasks:
        cases = sorted(_judged(told, task, texts), key=lambda case: (-case["score"], -(case["confidence"] or 0)))
        best += cases[:CASES_SHOWN]
        # A confident mistake is the worst there is.
        worst += sorted(cases, key=lambda case: (case["score"], -(case["confidence"] or 0)))[:CASES_SHOWN]
    return {"best": best, "worst": worst}


def _judged(told: Told, task: TaskSettings, texts: Mapping[str, str]) -> list[dict[str, Any]]:
    systems = [system for system, of_task in told.predictions if of_task == task.name]
    answers = {name: {p.example: p for p in told.predictions[name, task.name]} for name in systems}
    found = told.calibration.get(task.name)
    honest = ConfidenceMap.of(found["map"]) if found else IDENTITY
    judged = []
    for example in told.test[task.name]:
        ours = answers[System.TUNED][example.id]
        scores = case_scores(task.kind, example, ours, find=told.find)
        ours = honest.apply(ours)
        judged.append({
            "id": ours.id,
            "task": task.name,
            "text": texts[example.parents[0]],
            "gold": example.gold,
            "output": ours.value if ours.scored else ours.output,
            "score": scores.get(CASE_METRIC[task.kind], 0.0),
            "confidence": ours.confidence,
            "document": example.parents[0],
            "others": [
                {"system": name, "output": of[example.id].value if of[example.id].scored else of[example.id].output}
                for name, of in answers.items()
                if name != System.TUNED and example.id in of
            ],
        })  # fmt: skip
    return judged


# --- machine ----------------------------------------------------------------------------------------------------


def _stage(name: str, outcome: Outcome) -> dict[str, Any]:
    row = outcome.row
    return {"stage": name, "seconds": row.seconds, "peak_bytes": row.peak_bytes, "reused": outcome.reused}


@cache
def machine() -> dict[str, Any]:
    """What this ran on: processor, cores, memory, versions."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": pages,
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
