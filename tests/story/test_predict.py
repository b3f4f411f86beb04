"""New texts are asked about as the loop asks, and every line says how far its answer can be trusted."""

from __future__ import annotations

import json
import re
from itertools import product

import pytest
from typer.testing import CliRunner
from worse import turned_round

import residency.predict as predicting
from residency.cli import app
from residency.curate.examples import Prompt
from residency.errors import ModelError, ProjectError, RecordError
from residency.evaluate.run import System
from residency.models.scripted import ScriptedModel, looks_up
from residency.predict import Specialist, predict_file
from residency.project import Project
from residency.records import Prediction, Split
from residency.run.progress import Silent
from residency.story import questions

NEW = (
    "Patient: Walburga Quistorp\nMRN: 7700123\n\nMrs. Quistorp is 61 years old and was seen for ataxia. "
    "There is no tremor on examination.\nOn most Tuesdays she sings in a choir, which the conductor likes very much.\n"
)
TEXTS = {
    "diagnose": {"Ataxia": {"Alpha disease": 0.7, "Beta disease": 0.2}, "": "Beta disease"},
    "findings": {"": "present: Ataxia\nabsent: Tremor\nuncertain: Seizure"},
    "summary": {"": "A patient with ataxia, without tremor, with seizures."},
}


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def specialist(root, task, *, scripted=True, **more):
    made = Specialist.of(Project.open(root), task, **more)
    if scripted:
        made.iteration.tuned = ScriptedModel(looks_up(TEXTS[task]))
    return made


def predict(made, tmp_path, *records, **more):
    source = write(tmp_path / "in.jsonl", *records)
    done = predict_file(made, source, tmp_path / "out.jsonl", Silent(), **more)
    return done, read(tmp_path / "out.jsonl")


def test_the_documents_of_the_loop_get_the_answers_of_the_loop(told, tmp_path):
    """Same prompt, candidates, model and map, though the texts come as a file."""
    root, _ = told
    made = specialist(root, "diagnose", scripted=False, curated=True)
    iteration = made.iteration
    documents = {document.id: document for document in iteration.documents}
    test = questions(iteration, iteration.project.task("diagnose"), Split.TEST)
    records = [{"id": e.parents[0], "text": documents[e.parents[0]].text, "patient": e.patient, "key": 7} for e in test]
    _, lines = predict(made, tmp_path, *records)
    told_before = {p.example: p for p in iteration.predictions[System.TUNED, "diagnose"]}
    for example, line in zip(test, lines, strict=True):
        honest = made.trusted.honest.apply(told_before[example.id])
        assert line["output"] == honest.value and line["key"] == 7
        assert line["confidence"] == pytest.approx(honest.confidence, abs=1e-3)
        assert line["probabilities"] == pytest.approx(honest.probabilities, abs=1e-3)
        assert line["label_set"] == list(made.trusted.sets.labels(told_before[example.id]))


def test_raw_text_is_curated_as_the_project_is_and_never_written(told, tmp_path):
    root, _ = told
    done, (line,) = predict(specialist(root, "diagnose"), tmp_path, {"id": "n", "text": NEW, "patient": "7700123"})
    whole = (tmp_path / "out.jsonl").read_text()
    assert "Quistorp" not in whole and "7700123" not in whole and line["patient"].startswith("p-")
    assert "seen for ataxia" in line["text"] and line["output"] == "Alpha disease"
    (mention, *_) = line["evidence"]
    assert line["text"][mention["start"] : mention["end"]] == "ataxia" and mention["concept"] == "HP:0001251"
    assert line["calibrated"] is True and line["error"] is None
    assert line["abstained"] is None and "8 cases" in line["reason"]  # too few to show any threshold
    assert done.records == 1 and not done.failed
    assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert not list((root / ".residency" / "runs").glob("predict-*"))


@pytest.mark.parametrize("task", ["findings", "summary"])
def test_what_is_claimed_is_shown_in_the_text_or_said_to_be_nowhere(told, tmp_path, task):
    _, (line,) = predict(specialist(told[0], task), tmp_path, {"id": "n", "text": NEW})
    shown = {line["text"][place["start"] : place["end"]] for place in line["evidence"]}
    assert {"ataxia", "tremor"} <= shown
    assert any("eizure" in claim["claim"] for claim in line["not_borne_out"])
    assert line["abstained"] is None and task != "x" and "no threshold is fitted" in line["reason"]
    assert "label_set" not in line


