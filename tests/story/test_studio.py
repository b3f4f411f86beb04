"""The studio's work on a project that has run: blind where it must be, and every answer a decision of the loop."""

from __future__ import annotations

import json

import pytest
import yaml

from residency.errors import ProjectError
from residency.evaluate.gate import GateVerdict
from residency.evaluate.run import System
from residency.forget import forget_patient
from residency.intake import TREATMENT, raw_document, treatment
from residency.project import Project
from residency.records import Judgment
from residency.review import answers_to_judge, record_answer, standing
from residency.run.progress import Silent
from residency.store.audit import entries
from residency.store.queues import Duty, StaleAnswer
from residency.story import recall, run_project
from residency.studio.room import Room

GATE = {"lines": [{"rule": "reviews_at_least", "task": "diagnose", "count": 3}]}
SYSTEMS = [str(system) for system in System]


@pytest.fixture
def told_with(told):
    """Opens the told project with other settings."""

    def open_it(**changes) -> Project:
        root, _ = told
        settings = yaml.safe_load((root / "residency.yaml").read_text())
        (root / "residency.yaml").write_text(yaml.safe_dump({**settings, **changes}))
        run_project(root, Silent(), until="review")
        return Project.open(root)

    return open_it


def queue_of(room: Room, kind: str, task: str = "") -> str:
    return next(filled.queue for filled in room.fill(kind) if task in filled.queue)


def judge(verdict, **more):
    return {"verdict": verdict, **more}


def words_of_machines(room: Room) -> list[str]:
    """Everything that would tell a blind reader which system answered, or how sure it was."""
    iteration = recall(room.project)
    said = [p for of in iteration.predictions.values() for p in of]
    numbers = {f"{p.confidence:.4f}"[:6] for p in said if p.confidence not in (None, 0, 1)}
    return [*SYSTEMS, "confidence", "probab", "score", *numbers, *(p.id for p in said), *(p.example for p in said)]


@pytest.mark.parametrize("shown", ["single", "pair"])
def test_a_blind_reader_gets_no_name_no_score_and_no_suggestion(told_with, shown):
    project = told_with(review={"sample": 6, "shown": shown})
    room = Room(project)
    shown_item = room.next(queue_of(room, "validate", "diagnose"), "ann")
    assert set(shown_item.view) == {"task", "text", "answers", "labels", "verdicts", "failures"}
    assert [one["side"] for one in shown_item.view["answers"]] == (["A"] if shown == "single" else ["A", "B"])
    assert room.suggestions(shown_item.token, "ann") == []
    page = json.dumps([shown_item.view, shown_item.queue, shown_item.kind, shown_item.content])
    assert [word for word in words_of_machines(room) if word in page] == []


def test_the_sides_of_a_pair_are_in_an_order_of_their_own_and_the_seed_is_kept(told_with):
    project = told_with(review={"sample": 8, "shown": "pair", "duplicates": 0.5})
    room = Room(project)
    queue = queue_of(room, "validate", "diagnose")
    items = list(room.queues.items(queue))
    tuned = {p.id for p in recall(project).predictions[System.TUNED, "diagnose"]}
    first = [item.facts["sides"][0] in tuned for item in items]
    assert True in first and False in first
    assert {item.facts["seed"] for item in items} == {project.settings.seed}
    assert sum(item.copy_of is not None for item in items) == 4


