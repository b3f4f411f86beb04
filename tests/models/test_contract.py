"""What every model promises, held by all implementations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from residency.models.base import Base
from residency.models.model import Model
from residency.models.openai_api import OpenAIModel
from residency.models.scripted import ScriptedModel, looks_up
from residency.models.transformer import TransformerModel
from residency.records import Message

TEXTS = (
    "Patient has ataxia.",
    "No seizure was seen, and the examination of the patient was otherwise unremarkable in every respect.",
    "Tremor; which finding is present? Ataxia, dysarthria, and more of the same: ataxia and dysarthria.",
    "x",
)
CONVERSATIONS = [[Message(role="user", content=text)] for text in TEXTS]
# "Ataxia" begins "Ataxia, seizure"; the two are still exclusive, because an answer has an end.
OPTIONS = ("Ataxia", "Ataxia, seizure", "Seizure", "", "tremor and nothing else")
CLOSE = 1e-4  # nats, fp32


@pytest.fixture(params=["scripted", "transformer", "transformer with adapter", "merged adapter", "openai"])
def model(request: pytest.FixtureRequest, tiny: Base, tiny_adapter: Path, server: Any) -> Iterator[Model]:
    if request.param == "scripted":
        yield ScriptedModel(
            looks_up({"ataxia": "Ataxia", "seizure": {"Seizure": 0.6, "Ataxia": 0.3}}, otherwise="a b c d")
        )
    elif request.param == "openai":
        client = OpenAIModel(server.url, "tiny", template="chatml")
        yield client
        client.close()
    else:
        adapter = None if request.param == "transformer" else tiny_adapter
        yield TransformerModel(tiny, adapter, merge=request.param == "merged adapter")


def test_it_has_a_name(model: Model) -> None:
    assert model.name


def test_nothing_asked_is_nothing_answered(model: Model) -> None:
    assert model.generate([], max_tokens=3) == []
    assert model.choose([], OPTIONS) == []
    assert model.score([], []) == []


def test_no_options_give_an_empty_row_for_each_conversation(model: Model) -> None:
    assert model.choose(CONVERSATIONS, ()) == [()] * len(CONVERSATIONS)


def test_results_stand_in_the_order_of_the_conversations(model: Model) -> None:
    backwards = CONVERSATIONS[::-1]
    assert [g.text for g in model.generate(backwards, max_tokens=4)] == [
        g.text for g in model.generate(CONVERSATIONS, max_tokens=4)
    ][::-1]
    for row, other in zip(model.choose(backwards, OPTIONS), model.choose(CONVERSATIONS, OPTIONS)[::-1], strict=True):
        assert row == pytest.approx(other, abs=CLOSE)


def test_the_same_question_gets_the_same_answer(model: Model) -> None:
    assert model.generate(CONVERSATIONS, max_tokens=4) == model.generate(CONVERSATIONS, max_tokens=4)
    assert model.choose(CONVERSATIONS, OPTIONS) == model.choose(CONVERSATIONS, OPTIONS)


def test_company_in_a_batch_changes_nothing(model: Model) -> None:
    together = model.choose(CONVERSATIONS, OPTIONS)
    written = model.generate(CONVERSATIONS, max_tokens=6)
    scored = model.score(CONVERSATIONS, OPTIONS[: len(CONVERSATIONS)])
    for number, conversation in enumerate(CONVERSATIONS):
        assert model.choose([conversation], OPTIONS)[0] == pytest.approx(together[number], abs=CLOSE)
        alone = model.generate([conversation], max_tokens=6)[0]
        assert (alone.text, alone.tokens, alone.finished) == (
            written[number].text, written[number].tokens, written[number].finished,
        )  # fmt: skip
        assert alone.nats == pytest.approx(written[number].nats, abs=CLOSE)
        assert model.score([conversation], [OPTIONS[number]])[0].nats == pytest.approx(scored[number].nats, abs=CLOSE)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_the_token_limit_is_hard(model: Model, limit: int) -> None:
    for answer in model.generate(CONVERSATIONS, max_tokens=limit):
        assert 0 < answer.tokens <= limit
        assert answer.finished or answer.tokens == limit


def test_exclusive_answers_share_at_most_all_probability(model: Model) -> None:
    for row in model.choose(CONVERSATIONS, OPTIONS):
        assert len(row) == len(OPTIONS)
        assert all(value <= 0 for value in row)
        assert math.fsum(math.exp(value) for value in row) <= 1 + 1e-6


def test_scoring_one_answer_and_choosing_among_many_agree(model: Model) -> None:
    rows = model.choose(CONVERSATIONS, OPTIONS)
    for column, option in enumerate(OPTIONS):
        for row, likelihood in zip(rows, model.score(CONVERSATIONS, [option] * len(CONVERSATIONS)), strict=True):
            assert likelihood.nats == pytest.approx(-row[column], abs=CLOSE)
            assert likelihood.tokens >= 1


def test_a_finished_answer_costs_what_scoring_it_costs(model: Model) -> None:
    for conversation, answer in zip(CONVERSATIONS, model.generate(CONVERSATIONS, max_tokens=60), strict=True):
        likelihood = model.score([conversation], [answer.text])[0]
        if answer.finished and likelihood.tokens == answer.tokens:  # else the text has another tokenization
            assert answer.nats == pytest.approx(likelihood.nats, abs=CLOSE)