def test_the_answers_can_be_scored_as_any_system_s(told, tmp_path):
    made = specialist(told[0], "diagnose")
    other = NEW.replace("ataxia", "seizures")
    predict(made, tmp_path, {"id": "a", "text": NEW}, {"id": "b", "text": other})
    cases = write(tmp_path / "cases.jsonl", {"id": "a", "answer": "Alpha disease"}, {"id": "b", "answer": "X"})
    command = ["evaluate", "--cases", str(cases), "--predictions", str(tmp_path / "out.jsonl"), "--task", "classify"]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(result.output)["metrics"]["accuracy"]["value"] == 0.5


def test_texts_without_an_answer_say_why_and_the_others_are_answered(told, tmp_path):
    made = specialist(told[0], "diagnose", scripted=False)
    words = product(("walks", "reads", "sings"), ("sister", "brother", "nurse", "cousin"), ("tired", "well"), range(60))
    long = NEW + " ".join(f"He {does} with his {who} and feels {how} for {n} hours." for does, who, how, n in words)
    (told[0] / "prompts" / "whole.jinja").write_text("{{ document.text }}")
    made.prompt = Prompt.load(told[0], made.task.model_copy(update={"prompt": "prompts/whole.jinja"}))
    done, lines = predict(
        made, tmp_path, {"id": 1, "text": ""}, {"id": 2, "text": long}, {"id": 3, "text": "hm"}, {"id": 4, "text": NEW}
    )
    assert [line["error"] for line in lines] == ["empty", "too_long", "dropped", None]
    assert all(line["abstained"] and line["output"] is None and line["reason"] for line in lines[:3])
    assert "too_short" in lines[2]["reason"] and lines[3]["output"]
    assert done.failed == {"empty": 1, "too_long": 1, "dropped": 1} and done.abstained == 3


def test_an_output_that_cannot_be_read_is_kept_and_a_person_is_asked(told, tmp_path):
    made = specialist(told[0], "findings")
    made.iteration.tuned = ScriptedModel(looks_up({"": "I cannot say."}))
    _, (line,) = predict(made, tmp_path, {"id": 1, "text": NEW})
    assert line["error"] == "unreadable" and line["output"] == "I cannot say." and line["abstained"] is True


def test_a_killed_call_is_gone_on_with(told, tmp_path, monkeypatch):
    root = told[0]
    monkeypatch.setattr(predicting, "TOGETHER", 2)
    records = [{"id": i, "text": NEW.replace("61", str(30 + i))} for i in range(6)]

    class Killed(BaseException):
        pass

    def kill_at(number):
        asked = []

        def rule(conversation):
            asked.append(conversation)
            if len(asked) > number:
                raise Killed
            return "Alpha disease"

        return ScriptedModel(rule), asked

    made = specialist(root, "diagnose")
    made.iteration.tuned, _ = kill_at(5)
    with pytest.raises(Killed):
        predict(made, tmp_path, *records)
    assert not (tmp_path / "out.jsonl").exists()
    again = specialist(root, "diagnose")
    again.iteration.tuned, asked = kill_at(99)
    done, lines = predict(again, tmp_path, *records)
    assert [line["id"] for line in lines] == list(range(6)) and done.found_before == 4 and len(asked) == 2


def test_lines_that_cannot_be_read_are_refused_before_anything_is_asked(told, tmp_path):
    made = specialist(told[0], "diagnose")
    records = [{"id": 1, "text": NEW}, {"id": 1, "text": NEW}, {"id": 2}]
    with pytest.raises(RecordError, match="line 2: an id that an earlier line has too; line 3: no text") as caught:
        predict(made, tmp_path, *records)
    assert "Quistorp" not in str(caught.value)
    done, lines = predict(made, tmp_path, *records, skip_bad=True)
    assert len(lines) == 1 and len(done.skipped) == 2
    with pytest.raises(ProjectError, match="would replace the input"):
        predict_file(made, tmp_path / "in.jsonl", tmp_path / "in.jsonl", Silent())


