"""What is learned of an example, and what is refused before a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.errors import TrainingError
from residency.records import Split
from residency.tune.preflight import preflight
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


def check(tiny, *, training=None, validation=None, max_tokens: int = 64, **settings):
    training = tiny.examples(6) if training is None else training
    validation = tiny.examples(3, Split.VALIDATION) if validation is None else validation
    samples, checked = (
        render(e, tiny.ByteTokenizer(), "chatml", max_tokens=max_tokens) for e in (training, validation)
    )
    return preflight(training, validation, samples, checked, tiny.LABELS, **settings)


def test_counts_are_exact(tiny) -> None:
    training = [
        *tiny.examples(6),
        replace(tiny.example(6), messages=(replace(tiny.example(6).messages[0], content="x" * 99),)),
    ]
    counts = check(tiny, training=training)
    assert (counts.samples, counts.truncated, dict(counts.by_task)) == (7, 1, {"diagnose": 7})
    assert (
        counts.cut_tokens
        == len("<|im_start|>user\n".replace("<|im_start|>", "C")) + 99 + 1 + 1 + 1 + len("assistant\n") + 7 - 64
    )
    assert counts.supervised == sum(len(e.answer) + 1 for e in training)


CASES = {
    "no training example": dict(training=[]),
    "no validation example": dict(validation=[]),
    "have no room for their answer": dict(max_tokens=17 - 10),
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


def test_mostly_cut_questions_are_refused(tiny) -> None:
    with pytest.raises(TrainingError, match="the question of 6 of 6 samples is cut"):
        check(tiny, max_tokens=20)
