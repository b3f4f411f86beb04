"""Short runs at several learning rates."""

from __future__ import annotations

import pytest

from residency.errors import TrainingError
from residency.records import Split
from residency.tune.sweep import Trial, drawn, proposal, sweep


def test_every_rate_gets_the_same_steps_and_nothing_is_left_behind(tiny, tmp_path) -> None:
    validation = tiny.examples(6, Split.VALIDATION)
    rates = (1e-5, 1e-2)
    found = sweep(
        tiny.examples(18), validation, tiny.tiny_base(), tiny.RECIPE, labels=tiny.LABELS, rates=rates, scratch=tmp_path
    )  # fmt: skip
    assert [trial.rate for trial in found] == list(rates)
    assert {trial.steps for trial in found} == {5}
    by_rate = {trial.rate: trial.validation for trial in found}
    assert by_rate[1e-2] < by_rate[1e-5]  # a short run at a tiny rate learns nothing
    assert proposal(found) == 1e-2
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_the_data_is_said_and_not_taken_for_a_rate(tiny) -> None:
    with pytest.raises(TrainingError, match="no validation example"):
        sweep(tiny.examples(18), [], tiny.tiny_base(), tiny.RECIPE, labels=tiny.LABELS)


def trial(rate: float, validation: float | None) -> Trial:
    return Trial(rate, 5, 1.0, validation, {})


@pytest.mark.parametrize(
    ("losses", "proposed"),
    [
        ([3.0, 1.0, 2.0], 1e-3),
        ([3.0, 1.01, 1.0], 1e-3),  # as good as the best, and safer in a longer run
        ([3.0, 1.1, 1.0], 1e-2),
        ([3.0, None, None], 1e-4),
        ([None, None, None], None),
    ],
)
def test_the_lowest_rate_that_is_as_good_as_the_best_is_proposed(losses, proposed) -> None:
    assert proposal([trial(rate, loss) for rate, loss in zip((1e-4, 1e-3, 1e-2), losses, strict=True)]) == proposed


def test_a_draw_has_every_task_and_is_the_same_every_time(tiny) -> None:
    examples = [*tiny.examples(40), *(tiny.example(n, task="summary") for n in range(2))]
    few = drawn(examples, 10, seed=1)
    assert len(few) == 11 and {e.task for e in few} == {"diagnose", "summary"}
    assert few == drawn(examples, 10, seed=1) != drawn(examples, 10, seed=2)
    assert drawn(examples, 100, seed=1) == examples
