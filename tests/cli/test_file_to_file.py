"""`residency deidentify IN -o OUT` as its user sees it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from residency.cli import app
from residency.cli.deidentify import step
from residency.curate.deidentify import Deidentify
from residency.errors import ProjectError, RecordError, StoreError
from residency.file_to_file import Options, deidentify_file, extract_file, policy_from
from residency.run.progress import Silent

NOTE = "Patient: TURNER, Hope   MRN: 12-34-56-78\nMrs. Turner wrote from hope.turner@gmail.com on 3/9/2019."
LETTER = "Dear Dr Brennan,\nI reviewed Hope on 14 March 2019. Babinski absent, power 4/5."
RECORDS = [
    {"id": "a", "text": NOTE, "patient": "P-77", "genre": "note", "n": [1, {"x": None}]},
    {"id": 2, "text": "No ataxia. Tel. (388) 982-6797."},
    {"id": "c", "text": LETTER, "patient": "P-77"},
    {"id": "d", "text": LETTER, "patient": "P-78"},
    {"id": "e", "text": ""},
]


@pytest.fixture(autouse=True)
def _one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDENCY_KEY", "ab" * 32)


def write(path: Path, records: list) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(source: Path, target: Path, *, workers: int = 1, skip_bad: bool = False, **settings: object) -> list[dict]:
    chosen = Deidentify(entities=False, **settings)
    options = Options(pack="neurology", workers=workers, skip_bad=skip_bad)
    deidentify_file(source, target, chosen, options, Silent())
    return read(target)


def test_records_come_out_in_order_with_new_texts_and_spans_on_the_old_ones(tmp_path: Path) -> None:
    out = run(write(tmp_path / "in.jsonl", RECORDS), tmp_path / "out.jsonl")
    assert [record["id"] for record in out] == ["a", 2, "c", "d", "e"]
    assert out[0]["genre"] == "note" and out[0]["n"] == [1, {"x": None}]
    assert "Turner" not in out[0]["text"] and "TURNER" not in out[0]["text"] and "982" not in out[1]["text"]
    for old, new in zip(RECORDS, out, strict=True):
        assert all(set(span) == {"start", "end", "label", "score", "found_by"} for span in new["spans"])
        assert _outside(old["text"], new) == [] or _kept(old["text"], new)
    assert [NOTE[s["start"] : s["end"]] for s in out[0]["spans"]][:3] == ["TURNER, Hope", "12-34-56-78", "Turner"]


def _outside(text: str, record: dict) -> list[str]:
    places = [0, *(edge for s in record["spans"] for edge in (s["start"], s["end"])), len(text)]
    return [text[a:b] for a, b in zip(places[::2], places[1::2], strict=True) if a < b]


def _kept(text: str, record: dict) -> bool:
    """Every stretch outside spans stands in the new text, in order."""
    at = 0
    for stretch in _outside(text, record):
        at = record["text"].find(stretch, at)
        if at < 0:
            return False
        at += len(stretch)
    return True


def test_a_patient_is_one_person_across_records_and_runs_and_another_key_gives_another(tmp_path, monkeypatch) -> None:
    source = write(tmp_path / "in.jsonl", RECORDS)
    first, again = run(source, tmp_path / "1.jsonl"), run(source, tmp_path / "2.jsonl")
    assert first == again
    given_name = first[0]["text"].split(", ")[1].split()[0]
    assert f"I reviewed {given_name} on" in first[2]["text"]
    assert first[0]["patient"] == first[2]["patient"] != first[3]["patient"]
    assert "77" not in first[0]["patient"] or first[0]["patient"].startswith("p-")
    monkeypatch.setenv("RESIDENCY_KEY", "cd" * 32)
    other = run(source, tmp_path / "3.jsonl")
    assert other[0]["text"] != first[0]["text"] and other[0]["patient"] != first[0]["patient"]


def test_neither_the_order_of_records_nor_the_number_of_processes_matters(tmp_path: Path) -> None:
    records = [{**RECORDS[n % 4], "id": n, "patient": f"P{n % 30}"} for n in range(150)]
    shuffled = random.Random(3).sample(records, len(records))
    one = run(write(tmp_path / "a.jsonl", records), tmp_path / "1.jsonl")
    two = run(write(tmp_path / "b.jsonl", shuffled), tmp_path / "2.jsonl", workers=2)
    assert sorted(one, key=lambda r: r["id"]) == sorted(two, key=lambda r: r["id"])
    assert [r["id"] for r in two] == [r["id"] for r in shuffled]


def test_a_patient_called_zero_is_a_patient(tmp_path: Path) -> None:
    records = [{"id": 1, "text": NOTE, "patient": 0}, {"id": 2, "text": LETTER, "patient": 0}]
    one, two = run(write(tmp_path / "in.jsonl", records), tmp_path / "out.jsonl")
    assert one["patient"] == two["patient"] and str(one["patient"]).startswith("p-")


def test_patients_and_ids_with_halves_of_characters_come_through(tmp_path: Path) -> None:
    records = [{"id": "\ud800", "text": NOTE, "patient": "p\udc00"}, {"id": "b", "text": NOTE, "patient": "p"}]
    one, two = run(write(tmp_path / "in.jsonl", records), tmp_path / "out.jsonl")
    assert one["id"] == "\ud800" and one["patient"] != two["patient"] and "Turner" not in one["text"]


def test_a_file_that_is_no_policy_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("Mrs. Turner was seen on 3 May 2019 by Dr. Patel.")
    with pytest.raises(ProjectError) as raised:
        policy_from(str(tmp_path / "note.txt"))
    assert "Turner" not in str(raised.value) and "no policy of that name" in str(raised.value)


def test_under_safe_harbor_no_code_is_derived(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", RECORDS)
    one = run(source, tmp_path / "1.jsonl", policy="safe_harbor")
    two = run(source, tmp_path / "2.jsonl", policy="safe_harbor")
    assert "MRN: [MRN]" in one[0]["text"] and "Tel. [PHONE]" in one[1]["text"] and "on 2019" in one[0]["text"]
    assert one[0]["patient"] == one[2]["patient"] and one[0]["patient"] != two[0]["patient"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"id": "x", "text": "a"', "not JSON"),
        (b'["id"]', "not an object"),
        (b'{"text": "Hope"}', "no id"),
        (b'{"id": "x", "text": 5}', "no text"),
        (b'{"id": "x", "text": "caf\xe9 Hope"}', "not UTF-8 at byte 24"),
        (b'{"id": "x", "text": "Hope", "patient": ["p"]}', "patient is neither"),
        (b'{"id": "x", "text": "Hope", "patient": true}', "patient is neither"),
        (b'{"id": "a", "text": "Hope"}', "an id that an earlier line has"),
        (b"\x00\x01\x02\x89PNG", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_nothing_is_written(tmp_path: Path, line: bytes, problem: str) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(json.dumps(RECORDS[0]).encode() + b"\n\n" + line + b"\n")
    with pytest.raises(RecordError, match=problem) as raised:
        run(source, tmp_path / "out.jsonl")
    assert "line 3" in raised.value.message and "Hope" not in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]
    assert len(run(source, tmp_path / "out.jsonl", skip_bad=True)) == 1


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.jsonl").write_bytes(content)
    with pytest.raises(ProjectError, match="no record"):
        run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")


def test_missing_files_folders_and_writing_over_the_input_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such file"):
        run(tmp_path / "no.jsonl", tmp_path / "out.jsonl")
    with pytest.raises(RecordError, match="a folder"):
        run(tmp_path, tmp_path / "out.jsonl")
    source = write(tmp_path / "in.jsonl", RECORDS)
    with pytest.raises(ProjectError, match="replace the input"):
        run(source, source)
    assert read(source) == json.loads(json.dumps(RECORDS))


def test_a_key_that_is_no_key_is_refused_before_anything_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RESIDENCY_KEY", "short")
    with pytest.raises(StoreError, match="not a key"):
        run(write(tmp_path / "in.jsonl", RECORDS), tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


ODD = {
    "bom": "\ufeffDr. Brennan saw her.",
    "nulls": "Dr.\x00Brennan\x00saw her on 03/04/2019.\x00",
    "right to left": "שלום Dr. Brennan \u202eabc\u202c مرحبا 03/04/2019",
    "emoji": "👩‍⚕️ Dr. Brennan 🧠🧠 saw 👨‍👩‍👧 on 03/04/2019 🎉",
    "combining": "Dr. Bre\u0301nnan saw Zoe\u0308 on 03/04/2019",
    "half a pair": "Dr. Brennan \ud83d saw her",
    "only blanks": " \n\t \u00a0 ",
    "edges": "Dr. Brennan",
    "one letter": "x",
    "controls": "\x1b[31mDr. Brennan\x1b[0m \x07",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_texts_come_through_with_everything_outside_spans_as_it_was(tmp_path: Path, name: str) -> None:
    [new] = run(write(tmp_path / "in.jsonl", [{"id": 1, "text": ODD[name]}]), tmp_path / "out.jsonl")
    assert _kept(ODD[name], new)
    assert "Brennan" not in new["text"] and "03/04/2019" not in new["text"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into the open files of another process")
def test_a_kill_leaves_no_raw_text_and_no_half_file(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    records = [
        {"id": n, "text": f"Dr. Zyxwvutsr saw her on 03/04/2019. {NOTE}", "patient": f"P{n}"} for n in range(4000)
    ]
    source = write(tmp_path / "in.jsonl", records)
    command = [sys.executable, "-c", "from residency.cli import main; main()", "deidentify", str(source)]
    command += ["-o", str(folder / "out.jsonl"), "--workers", "1", "--no-entities"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    written, end = b"", time.monotonic() + 60
    while not written and time.monotonic() < end:
        written = _written_by(process.pid, folder)
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert written and b"Zyxwvutsr" not in written and b"TURNER" not in written
    assert list(folder.iterdir()) == []


def _written_by(pid: int, folder: Path) -> bytes:
    """What a process has written so far into open files of a folder, also into those without a name."""
    content = b""
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(handle).startswith(str(folder)):
                content += handle.read_bytes()
    return content


def test_evaluation_prints_every_level_and_writes_all_figures(tmp_path: Path) -> None:
    phi = [{"start": 9, "end": 21, "label": "NAME"}, {"start": 29, "end": 40, "type": "MRN"}]
    source = write(tmp_path / "gold.jsonl", [{"id": 1, "text": NOTE, "phi": phi}])
    result = CliRunner().invoke(
        app, ["deidentify", "--evaluate", str(source), "-o", str(tmp_path / "scores.json"), "--no-entities"]
    )
    assert result.exit_code == 0, result.output
    assert all(
        f"by {level}" in " ".join(result.output.split()) or level in result.output for level in ("token", "span")
    )
    scores = json.loads((tmp_path / "scores.json").read_text())
    whole = next(r for r in scores["rows"] if r["label"] == "ALL" and r["level"] == "span")
    assert whole["recall"] == 1.0 and whole["known"] == 2 and whole["precision"] < 1.0
    assert "TURNER" not in result.output
    assert (scores["missed"], scores["missed_shapes"]) == ([], {})


def test_evaluation_lists_what_was_missed_without_its_text(tmp_path: Path) -> None:
    text = "Zyxwv 77 came."
    source = write(tmp_path / "gold.jsonl", [{"id": 7, "text": text, "phi": [{"start": 0, "end": 8, "label": "NAME"}]}])
    scores = tmp_path / "scores.json"
    result = CliRunner().invoke(app, ["deidentify", "--evaluate", str(source), "-o", str(scores)])
    assert result.exit_code == 0 and "1 identifiers were missed" in " ".join(result.output.split())
    written = json.loads(scores.read_text())
    assert written["missed_shapes"] == {"NAME": {"Aaaaa 99": 1}}
    assert written["missed"] == [
        {"record": "7", "label": "NAME", "start": 0, "end": 8, "left": 7, "shape": "Aaaaa 99", "length": 8}
    ]
    assert "Zyxwv" not in scores.read_text() + result.output


@pytest.mark.parametrize(
    ("phi", "problem"),
    [
        ("no", "no list 'phi'"),
        ([{"start": 0, "end": 4}], "no label or type"),
        ([{"start": 5, "end": 5, "label": "NAME"}], "does not lie within"),
        ([{"start": 0, "end": 5000, "label": "NAME"}], "does not lie within"),
        ([{"start": -1, "end": 3, "label": "NAME"}], "does not lie within"),
        ([{"start": 0, "label": "NAME"}], "no start and end"),
        ([{"start": 0, "end": "4", "label": "NAME"}], "no start and end"),
        ([{"start": 0, "end": 4.0, "label": "NAME"}], "no start and end"),
        ([{"start": False, "end": True, "label": "NAME"}], "no start and end"),
        ([{"start": 0, "end": 4, "label": ""}], "not one line of text"),
        ([{"start": 0, "end": 4, "label": 7, "type": "NAME"}], "not one line of text"),
        ([{"start": 0, "end": 4, "label": "A\ud800"}], "not one line of text"),
        ([{"start": 0, "end": 4, "label": "A\nB"}], "not one line of text"),
        ([{"start": 0, "end": 4, "label": "ALL"}], "stands for all"),
        (["NAME"], "not an object"),
    ],
)
def test_wrong_gold_spans_are_named(tmp_path: Path, phi: object, problem: str) -> None:
    source = write(tmp_path / "gold.jsonl", [{"id": 1, "text": NOTE, "phi": phi}])
    result = CliRunner().invoke(app, ["deidentify", "--evaluate", str(source)])
    assert isinstance(result.exception, RecordError) and problem in result.exception.message


@pytest.mark.parametrize(
    "findings", ["no", [1], [{"start": 1}], [{"start": True, "end": 3}], [{"start": 0, "end": "3"}]]
)
def test_wrong_findings_beside_gold_spans_are_named(tmp_path: Path, findings: object) -> None:
    source = write(tmp_path / "gold.jsonl", [{"id": 1, "text": NOTE, "phi": [], "findings": findings}])
    result = CliRunner().invoke(app, ["deidentify", "--evaluate", str(source)])
    assert isinstance(result.exception, RecordError) and "findings" in result.exception.message


def test_classes_of_others_are_printed_as_they_are_written(tmp_path: Path) -> None:
    phi = [{"start": 9, "end": 21, "label": "[/x]"}, {"start": 29, "end": 40, "label": "[red]:x:"}]
    source = write(tmp_path / "gold.jsonl", [{"id": 1, "text": NOTE, "phi": phi, "findings": None}])
    result = CliRunner().invoke(app, ["deidentify", "--evaluate", str(source)])
    assert result.exit_code == 0, result.output
    assert "Classes that are not ours: [/x], [red]:x:." in result.output


def test_a_policy_is_a_name_or_a_file(tmp_path: Path) -> None:
    assert policy_from("safe_harbor").dates == "year"
    own = tmp_path / "own.yaml"
    own.write_text("based_on: safe_harbor\nname: ours\nplaces: replace\nreview: {missed_at_most: 0.02}\n")
    policy = policy_from(str(own))
    assert (policy.name, policy.places, policy.dates, policy.review.missed_at_most) == ("ours", "replace", "year", 0.02)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("based_on: nothing\n", "no policy 'nothing'"),
        ("based_on: safe_harbor\nplaces: moon\n", "places"),
        ("based_on: safe_harbor\nunknown: 1\n", "unknown setting"),
        ("a: [", "not YAML"),
        ("[" * 5000, "nested too deeply"),
        ("? [a, b]\n: 1\n", "name of a setting is a list"),
        ("dates: 2023-02-30\n", "does not allow"),
        ("based_on: safe_harbor\nreview: {missed_by_class: {SSN: .nan}}\n", "less than 1"),
        ("based_on: safe_harbor\nreview: {missed_by_class: {SSN: 0}}\n", "greater than 0"),
        ("based_on: safe_harbor\nreview: {missed_by_class: {SSN: 1}}\n", "less than 1"),
        ("x" * 200_000, "too long for a policy"),
    ],
)
def test_a_wrong_policy_file_is_explained(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "own.yaml").write_text(content)
    with pytest.raises(ProjectError, match=problem):
        policy_from(str(tmp_path / "own.yaml"))
    with pytest.raises(ProjectError, match="no policy"):
        policy_from("strict")
    with pytest.raises(ProjectError, match="no such file"):
        policy_from(str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize(
    "content",
    [
        "dates: Mrs Turner was seen\n",
        "based_on: safe_harbor\nplaces: Turner\n",
        "Mrs Turner: was seen\n",
        "Turner: 1\nTurner: 2\n",
        "Turner\n",
        "*Turner was seen\n",
        "!Turner x\n",
        "based_on: Turner\n",
        "based_on: safe_harbor\nreview: {missed_by_class: {TURNER: 0.1}}\n",
        "based_on: safe_harbor\nreview: {missed_by_class: {TURNER: x}}\n",
    ],
)
def test_nothing_of_a_file_that_is_no_policy_is_repeated(tmp_path: Path, content: str) -> None:
    (tmp_path / "note.txt").write_text(content)
    with pytest.raises(ProjectError) as raised:
        step(str(tmp_path / "note.txt"), "tag", organizations=True, entities=False)
    assert "turner" not in f"{raised.value} {raised.value.problems}".casefold()


@pytest.mark.parametrize("name", ["x" * 5000, "", ".", "/dev/null", "safe_harbor/x"])
def test_a_policy_that_is_no_file_is_refused(name: str) -> None:
    with pytest.raises(ProjectError, match="no policy"):
        policy_from(name)


FINDINGS = [
    {"id": 1, "text": "She has ataxia but no seizures.", "age": 7},
    {"id": 2, "text": "Her mother had chorea.", "patient": "p"},
    {"id": 3, "text": ""},
]


def extracted(source: Path, target: Path, workers: int = 1) -> list[dict]:
    extract_file(source, target, Options(pack="neurology", workers=workers), Silent())
    return read(target)


def test_findings_are_added_and_everything_else_passes_through(tmp_path: Path) -> None:
    out = extracted(write(tmp_path / "in.jsonl", FINDINGS), tmp_path / "out.jsonl")
    assert [{k: v for k, v in record.items() if k != "findings"} for record in out] == FINDINGS
    assert out[0]["findings"] == [
        {"start": 8, "end": 14, "concept": "HP:0001251", "label": "Ataxia", "status": "present"},
        {"start": 22, "end": 30, "concept": "HP:0001250", "label": "Seizure", "status": "absent"},
    ]
    assert out[1]["findings"][0]["status"] == "family" and out[2]["findings"] == []


def test_several_processes_read_the_same_findings(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{**FINDINGS[n % 2], "id": n} for n in range(120)])
    assert extracted(source, tmp_path / "1.jsonl") == extracted(source, tmp_path / "2.jsonl", workers=2)


def test_extraction_is_scored_against_known_findings(tmp_path: Path) -> None:
    gold = [
        {**FINDINGS[0], "findings": [{"start": 8, "end": 14, "hpo_id": "HP:0001251", "status": "absent"}]},
        {**FINDINGS[1], "findings": [{"start": 15, "end": 21, "concept": "HP:0002072", "status": "family"}]},
    ]
    source = write(tmp_path / "gold.jsonl", gold)
    result = CliRunner().invoke(app, ["extract", "--evaluate", str(source), "-o", str(tmp_path / "scores.json")])
    assert result.exit_code == 0, result.output
    scored = json.loads((tmp_path / "scores.json").read_text())
    # Read: Ataxia present, Seizure absent, Chorea family. Known: Ataxia absent, Chorea family.
    assert scored["units"]["concept and status"]["f1"] == pytest.approx(2 * 1 / 5)
    assert scored["units"]["concept"]["f1"] == pytest.approx(2 * 2 / 5)
    assert scored["status_accuracy"] == 0.5 and scored["status_of"] == 2


def test_wrong_gold_findings_and_missing_arguments_are_named(tmp_path: Path) -> None:
    source = write(tmp_path / "g.jsonl", [{**FINDINGS[0], "findings": [{"hpo_id": "HP:1", "status": "maybe"}]}])
    result = CliRunner().invoke(app, ["extract", "--evaluate", str(source)])
    assert isinstance(result.exception, RecordError) and "findings[0] has no status" in result.exception.message
    assert isinstance(CliRunner().invoke(app, ["extract"]).exception, ProjectError)


@pytest.mark.parametrize("status", [["present"], {}, None, 1])
def test_a_status_of_another_kind_is_named(tmp_path: Path, status: object) -> None:
    source = write(tmp_path / "g.jsonl", [{**FINDINGS[0], "findings": [{"hpo_id": "HP:1", "status": status}]}])
    result = CliRunner().invoke(app, ["extract", "--evaluate", str(source)])
    assert isinstance(result.exception, RecordError) and "findings[0] has no status" in result.exception.message