def test_an_unknown_task_or_adapter_and_a_project_without_a_model_are_named(told, make_project, tmp_path):
    root, iteration = told
    with pytest.raises(ProjectError, match="no such task") as caught:
        specialist(root, "diagnosis")
    assert "diagnose, findings, summary" in caught.value.fix
    with pytest.raises(ProjectError, match="no adapter of the project") as caught:
        specialist(root, "diagnose", adapter="nothing")
    assert iteration.runs["tune"].hash("adapter")[:12] in caught.value.fix
    with pytest.raises(ModelError, match="not an adapter"):
        specialist(root, "diagnose", adapter=str(tmp_path))
    with pytest.raises(ProjectError, match="not run yet"):
        specialist(make_project(), "diagnose")


def foreign(root, folder, **changes):
    """A copy of the project's adapter whose card says something else."""
    import shutil

    source = next((root / ".residency" / "adapters").iterdir())
    shutil.copytree(source, folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))
    return str(folder)


def test_an_adapter_of_another_base_is_refused(told, tmp_path):
    with pytest.raises(ModelError, match="was trained on"):
        specialist(told[0], "diagnose", adapter=foreign(told[0], tmp_path / "foreign", base_sha256="0" * 64))


def test_an_adapter_that_was_not_evaluated_answers_with_raw_confidence_and_says_so(told, tmp_path):
    made = specialist(told[0], "diagnose", adapter=str(turned_round(told[0], tmp_path / "worse")))
    _, (line,) = predict(made, tmp_path, {"id": 1, "text": NEW})
    assert line["calibrated"] is False and line["abstained"] is None and "not evaluated here" in line["reason"]
    assert line["label_set"] is None and line["confidence"] > 0.5


def test_the_command_says_what_was_written_and_shows_no_text(told, tmp_path):
    root, _ = told
    source = write(tmp_path / "in.jsonl", {"id": "n", "text": NEW}, {"id": "e", "text": " "})
    command = ["predict", str(source), "-o", str(tmp_path / "out.jsonl"), "--task", "diagnose", "-p", str(root)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "2 records, task diagnose" in result.output and "No answer: 1, empty" in result.output
    assert "Quistorp" not in result.output
    assert re.search("Ask a person every time: 8 cases", result.output)


def test_predictions_need_no_gold_answer(told):
    """The likelihood of an answer that nobody knows is not asked for."""
    from residency.curate.examples import ask
    from residency.evaluate.run import predict as answers_of
    from residency.story import question_of

    iteration = specialist(told[0], "diagnose").iteration
    task = iteration.project.task("diagnose")
    question = question_of(iteration, task, {})
    asked = [ask(iteration.documents[0], task, iteration.project.prompt(task), question, Split.TEST)]
    model = ScriptedModel(looks_up(TEXTS["diagnose"]))
    model.score = lambda *_: pytest.fail("asked for a likelihood")
    labels = iteration.labels["diagnose"]
    (group,) = answers_of(model, "tuned", task, asked, labels, lambda name: None, group_size=4)
    assert isinstance(group[0], Prediction) and group[0].nats is None


def test_an_earlier_answer_to_a_record_is_not_taken_for_this_one_and_half_a_character_does_no_harm(told, tmp_path):
    stale = {"label_set": ["Alpha disease"], "probabilities": {"Alpha disease": 1.0}, "not_borne_out": ["x"]}
    records = [{"id": 1, "text": " ", **stale}, {"id": 2, "text": NEW + "\ud800", "note": "kept"}]
    _, lines = predict(specialist(told[0], "diagnose"), tmp_path, *records)
    assert not stale.keys() & lines[0].keys() and lines[0]["error"] == "empty"
    assert lines[1]["note"] == "kept" and lines[1]["error"] is None


def test_half_a_character_in_a_text_that_stays_as_it_is_is_named_by_line(told, tmp_path):
    made = specialist(told[0], "diagnose", scripted=False, curated=True)
    with pytest.raises(RecordError, match="line 1: text holds half a character"):
        predict(made, tmp_path, {"id": 1, "text": NEW + "\ud800"})
