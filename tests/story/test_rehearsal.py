"""What tuning would see and which rate would do, from a project folder, without training."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from residency.cli import app
from residency.errors import ProjectError, TrainingError
from residency.project import Project
from residency.rehearsal import see_samples, sweep_rates
from residency.run.progress import Silent
from residency.story import Iteration, refuse_copies, run_project
from residency.tune.adapter import load_card


class Told(Silent):
    """Remembers the lines that stay."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def stages(root) -> set[str]:
    return {row.stage for row in Project.open(root).workspace.ledger.runs()}


def test_samples_are_shown_without_training(make_project) -> None:
    root = make_project()
    sight = see_samples(root, 3, Silent())
    assert [one.sample.task for one in sight.shown] == ["diagnose", "findings", "summary"]
    assert sight.counts.samples == 60 and "tune" not in stages(root)
    shown = CliRunner().invoke(app, ["tune", "--show", "2", "--project", str(root)]).output
    assert len(re.findall("^learned:", shown, re.MULTILINE)) == 2
    assert "<|im_start|>user↵" in shown and "disease<|im_end|>" in shown and "licence unknown" in shown
    assert "Vandermolen" not in shown


def test_a_sweep_leaves_no_adapter_and_proposes_a_rate(told) -> None:
    root = told[0]
    before = stages(root), sorted((root / ".residency" / "adapters").rglob("*"))
    found = sweep_rates(root, Silent(), rates=(1e-6, 1e-2))
    assert [trial.rate for trial in found.trials] == [1e-6, 1e-2] and found.proposed == 1e-2
    assert (found.now, found.now_from) == (1e-4, "default")
    assert (stages(root), sorted((root / ".residency" / "adapters").rglob("*"))) == before


def test_show_and_sweep_exclude_each_other(make_project) -> None:
    result = CliRunner().invoke(app, ["tune", "--show", "1", "--sweep", "--project", str(make_project())])
    assert isinstance(result.exception, ProjectError) and "one at a time" in str(result.exception)


def test_tune_says_what_it_found_before_the_first_step_and_keeps_the_licence(make_project) -> None:
    told = Told()
    iteration = run_project(make_project(), told, until="tune")
    assert any(
        "60 samples" in line and "0 samples truncated" in line and "licence unknown" in line for line in told.lines
    )
    assert any("forecast: about" in line for line in told.lines)
    assert list(iteration.runs)[-1] == "tune"


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"max_tokens": 30}, "training: the question of 60 of 60 samples is cut"),
        ({"max_tokens": 16, "most_truncated": 1}, "have no room for their answer"),
    ],
)
def test_what_would_waste_the_run_is_said_and_no_adapter_is_made(make_project, recipe, said) -> None:
    root = make_project(recipe=recipe)
    with pytest.raises(TrainingError, match=said) as caught:
        run_project(root, Silent(), until="tune")
    assert "residency tune --show" in caught.value.fix and not (root / ".residency" / "adapters").exists()


def test_a_text_that_is_known_across_the_split_is_refused(told_once) -> None:
    iteration: Iteration = replace(told_once[1])
    refuse_copies(iteration)
    trained = next(d for d in iteration.documents if iteration.split_of[d.patient] == "train")
    tested = next(d for d in iteration.documents if iteration.split_of[d.patient] == "test")
    iteration.documents = [*iteration.documents, replace(trained, id="d-copy", text=tested.text, spans=tested.spans)]
    with pytest.raises(ProjectError, match="known across the split") as caught:
        refuse_copies(iteration)
    assert "d-copy (train)" in caught.value.problems[0] and tested.text[:20] not in str(caught.value.problems)


def test_the_metric_can_choose_the_weights(make_project) -> None:
    recipe = {"epochs": 2, "rank": 2, "targets": ["q_proj"], "max_tokens": 400, "choose_by": "metric", "patience": 1}
    recipe |= {"method": "dora", "base_weights": "int8"}  # trained on a narrow base, judged on the base as loaded
    iteration = run_project(make_project(recipe=recipe), Silent(), until="tune")
    card = load_card(iteration.runs["tune"].folder("adapter")).card
    assert all(point.metric is not None and 0 <= point.metric <= 1 for point in card.curve)
    assert (card.recipe.method, card.recipe.base_weights) == ("dora", "int8")
