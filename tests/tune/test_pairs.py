"""Pairs before the first step: in the tokens of training and serving, and everything wrong with them said at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.errors import TrainingError
from residency.models import chat
from residency.records import Message
from residency.tune.pairs import Pair, PreferenceRecipe, check_pairs, deal, once_each, rendered
from residency.tune.render import render

RECIPE = PreferenceRecipe(judged_by=0.5)


def pair(number, **changes):
    asked = (Message(role="user", content=f"Letter {number}: which disease?"),)
    its = {"id": f"q{number}", "task": "diagnose", "messages": asked, "patient": f"p{number}"}
    return Pair(**{**its, "chosen": "ataxia", "rejected": "chorea", **changes})


def check(pairs, tiny, recipe=RECIPE, **more):
    tokenizer = tiny.ByteTokenizer()
    return check_pairs(pairs, recipe, tokenizer, "chatml", **{"context": 512, **more})


def problem(pairs, tiny, recipe=RECIPE, **more):
    with pytest.raises(TrainingError) as caught:
        check(pairs, tiny, recipe, **more)
    return caught.value.message


@given(question=st.text(max_size=40).filter(str.strip), chosen=st.text(max_size=20), rejected=st.text(max_size=20))
def test_a_pair_is_in_the_tokens_of_training_and_of_serving(tiny, question, chosen, rejected):
    """Token by token, whatever the texts hold; the question is where a served model begins to write."""
    tokenizer = tiny.ByteTokenizer()
    for text in (question, chosen, rejected):
        try:
            text.encode()
        except UnicodeEncodeError:
            return
    one = pair(1, messages=(Message(role="user", content=question),), chosen=chosen, rejected=rejected)
    sample, _ = rendered(one, tokenizer, "chatml")
    assert list(sample.prompt) == chat.prompt_ids(tokenizer, one.messages, "chatml")
    for answer, ids in ((chosen, sample.chosen), (rejected, sample.rejected)):
        taught = render(
            [replace(tiny.example(0), messages=one.messages, answer=answer)], tokenizer, "chatml", max_tokens=10_000
        )[0]
        assert (*sample.prompt, *ids) == taught.ids and len(sample.prompt) == taught.first
        assert list(ids) == chat.answer_ids(tokenizer, answer, "chatml")


def test_good_pairs_are_dealt_out_and_counted(tiny):
    pairs = [*(pair(n) for n in range(6)), pair(9, patient=""), replace(pair(0), id="again")]
    checked = check(pairs, tiny)
    counts = checked.counts
    assert (counts.repeated, counts.nameless, counts.too_long) == (1, 1, 0)
    assert counts.trained + counts.judging == 7 and counts.judging == 4
    assert len(checked.trained) == counts.trained and len(checked.judging) == counts.judging
    assert "1 said twice" in str(counts) and "1 name no patient" in str(counts)


@given(
    owners=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=2, max_size=20),
    seed=st.integers(0, 9),
    judges=st.sets(st.integers(1, 5), max_size=2),
)
def test_no_patient_and_no_question_is_on_both_sides(owners, seed, judges):
    """Patient 0 is one whom nobody knows."""
    pairs = [
        pair(question, id=f"q{number}", patient=f"p{patient}" if patient else "")
        for number, (patient, question) in enumerate(owners)
    ]
    names = frozenset(f"p{one}" for one in judges)
    sides = deal(pairs, share=0.3, seed=seed, judges=names)
    assert sorted(p.id for p in [*sides.trained, *sides.judging]) == sorted(p.id for p in pairs)
    assert not {p.patient for p in sides.trained} & {p.patient for p in sides.judging} - {""}
    assert not {p.question for p in sides.trained} & {p.question for p in sides.judging}
    assert not {p.patient for p in sides.trained} & names
    assert deal(pairs[::-1], share=0.3, seed=seed, judges=names).trained == sides.trained[::-1]


def test_everything_that_is_wrong_is_said_at_once_by_ids(tiny):
    pairs = [
        pair(1, rejected="ataxia \n"),
        pair(2, chosen=" "),
        pair(3, messages=()),
        pair(4),
        pair(4, id="against", chosen="chorea", rejected="ataxia"),
        pair(5),
        pair(5, id="q4"),
        pair(6, patient="secret"),
    ]
    said = problem(pairs, tiny, held_out=frozenset({"secret"}))
    assert "the chosen answer of 1 pairs is the rejected one (q1)" in said
    assert "2 pairs lack a question or an answer (q2, q3)" in said
    assert "2 pairs contradict another one (q4, against)" in said
    assert "1 ids stand at several pairs (q4)" in said
    assert "1 pairs are of patients who are held out (q6)" in said
    assert "Letter" not in said and "secret" not in said


def test_long_pairs_are_refused_or_left_out_never_cut(tiny):
    pairs = [*(pair(n) for n in range(4)), pair(7, chosen="a" * 400)]
    short = RECIPE.model_copy(update={"max_tokens": 200})
    assert "1 of 5 pairs are longer than 200 tokens (preference.most_unusable is 0)" in problem(pairs, tiny, short)
    assert "longer than 100 tokens" in problem(pairs, tiny, short, context=100)
    lenient = short.model_copy(update={"most_unusable": 0.2})
    checked = check(pairs, tiny, lenient)
    assert checked.counts.too_long == 1
    kept = [*checked.trained, *checked.judging]
    assert len(kept) == 4 and max(one.longest for one in kept) == checked.counts.longest <= 200


def test_what_the_template_does_not_allow_is_refused(tiny):
    turns = (Message(role="user", content="a?"), Message(role="assistant", content="b"))
    assert "not what the chat template says" in problem([pair(1), pair(2), pair(3, messages=turns)], tiny)


def test_both_sides_need_somebody(tiny):
    assert "there is no pair" in problem([], tiny)
    one_patient = [pair(n, patient="p1") for n in range(3)]
    assert "no pair is left to judge by" in problem(one_patient, tiny)
    assert "no pair is left to train on" in problem(one_patient, tiny, judges=frozenset({"p1"}))


def test_the_same_said_twice_is_once():
    assert once_each([pair(1), replace(pair(1), id="b"), pair(2)]) == [pair(1), pair(2)]
