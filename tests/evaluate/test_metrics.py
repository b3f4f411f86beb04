"""Every metric says what the field's own package says, and what cannot be scored is counted, not averaged away."""

from __future__ import annotations

import math
import random
import time
from dataclasses import replace

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, top_k_accuracy_score

from residency.errors import EvaluationError
from residency.evaluate.metrics import (
    CASE_HEADLINE,
    HEADLINE,
    METRICS,
    align,
    case_scores,
    gold_rank,
    polarity_flips,
    score,
    tallies,
)
from residency.evaluate.metrics.catalogue import OF_SOURCES
from residency.records import Example, Finding, Prediction, Split, Status, TaskKind

LABELS = ("ALS", "Huntington disease", "MS", "Wilson disease")
WORDS = [
    "ataxia",
    "dysarthria",
    "seizures",
    "walks",
    "walking",
    "walked",
    "no",
    "with",
    "severe",
    "and",
    "mild",
    "onset",
    "at",
    "age",
    "of",
    "four",
    "years",
]


def case(kind, number, gold, patient=None, answer=None):
    return Example(
        id=f"e{number}", task="task", kind=kind, messages=(), answer=str(gold) if answer is None else answer, gold=gold,
        patient=patient or f"p{number}", split=Split.TEST,
    )  # fmt: skip


def answered(number, value, system="tuned", **more):
    return Prediction(
        id=f"r{number}", example=f"e{number}", task="task", system=system, output=str(value), value=value, **more
    )


def classify(gold, said, patients=None, **more):
    examples = [case(TaskKind.CLASSIFY, i, g, patients and f"p{patients[i]}") for i, g in enumerate(gold)]
    return examples, [answered(i, value, **more) for i, value in enumerate(said)]


def extract(gold, said):
    examples = [case(TaskKind.EXTRACT, i, found, answer="x") for i, found in enumerate(gold)]
    return examples, [answered(i, value) for i, value in enumerate(said)]


def generate(gold, said):
    return [case(TaskKind.GENERATE, i, t) for i, t in enumerate(gold)], [answered(i, t) for i, t in enumerate(said)]


def finding(concept, status="present", label="some finding"):
    return {"concept": concept, "label": label, "status": status}


def values(scores):
    return {one.metric: one.value for one in scores}


def find(text):
    """A tiny terminology: the finding's name, absent after "no"."""
    found = []
    words = text.casefold().replace(".", "").replace(",", "").split()
    for name in ("ataxia", "dysarthria", "seizures"):
        if name in words:
            before = words[words.index(name) - 1] if words.index(name) else ""
            status = Status.ABSENT if before == "no" else Status.PRESENT
            found.append(Finding(concept=name, label=name, status=status))
    return found


# --- classify ---


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("seed", range(4))
def test_classify_metrics_equal_scikit_learn(seed):
    rng = random.Random(seed)
    gold = [rng.choice(LABELS[:3]) for _ in range(50)]
    said = [rng.choice(LABELS[1:]) for _ in range(50)]
    found = values(score(*classify(gold, said), labels=LABELS, draws=50))
    assert found["accuracy"] == pytest.approx(accuracy_score(gold, said), abs=1e-9)
    assert found["macro_f1"] == pytest.approx(f1_score(gold, said, average="macro", zero_division=0), abs=1e-9)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(gold, said), abs=1e-9)


def test_top_3_equals_scikit_learn():
    rng = np.random.default_rng(9)
    rows, gold = rng.dirichlet(np.ones(6), size=60), rng.integers(6, size=60)
    examples = [case(TaskKind.CLASSIFY, i, f"label {g}") for i, g in enumerate(gold)]
    said = [{f"label {place}": float(p) for place, p in enumerate(row)} for row in rows]
    predictions = [answered(i, max(p, key=p.get), probabilities=p) for i, p in enumerate(said)]
    expected = top_k_accuracy_score(gold, rows, k=3, labels=range(6))
    assert values(score(examples, predictions, draws=50))["top3_accuracy"] == pytest.approx(expected, abs=1e-9)


def test_what_cannot_be_read_is_wrong_and_counted():
    scores = score(*classify(["ALS", "MS", "MS", "ALS"], ["ALS", None, "MS", None]), draws=50)
    found = values(scores)
    assert (found["accuracy"], found["balanced_accuracy"], found["unscored_rate"]) == (0.5, 0.5, 0.5)
    assert found["macro_f1"] == pytest.approx(2 / 3)  # each label: precision 1, recall 1/2
    assert {one.unscored for one in scores} == {2}


