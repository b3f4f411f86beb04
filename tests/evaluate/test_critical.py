"""Critical errors: the table, what falls under it, and the bound that a gate certifies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from residency.curate.extract import find, load_reader
from residency.errors import ProjectError
from residency.evaluate.claims.means import Means, means_of
from residency.evaluate.claims.rates import audit
from residency.evaluate.claims.source import read_source
from residency.evaluate.critical.find import critical_errors
from residency.evaluate.critical.rates import CriticalCase, critical_interval, critical_scores
from residency.evaluate.critical.table import COLUMNS, CriticalTable, load_table, read_table, unknown_labels
from residency.evaluate.gate import AtMost, GateEvidence, GateSettings, GateVerdict, decide
from residency.evaluate.intervals import upper_bound
from residency.evaluate.safety import safety
from residency.packs import load_pack
from residency.records import Example, Prediction, Split, TaskKind

ROWS = [
    ("missed", "HP:0001250", "", "3"),
    ("flipped", "*", "", "1"),
    ("experiencer", "*", "", "2"),
    ("laterality", "*", "", "2"),
    ("value", "*", "1.5", "2"),
    ("unit", "*", "", "3"),
    ("confused", "A", "B", "3"),
    ("confused", "T", "*", "3"),
    ("unsupported", "*", "0.8", "2"),
]


@pytest.fixture(scope="module")
def means(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Means]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESIDENCY_CACHE", str(tmp_path_factory.mktemp("cache")))
        pack = load_pack("neurology")
        yield means_of(pack, partial(find, reader=load_reader(pack)))


def rows(*given: tuple[str, str, str, str], agreed: str = "Dr A; Dr B") -> list[dict[str, str]]:
    return [dict(zip(COLUMNS, (*row, agreed, "why"), strict=True)) for row in given]


@pytest.fixture
def table(means: Means) -> CriticalTable:
    return read_table(rows(*ROWS), means.terminology, place="table")


def generated(gold: str, output: str | None) -> tuple[Example, Prediction]:
    example = Example(
        id="e", task="t", kind=TaskKind.GENERATE, messages=(), answer=gold, gold=gold, patient="p", split=Split.TEST
    )
    return example, Prediction(id="a", example="e", task="t", system="s", output=output or "", value=output)


@pytest.mark.parametrize(
    ("gold", "output", "expected"),
    [
        ("Focal-onset seizures.", "Nothing to report.", {"missed"}),
        ("Focal-onset seizures.", None, {"missed"}),
        ("Focal-onset seizures.", "Seizures.", set()),  # the red flag is there
        ("Seizures.", "No seizures.", {"flipped"}),
        ("No ataxia.", "Ataxia.", {"flipped"}),
        ("His mother has migraine.", "He has migraine.", {"experiencer"}),
        ("Left-sided hemiparesis.", "Right-sided hemiparesis.", {"laterality"}),
        ("Carbamazepine 200 mg.", "Carbamazepine 400 mg.", {"value"}),
        ("Carbamazepine 200 mg.", "Carbamazepine 220 mg.", set()),  # below the factor
        ("Carbamazepine 200 mg.", "Carbamazepine 200 g.", {"unit"}),
        ("He has microcephaly.", "He is well.", set()),  # no row is about it
    ],
)
def test_an_error_of_a_text_falls_under_its_row(
    gold: str, output: str | None, expected: set[str], table: CriticalTable, means: Means
) -> None:
    example, prediction = generated(gold, output)
    found = critical_errors(table, example, prediction, audit(example, prediction, read_source(gold, means), means))
    assert {error.kind.value for error in found} == expected


@pytest.mark.parametrize(
    ("gold", "said", "confidence", "expected"),
    [
        ("A", "B", 0.5, {"confused"}),
        ("B", "A", 0.5, set()),  # the other way round has no row
        ("T", "X", 0.5, {"confused"}),
        ("B", "A", 0.8, {"unsupported"}),
        ("A", "A", 0.99, set()),
        ("A", None, None, set()),
    ],
)
def test_a_wrong_label_falls_under_its_row(
    gold: str, said: str | None, confidence: float | None, expected: set[str], table: CriticalTable
) -> None:
    example = Example(
        id="e", task="t", kind=TaskKind.CLASSIFY, messages=(), answer=gold, gold=gold, patient="p", split=Split.TEST
    )
    prediction = Prediction(
        id="a", example="e", task="t", system="s", output=said or "", value=said, confidence=confidence
    )
    assert {error.kind.value for error in critical_errors(table, example, prediction)} == expected


def test_every_problem_of_a_table_is_said_at_once(means: Means) -> None:
    bad = rows(
        ("miss", "HP:0001250", "", "3"), ("missed", "HP:9999999", "", "3"), ("missed", "*", "", "3"),
        ("value", "*", "half", "3"), ("flipped", "*", "", "0"), ("confused", "A", "", "1"), ("unit", "mg", "", "1"),
    )  # fmt: skip
    with pytest.raises(ProjectError) as raised:
        read_table(bad, means.terminology, place="critical.tsv")
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [f"row {n}" for n in range(1, 8)]
    with pytest.raises(ProjectError, match="no column severity"):
        read_table([{"error": "flipped", "what": "*", "than": "", "agreed_by": "", "why": ""}], None, place="t")
    with pytest.raises(ProjectError, match="no rows"):
        read_table([], None, place="t")


def test_a_table_says_who_stands_behind_it() -> None:
    agreed = read_table(rows(("flipped", "*", "", "1")), None, place="t")
    draft = read_table(rows(("flipped", "*", "", "1"), agreed="Dr A; Dr A"), None, place="t")
    assert agreed.note == "all 1 rows agreed on by at least 2 people"
    assert draft.note == "1 of its 1 rows not yet agreed on by 2 people"


def test_the_shipped_table_is_read_and_a_project_may_bring_its_own(tmp_path: Path, means: Means) -> None:
    shipped = load_table(load_pack("neurology"))
    assert shipped is not None and len(shipped.rows) > 30 and "not yet agreed" in shipped.note
    own = tmp_path / "critical.tsv"
    own.write_text("# ours\n" + "\t".join(COLUMNS) + "\nconfused\tA\tB\t1\tx;y\tbecause\n")
    table = load_table(load_pack("neurology"), own)
    assert table is not None and unknown_labels(table, ["A"]) == ("B",)
    with pytest.raises(ProjectError, match="is not there"):
        load_table(load_pack("neurology"), tmp_path / "none.tsv")


def cases(flags: list[bool], patients: list[str], table: CriticalTable) -> list[CriticalCase]:
    example = Example(
        id="e", task="t", kind=TaskKind.CLASSIFY, messages=(), answer="A", gold="A", patient="p", split=Split.TEST
    )
    wrong = Prediction(id="a", example="e", task="t", system="s", output="B", value="B", confidence=0.9)
    errors = critical_errors(table, example, wrong)
    return [
        CriticalCase(f"e{n}", p, 0.9, errors if f else ()) for n, (f, p) in enumerate(zip(flags, patients, strict=True))
    ]


def test_the_upper_end_is_the_exact_one_sided_bound(table: CriticalTable) -> None:
    """EVALUATION.md d9: no error in 299 documents, one in 473, two in 628 certify one per cent."""
    for errors, n in ((0, 299), (1, 473), (2, 628)):
        found = critical_interval(cases([k < errors for k in range(n)], [f"p{k}" for k in range(n)], table))
        assert found.high == pytest.approx(upper_bound(errors, n)) and found.high <= 0.01


def test_the_gate_certifies_with_the_bound_and_not_with_the_rate(table: CriticalTable) -> None:
    wrong = Prediction(id="a", example="e", task="t", system="tuned", output="", value=None)
    policy = GateSettings(lines=(AtMost(task="t", metric="critical_error_rate", value=0.01),))
    for n, verdict in ((200, GateVerdict.INCONCLUSIVE), (300, GateVerdict.GO)):
        scores = critical_scores(wrong, table, cases([False] * n, [f"p{k}" for k in range(n)], table))
        assert decide(policy, GateEvidence(scores=scores, comparisons=[])).verdict is verdict


@pytest.mark.parametrize("errors", [1, 2, 5])
def test_the_severity_of_rare_errors_is_never_below_nothing(errors: int, table: CriticalTable) -> None:
    _, of = generated("Ataxia.", "x")
    flags = [True] * errors + [False] * (60 - errors)
    cost = critical_scores(of, table, cases(flags, [f"p{i}" for i in range(60)], table), draws=400)[1]
    assert cost.low is not None and cost.high is not None
    assert 0 <= cost.low <= cost.value < cost.high
    # Longer above than below: few documents carry all of it.
    assert cost.high - cost.value > cost.value - cost.low


@pytest.mark.parametrize("correlation", [0.0, 0.4])
def test_the_bound_holds_although_documents_of_a_patient_go_together(correlation: float, table: CriticalTable) -> None:
    rng = np.random.default_rng(3)
    rate, patients, each, draws = 0.05, 60, 3, 400
    names = [f"p{k}" for k in range(patients) for _ in range(each)]
    held = 0
    for _ in range(draws):
        own = rng.random(patients) < rate
        shared = rng.random((patients, each)) < correlation
        flags = np.where(shared, own[:, None], rng.random((patients, each)) < rate)
        high = critical_interval(cases(flags.ravel().tolist(), names, table)).high
        held += high is not None and high >= rate
    assert held / draws >= 0.94


def test_safety_scores_every_system_and_shows_what_it_found(table: CriticalTable, means: Means) -> None:
    gold = "He has seizures. No ataxia."
    pairs = [replace(generated(gold, gold)[0], id=f"e{n}", patient=f"p{n}") for n in range(6)]
    answers = {
        system: [replace(generated(gold, output)[1], id=f"a{e.id}", example=e.id, system=system) for e in pairs]
        for system, output in (("good", gold), ("bad", "He has ataxia."))
    }
    scores, shown = safety(
        pairs, answers, {e.id: gold for e in pairs}, means=means, table=table, labels=(), draws=200, seed=1
    )
    value = {(s.system, s.metric): s.value for s in scores}
    assert value["good", "critical_error_rate"] == 0 and value["bad", "critical_error_rate"] == 1
    assert value["good", "hallucination_rate"] == 0 and value["bad", "hallucination_rate"] == 1
    assert shown["bad"]["claims"]["examples"][0]["problem"] == "polarity"
    assert {row["error"] for row in shown["bad"]["critical"]["counted"]} == {"missed", "flipped"}