def test_verdicts_are_decisions_that_the_gate_counts_and_undo_takes_them_back(told_with):
    project = told_with(gate=GATE, review={"sample": 5, "duplicates": 0})
    room = Room(project)
    queue = queue_of(room, "validate", "diagnose")
    for _ in range(2):
        item = room.next(queue, "ann")
        last = room.answer(item.token, "ann", {"verdicts": [judge("correct")]}, saw=0, seconds=3)
    ledger = project.workspace.ledger
    assert [d.verdict for d in ledger.decisions()] == ["correct", "correct"]
    assert run_project(project.root, Silent()).verdict.verdict is GateVerdict.INCONCLUSIVE
    # The terminal goes on where the studio stopped, and what it adds counts as well.
    left = answers_to_judge(project, "diagnose")
    assert not {item.subject for item in left} & {d.subject for d in ledger.decisions()}
    record_answer(project, left[0], Judgment.WRONG, who="ben")
    assert run_project(project.root, Silent()).verdict.verdict is GateVerdict.GO
    room.undo(last.token, "ann", saw=1)
    assert len(ledger.decisions()) == 2 and len(ledger.all_decisions()) == 4
    assert run_project(project.root, Silent()).verdict.verdict is GateVerdict.INCONCLUSIVE


def test_an_edit_replaces_the_decision_and_carries_the_correction(told_with):
    project = told_with(review={"sample": 5, "duplicates": 0})
    room = Room(project)
    item = room.next(queue_of(room, "validate", "diagnose"), "ann")
    room.answer(item.token, "ann", {"verdicts": [judge("correct")]}, saw=0)
    said = item.view["answers"][0]["answer"]
    other = next(label for label in item.view["labels"] if label != said)
    wrong = judge("wrong", corrected=other, failure="confused", comment="see line 2 <script>")
    room.answer(item.token, "ann", {"verdicts": [wrong]}, saw=1)
    [decision] = project.workspace.ledger.decisions()
    assert (decision.verdict, decision.failure, decision.why) == ("wrong", "confused", "see line 2 <script>")
    assert (decision.judged.corrected, decision.judged.answer, decision.who) == (other, said, "ann")
    with pytest.raises(StaleAnswer):
        room.answer(item.token, "ann", {"verdicts": [judge("correct")]}, saw=1)


NO_VERDICT = [
    None,
    {},
    [],
    {"verdicts": []},
    {"verdicts": [{}]},
    {"verdicts": [judge("fine")]},
    {"verdicts": [judge("correct", corrected="x")]},
    {"verdicts": [judge("wrong", corrected="no such label")]},
    {"verdicts": [judge("wrong", failure="x")]},
    {"verdicts": [judge("wrong", comment="\x00")]},
    {"verdicts": [judge("wrong", comment=7)]},
    {"verdicts": [judge("correct")] * 2},
    {"verdicts": [judge("correct", score=1)]},
]


def test_what_is_no_verdict_is_refused_and_nothing_is_kept(told):
    room = Room(Project.open(told[0]))
    item = room.next(queue_of(room, "validate", "diagnose"), "ann")
    for content in NO_VERDICT:
        with pytest.raises(ProjectError):
            room.answer(item.token, "ann", content, saw=0)
    assert room.again(item.token, "ann").version == 0
    assert room.project.workspace.ledger.decisions() == []


def test_a_killed_process_leaves_its_decisions_to_the_next_one_and_they_are_told_once(told_with, monkeypatch):
    project = told_with(review={"sample": 5, "duplicates": 0})
    room = Room(project)
    item = room.next(queue_of(room, "validate", "diagnose"), "ann")
    ledger = project.workspace.ledger
    with monkeypatch.context() as patch:
        patch.setattr(room, "hand_on", lambda: 0)  # the process ends here
        room.answer(item.token, "ann", {"verdicts": [judge("correct")]}, saw=0)
    assert ledger.decisions() == []
    [(_, waiting)] = room.queues.untold()
    ledger.decide(waiting[0])  # or here, before the studio knew
    run_project(project.root, Silent())
    assert len(ledger.decisions()) == 1 and room.queues.untold() == []


