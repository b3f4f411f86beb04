"""Columns of the label file that divide the held-out cases: kept for that, and told as no more than that."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from residency.project import Project
from residency.records import Document, Example, Split, TaskKind
from residency.story import inbox_fingerprint, label_problems, raw_documents, slices_of

from .conftest import PROJECT


def with_columns(root: Path, **columns: Callable[[int], str]) -> Path:
    path = root / "labels.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row.update({name: of(number) for name, of in columns.items()})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def dividing(*names: str) -> dict[str, Any]:
    return {**PROJECT["evaluate"], "slices": list(names)}  # type: ignore[dict-item]


def documents(root: Path) -> list[Document]:
    return [one for one in raw_documents(Project.open(root)) if isinstance(one, Document)]


def test_a_column_that_divides_is_kept_and_a_high_age_is_not(make_project):  # type: ignore[no-untyped-def]
    root = make_project(evaluate=dividing("site", "age"))
    with_columns(root, site=lambda n: "AB"[n % 2], age=lambda n: str(60 + n), phone=lambda n: str(n))
    found = documents(root)
    assert {one.answers["site"] for one in found} == {"A", "B"}
    assert max(float(one.answers["age"]) for one in found) == 90  # the oldest is 99
    assert all("phone" not in one.answers for one in found)

    cases = [
        Example(
            id=f"e{n}", task="t", kind=TaskKind.CLASSIFY, messages=(), answer="a", gold="a", patient=f"p{n}",
            split=Split.TEST, parents=(one.id,),
        )
        for n, one in enumerate(found)
    ]  # fmt: skip
    slices = slices_of(cases, found, ("site", "age"))
    assert list(slices)[:2] == ["site", "age"]
    assert len(set(slices["age"])) == 3 and any("and above" in name for name in slices["age"])


def test_a_column_that_the_label_file_lacks_is_a_problem_of_the_project(make_project):  # type: ignore[no-untyped-def]
    root = make_project(evaluate=dividing("center"))
    assert [one for one in label_problems(Project.open(root)) if "evaluate.slices" in one and "'center'" in one]


def test_files_are_read_again_when_other_columns_are_wanted(make_project):  # type: ignore[no-untyped-def]
    root = with_columns(make_project(), site=lambda n: "AB"[n % 2])
    before = inbox_fingerprint(Project.open(root))
    text = (root / "residency.yaml").read_text()
    (root / "residency.yaml").write_text(text.replace("evaluate:\n", "evaluate:\n  slices: [site]\n"))
    assert inbox_fingerprint(Project.open(root)) != before