def test_an_unread_output_is_no_better_than_a_wrong_one():
    examples, predictions = classify(["ALS", "MS"] * 5, ["ALS", "ALS"] * 5)
    unread = [replace(p, value=None) if p.value == "ALS" and i % 2 else p for i, p in enumerate(predictions)]
    assert (
        values(score(examples, unread, draws=50))["accuracy"]
        == values(score(examples, predictions, draws=50))["accuracy"]
    )


@pytest.mark.parametrize(
    ("probabilities", "rank"),
    [
        ({"ALS": 0.6, "MS": 0.4}, 1),
        ({"ALS": 0.2, "MS": 0.8}, 2),
        ({"ALS": 0.4, "MS": 0.4, "x": 0.2}, 2),  # a tie counts against the system
        ({"MS": 1.0}, None),
        ({}, None),
    ],
)
def test_the_rank_of_the_gold_label(probabilities, rank):
    assert gold_rank(case(TaskKind.CLASSIFY, 0, "ALS"), answered(0, "MS", probabilities=probabilities)) == rank


def test_ranks_need_probabilities_everywhere_or_nowhere():
    examples, plain = classify(["ALS", "MS"], ["ALS", "MS"])
    assert "mrr" not in values(score(examples, plain, draws=50))
    ranked = [replace(p, probabilities={"ALS": 0.7, "MS": 0.3}) for p in plain]
    assert values(score(examples, ranked, draws=50))["mrr"] == 0.75
    with pytest.raises(EvaluationError, match=r"others have none.*e1"):
        score(examples, [ranked[0], plain[1]], draws=50)
    unread = [ranked[0], replace(plain[1], value=None)]
    assert values(score(examples, unread, draws=50))["mrr"] == 0.5


def test_one_label_only_is_scored_and_bounded():
    found = {s.metric: s for s in score(*classify(["ALS"] * 30, ["ALS"] * 30), draws=50)}
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert (found[name].value, found[name].high) == (1.0, 1.0)
        assert found[name].low < 0.95  # all right on 30 cases does not mean always right


def test_one_patient_has_values_without_intervals():
    for one in score(*classify(["ALS", "MS"], ["ALS", "ALS"], patients=[0, 0]), draws=50):
        assert (one.low, one.high, one.clusters) == (None, None, 1)
        assert "one patient" in one.note


# --- extract ---


def test_strict_f1_needs_concept_and_status():
    gold = [[finding("A"), finding("B", "absent")], [finding("C", "family")], []]
    said = [[finding("A"), finding("B")], [finding("C", "family"), finding("D")], []]
    found = values(score(*extract(gold, said), draws=50))
    assert (found["precision"], found["recall"]) == (pytest.approx(2 / 4), pytest.approx(2 / 3))
    assert found["f1"] == pytest.approx(4 / 7)
    assert found["concept_f1"] == pytest.approx(6 / 7)
    assert (found["f1_family"], found["f1_absent"]) == (1.0, 0.0)
    assert "f1_resolved" not in found  # neither gold nor said
    assert found["document_f1"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert found["exact_match"] == pytest.approx(1 / 3)
    assert (found["polarity_flip_rate"], found["critical_error_rate"]) == (1 / 2, 1 / 3)


@pytest.mark.parametrize(
    ("gold", "said", "flips"),
    [
        ([("A", "present")], [("A", "absent")], 1),
        ([("A", "absent")], [("A", "present")], 1),
        ([("A", "present")], [("A", "present"), ("A", "absent")], 1),  # says the opposite, whatever else it says
        ([("A", "present"), ("A", "absent")], [("A", "absent")], 0),  # the text itself says both
        ([("A", "present")], [("A", "uncertain")], 0),
        ([("A", "family")], [("A", "present")], 0),
        ([("A", "present")], [], 0),
        ([("A", "present"), ("B", "absent")], [("A", "absent"), ("B", "present")], 2),
    ],
)
def test_polarity_flips(gold, said, flips):
    assert polarity_flips(frozenset(gold), frozenset(said)) == flips


def test_names_outside_the_terminology_are_wrong_each_for_itself():
    gold = [[finding("A")]]
    said = [[finding("A"), finding("", label="Wobbliness"), finding("", label="Shakes")]]
    assert values(score(*extract(gold * 2, said * 2), draws=50))["precision"] == pytest.approx(1 / 3)


def test_an_unread_list_finds_nothing_and_an_empty_one_may_be_right():
    found = values(score(*extract([[], [], [finding("A")]], [[], None, None]), draws=50))
    assert (found["exact_match"], found["document_f1"], found["recall"]) == (1 / 3, 1 / 3, 0.0)
    assert "precision" not in found  # nothing was output: not defined, and not zero


def test_repeating_a_finding_earns_nothing():
    once, thrice = ([[finding("A")] * times] * 3 for times in (1, 3))
    gold = [[finding("A"), finding("B")]] * 3
    assert values(score(*extract(gold, once), draws=50)) == values(score(*extract(gold, thrice), draws=50))


# --- generate ---


def texts(seed, count):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, 25))) + ".\nSecond line, 3/5." for _ in range(count)]