def test_rates_have_intervals_and_count_the_terminals_verdicts(told_with):
    project = told_with(review={"sample": 6, "duplicates": 0})
    room = Room(project)
    validate = room.work("validate")
    queue = queue_of(room, "validate", "diagnose")
    with pytest.raises(Exception, match="Nobody has judged"):
        validate.rates("diagnose")
    for verdict in ("wrong", "critically wrong", "correct"):
        room.answer(room.next(queue, "ann").token, "ann", {"verdicts": [judge(verdict)]}, saw=0)
    record_answer(project, answers_to_judge(project, "diagnose")[0], Judgment.CORRECT, who="ben")
    rates = validate.rates("diagnose")
    errors, critical = rates.wrong, rates.critical
    assert errors.looked_at == 4 and errors.drawn == 6
    assert 0 < critical.these.value < errors.these.value < 1
    assert errors.these.low < errors.these.value < errors.these.high
    assert errors.new.low <= errors.these.low


def test_hidden_duplicates_measure_the_reviewer_and_decide_nothing(told_with):
    project = told_with(review={"sample": 8, "duplicates": 0.5})
    room = Room(project)
    queue = queue_of(room, "validate", "diagnose")
    seen = []
    while (item := room.next(queue, "ann")) is not None:
        verdict = "wrong" if len(seen) % 3 else "correct"
        room.answer(item.token, "ann", {"verdicts": [judge(verdict)]}, saw=0)
        seen.append(item.view["text"])
    assert len(seen) == 12 and len(set(seen)) == 8
    assert len(project.workspace.ledger.decisions()) == 8
    [ann] = room.work("validate").consistency("diagnose")
    assert ann.pairs == 4 and 0 <= ann.equal <= 4


# --- de-identification --------------------------------------------------------------------------------------------


def test_reading_is_blind_first_and_what_the_machine_missed_moves_the_bound(told):
    project = Project.open(told[0])
    room = Room(project)
    item = room.next(queue_of(room, "read"), "pat")
    assert set(item.view) == {"text", "classes"}
    text = item.view["text"]
    subject = room.queues.lease(item.token, "pat").item.subject
    found = treatment(project.vault, subject).found
    seen = [{"start": s.start, "end": s.end, "label": s.label} for s in found]
    start = text.index("therapist") if "therapist" in text else text.index("weeks")
    missed = {"start": start, "end": start + 5, "label": "NAME"}
    room.answer(item.token, "pat", {"marked": [*seen, missed]}, saw=0)
    after = room.again(item.token, "pat")
    assert after.view["missed"] == [missed] and after.view["unmarked"] == []
    assert after.view["machine"] == seen
    now = standing(project)
    assert now.recall.read == 1 and sum(row.missed for row in now.recall.rows) == 1
    # The second step: the reader takes one back, and says which of the machine's spans are none.
    room.answer(item.token, "pat", {"marked": seen[1:], "wrong": seen[:1]}, saw=1)
    now = standing(project)
    assert now.recall.read == 1 and sum(row.missed for row in now.recall.rows) == 0 and now.recall.wrong == 1
    assert [e.what for e in entries(project.studio)] == ["raw-text-read", "decided", "raw-text-read", "decided"]


def test_a_part_of_a_name_that_stays_is_a_miss_and_the_space_between_two_is_none(told):
    project = Project.open(told[0])
    room = Room(project)
    item = room.next(queue_of(room, "read"), "pat")
    subject = room.queues.lease(item.token, "pat").item.subject
    text = item.view["text"]
    names = [s for s in treatment(project.vault, subject).found if s.label == "NAME"]
    first = min(names, key=lambda s: s.start)
    after = next(i for i in range(first.end, len(text)) if text[i].isalpha())
    wide = {"start": first.start, "end": after + 3, "label": "NAME"}
    room.answer(item.token, "pat", {"marked": [wide]}, saw=0)
    assert room.again(item.token, "pat").view["missed"] == [{"start": after, "end": after + 3, "label": "NAME"}]


NO_READING = [
    {"marked": [{"start": 0, "end": 10**9, "label": "NAME"}]},
    {"marked": [{"start": 3, "end": 3, "label": "NAME"}]},
    {"marked": [{"start": 0, "end": 2, "label": "name <b>"}]},
    {"marked": [{"start": True, "end": 2, "label": "NAME"}]},
    {"marked": [7]},
    {"text": "x"},
]


