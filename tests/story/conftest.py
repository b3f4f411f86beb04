"""A small project that runs the whole story in seconds: invented letters, a base of random weights."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tiny_model import write_tiny_model

from residency.run.progress import Silent
from residency.story import Iteration, run_project

FINDINGS = {
    "Alpha disease": ("ataxia", "HP:0001251", "Ataxia"),
    "Beta disease": ("seizures", "HP:0001250", "Seizure"),
}
PATIENTS = 40
TASKS = [
    {"name": "diagnose", "kind": "classify", "answer": "diagnosis", "prompt": "prompts/diagnose.jinja"},
    {"name": "findings", "kind": "extract", "answer": "findings", "prompt": "prompts/findings.jinja", "max_tokens": 24},
    {"name": "summary", "kind": "generate", "answer": "summary", "prompt": "prompts/summary.jinja", "max_tokens": 12},
]
POLICY = {
    "based_on": "expert_determination",
    "review": {"before_training": False, "second_reader": 0, "quasi_identifiers": ["diagnosis"]},
}
PROJECT = {
    "name": "small",
    "pack": "neurology",
    "sources": [{"path": "inbox"}],
    "labels": {"path": "labels.csv"},
    "curate": [
        {"step": "deidentify", "entities": False, "answers": ["summary"], "policy": POLICY},
        {"step": "cleanse"},
        {"step": "deduplicate"},
        {"step": "extract"},
    ],
    "split": {"train": 0.5, "validation": 0.1, "calibration": 0.2, "test": 0.2, "stratify": "diagnosis"},
    "tasks": TASKS,
    "template": "chatml",
    "recipe": {"epochs": 1, "rank": 2, "targets": ["q_proj", "v_proj"], "max_tokens": 400, "checkpoint_every": 1},
    "evaluate": {"shots": 1, "group_size": 2, "draws": 200},
    "gate": {"lines": [{"rule": "reviews_at_least", "task": "diagnose", "count": 5}]},
}


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights, in the form that a user's model folder has."""
    return write_tiny_model(tmp_path_factory.mktemp("bases") / "tiny")


def write_project(root: Path, base: Path, **changes: object) -> Path:
    """A project folder; keyword arguments replace entries of the project file."""
    (root / "inbox").mkdir(parents=True)
    (root / "prompts").mkdir()
    for task in ("diagnose", "findings", "summary"):
        (root / "prompts" / f"{task}.jinja").write_text(f"{task}?\n{{{{ document | findings }}}}\n")
    _write_reports(root)
    settings = {**PROJECT, "base": str(base), **changes}
    (root / "residency.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return root


@pytest.fixture
def make_project(tmp_path: Path, tiny_base: Path) -> Callable[..., Path]:
    """Makes small projects that have not run yet."""
    return lambda **changes: write_project(tmp_path / "project", tiny_base, **changes)


@pytest.fixture(scope="session")
def told_once(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> tuple[Path, Iteration]:
    """A small project whose story was told to its end. Tests must not change it; ``told`` is a copy."""
    root = write_project(tmp_path_factory.mktemp("told") / "project", tiny_base)
    return root, run_project(root, Silent())


@pytest.fixture
def told(tmp_path: Path, told_once: tuple[Path, Iteration]) -> tuple[Path, Iteration]:
    """A copy of the told project, to do with as a test likes."""
    root = tmp_path / "told"
    shutil.copytree(told_once[0], root)
    return root, told_once[1]


def _write_reports(root: Path) -> None:
    rows = []
    for number in range(PATIENTS):
        disease = sorted(FINDINGS)[number % 2]
        word, concept, label = FINDINGS[disease]
        (root / "inbox" / f"letter_{number:02}.txt").write_text(
            f"Patient: Quentin Vandermolen\nMRN: 55{number:05}\n\n"
            f"Mr. Vandermolen is {20 + number} years old and was seen for {word}. There is no tremor on examination.\n"
            f"He will be seen again in {number + 1} weeks.\n{_own_words(number)}\n"
        )
        rows.append(
            {
                "report": f"letter_{number:02}",
                "patient": f"55{number:05}",
                "diagnosis": disease,
                "findings": f"{label} [{concept}] present; Tremor [HP:0001337] absent",
                "summary": f"Quentin Vandermolen, {20 + number} years old, with {word}.",
            }
        )
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _own_words(number: int) -> str:
    """Sentences that no other letter has: letters that differ in a number only are copies of each other."""
    who = ("therapist", "teacher", "coach", "neighbor", "nurse", "driver", "gardener", "librarian")[number % 8]
    what = ("walks", "reads", "swims", "sings", "paints")[number // 8]
    when = ("mornings", "evenings", "holidays", "weekends", "winters")[(number * 3) % 5]
    liked = ("quiet", "loud", "bright", "early", "late", "long", "short")[(number * 5) % 7]
    return (
        f"On most {when} the {who} {what} with him, which the {who} likes {liked}. "
        f"The {who} {what} more in {liked} {when}."
    )
