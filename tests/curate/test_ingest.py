"""Files become documents with labels; mistakes of the settings are named all at once."""

import json
import os
import tracemalloc
from collections import Counter

import pytest
from pydantic import TypeAdapter

from residency.curate.ingest import MENDED, SourceSettings, count_files, ingest
from residency.curate.labels import LabelSettings
from residency.errors import ProjectError
from residency.records import Document, Dropped

INBOX = (SourceSettings(path="inbox"),)


@pytest.fixture
def project(tmp_path):
    """A function that writes files below the project folder, and gives the folder."""

    def write(**files):
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return write


def test_every_file_becomes_a_document_or_a_reason(project):
    root = project(inbox__a_DOT_txt="one", inbox__deep__b_DOT_md="two", inbox__c_DOT_pkl=b"\x80", inbox__d_DOT_txt="")
    records = list(ingest(INBOX, None, root))
    documents = {r.key: r for r in records if isinstance(r, Document)}
    assert {key: (d.text, d.patient, d.source.path) for key, d in documents.items()} == {
        "a": ("one", "a", "inbox/a.txt"),
        "b": ("two", "b", "inbox/deep/b.md"),
    }
    assert {(r.key, r.reason, r.step) for r in records if isinstance(r, Dropped)} == {
        ("c", "unsupported_format", "ingest"),
        ("d", "no_text", "ingest"),
    }
    assert len(records) == count_files(INBOX, root) == 4


def test_ids_depend_on_content_and_place_and_on_nothing_else(project):
    root = project(inbox__a_DOT_txt="one", inbox__b_DOT_txt="one")
    first, second = ([r.id for r in ingest(INBOX, None, root)] for _ in range(2))
    assert first == second
    assert len(set(first)) == 2
    project(inbox__a_DOT_txt="changed")
    assert next(ingest(INBOX, None, root)).id != first[0]


def test_hidden_files_and_the_workspace_are_no_documents(project):
    root = project(a_DOT_txt="one", _DOT_residency__x_DOT_txt="no", _DOT_DS_Store=b"\0", **{"~$a_DOT_docx": b"\0"})
    assert [r.key for r in ingest((SourceSettings(path="."),), None, root)] == ["a"]


def test_a_file_of_two_sources_is_read_once_by_the_first(project):
    root = project(inbox__a_DOT_txt="one", inbox__b_DOT_note="two")
    sources = (SourceSettings(path="inbox/*.note", format="text"), SourceSettings(path="inbox"))
    assert [r.key for r in ingest(sources, None, root)] == ["b", "a"]


def test_the_label_file_is_no_document(project):
    root = project(a_DOT_txt="one", labels_DOT_csv="report,patient\na,p1\n")
    records = list(ingest((SourceSettings(path="."),), LabelSettings(path="labels.csv"), root))
    assert [r.key for r in records] == ["a"]


@pytest.mark.parametrize("path", ["nowhere", "inbox", "inbox/*.txt", "../outside", "/etc", "s3://bucket/notes"])
def test_a_source_without_files_is_a_mistake_of_the_settings(project, path):
    root = project(other_DOT_txt="x")
    (root / "inbox").mkdir()
    with pytest.raises(ProjectError, match="sources\\[0\\]") as error:
        list(ingest((SourceSettings(path=path),), None, root))
    assert path in error.value.message


def test_all_tables_without_the_columns_are_named_before_anything_is_read(project):
    root = project(inbox__a_DOT_csv="x,y\n1,2\n", inbox__b_DOT_jsonl=json.dumps({"z": 1}), inbox__c_DOT_txt="text")
    with pytest.raises(ProjectError) as error:
        next(ingest(INBOX, None, root))
    assert len(error.value.problems) == 2
    assert "'x', 'y'" in error.value.message and "'z'" in error.value.message


def test_two_documents_of_one_name_are_named_with_both_places(project):
    root = project(inbox__a_DOT_txt="one", inbox__t_DOT_csv="id,text\nb,x\na,y\n")
    with pytest.raises(ProjectError, match=r"inbox/t\.csv row 2 and inbox/a\.txt"):
        list(ingest(INBOX, None, root))


def test_an_unreadable_link_is_a_reason_and_no_crash(project):
    root = project(inbox__a_DOT_txt="one")
    (root / "inbox" / "b.txt").symlink_to(root / "gone.txt")
    assert Counter(getattr(r, "reason", "") for r in ingest(INBOX, None, root)) == {"": 1, "unreadable": 1}


def test_text_is_never_part_of_a_reason(project):
    secret = "Jane Doe has ataxia"
    broken = {
        "inbox__a_DOT_csv": f'id,text\n1,"{secret}" more\n',
        "inbox__b_DOT_jsonl": f'{{"id": 1, "text": "{secret}\n',
    }
    root = project(**broken)
    for record in ingest(INBOX, None, root):
        assert isinstance(record, Dropped)
        assert "Jane" not in repr(record)


def test_a_table_that_is_not_its_encoding_is_a_reason_and_no_crash(project):
    root = project(inbox__a_DOT_csv=b"\xff\xfei")
    assert [r.reason for r in ingest(INBOX, None, root)] == ["undecodable"]


def test_a_uri_is_not_fetched_and_says_what_to_do(project):
    with pytest.raises(ProjectError, match="copy the files into the project folder"):
        list(ingest((SourceSettings(path="https://example.org/a.txt"),), None, project()))


def test_a_conversation_without_an_id_is_named_after_its_place(project):
    row = json.dumps({"messages": [{"role": "user", "content": "x"}]}) + "\n"
    records = list(ingest(INBOX, None, project(inbox__chats_DOT_jsonl=row * 2)))
    assert [(r.key, r.meta["format"]) for r in records] == [("chats-1", "chat"), ("chats-2", "chat")]