def test_a_reading_that_does_not_fit_is_refused(told):
    room = Room(Project.open(told[0]))
    item = room.next(queue_of(room, "read"), "pat")
    for content in NO_READING:
        with pytest.raises(ProjectError):
            room.answer(item.token, "pat", content, saw=0)


def test_doubtful_spans_are_judged_in_their_context(told, monkeypatch):
    project = Project.open(told[0])
    monkeypatch.setattr("residency.review.DOUBTFUL", 2.0)  # every span is
    room = Room(project)
    queue = queue_of(room, "spans")
    item = room.next(queue, "pat")
    assert item.view["text"] and item.view["label"] in item.view["classes"]
    room.answer(item.token, "pat", {"label": ""}, saw=0)
    second = room.next(queue, "pat")
    room.answer(second.token, "pat", {"label": "EMAIL"}, saw=0)
    assert standing(project).doubtful_judged == 2 and standing(project).confirmed == 1
    room.undo(second.token, "pat", saw=1)
    assert standing(project).doubtful_judged == 1


def test_no_raw_text_reaches_the_studios_database(told):
    project = Project.open(told[0])
    room = Room(project)
    room.fill()
    item = room.next(queue_of(room, "read"), "pat")
    room.answer(item.token, "pat", {"marked": []}, saw=0)
    raw = raw_document(project.vault, project.vault.ids(TREATMENT)[0]).text
    assert "Vandermolen" in raw
    stored = b"".join(path.read_bytes() for path in (project.root / ".residency").glob("studio.sqlite*"))
    assert b"Vandermolen" not in stored and b"therapist" not in stored


# --- annotation ---------------------------------------------------------------------------------------------------


def ask(room: Room, task: str, count: int = 4) -> tuple[str, list[str]]:
    annotate = room.work("annotate")
    names = sorted(annotate.documents)[:count]
    return annotate.ask(task, names).queue, names


def test_two_people_label_blindly_and_a_third_sees_both_versions_without_names(told):
    room = Room(Project.open(told[0]))
    queue, names = ask(room, "diagnose")
    labels = room.next(queue, "ann").view["labels"]
    for who in ("ann", "ben"):
        for number in range(len(names)):
            item = room.next(queue, who)
            assert set(item.view) == {"task", "kind", "text", "labels", "statuses", "certainty"}
            different = number == 0 and who == "ben"
            content = {"label": labels[1 if different else 0], "certainty": "sure", "comment": f"I am {who}"}
            room.answer(item.token, who, content, saw=0)
    third = room.next(queue, "cyd", duty=Duty.ADJUDICATE)
    assert [one["side"] for one in third.view["versions"]] == ["A", "B"]
    assert {one["content"]["label"] for one in third.view["versions"]} == set(labels[:2])
    assert not {"ann", "ben"} & set(json.dumps(third.view["versions"]).replace('"', " ").split())
    settled = {one.document: one for one in room.work("annotate").settled("diagnose")}
    assert sum(one.content is None for one in settled.values()) == 1
    room.answer(third.token, "cyd", {"label": labels[1]}, saw=0)
    settled = room.work("annotate").settled("diagnose")
    assert all(one.content for one in settled) and {len(one.authors) for one in settled} == {2, 3}
    found = room.work("annotate").agreement("diagnose")
    assert found.documents == 4 and found.pairs[0].first == "ann" and found.pairs[0].documents == 4
    assert room.work("annotate").agreement_on_certainty("diagnose").documents == 4


