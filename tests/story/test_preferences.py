"""Preferences in a project: which pairs may be taught, and an adapter that the project knows of."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from residency.cli import app
from residency.errors import RecordError, ResidencyError
from residency.folder import new_project
from residency.forget import forget_patient
from residency.preferences import Withheld, allowed, pairs_of_corrections, read_pairs, teach_preferences
from residency.project import Project
from residency.records import Decision, Judged, Judgment, Message, Split
from residency.run.progress import Silent
from residency.story import prepare_lessons, run_project
from residency.tune.adapter import load_card
from residency.tune.pairs import Pair

GOOD = {"id": 1, "prompt": "Which disease?", "chosen": "Chorea", "rejected": "Ataxia"}
TURNS = [{"role": "user", "content": "Which?"}]


def written(path, *records):
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in records))
    return path


def pair(name, patient="", asked="Which disease?"):
    message = Message(role="user", content=asked)
    return Pair(id=name, task="diagnose", messages=(message,), chosen="a", rejected="b", patient=patient)


def test_pairs_are_read_with_prompt_or_messages(tmp_path):
    turns = [{"role": "system", "content": "Be short."}, *TURNS]
    more = {k: v for k, v in GOOD.items() if k != "prompt"}
    file = written(
        tmp_path / "p.jsonl", {**GOOD, "other": [1]}, {**more, "id": "b", "messages": turns, "patient": 7, "task": "t"}
    )
    first, second = read_pairs(file)
    assert (first.id, first.patient, first.task, first.chosen) == ("1", "", "", "Chorea")
    assert first.messages == (Message(role="user", content="Which disease?"),)
    assert (second.patient, second.task, len(second.messages)) == ("7", "t", 2)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({**GOOD, "rejected": "Chorea "}, "chosen is the same as rejected"),
        ({**GOOD, "chosen": " "}, "no chosen, or an empty one"),
        ({**GOOD, "rejected": None}, "no rejected, or an empty one"),
        ({**GOOD, "prompt": 3}, "no prompt, or an empty one"),
        ({**GOOD, "messages": TURNS}, "needs either prompt or messages"),
        ({k: v for k, v in GOOD.items() if k != "prompt"}, "needs either prompt or messages"),
        ({"id": 2, "messages": [], "chosen": "a", "rejected": "b"}, "messages is no list of turns"),
        (
            {"id": 2, "messages": [{"role": "boss", "content": "x"}], "chosen": "a", "rejected": "b"},
            "messages[0] has no role of system",
        ),
        (
            {"id": 2, "messages": [*TURNS, {"role": "assistant", "content": "x"}], "chosen": "a", "rejected": "b"},
            "messages does not end with the user's turn",
        ),
        ({**GOOD, "task": 4}, "task is no text"),
        ({**GOOD, "patient": []}, "patient is neither text nor number"),
        ({**GOOD, "chosen": "\ud800"}, "chosen holds half a character"),
        (GOOD, "an id that an earlier line has too"),
        ("{", "not JSON"),
        ("[]", "not an object"),
    ],
)
def test_every_wrong_line_is_named_with_its_number(tmp_path, bad, why):
    file = written(tmp_path / "p.jsonl", GOOD, bad if isinstance(bad, str) or bad is GOOD else {**bad, "id": 2})
    with pytest.raises(RecordError) as caught:
        read_pairs(file)
    assert f"line 2: {why}" in caught.value.message and "Which" not in caught.value.message


@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "messages", "task", "patient"]), st.none() | st.text() | st.lists(st.text())
    )
)
def test_a_line_is_read_or_refused_whatever_it_holds(tmp_path_factory, record):
    file = written(tmp_path_factory.mktemp("pairs") / "p.jsonl", record)
    try:
        assert len(read_pairs(file)) == 1
    except RecordError as error:
        assert "line 1: " in error.message


def test_pairs_of_held_out_and_forgotten_patients_are_left_out_by_any_of_their_names(told):
    root, before = told
    of = {side: [d for d in before.documents if before.split_of[d.patient] is side] for side in Split}
    gone = of[Split.TRAIN][1].patient
    ids = {Project.open(root).vault.find(f"55{n:05}"): f"55{n:05}" for n in range(40)}
    forget_patient(Project.open(root), gone)
    test, trained = of[Split.TEST][0], of[Split.TRAIN][0]
    before.project = Project.open(root)
    kept, withheld = allowed(
        before,
        [
            pair("pseudonym", test.patient),
            pair("id", ids[test.patient]),
            pair("calibration", of[Split.CALIBRATION][0].patient),
            pair("text", "", f"Read:\n{test.text.upper()}\nWhich disease?"),
            pair("forgotten", ids[gone]),
            pair("trained", ids[trained.patient], trained.text),
            pair("validation", of[Split.VALIDATION][0].patient),
            pair("stranger", "x-1"),
            pair("nobody"),
        ],
    )
    assert withheld == {Withheld.HELD_OUT: 3, Withheld.HELD_OUT_TEXT: 1, Withheld.FORGOTTEN: 1}
    assert [one.id for one in kept] == ["trained", "validation", "stranger", "nobody"]
    assert kept[0].patient == trained.patient


def corrected(project, documents):
    for document in documents:
        judged = Judged(
            task="diagnose", document=document.id, patient=document.patient, answer=f"nonsense of {document.id}",
            corrected="Alpha disease",
        )  # fmt: skip
        project.workspace.ledger.decide(
            Decision(id=f"v-{document.id}", subject="p-1", who="Ann", when="t", verdict=Judgment.WRONG, judged=judged)
        )


def test_a_correction_is_a_pair_in_the_question_of_training(told):
    root, before = told
    trained = next(d for d in before.documents if before.split_of[d.patient] is Split.TRAIN)
    asked = next(e for e in prepare_lessons(before).training if (e.task, e.parents[0]) == ("diagnose", trained.id))
    corrected(Project.open(root), [trained])
    before.project = Project.open(root)
    (one,) = pairs_of_corrections(prepare_lessons(before))
    assert one.messages == asked.messages and one.patient == trained.patient
    assert (one.chosen, one.rejected) == ("Alpha disease", f"nonsense of {trained.id}")


def tune(root, *options):
    return CliRunner().invoke(app, ["tune", "--project", str(root), *map(str, options)])


def test_the_command_says_what_it_lacks(tmp_path):
    for options in (["--pairs", "p"], ["-o", "x"], ["--adapter", "a"], ["--corrections", "--sweep"]):
        result = tune(tmp_path, *options)
        assert result.exit_code != 0 and result.exception.fix


def test_pairs_and_corrections_make_an_adapter_that_the_project_knows_of(told, tmp_path):
    pytest.importorskip("trl")
    root, before = told
    settings = yaml.safe_load((root / "residency.yaml").read_text())
    settings["preference"] = {"learning_rate": 0.01, "batch_size": 2, "epochs": 1}
    (root / "residency.yaml").write_text(yaml.safe_dump(settings))
    of = {side: [d for d in before.documents if before.split_of[d.patient] is side] for side in Split}
    corrected(Project.open(root), [*of[Split.TRAIN][:4], *of[Split.VALIDATION][:1], *of[Split.TEST][:2]])
    file = written(tmp_path / "p.jsonl", GOOD, {**GOOD, "id": 2, "patient": of[Split.TEST][0].patient})
    result = tune(root, "--pairs", file, "--corrections", "-o", tmp_path / "new")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "2 corrections of held-out patients are not trained on" in result.output
    assert "1 pairs of held-out patients are not trained on" in result.output
    card = load_card(tmp_path / "new").card
    after = run_project(root, Silent(), until="tune")
    assert card.preferences.parent_sha256 == after.runs["tune"].hash("adapter")
    assert card.preferences.pairs + card.preferences.judging == 6 and card.preferences.nameless == 1
    again = tune(root, "--pairs", file, "--corrections", "-o", tmp_path / "again")
    assert again.exit_code == 0 and load_card(tmp_path / "again").card == card
    saw = forget_patient(Project.open(root), of[Split.TRAIN][0].patient)
    assert card.weights_sha256 in {one.hash for one in saw.adapters}
    in_the_way = written(tmp_path / "file", "x")
    assert "something else" in str(tune(root, "--pairs", file, "-o", in_the_way).exception)


@pytest.mark.parametrize(("place", "said"), [("/proc/none/adapter", "cannot be written"), (".residency/a", "project")])
def test_a_place_where_nothing_can_be_written_is_refused_before_any_work(tmp_path, place, said):
    new_project(tmp_path / "p")
    with pytest.raises(ResidencyError, match=said):
        teach_preferences(tmp_path / "p", Silent(), tmp_path / "p" / place, corrections=True)