BOUND = 40_000_000  # bytes; the file has more, its keys and a block of reading have less


def test_memory_does_not_grow_with_the_texts(tmp_path):
    line = {"text": "No seizures. " * 800}
    with (tmp_path / "big.jsonl").open("w") as file:
        for number in range(5_000):
            file.write(json.dumps({"id": number, **line}) + "\n")
    assert (tmp_path / "big.jsonl").stat().st_size > 50_000_000 > BOUND
    tracemalloc.start()
    count = sum(1 for _ in ingest((SourceSettings(path="big.jsonl"),), None, tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 5_000
    assert peak < BOUND


# --- labels -----------------------------------------------------------------------------------------------------


def labeled(root, **settings):
    records = ingest(INBOX, LabelSettings(path="labels.csv", **settings), root)
    return {record.key: record for record in records}


def test_a_document_gets_patient_group_and_answers(project):
    labels = "report,patient,site,diagnosis,summary\na,p1,north,ataxia,x\nb,,south,,\n"
    root = project(inbox__a_DOT_txt="one", inbox__b_DOT_txt="two", inbox__c_DOT_txt="three", labels_DOT_csv=labels)
    records = labeled(root, group="site")
    assert (records["a"].patient, records["a"].group) == ("p1", "north")
    assert records["a"].answers == {"diagnosis": "ataxia", "summary": "x"}
    assert (records["b"].patient, records["b"].answers) == ("b", {"diagnosis": "", "summary": ""})
    assert (records["c"].patient, records["c"].answers) == ("c", {})
    assert labeled(root, answers=("summary",), patient=None)["a"].answers == {"summary": "x"}


def test_labels_may_be_jsonl_with_numbers_for_ids(project):
    lines = '{"report": 7, "patient": "p1", "diagnosis": "ataxia"}\n'
    root = project(inbox__7_DOT_txt="one", labels_DOT_jsonl=lines)
    (document,) = ingest(INBOX, LabelSettings(path="labels.jsonl"), root)
    assert (document.patient, document.answers) == ("p1", {"diagnosis": "ataxia"})


def test_a_label_for_an_unknown_document_is_an_error_that_names_some_and_counts_all(project):
    rows = "".join(f"ghost{i},p\n" for i in range(9))
    root = project(inbox__a_DOT_txt="one", labels_DOT_csv="report,patient\na,p1\n" + rows)
    with pytest.raises(ProjectError, match="9 labels") as error:
        labeled(root)
    assert "'ghost4'" in error.value.message and "'ghost5'" not in error.value.message
    assert labeled(root, unknown_ids="ignore")["a"].patient == "p1"


def test_a_label_for_a_dropped_document_is_no_error(project):
    root = project(inbox__a_DOT_txt="", labels_DOT_csv="report,patient\na,p1\n")
    assert labeled(root)["a"].reason == "no_text"


def test_contradicting_rows_are_named_and_equal_rows_count_once(project):
    root = project(inbox__a_DOT_txt="one", labels_DOT_csv="report,patient,d\na,p1,x\na,p1,x\n")
    assert labeled(root)["a"].answers == {"d": "x"}
    project(labels_DOT_csv="report,patient,d\na,p1,x\na,p1,y\n,p,z\n")
    with pytest.raises(ProjectError, match="rows 1 and 2") as error:
        labeled(root)
    assert len(error.value.problems) == 2


@pytest.mark.parametrize(
    ("content", "settings", "expected"),
    [
        (None, {}, "there is no file"),
        ("report;patient\na;p1\n", {"group": "site"}, "labels.group: labels.csv has no column 'site'"),
        ("id,patient\na,p1\n", {"patient": "who"}, "labels.report.*labels.patient"),
        ("report,patient\na,p1\n", {"answers": ("d",)}, "labels.answers"),
        ("", {}, "its columns are none"),
        ('report,patient\na,"open\n', {}, "broken_quote"),
        (b"\x89PNG" + bytes(50), {}, "binary"),
        (b"report,patient\na,M\xfcller\n", {"encoding": "utf-8"}, "not utf-8"),
    ],
)
def test_a_label_file_that_cannot_be_used_says_why(project, content, settings, expected):
    root = project(inbox__a_DOT_txt="one", **({} if content is None else {"labels_DOT_csv": content}))
    with pytest.raises(ProjectError, match=expected) as error:
        labeled(root, **settings)
    assert error.value.fix


def test_halves_of_characters_in_texts_keys_labels_and_names_are_replaced_and_said(project):
    rows = [{"id": "a\ud800", "text": "one \ud83d"}, {"id": "b", "text": "two \U0001f9e0"}]
    labels = [{"report": "a\ud800", "patient": "p\udc00", "answer": "x\ud800"}]
    root = project(
        inbox__t_DOT_jsonl="".join(json.dumps(row) + "\n" for row in rows),
        labels_DOT_jsonl="".join(json.dumps(row) + "\n" for row in labels),
    )
    with open(os.fsencode(root / "inbox") + b"/re\xffport.txt", "w", encoding="utf-8") as file:
        file.write("three")
    found = list(ingest(INBOX, LabelSettings(path="labels.jsonl"), root))
    named = {document.key: document for document in found}
    assert set(named) == {"a\ufffd", "b", "re\ufffdport"}
    one = named["a\ufffd"]
    assert (one.text, one.patient, one.answers) == ("one \ufffd", "p\ufffd", {"answer": "x\ufffd"})
    assert [key for key, document in named.items() if MENDED in document.meta] == ["a\ufffd"]
    TypeAdapter(list[Document]).dump_json(found)
