"""A team's own metric is measured like any other, and its mistakes are said."""

from __future__ import annotations

from pathlib import Path

import pytest

from residency.errors import ProjectError
from residency.evaluate.metrics import metric_of, score
from residency.evaluate.metrics.own import load_own, own_name
from residency.records import Example, Prediction, Split, TaskKind

CODE = """
def first_letter(gold, output):
    return gold[0] == output[0]

def broken(gold, output):
    return 1 / 0

def large(gold, output):
    return 3

def nothing(gold, output):
    return float("nan")
"""


def cases():
    examples = [
        Example(
            id=f"e{i}", task="t", kind=TaskKind.CLASSIFY, messages=(), answer=g, gold=g, patient=f"p{i}",
            split=Split.TEST,
        )
        for i, g in enumerate(("ALS", "MS", "MS"))
    ]  # fmt: skip
    said = ("Ataxia", "Migraine", None)
    return examples, [
        Prediction(id=f"r{i}", example=f"e{i}", task="t", system="s", output=str(v), value=v)
        for i, v in enumerate(said)
    ]


def measure(tmp_path: Path, function: str):
    (tmp_path / "checks.py").write_text(CODE, encoding="utf-8")
    written = f"checks.py:{function}"
    scores = score(*cases(), own={own_name(written): load_own(written, tmp_path)}, draws=200)
    return next(one for one in scores if one.metric == f"own:{function}")


def test_an_own_metric_has_an_interval_and_an_unread_output_scores_zero(tmp_path):
    found = measure(tmp_path, "first_letter")
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)
    assert 0 < found.low < found.value < found.high < 1
    assert (metric_of("own:first_letter").title, metric_of("own:first_letter").ceiling) == ("first letter", 1.0)


@pytest.mark.parametrize(
    ("function", "said"),
    [("broken", "ZeroDivisionError on case e0"), ("large", "from 0 to 1"), ("nothing", "from 0 to 1")],
)
def test_a_function_that_fails_is_said_with_its_case(tmp_path, function, said):
    with pytest.raises(ProjectError, match=said):
        measure(tmp_path, function)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("checks.py", "not written as"),
        ("checks.py:not a name", "not written as"),
        ("missing.py:f", "no file"),
        ("checks.py:absent", "no function absent"),
        ("bad.py:f", "SyntaxError, line 2"),
        ("raises.py:f", "ValueError, line 1"),
    ],
)
def test_a_function_that_is_not_there_is_said(tmp_path, written, said):
    (tmp_path / "checks.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "bad.py").write_text("x = 1\ndef f(:\n", encoding="utf-8")
    (tmp_path / "raises.py").write_text("raise ValueError('secret text')\n", encoding="utf-8")
    with pytest.raises(ProjectError, match=said) as caught:
        load_own(written, tmp_path)
    assert "secret" not in str(caught.value)
