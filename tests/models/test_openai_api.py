"""A server is asked politely, on this machine unless allowed otherwise, and quoted never."""

from __future__ import annotations

import math
from typing import Any

import pytest

from residency.errors import ModelError
from residency.models.base import Base
from residency.models.openai_api import OpenAIModel, is_loopback
from residency.models.transformer import TransformerModel
from residency.records import Message

PRIVATE = "Mr. Private has ataxia."
ASKED = [[Message(role="user", content=PRIVATE)]]
LOCAL = ["http://127.0.0.1:8000", "http://localhost:8000/v1", "http://[::1]:8000", "https://127.3.2.1"]
ELSEWHERE = [
    "http://10.0.0.5:8000", "https://api.example.com", "http://localhost.example.com", "http://0.0.0.0:8000",
    "http://127.0.0.1@example.com/", "localhost:8000", "",
]  # fmt: skip


@pytest.fixture
def model(server: Any) -> Any:
    client = OpenAIModel(server.url, "tiny", template="chatml", pause=0.001)
    yield client
    client.close()


@pytest.mark.parametrize("url", LOCAL)
def test_this_machine_needs_no_permission(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_any_other_machine_does(url: str) -> None:
    with pytest.raises(ModelError, match="not this machine"):
        OpenAIModel(url, "m")


def test_permission_opens_the_way() -> None:
    OpenAIModel("https://api.example.com", "m", allow_remote=True).close()


@pytest.mark.parametrize("url", ["", "/v1", "/", "/v1/"])
def test_the_address_may_end_in_v1(server: Any, url: str) -> None:
    client = OpenAIModel(server.url + url, "tiny")
    assert client.generate(ASKED, max_tokens=2)
    client.close()
    assert server.seen[0][0] == "/v1/chat/completions"


def test_it_gives_what_the_local_model_gives(model: OpenAIModel, tiny: Base) -> None:
    local = TransformerModel(tiny)
    ours, theirs = model.generate(ASKED, max_tokens=8)[0], local.generate(ASKED, max_tokens=8)[0]
    assert (ours.text, ours.tokens, ours.finished) == (theirs.text, theirs.tokens, theirs.finished)
    assert ours.nats == pytest.approx(theirs.nats, abs=1e-3)
    assert model.choose(ASKED, ["Ataxia", "Seizure"])[0] == pytest.approx(
        local.choose(ASKED, ["Ataxia", "Seizure"])[0], abs=1e-4
    )


def test_the_request_is_greedy_and_bounded(model: OpenAIModel, server: Any) -> None:
    model.generate(ASKED, max_tokens=3)
    body = server.seen[0][2]
    assert (body["temperature"], body["max_tokens"], body["model"]) == (0, 3, "tiny")


def test_control_tokens_in_a_report_are_broken_before_they_leave(model: OpenAIModel, server: Any) -> None:
    model.generate([[Message(role="user", content="x<|im_end|>y")]], max_tokens=1)
    assert server.seen[0][2]["messages"][0]["content"] == "x< |im_end|>y"


def test_the_key_comes_from_the_environment(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="MY_KEY"):
        OpenAIModel(server.url, "tiny", key_variable="MY_KEY")
    monkeypatch.setenv("MY_KEY", "s3cret")
    client = OpenAIModel(server.url, "tiny", key_variable="MY_KEY")
    client.generate(ASKED, max_tokens=1)
    client.close()
    assert server.seen[0][1]["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("statuses", [[429], [503, 500], [502, 429, 504]])
def test_a_busy_server_is_asked_again(model: OpenAIModel, server: Any, statuses: list[int]) -> None:
    server.script[:] = statuses
    assert model.generate(ASKED, max_tokens=1)
    assert len(server.seen) == len(statuses) + 1


def test_patience_ends(model: OpenAIModel, server: Any) -> None:
    server.script[:] = [503] * 9
    with pytest.raises(ModelError, match="status 503") as caught:
        model.generate(ASKED, max_tokens=1)
    assert len(server.seen) == model.attempts
    assert "Private" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 404, 307])
def test_a_refusal_is_final_and_not_quoted(model: OpenAIModel, server: Any, status: int) -> None:
    server.script[:] = [status]
    with pytest.raises(ModelError, match=f"status {status}") as caught:
        model.generate(ASKED, max_tokens=1)
    assert len(server.seen) == 1
    assert "Private" not in str(caught.value)


def test_a_closed_port_is_an_error_with_a_next_step(server: Any) -> None:
    client = OpenAIModel("http://127.0.0.1:9", "tiny", attempts=2, pause=0.001)
    with pytest.raises(ModelError, match="after 2 attempts") as caught:
        client.generate(ASKED, max_tokens=1)
    assert "server runs" in caught.value.fix
    client.close()


def test_a_server_without_echo_cannot_choose_and_says_so(model: OpenAIModel, server: Any) -> None:
    server.echoes = False
    with pytest.raises(ModelError, match="echo") as caught:
        model.choose(ASKED, ["Ataxia"])
    assert "vLLM" in caught.value.fix


def test_choosing_needs_the_template(server: Any) -> None:
    client = OpenAIModel(server.url, "tiny")
    with pytest.raises(ModelError, match="template"):
        client.score(ASKED, ["Ataxia"])
    client.close()
    assert not server.seen


def test_a_token_across_the_border_is_refused(model: OpenAIModel) -> None:
    with pytest.raises(ModelError, match="part prompt and answer"):
        model._tail([0, 3, 8], [None, -1.0, -1.0], start=5, end=10)
    assert math.isclose(model._tail([0, 5, 8, 10], [None, -1.0, -2.0, -9.0], start=5, end=10).nats, 3.0)
