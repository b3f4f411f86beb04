"""A scripted model says what its rule says, and its probabilities are probabilities."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.models.scripted import SURE, ScriptedModel, looks_up, says
from residency.records import Message


def asked(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def test_the_first_key_that_occurs_decides() -> None:
    model = ScriptedModel(looks_up({"ataxia": "A", "seizure": "S"}, otherwise="none"))
    texts = ["seizure", "seizure and ataxia", "nothing"]
    assert [g.text for g in model.generate([asked(t) for t in texts], max_tokens=5)] == ["S", "A", "none"]


def test_the_likeliest_answer_of_several_is_given() -> None:
    model = ScriptedModel(lambda _: {"A": 0.2, "B": 0.5})
    assert model.generate([asked("x")], max_tokens=5)[0].text == "B"
    assert model.choose([asked("x")], ["A", "B"])[0] == pytest.approx([math.log(0.2), math.log(0.5)], abs=1e-4)


def test_a_long_answer_is_cut_at_the_limit() -> None:
    answer = ScriptedModel(says("one two three")).generate([asked("x")], max_tokens=2)[0]
    assert (answer.text, answer.tokens, answer.finished) == ("one two", 2, False)
    assert answer.nats == pytest.approx(-math.log(SURE), abs=1e-6)


@given(st.text(max_size=20))
def test_words_join_to_the_answer(text: str) -> None:
    answer = ScriptedModel(says(text)).generate([asked("x")], max_tokens=100)[0]
    assert answer.text == text
    assert answer.finished


@given(st.lists(st.text(max_size=3), unique=True, max_size=8), st.text(max_size=3))
def test_different_answers_share_at_most_all_probability(options: list[str], scripted: str) -> None:
    row = ScriptedModel(says(scripted)).choose([asked("x")], options)[0]
    assert math.fsum(map(math.exp, row)) <= 1 + 1e-9


def test_a_script_with_too_much_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="at most one"):
        ScriptedModel(lambda _: {"A": 0.8, "B": 0.8}).generate([asked("x")], max_tokens=1)
