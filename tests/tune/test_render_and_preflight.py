"""What is learned of an example, and what is refused before a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.errors import ModelError, TrainingError
from residency.records import Message, Split
from residency.tune.lora import Recipe
from residency.tune.preflight import counts, preflight, usable
from residency.tune.render import render


def test_only_the_answer_and_its_end_are_learned(tiny) -> None:
    [sample] = render([tiny.example(0)], tiny.ByteTokenizer(), "chatml", max_tokens=64)
    assert bytes(i for i in sample.ids[sample.first :] if i < 256) == b"ataxia"
    assert sample.ids[-1] == tiny.ByteTokenizer().convert_tokens_to_ids("<|im_end|>")
    assert sample.supervised == len("ataxia") + 1 and sample.cut == 0


@given(limit=st.integers(1, 80))
def test_a_long_question_gives_way_and_every_cut_token_is_counted(tiny, limit) -> None:
    tokenizer = tiny.ByteTokenizer()
    [whole] = render([tiny.example(0)], tokenizer, "chatml", max_tokens=1000)
    [sample] = render([tiny.example(0)], tokenizer, "chatml", max_tokens=limit)
    assert sample.cut == max(len(whole.ids) - limit, 0)
    if sample.supervised:
        assert len(sample.ids) == min(limit, len(whole.ids)) and sample.ids == whole.ids[sample.cut :]
    else:
        assert limit <= whole.supervised and sample.ids == ()


def check(tiny, *, training=None, validation=None, max_tokens: int = 64, context: int = 512, limits=None, **settings):
    training = tiny.examples(6) if training is None else training
    validation = tiny.examples(3, Split.VALIDATION) if validation is None else validation
    samples, checked = (
        render(e, tiny.ByteTokenizer(), "chatml", max_tokens=max_tokens) for e in (training, validation)
    )
    recipe = Recipe(most_truncated=1, **(limits or {})) if limits != "default" else Recipe()
    return preflight(training, validation, samples, checked, tiny.LABELS, recipe, context=context, **settings)


def test_counts_are_exact(tiny) -> None:
    training = [
        *tiny.examples(6),
        replace(tiny.example(6), messages=(replace(tiny.example(6).messages[0], content="x" * 99),)),
    ]
    found = check(tiny, training=training)
    assert (found.samples, found.truncated, dict(found.by_task)) == (7, 1, {"diagnose": 7})
    assert (
        found.cut_tokens
        == len("<|im_start|>user\n".replace("<|im_start|>", "C")) + 99 + 1 + 1 + 1 + len("assistant\n") + 7 - 64
    )
    assert found.supervised == sum(len(e.answer) + 1 for e in training)


CASES = {
    "no training example": dict(training=[]),
    "no validation example": dict(validation=[]),
    "training: 6 of 6 samples have no room for their answer": dict(max_tokens=17 - 10),
    "validation: 3 of 3 samples have no room for their answer": dict(max_tokens=17 - 10),
    "training: 6 of 6 samples are longer than the 20 tokens that the base reads": dict(context=20),
    "1 patients are both trained on and held out": dict(held_out=frozenset({"p-train-2"})),
}


@pytest.mark.parametrize("message", CASES)
def test_a_run_that_would_be_wasted_is_refused(tiny, message) -> None:
    with pytest.raises(TrainingError, match=message):
        check(tiny, **CASES[message])


def test_answers_outside_the_label_set_shared_patients_and_missing_tasks_are_refused_together(tiny) -> None:
    validation = [replace(tiny.example(0, split=Split.VALIDATION), patient="p-train-1")]
    training = [*tiny.examples(3), tiny.example(3, answer="flu"), tiny.example(4, task="summary")]
    with pytest.raises(TrainingError) as caught:
        check(tiny, training=training, validation=validation)
    for part in (
        "1 answers of task diagnose are not in its label set",
        "1 patients are both",
        "no validation example for task summary",
    ):
        assert part in str(caught.value)
    assert "flu" not in str(caught.value)


def test_more_cut_questions_than_the_recipe_allows_are_refused(tiny) -> None:
    long = replace(tiny.example(7), messages=(Message(role="user", content="x" * 99),))
    training = [*tiny.examples(7), long, long]
    with pytest.raises(TrainingError, match="the question of 2 of 9 samples is cut") as caught:
        check(tiny, training=training, limits="default")
    assert "recipe.max_tokens" in caught.value.fix and "x" * 9 not in str(caught.value)
    assert check(tiny, training=training).truncated == 2


def test_samples_without_room_for_their_answer_are_left_out_where_the_recipe_allows_some(tiny) -> None:
    long = tiny.example(7, task="summary", answer="y" * 99)
    training = [*tiny.examples(6), long, tiny.example(8, task="summary", answer="yes")]
    validation = [*tiny.examples(3, Split.VALIDATION), tiny.example(4, task="summary", split=Split.VALIDATION)]
    with pytest.raises(TrainingError, match="1 of 8 samples have no room for their answer"):
        check(tiny, training=training, validation=validation)
    found = check(tiny, training=training, validation=validation, limits={"most_unusable": 0.2})
    assert (found.samples, found.masked, found.mismatched) == (8, 1, 0)
    samples = render(training, tiny.ByteTokenizer(), "chatml", max_tokens=64)
    assert [sample.example for sample in usable(samples)] == [e.id for e in training if e is not long]
    with pytest.raises(TrainingError, match="nothing can be learned of task summary"):
        check(tiny, training=training[:-1], validation=validation, limits={"most_unusable": 1})


class Splitting:
    """A tokenizer that does not know one of the template's tokens, and writes it letter by letter."""

    def __init__(self, tiny, unknown: str) -> None:
        self.inner, self.unknown = tiny.ByteTokenizer(), unknown

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        pieces = [self.inner.encode(t, add_special_tokens=False) for t in text.split(self.unknown)]
        return [i for n, piece in enumerate(pieces) for i in [*(self.unknown.encode() if n else b""), *piece]]

    def convert_tokens_to_ids(self, token: str) -> int | None:
        return None if token == self.unknown else self.inner.convert_tokens_to_ids(token)

    def convert_ids_to_tokens(self, number: int) -> str:
        return self.inner.convert_ids_to_tokens(number)


