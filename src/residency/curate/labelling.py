"""Labelling functions: many weak opinions on a label, instead of one expert on every document.

In: documents, functions (plain Python: document -> label or None) or a table of rules. Out: ``Vote``s: the label that
most speak for, who said what, how far they agree; and for every function how much it covers, overlaps, conflicts and,
where there are gold labels, how often it is right.

Covers: abstaining, ties (no label is guessed), weights, agreement beyond chance. Does not cover: learning the weights
from the votes alone (a generative label model); with a few hundred gold labels the accuracies that ``judge`` gives are
the better weights.

A table is TSV with the columns ``label``, ``kind``, ``pattern`` and, if wanted, ``weight``: kind ``text`` is a regular
expression on the text (case does not matter), ``present``, ``absent`` and ``family`` are a concept id with that status.
"""

from __future__ import annotations

import csv
import importlib.util
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from residency.agreement import krippendorff_alpha
from residency.errors import ProjectError
from residency.records import Document, Status

Function = Callable[[Document], str | None]
_COLUMNS = ("label", "kind", "pattern")
_KINDS = ("text", *Status)


@dataclass(frozen=True, slots=True)
class Labeller:
    """A function with its name and weight."""

    name: str
    function: Function
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Vote:
    """What the functions said of one document. ``label`` is None where all abstained or the strongest two are equal."""

    document: str
    label: str | None
    share: float  # of the weight that spoke, for the label; 0 without one
    said: Mapping[str, str]  # function -> label; those that abstained are left out


@dataclass(frozen=True, slots=True)
class Judged:
    """How one function does."""

    name: str
    covers: float  # of all documents, ratio
    overlaps: float  # documents where another one spoke too, of all, ratio
    conflicts: float  # documents where another one said something else, of all, ratio
    right: float | None  # of those with a gold label that it spoke on, ratio; None without any


def vote(documents: Iterable[Document], labellers: Sequence[Labeller]) -> list[Vote]:
    """One vote a document. A function that raises is a ProjectError with its name and the document's id."""
    return [_vote(document, labellers) for document in documents]


def judge(votes: Sequence[Vote], gold: Mapping[str, str]) -> list[Judged]:
    """Every function that spoke at least once, the one that covers most first. ``gold``: document id -> label."""
    spoke: dict[str, list[Vote]] = defaultdict(list)
    for one in votes:
        for name in one.said:
            spoke[name].append(one)
    judged = [_judged(name, its, len(votes), gold) for name, its in spoke.items()]
    return sorted(judged, key=lambda one: (-one.covers, one.name))


def agreement(votes: Iterable[Vote]) -> float | None:
    """Krippendorff's alpha of the functions, -1 to 1; None where no two of them spoke on one document, or all said the
    same label throughout."""
    return krippendorff_alpha(tuple(one.said.values()) for one in votes)


def load_labellers(path: Path) -> list[Labeller]:
    """The functions of a Python file (every public one that it defines), or the rules of a TSV file."""
    if path.suffix == ".py":
        return _python(path)
    if path.suffix == ".tsv":
        return _table(path)
    raise ProjectError(f"{path}: neither a .py nor a .tsv file.", fix="Write functions or a table of rules.")


def _vote(document: Document, labellers: Sequence[Labeller]) -> Vote:
    said: dict[str, str] = {}
    weights: defaultdict[str, float] = defaultdict(float)
    for labeller in labellers:
        label = _ask(labeller, document)
        if label is not None:
            said[labeller.name] = label
            weights[label] += labeller.weight
    ranked = sorted(weights.items(), key=lambda one: (-one[1], one[0]))[:2]
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return Vote(document.id, None, 0.0, MappingProxyType(said))
    return Vote(document.id, ranked[0][0], ranked[0][1] / sum(weights.values()), MappingProxyType(said))


def _ask(labeller: Labeller, document: Document) -> str | None:
    try:
        label = labeller.function(document)
    except Exception as error:  # the function is the user's
        raise ProjectError(
            f"labelling function {labeller.name}, document {document.id}: {type(error).__name__}.",
            fix="Correct the function; it gives a label, or None to abstain.",
        ) from None
    if label is not None and not isinstance(label, str):
        raise ProjectError(
            f"labelling function {labeller.name}, document {document.id}: gave {type(label).__name__}, not a text.",
            fix="Give a label as text, or None to abstain.",
        )
    return label


def _judged(name: str, its: Sequence[Vote], of: int, gold: Mapping[str, str]) -> Judged:
    known = [one for one in its if one.document in gold]
    right = sum(gold[one.document] == one.said[name] for one in known)
    return Judged(
        name=name,
        covers=len(its) / of,
        overlaps=sum(len(one.said) > 1 for one in its) / of,
        conflicts=sum(len(set(one.said.values())) > 1 for one in its) / of,
        right=right / len(known) if known else None,
    )


def _python(path: Path) -> list[Labeller]:
    spec = importlib.util.spec_from_file_location(f"labelling_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ProjectError(f"{path}: there is no such file.", fix="Correct the path.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file is the user's
        raise ProjectError(f"{path}: {type(error).__name__}: {error}.", fix="Correct the file.") from None
    functions = [
        Labeller(name, function, float(getattr(function, "weight", 1.0)))
        for name, function in vars(module).items()
        if callable(function) and not name.startswith("_") and getattr(function, "__module__", "") == module.__name__
    ]
    if not functions:
        raise ProjectError(f"{path}: defines no function.", fix="Write functions: document -> label or None.")
    return functions


def _table(path: Path) -> list[Labeller]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = [(number, line) for number, line in enumerate(file, 1) if line.strip() and line[0] != "#"]
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path}: cannot be read ({type(error).__name__}).", fix="Write UTF-8 text.") from None
    rows = list(csv.reader((line for _, line in lines), delimiter="\t", quoting=csv.QUOTE_NONE))
    if not rows or any(column not in rows[0] for column in _COLUMNS):
        raise ProjectError(f"{path}: the first line must name {', '.join(_COLUMNS)}.", fix="Add the line; use tabs.")
    problems: list[str] = []
    labellers = []
    for (number, _), cells in zip(lines[1:], rows[1:], strict=True):
        row = dict(zip(rows[0], cells, strict=False))
        try:
            labellers.append(_rule(f"{path.stem}:{number}", row))
        except (ValueError, re.error) as error:
            problems.append(f"line {number}: {error}")
    if problems:
        raise ProjectError(f"{path}: {'; '.join(problems[:5])}.", fix="Correct the rows.", problems=tuple(problems))
    return labellers


def _rule(name: str, row: Mapping[str, str]) -> Labeller:
    label, kind, pattern = (row.get(column, "").strip() for column in _COLUMNS)
    if not label or not pattern:
        raise ValueError("label or pattern is missing")
    if kind not in _KINDS:
        raise ValueError(f"kind {kind!r}: expected one of {', '.join(_KINDS)}")
    weight = float(row.get("weight") or 1.0)
    if weight <= 0:
        raise ValueError(f"weight {weight:g}: must be above 0")
    if kind == "text":
        expression = re.compile(pattern, re.IGNORECASE)
        return Labeller(name, lambda document: label if expression.search(document.text) else None, weight)
    wanted = (pattern, kind)
    return Labeller(name, lambda document: label if any(f.key == wanted for f in document.findings) else None, weight)