def test_findings_are_marked_with_status_and_concept_and_f1_is_of_the_pair(told):
    room = Room(Project.open(told[0]))
    queue, _ = ask(room, "findings", 2)
    for who, status in (("ann", "present"), ("ben", "absent")):
        for number in range(2):
            item = room.next(queue, who)
            start = item.view["text"].index("tremor")
            one = {"start": start, "end": start + 6, "concept": "HP:0001337", "status": "absent" if number else status}
            room.answer(item.token, who, {"findings": [one]}, saw=0)
    [pair] = room.work("annotate").agreement("findings").pairs
    assert pair.documents == 2 and pair.span_f1["span_f1"] == pytest.approx(0.5)
    assert (
        room.next(queue, "cyd", duty=Duty.ADJUDICATE).view["versions"][0]["content"]["findings"][0]["label"] == "Tremor"
    )


def test_suggestions_are_asked_for_and_never_in_the_view(told):
    room = Room(Project.open(told[0]))
    queue, _ = ask(room, "findings")
    item = room.next(queue, "ann")
    [dictionary] = room.suggestions(item.token, "ann")
    assert dictionary.source == "terminology" and dictionary.content["findings"]
    assert "terminology" not in json.dumps(item.view)


TREMOR = {"start": 0, "end": 2, "concept": "HP:0001337", "status": "present"}
NO_ANNOTATION = {
    "diagnose": [{"label": "Gamma disease"}, {"findings": []}, {"label": ["x"]}],
    "findings": [
        {"findings": "x"},
        {"findings": [{**TREMOR, "concept": "HP:9"}]},
        {"findings": [{**TREMOR, "end": 10**8}]},
        {"findings": [{**TREMOR, "status": "maybe"}]},
    ],
    "summary": [{"text": "  "}, {"text": "x", "certainty": "very"}],
}


def test_an_annotation_that_does_not_fit_is_refused(told):
    room = Room(Project.open(told[0]))
    for task, contents in NO_ANNOTATION.items():
        queue, _ = ask(room, task)
        item = room.next(queue, "ann")
        for content in contents:
            with pytest.raises(ProjectError):
                room.answer(item.token, "ann", content, saw=0)


def test_answers_go_to_label_studio_and_come_back_as_they_were(told, tmp_path):
    room = Room(Project.open(told[0]))
    annotate = room.work("annotate")
    contents = {"diagnose": {"label": "Alpha disease"}, "findings": {"findings": [TREMOR]}, "summary": {"text": "x"}}
    for task, content in contents.items():
        queue, _ = ask(room, task, 1)
        for who in ("ann@clinic", "ben@clinic"):
            room.answer(room.next(queue, who).token, who, content, saw=0)
    assert annotate.export_answers(tmp_path / "out.json") == 2
    before = annotate.annotations()
    assert annotate.import_answers(tmp_path / "out.json") == 0  # they are here already
    exported = (tmp_path / "out.json").read_text().replace("ben@clinic", "cyd@clinic")
    (tmp_path / "in.json").write_text(exported)
    assert annotate.import_answers(tmp_path / "in.json") == 3
    after = {(one.document, one.who): (one.findings, one.answers) for one in annotate.annotations()}
    said = {one.who: (one.findings, one.answers) for one in before}
    assert [its for (_, who), its in after.items() if who == "cyd@clinic"] == [said["ben@clinic"]]
    (tmp_path / "bad.json").write_text(exported.replace("Alpha disease", "Gamma disease"))
    with pytest.raises(ProjectError, match="none of those known"):
        annotate.import_answers(tmp_path / "bad.json")


def test_a_forgotten_patient_leaves_the_studio(told):
    project = Project.open(told[0])
    room = Room(project)
    queue, _ = ask(room, "summary", 1)
    item = room.next(queue, "ann")
    room.answer(item.token, "ann", {"text": "He likes to swim."}, saw=0)
    forget_patient(project, room.queues.lease(item.token, "ann").item.patient)
    assert [answer.content for answer in room.queues.history(item.token, "ann")] == [None]
    assert room.next(queue, "ben") is None


def test_only_documents_without_an_answer_are_asked_about_by_themselves(told):
    room = Room(Project.open(told[0]))
    assert [one.added for one in room.fill("annotate")] == [0, 0, 0]
    with pytest.raises(ProjectError, match="no such kind"):
        room.fill("cook")
