"""What people are shown is what the model gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import write_tiny_model

from residency.models import chat
from residency.models.base import Base, Precision, load_base, load_reading
from residency.records import Message
from residency.tune.render import render
from residency.tune.show import BROKEN, show


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    folder = write_tiny_model(tmp_path_factory.mktemp("bases") / "tiny")
    return load_base(str(folder), precision=Precision.FP32, template_name="chatml", device="cpu")


def shown(tiny, base: Base, question: str, answer: str):
    asked = replace(tiny.example(0), answer=answer, messages=(Message(role="user", content=question),))
    samples = render([asked], base.tokenizer, "chatml", max_tokens=4000)
    control = [chat.token_id(base.tokenizer, token) for token in chat.control_tokens("chatml")]
    return show(samples, base.tokenizer, control, count=1)[0]


# U+FFFD itself is what an unfinished character decodes to, so what follows it may be shown broken.
TEXT = st.characters(exclude_categories=("C", "Z"), exclude_characters=BROKEN)


@given(question=st.text(TEXT, max_size=30), answer=st.text("abç🧠 ", max_size=9))
def test_nothing_is_left_out_and_special_tokens_have_their_names(tiny, base, question, answer) -> None:
    pieces = shown(tiny, base, question, answer).pieces
    text = "".join(piece.text for piece in pieces)
    assert text == f"<|im_start|>user↵\n{question}<|im_end|>↵\n<|im_start|>assistant↵\n{answer}<|im_end|>"
    assert [p.text for p in pieces if p.special] == ["<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>"]
    assert "".join(piece.text for piece in pieces if piece.learned) == f"{answer}<|im_end|>"


def test_a_text_cannot_command_the_terminal(tiny, base) -> None:
    text = "".join(piece.text for piece in shown(tiny, base, "a\x1b[2Jb\x07\rc\u202ed", "x").pieces)
    assert "a\\x1b[2Jb\\x07\\rc\\u202ed" in text


def test_tasks_take_turns(tiny, base) -> None:
    examples = [*tiny.examples(3), *(tiny.example(n, task="summary") for n in range(3))]
    samples = render(examples, base.tokenizer, "chatml", max_tokens=400)
    assert [one.sample.task for one in show(samples, base.tokenizer, [], count=4)] == ["diagnose", "summary"] * 2
    assert len(show(samples, base.tokenizer, [], count=99)) == 6


def test_a_base_is_read_without_its_weights(base, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((base.folder / name).read_bytes())
    tokenizer, entry = load_reading(str(tmp_path), template_name="chatml")
    assert tokenizer.encode("ataxia") == base.tokenizer.encode("ataxia") and entry.template == "chatml"
