"""The dataset card: what the curated data is, where it came from, and whether it is enough.

In: a project whose curation has run. Out: a ``DataCard``; dataset.json and dataset.md in the project folder.

Covers: counts by step, source, side of the split and class; what was dropped and why; lengths; the hashes that name
exactly this data; the answer to "do we have ten thousand examples": yes, or which classes lack how many. Does not
cover: the quality of labels (curate/suspicions.py) and of de-identification (deidentification.html).

Enough is a number that a person sets. The default is the least that the recipe behind this product asks for; examples
are counted a task, since one report gives an example for each, and classes are to have equal shares of them.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from residency.account import formats_of
from residency.curate.suspicions import Suspicion
from residency.project import Project
from residency.records import Document, Dropped, Example, Split, TaskKind
from residency.settings import plain_data
from residency.store.files import write_text
from residency.story import DECONTAMINATE, LABEL_CHECK, Iteration, questions, recall

ENOUGH = 10_000  # curated examples; the lower end of the recipe's range of 10,000 to 50,000
LACKING_SHOWN = 10
JSON_NAME, PAGE_NAME = "dataset.json", "dataset.md"


@dataclass(frozen=True, slots=True)
class ClassCount:
    """One class of a classify task. Examples are of training patients."""

    label: str
    documents: int
    patients: int
    examples: int
    lacks: int  # examples to an equal share of what is enough


@dataclass(frozen=True, slots=True)
class TaskCount:
    """Examples of one task."""

    task: str
    examples: Mapping[str, int]  # side of the split -> count
    unanswered: int  # documents without an answer for the task
    lacks: int  # training examples to what is enough
    classes: tuple[ClassCount, ...]  # the one that lacks most first; empty where the task has none


@dataclass(frozen=True, kw_only=True, slots=True)
class DataCard:
    """All of it."""

    project: str
    data: str  # hash of the curated documents
    split: str  # hash of who is on which side
    enough: int
    documents: int
    patients: int
    groups: int
    words: Mapping[str, int]  # smallest, median, largest words a document
    sources: Mapping[str, int]  # format -> documents
    sides: Mapping[str, Mapping[str, int]]  # side -> documents, patients
    dropped: Mapping[str, int]  # step: reason -> count
    steps: tuple[Mapping[str, Any], ...]
    tasks: tuple[TaskCount, ...]
    warnings: tuple[str, ...]  # of the split
    suspicions: tuple[Suspicion, ...]  # labels worth a second look, the most suspicious first

    @property
    def verdict(self) -> str:
        """The answer in a sentence."""
        short = [task for task in self.tasks if task.lacks]
        if not short:
            return f"Enough: every task has at least {self.enough:,} training examples."
        return (
            "Not enough: " + "; ".join(f"{task.task} lacks {task.lacks:,} of {self.enough:,}" for task in short) + "."
        )


def describe_data(project: Project, *, enough: int = ENOUGH) -> DataCard:
    """The card of the data that the last run curated and split."""
    iteration = recall(project, until="split")
    documents, runs = iteration.documents, iteration.runs
    steps = [step.step for step in project.settings.curate if step.step in runs] + [DECONTAMINATE]
    lengths = sorted(len(document.text.split()) for document in documents)
    dropped = Counter(f"{one.step}: {one.reason}" for step in steps for one in runs[step].read("dropped", Dropped))
    return DataCard(
        project=project.settings.name,
        data=iteration.data,
        split=runs["split"].hash("assignments"),
        enough=enough,
        documents=len(documents),
        patients=len({document.patient for document in documents}),
        groups=len({document.group for document in documents if document.group}),
        words={"smallest": lengths[0], "median": lengths[len(lengths) // 2], "largest": lengths[-1]},
        sources=formats_of(documents),
        sides={side: _side(documents, iteration.patients(side)) for side in Split},
        dropped=dict(dropped.most_common()),
        steps=tuple({"step": step, **_flow(runs[step].facts)} for step in steps),
        tasks=tuple(_tasks(iteration, enough)),
        warnings=tuple(runs["split"].facts["warnings"]),
        suspicions=tuple(runs[LABEL_CHECK].read("suspicions", Suspicion)),
    )


def write_card(card: DataCard, folder: Path) -> tuple[Path, Path]:
    """Writes dataset.json and dataset.md into ``folder``."""
    as_json, page = folder / JSON_NAME, folder / PAGE_NAME
    write_text(as_json, json.dumps({"verdict": card.verdict, **plain_data(asdict(card))}, indent=1) + "\n")
    write_text(page, "\n".join(_page(card)) + "\n")
    return as_json, page


def _side(documents: Sequence[Document], patients: frozenset[str]) -> dict[str, int]:
    return {"documents": sum(document.patient in patients for document in documents), "patients": len(patients)}


def _flow(facts: Mapping[str, Any]) -> dict[str, int]:
    return {name: facts[name] for name in ("came", "kept", "dropped", "changed")}


def _tasks(iteration: Iteration, enough: int) -> Iterator[TaskCount]:
    documents = {document.id: document for document in iteration.documents}
    for task in iteration.project.settings.tasks:
        examples = questions(iteration, task, *Split)
        sides = Counter(example.split for example in examples)
        classes: tuple[ClassCount, ...] = ()
        if task.kind is TaskKind.CLASSIFY:
            classes = tuple(_classes(examples, documents, enough))
        yield TaskCount(
            task=task.name,
            examples={side: sides[side] for side in Split},
            unanswered=len(documents) - len(examples),
            lacks=max(0, enough - sides[Split.TRAIN]),
            classes=classes,
        )


def _classes(examples: Sequence[Example], documents: Mapping[str, Document], enough: int) -> list[ClassCount]:
    of_class: dict[str, list[Example]] = {}
    for example in examples:
        of_class.setdefault(str(example.gold), []).append(example)
    share = math.ceil(enough / len(of_class)) if of_class else 0
    counts = [
        ClassCount(
            label=label,
            documents=len({example.parents[0] for example in its}),
            patients=len({documents[example.parents[0]].patient for example in its}),
            examples=(trained := sum(example.split is Split.TRAIN for example in its)),
            lacks=max(0, share - trained),
        )
        for label, its in of_class.items()
    ]
    return sorted(counts, key=lambda one: (-one.lacks, one.label))


def _page(card: DataCard) -> Iterator[str]:
    """The card in Markdown, in the order of Hugging Face's dataset cards: what, from where, how made, how to use."""
    yield from (f"# {card.project}: dataset card", "", card.verdict, "")
    yield from (
        f"Data `{card.data}`, split `{card.split[:16]}`. Written by `residency data`; de-identified text only.",
        "",
    )
    yield from ("## What it is", "")
    yield (
        f"{card.documents:,} documents of {card.patients:,} patients"
        + (f" in {card.groups:,} groups" if card.groups else "")
        + f"; {card.words['smallest']} to {card.words['largest']} words, median {card.words['median']}."
    )
    yield from ("", "| format | documents |", "|---|---|")
    yield from (f"| {source} | {count:,} |" for source, count in card.sources.items())
    yield from ("", "## How it was made", "", "| step | came | kept | dropped | changed |", "|---|---|---|---|---|")
    yield from (
        f"| {s['step']} | {s['came']:,} | {s['kept']:,} | {s['dropped']:,} | {s['changed']:,} |" for s in card.steps
    )
    if card.dropped:
        yield from ("", "| dropped because | documents |", "|---|---|")
        yield from (f"| {reason} | {count:,} |" for reason, count in card.dropped.items())
    yield from ("", "## Who is held out", "", "| side | patients | documents |", "|---|---|---|")
    yield from (f"| {side} | {counts['patients']:,} | {counts['documents']:,} |" for side, counts in card.sides.items())
    if card.warnings:
        yield from ("", *(f"- {warning}" for warning in card.warnings))
    yield from ("", "## Is it enough?", "", card.verdict)
    for task in card.tasks:
        yield from ("", f"### {task.task}", "")
        yield ", ".join(f"{count:,} {side}" for side, count in task.examples.items()) + " examples."
        if task.unanswered:
            yield f"{task.unanswered:,} documents have no answer for it."
        if task.classes:
            yield from ("", "| class | patients | documents | training examples | lacks |", "|---|---|---|---|---|")
            yield from (
                f"| {c.label} | {c.patients:,} | {c.documents:,} | {c.examples:,} | {c.lacks:,} |" for c in task.classes
            )
    likely = [one for one in card.suspicions if one.likely_wrong]
    if likely:
        yield from ("", "## Labels worth a second look", "")
        yield "No verdicts: a rare course looks like a wrong label. Correct the label file where it is one."
        yield from (
            "",
            "| report | label | suggested | speaks for it | speaks for the label |",
            "|---|---|---|---|---|",
        )
        for one in likely:
            for_it, against = "; ".join(one.speaks_for_suggested), "; ".join(one.speaks_for_label)
            yield f"| {one.key} | {one.label} | {one.suggested} | {for_it} | {against} |"