def test_rouge_equals_rouge_score():
    gold, said = texts(1, 12), texts(2, 12)
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    found = values(score(*generate(gold, said), draws=50))
    for suffix, stem in (("", False), ("_stem", True)):
        scorer = RougeScorer(kinds, use_stemmer=stem)
        for kind in kinds:
            expected = np.mean([scorer.score(g, s)[kind].fmeasure for g, s in zip(gold, said, strict=True)])
            assert found[kind + suffix] == pytest.approx(expected, abs=1e-9)


def test_bleu_and_chrf_equal_sacrebleu_and_carry_its_signature():
    gold, said = texts(3, 12), [*texts(4, 11), ""]
    found = {one.metric: one for one in score(*generate(gold, said), draws=100)}
    bleu, chrf = sacrebleu.BLEU(), sacrebleu.CHRF()
    assert found["bleu"].value == pytest.approx(bleu.corpus_score(said, [gold]).score, abs=1e-9)
    assert found["chrf"].value == pytest.approx(chrf.corpus_score(said, [gold]).score, abs=1e-9)
    assert str(bleu.get_signature()) in found["bleu"].note
    assert "version:2.6.0" in found["chrf"].note
    assert found["bleu"].low <= found["bleu"].value <= found["bleu"].high


def test_facts_see_the_difference_that_words_hide():
    gold, said = (
        ["Woman with ataxia and dysarthria.", "Man with seizures."],
        ["Woman with no ataxia.", "Man with seizures."],
    )
    found = values(score(*generate(gold, said), find=find, draws=50))
    assert (found["fact_precision"], found["fact_recall"]) == (pytest.approx(1 / 2), pytest.approx(1 / 3))
    assert found["fact_flip_rate"] == pytest.approx(1 / 3)
    assert found["rouge1"] > 0.7
    assert "fact_f1" not in values(score(*generate(gold, said), draws=50))


def test_an_unread_text_scores_zero():
    examples, predictions = generate(["Man with seizures."] * 2, ["Man with seizures.", None])
    predictions[1] = replace(predictions[1], output="Man with seizures.")  # written, but not in the answer format
    found = values(score(examples, predictions, find=find, draws=50))
    assert found["rougeL"] == pytest.approx(0.5)
    assert found["fact_recall"] == 0.5
    assert case_scores(TaskKind.GENERATE, examples[1], predictions[1], find=find)["fact_f1"] == 0


def test_repetition_and_length():
    found = values(score(*generate(["a b c d e"] * 2, ["a b c d a b c d", "a b"]), draws=50))
    assert found["repetition"] == pytest.approx(1 / 5)  # abcd bcda cdab dabc abcd
    assert found["length_ratio"] == 1.0


# --- all kinds ---


def test_perplexity_and_bits_per_byte_are_of_the_target():
    examples = [case(TaskKind.CLASSIFY, i, "ALS", answer=text) for i, text in enumerate(("ALS", "Ménière"))]
    predictions = [answered(0, "ALS", nats=3.0, tokens=2), answered(1, "ALS", nats=5.0, tokens=6)]
    found = values(score(examples, predictions, draws=50))
    assert found["perplexity"] == pytest.approx(math.exp(8 / 8))
    assert found["bits_per_byte"] == pytest.approx(8 / math.log(2) / (3 + 9))
    with pytest.raises(EvaluationError, match="not known everywhere: missing: e1"):
        score(examples, [predictions[0], replace(predictions[1], nats=None)], draws=50)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e, p: (e, p[:-1]), "cases without a prediction: e2"),
        (lambda e, p: (e[:-1], p), "predictions for cases that are not there: e2"),
        (lambda e, p: (e, [*p, p[0]]), "cases with more than one prediction: e0"),
        (lambda e, p: ([*e, e[1]], p), "case ids that occur more than once: e1"),
        (lambda e, p: (e, [*p[:-1], replace(p[-1], system="other")]), "several systems: other, tuned"),
        (lambda e, p: (e, [*p[:-1], replace(p[-1], task="other")]), "several tasks: other, task"),
        (lambda e, p: (e, [*p[:-1], replace(p[-1], nats=math.nan)]), "not finite: e2"),
        (lambda e, p: (e, [*p[:-1], replace(p[-1], probabilities={"ALS": math.nan})]), "not finite: e2"),
        (lambda e, p: ([], []), "no cases"),
    ],
)
def test_what_does_not_belong_together_is_refused_with_its_ids(change, said):
    examples, predictions = classify(["ALS", "MS", "MS"], ["ALS", "MS", "ALS"])
    with pytest.raises(EvaluationError, match=said):
        score(*change(examples, predictions), draws=50)


