"""Weak labels with a known truth."""

from __future__ import annotations

import pytest

from residency.curate.labelling import Labeller, Vote, agreement, judge, load_labellers, vote
from residency.errors import ProjectError
from residency.records import Document, Finding, Source, Status


def document(number: int, text: str, *findings: tuple[str, Status]) -> Document:
    found = tuple(Finding(concept=c, label=c, status=s) for c, s in findings)
    return Document(id=f"d-{number}", key=str(number), text=text, source=Source(path="x"), patient="p", findings=found)


def says(word: str, label: str, weight: float = 1.0) -> Labeller:
    return Labeller(f"has {word}", lambda d: label if word in d.text else None, weight)


def test_the_majority_by_weight_wins_and_a_tie_is_no_label() -> None:
    labellers = [says("a", "A"), says("b", "B"), says("c", "B", 0.5)]
    votes = vote([document(n, text) for n, text in enumerate(["a", "b", "ab", "abc", "x"])], labellers)
    assert [one.label for one in votes] == ["A", "B", None, "B", None]
    assert votes[3].share == pytest.approx(1.5 / 2.5)
    assert dict(votes[2].said) == {"has a": "A", "has b": "B"}


def test_functions_are_judged_by_what_they_cover_and_how_often_they_are_right() -> None:
    labellers = [says("a", "A"), says("b", "B")]
    votes = vote([document(n, text) for n, text in enumerate(["a", "a", "ab", "b"])], labellers)
    first, second = judge(votes, {"d-0": "A", "d-1": "B", "d-3": "B"})
    assert (first.name, first.covers, first.overlaps, first.conflicts, first.right) == ("has a", 0.75, 0.25, 0.25, 0.5)
    assert (second.covers, second.right) == (0.5, 1.0)


def test_agreement_is_krippendorffs_alpha() -> None:
    # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example B: two observers, nominal data.
    one, two = "0100000000", "1110010100"
    votes = [Vote(str(n), None, 0, {"1": a, "2": b}) for n, (a, b) in enumerate(zip(one, two, strict=True))]
    assert agreement(votes) == pytest.approx(0.095, abs=5e-4)
    assert agreement([Vote("a", None, 0, {"1": "x"})]) is None
    mixed = [Vote("a", None, 0, {"1": "x", "2": "x"}), Vote("b", None, 0, {"1": "y", "2": "y"})]
    assert agreement(mixed) == 1.0


def test_rules_of_a_table_read_text_and_findings(tmp_path) -> None:
    table = tmp_path / "rules.tsv"
    table.write_text(
        "# rules\nlabel\tkind\tpattern\tweight\nA\ttext\t\\bataxi\t2\nB\tpresent\tHP:1\t\nA\tabsent\tHP:1\t1\n"
    )
    labellers = load_labellers(table)
    assert [one.name for one in labellers] == ["rules:3", "rules:4", "rules:5"]
    votes = vote(
        [document(0, "Ataxic gait", ("HP:1", Status.PRESENT)), document(1, "x", ("HP:1", Status.ABSENT))], labellers
    )
    assert [one.label for one in votes] == ["A", "A"]
    assert votes[0].share == pytest.approx(2 / 3)


def test_functions_of_a_python_file_are_found_with_their_weights(tmp_path) -> None:
    (tmp_path / "mine.py").write_text(
        "import re\ndef ataxia(d):\n    return 'A' if 'ataxia' in d.text else None\n"
        "ataxia.weight = 3\ndef _helper(d):\n    return 'B'\n"
    )
    [one] = load_labellers(tmp_path / "mine.py")
    assert (one.name, one.weight, one.function(document(1, "ataxia"))) == ("ataxia", 3.0, "A")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.py", "def f(:\n", "SyntaxError"),
        ("a.py", "x = 1\n", "defines no function"),
        ("a.tsv", "label\tkind\nA\ttext\n", "first line must name"),
        ("a.tsv", "label\tkind\tpattern\nA\ttext\t(\nB\tmaybe\tx\n", "line 2.*line 3: kind 'maybe'"),
        ("a.tsv", "label\tkind\tpattern\tweight\nA\ttext\tx\t-1\n", "weight -1"),
        ("a.csv", "", "neither"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path, name: str, content: str, problem: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ProjectError, match=problem):
        load_labellers(tmp_path / name)


@pytest.mark.parametrize("function", [lambda d: 1 / 0, lambda d: 5])
def test_a_function_that_fails_is_named_without_the_text(function) -> None:
    with pytest.raises(ProjectError, match="labelling function bad, document d-0") as raised:
        vote([document(0, "secret")], [Labeller("bad", function)])
    assert "secret" not in str(raised.value)