def test_a_tokenizer_that_breaks_the_templates_tokens_is_seen_in_every_sample(tiny) -> None:
    samples = render(tiny.examples(3), Splitting(tiny, "<|im_start|>"), "chatml", max_tokens=200)
    assert [sample.mismatched for sample in samples] == [True] * 3
    assert counts(samples).mismatched == 3 and usable(samples) == []
    with pytest.raises(ModelError, match="does not know the control token"):
        render(tiny.examples(3), Splitting(tiny, "<|im_end|>"), "chatml", max_tokens=200)


def test_a_conversation_that_ends_with_the_assistant_does_not_follow_the_template(tiny) -> None:
    said = (*tiny.example(0).messages, Message(role="assistant", content="well"))
    training = [*tiny.examples(6), replace(tiny.example(6), messages=said)]
    with pytest.raises(TrainingError, match="the tokens of 1 of 7 samples are not what the chat template says"):
        check(tiny, training=training, max_tokens=200)


@given(question=st.text(max_size=40), answer=st.text(max_size=20))
def test_no_text_can_be_taken_for_the_template(tiny, question, answer) -> None:
    """Control tokens in a report are disarmed, so they are no mismatch, whatever the text is."""
    for text in (question, f"<|im_end|>{question}<|im_start|>"):
        asked = replace(tiny.example(0, answer=answer), messages=(Message(role="user", content=text),))
        [sample] = render([asked], tiny.ByteTokenizer(), "chatml", max_tokens=1000)
        assert not sample.mismatched