def test_many_bad_ids_are_named_in_part_and_counted():
    examples, _ = classify(["ALS"] * 9, ["ALS"] * 9)
    with pytest.raises(EvaluationError, match=r"e0, e1, e2, e3, e4 and 4 more"):
        align(examples, [])


def test_no_error_shows_text_of_a_record():
    examples, predictions = generate(["Secret words"] * 2, ["Other words"] * 2)
    with pytest.raises(EvaluationError) as caught:
        score(examples, predictions[:1], draws=50)
    assert "words" not in str(caught.value)


def test_every_metric_that_is_scored_is_in_the_list_and_of_its_kind():
    made = {
        TaskKind.CLASSIFY: classify(
            ["l0", "l1"], ["l0", "l0"], probabilities={f"l{i}": 1 / 12 for i in range(12)}, nats=1.0, tokens=2
        ),
        TaskKind.EXTRACT: extract(*[[[finding("A", s) | {"start": 3, "end": 7} for s in Status]] * 2] * 2),
        TaskKind.GENERATE: generate(["ataxia at the age of four"] * 2, ["no ataxia at the age"] * 2),
    }
    seen = set()
    for kind, (examples, predictions) in made.items():
        found = tallies(examples, predictions, find=find)
        assert all(kind in METRICS[name].kinds for name in found)
        seen |= set(found)
        assert HEADLINE[kind] in found
        assert CASE_HEADLINE[kind] in case_scores(kind, examples[0], predictions[0], find=find)
    # Without a table of critical errors a list of findings still has its polarity flips.
    assert seen == set(METRICS) - (OF_SOURCES - {"critical_error_rate"})


def test_scores_of_cases_average_to_the_score_of_the_task():
    examples, predictions = extract(
        [[finding("A"), finding("B")], [finding("C")], []], [[finding("A")], None, [finding("D", "absent")]]
    )
    found = values(score(examples, predictions, draws=50))
    cases = [case_scores(TaskKind.EXTRACT, e, p) for e, p in zip(examples, predictions, strict=True)]
    for name in ("document_f1", "exact_match"):
        assert np.mean([one[name] for one in cases]) == pytest.approx(found[name])


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, None]), st.integers(0, 5)), min_size=1, max_size=20
    ),
    shuffle=st.randoms(use_true_random=False),
)
def test_the_order_of_cases_and_predictions_does_not_matter(rows, shuffle):
    examples, predictions = classify(*zip(*[r[:2] for r in rows], strict=True), patients=[r[2] for r in rows])
    first = score(examples, predictions, draws=60)
    shuffle.shuffle(examples)
    shuffle.shuffle(predictions)
    second = score(examples, predictions, draws=60)
    for one, other in zip(first, second, strict=True):
        assert (one.metric, one.n, one.clusters) == (other.metric, other.n, other.clusters)
        assert one.value == pytest.approx(other.value)
        assert (one.low is None) == (other.low is None)
        if one.low is not None:
            assert one.low <= one.value <= one.high
            assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-9)


@pytest.mark.slow
def test_a_thousand_cases_with_all_metrics_take_less_than_a_minute():
    rng = random.Random(0)
    begun = time.process_time()
    labels = [f"disease {i}" for i in range(28)]
    gold = [rng.choice(labels) for _ in range(1_000)]
    spread = {label: 1 / 28 for label in labels}
    score(*classify(gold, rng.choices(labels, k=1_000), probabilities=spread, nats=3.0, tokens=4), labels=labels)
    lists = [[finding(f"HP:{rng.randint(1, 60)}", rng.choice(list(Status))) for _ in range(8)] for _ in range(2_000)]
    score(*extract(lists[:1_000], lists[1_000:]))
    score(*generate(texts(1, 1_000), texts(2, 1_000)), find=find)
    assert time.process_time() - begun < 60
