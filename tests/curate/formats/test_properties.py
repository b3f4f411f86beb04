"""Whatever a file holds: every part is read or has a reason, nothing is raised, and no reason quotes the text."""

import base64
import io
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from residency.curate.formats import EXTENSIONS, READERS, Format, Part, SourceFile, SourceSettings, Unreadable, read
from residency.curate.ingest import ingest
from residency.errors import ProjectError
from residency.records import Document, Dropped

SECRET = "Mrs Quux of Zyzzyx"
NOTES = [SECRET, f"{SECRET} has ataxia.", "No seizures."]


def word(text):
    names = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        body = f"<w:document {names}><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>"
        archive.writestr("word/document.xml", body)
    return packed.getvalue()


def parquet(notes):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": [str(n) for n in range(len(notes))], "text": notes}), sink)
    return sink.getvalue().to_pybytes()


def documents(notes):
    for number, note in enumerate(notes):
        attachment = {"contentType": "text/plain", "data": base64.b64encode(note.encode()).decode()}
        yield {"resourceType": "DocumentReference", "id": str(number), "content": [{"attachment": attachment}]}


def several(notes):
    """Files with one part for each note, by name."""
    rows = [json.dumps({"id": n, "text": note}) for n, note in enumerate(notes)]
    chats = [json.dumps({"messages": [{"role": "user", "content": note}]}) for note in notes]
    entries = [{"resource": resource} for resource in documents(notes)]
    messages = [f"MSH|^~\\&|A||||||ORU|M{n}\rOBX|1|TX|||{note}||||||F\r" for n, note in enumerate(notes)]
    return {
        "a.csv": ("id,text\n" + "".join(f'{n},"{note}"\n' for n, note in enumerate(notes))).encode(),
        "a.jsonl": "\n".join(rows).encode(),
        "b.jsonl": "\n".join(chats).encode(),
        "a.json": json.dumps({"resourceType": "Bundle", "entry": entries}).encode(),
        "a.ndjson": "\n".join(map(json.dumps, documents(notes))).encode(),
        "a.hl7": "".join(messages).encode(),
        "a.parquet": parquet(notes),
    }


@pytest.fixture(scope="module")
def whole_files(make_pdf):
    single = {
        "a.txt": f"{SECRET}\f{SECRET}".encode(),
        "a.html": f"<p>{SECRET}</p>".encode(),
        "a.docx": word(SECRET),
        "a.pdf": make_pdf([SECRET, "ataxia"], [SECRET, "tremor"]),
    }
    return {**several(NOTES), **single}


def test_every_format_has_a_reader_and_an_extension():
    assert set(READERS) == set(Format) - {Format.AUTO}
    assert set(EXTENSIONS.values()) == set(READERS) - {Format.CHAT}  # told by the first line


@settings(deadline=None)
@given(st.lists(st.sampled_from(["", " ", "ataxia", "No seizures.", "Müller"]), min_size=1, max_size=6))
def test_every_row_entry_or_message_is_a_part_or_a_reason(tmp_path_factory, notes):
    folder = tmp_path_factory.mktemp("whole")
    for name, content in several(notes).items():
        (folder / name).write_bytes(content)
        parts = list(read(SourceFile(folder / name, name, SourceSettings(path=name))))
        assert len(parts) == len(notes), name
        for note, part in zip(notes, parts, strict=True):
            assert isinstance(part, Part) == bool(note.strip()), name
            assert isinstance(part, Unreadable) or part.text.endswith(note)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_a_damaged_file_gives_reasons_that_quote_nothing(tmp_path_factory, whole_files, data):
    name = data.draw(st.sampled_from(sorted(whole_files)))
    content = bytearray(whole_files[name])
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    start, end = (data.draw(st.integers(0, len(content))) for _ in range(2))
    content = content[: max(start, end)] if data.draw(st.booleans()) else content[:start] + content[end:]
    suffix = data.draw(st.sampled_from([*EXTENSIONS, *[name[1:]] * 20]))
    folder = tmp_path_factory.mktemp("damaged")
    (folder / f"a{suffix}").write_bytes(bytes(content))
    try:
        records = list(ingest((SourceSettings(path="."),), None, folder))
    except ProjectError:
        return  # columns or ids that the damage changed
    assert records
    for record in records:
        assert isinstance(record, (Document, Dropped))
        assert isinstance(record, Document) or (record.reason and "Quux" not in record.detail)
