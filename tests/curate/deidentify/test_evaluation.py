"""Scores against a truth that is known by construction."""

from __future__ import annotations

import pytest

from residency.curate.deidentify.evaluation import evaluate_deidentification, wilson
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
    assert (result.recall, result.precision, result.f(1), result.findings_altered) == (1.0, 1.0, 1.0, 0)


def test_finding_nothing_scores_zero_recall() -> None:
    assert evaluate_deidentification([GOLD], spans()).recall == 0.0


def test_half_a_name_with_the_wrong_class_counts_by_characters() -> None:
    result = evaluate_deidentification([GOLD], spans((4, 8, "DATE"), (23, 33, "DATE"), (38, 44, "NAME")))
    rows = {row.label: row for row in result.rows}
    assert rows["NAME"].recall == pytest.approx(4 / 7)
    assert rows["NAME"].recall_with_label == 0.0
    assert rows["ALL"].whole == 1
    assert result.recall == pytest.approx(14 / 17)
    assert result.precision == pytest.approx(14 / 20)
    assert result.findings_altered == 1


def test_f2_weighs_recall_more() -> None:
    result = evaluate_deidentification([GOLD], spans((4, 11, "NAME")))
    recall, precision = 7 / 17, 1.0
    assert result.f(2) == pytest.approx(5 * precision * recall / (4 * precision + recall))


def test_wilsons_interval_is_the_published_one() -> None:
    low, high = wilson(0.9, 10)  # Newcombe 1998 gives this interval's form; 9 of 10
    assert (low, high) == (pytest.approx(0.5958, abs=1e-4), pytest.approx(0.9821, abs=1e-4))
    assert wilson(1.0, 100)[1] == 1.0
