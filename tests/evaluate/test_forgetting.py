"""Forgetting: bits per byte of the control text, before and after."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.errors import EvaluationError
from residency.evaluate.forgetting import Memory, control_likelihoods, forgetting, passages
from residency.models.model import Likelihood


def likelihoods(bits_per_byte: float, wobble: float = 0.0) -> list[Likelihood]:
    return [
        Likelihood(nats=(bits_per_byte + wobble * (-1) ** n) * math.log(2) * passage.size, tokens=10)
        for n, passage in enumerate(passages())
    ]


def test_the_control_text_is_small_has_titles_and_names_its_licence() -> None:
    assert len(passages()) >= 20 and all(p.title and len(p.text) > 100 for p in passages())
    assert len({p.title for p in passages()}) == len(passages())
    assert sum(p.size for p in passages()) < 20_000


@pytest.mark.parametrize(
    ("after", "wobble", "verdict"),
    [(1.0, 0.0, Memory.KEPT), (0.9, 0.01, Memory.KEPT), (1.2, 0.01, Memory.FORGOTTEN), (1.01, 0.05, Memory.UNCLEAR)],
)
def test_theremembered_follows_the_interval(after: float, wobble: float, verdict: Memory) -> None:
    found = forgetting(likelihoods(1.0), likelihoods(after, wobble), draws=500)
    assert found.verdict is verdict
    assert found.before == pytest.approx(1.0) and found.difference == pytest.approx(found.after - found.before)


@given(before=st.floats(0.2, 4), after=st.floats(0.2, 4))
def test_both_values_are_bits_of_a_byte(before: float, after: float) -> None:
    found = forgetting(likelihoods(before), likelihoods(after), draws=200)
    assert (found.before, found.after) == (pytest.approx(before), pytest.approx(after))


def test_likelihoods_of_another_text_or_of_broken_weights_are_refused() -> None:
    with pytest.raises(EvaluationError, match="passages of the control text"):
        forgetting(likelihoods(1.0)[:-1], likelihoods(1.0))
    with pytest.raises(EvaluationError, match="not finite"):
        forgetting(likelihoods(1.0), likelihoods(float("nan")))


def test_every_passage_is_asked_once_in_groups() -> None:
    asked: list[int] = []

    class Counting:
        name = "counting"

        def score(self, conversations: object, answers: list[str]) -> list[Likelihood]:
            asked.append(len(answers))
            return [Likelihood(nats=float(len(answer)), tokens=1) for answer in answers]

    found = control_likelihoods(Counting(), group_size=10)  # type: ignore[arg-type]
    assert sum(asked) == len(found) == len(passages()) and max(asked) <= 10
