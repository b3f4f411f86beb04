"""Scores against a truth that is known by construction."""

from __future__ import annotations

import json

import pytest

from residency.curate.deidentify.evaluation import Level, Tally, evaluate_deidentification, wilson
from residency.records import Span

TEXT = "Dr. Brennan saw her on 03/04/2019 for ataxia."
GOLD = {
    "text": TEXT,
    "patient": "p1",
    "phi": [{"start": 4, "end": 11, "type": "NAME"}, {"start": 23, "end": 33, "label": "DATE"}],
    "findings": [{"start": 38, "end": 44}],
}


def spans(*places: tuple[int, int, str]):
    return lambda texts: [[Span(start=a, end=b, label=label) for a, b, label in places] for _ in texts]


def test_finding_everything_scores_one() -> None:
    result = evaluate_deidentification([GOLD], spans((4, 11, "NAME"), (23, 33, "DATE")))
    for level in Level:
        row = result.row(level=level)
        assert (row.recall, row.precision, row.f(1), row.f(2)) == (1.0, 1.0, 1.0, 1.0)
    assert result.findings_altered == 0


def test_finding_nothing_scores_zero_recall() -> None:
    assert evaluate_deidentification([GOLD], spans()).row().recall == 0.0


def test_half_a_name_with_the_wrong_class_counts_by_characters() -> None:
    result = evaluate_deidentification([GOLD], spans((4, 8, "DATE"), (23, 33, "DATE"), (38, 44, "NAME")))
    assert result.row("NAME").recall == pytest.approx(4 / 7)
    assert result.row("NAME").recall_with_label == 0.0
    assert result.row("NAME").precision == 0.0  # the only span called a name is a finding
    assert result.row("DATE").precision == 1.0  # its characters are identifiers, whatever their class
    assert result.row(level=Level.SPAN).counts.covered == 1
    assert result.row().recall == pytest.approx(14 / 17)
    assert result.row().precision == pytest.approx(14 / 20)
    assert result.findings_altered == 1


def test_words_and_spans_are_counted_as_such() -> None:
    result = evaluate_deidentification([GOLD], spans((4, 8, "NAME"), (23, 33, "DATE")))
    # Known words: Brennan, 03 / 04 / 2019. Half of Brennan is found, which finds the word, but not the span.
    assert result.row(level=Level.TOKEN).counts.known == 6
    assert result.row(level=Level.TOKEN).recall == 1.0
    assert result.row("NAME", Level.SPAN).recall == 0.0
    assert result.row("NAME", Level.SPAN).precision == 1.0
    assert result.row(level=Level.SPAN).recall == 0.5


def test_tallies_of_parts_add_up_to_the_tally_of_the_whole() -> None:
    detect = spans((4, 8, "NAME"), (23, 33, "DATE"), (38, 44, "NAME"))
    whole, first, second = Tally(), Tally(), Tally()
    for tally in (whole, first, whole, second):
        tally.add(GOLD, detect([TEXT])[0])
    first.merge(second)
    assert first.evaluation().plain() == whole.evaluation().plain()


def test_what_was_missed_is_told_by_place_and_shape_and_never_by_its_text() -> None:
    text = "Müller-Ó 12B\n(٣) saw Brennan"
    gold = {
        "id": "r1",
        "text": text,
        "phi": [{"start": 0, "end": 16, "label": "MRN"}, {"start": 21, "end": 28, "label": "NAME"}],
    }
    result = evaluate_deidentification([gold, {**gold, "id": "r0"}], spans((21, 24, "NAME")))
    assert [missed.plain() for missed in result.missed[:2]] == [
        {"record": "r0", "label": "MRN", "start": 0, "end": 16, "length": 16, "left": 14, "shape": "Aaaaaa-A 99A (9)"},
        {"record": "r0", "label": "NAME", "start": 21, "end": 28, "length": 7, "left": 4, "shape": "Aaaaaaa"},
    ]
    assert result.missed_shapes == {"MRN": {"Aaaaaa-A 99A (9)": 2}, "NAME": {"Aaaaaaa": 2}}
    written = json.dumps(result.plain(), ensure_ascii=False)
    assert not any(word in written for word in ("Müller", "12B", "Brennan", "nnan"))


def test_f2_weighs_recall_more() -> None:
    result = evaluate_deidentification([GOLD], spans((4, 11, "NAME")))
    recall, precision = 7 / 17, 1.0
    assert result.row().f(2) == pytest.approx(5 * precision * recall / (4 * precision + recall))


def test_wilsons_interval_is_the_published_one() -> None:
    low, high = wilson(0.9, 10)  # Newcombe 1998 gives this interval's form; 9 of 10
    assert (low, high) == (pytest.approx(0.5958, abs=1e-4), pytest.approx(0.9821, abs=1e-4))
    assert wilson(1.0, 100)[1] == 1.0
