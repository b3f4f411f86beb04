"""Every format gives its texts exactly; what gives none says why."""

import base64
import csv
import io
import json
import pickle
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.curate.formats import Part, SourceFile, SourceSettings, Unreadable, read
from residency.curate.formats.charset import detect
from residency.curate.formats.html import html_text
from residency.curate.formats.table import read_table
from residency.errors import ProjectError

NOTE = "Dr Müller saw him.\nAtaxia – since 2019.\n\nNo seizures."


def read_bytes(folder, name, content, **settings):
    (folder / name).write_bytes(content)
    return list(read(SourceFile(folder / name, name, SourceSettings(path=name, **settings))))


def texts(parts):
    return [part.text for part in parts if isinstance(part, Part)]


def reasons(parts):
    return [part.reason for part in parts if isinstance(part, Unreadable)]


def fhir(*attachments, kind="DocumentReference", **resource):
    field = {"presentedForm": list(attachments)} if kind == "DiagnosticReport" else {
        "content": [{"attachment": attachment} for attachment in attachments]
    }  # fmt: skip
    return {"resourceType": kind, "id": "doc7", **field, **resource}


def attachment(text=NOTE, media_type="text/plain", encoding="utf-8"):
    return {"contentType": media_type, "data": base64.b64encode(text.encode(encoding)).decode()}


# --- text -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_text_file_is_read_in_the_encoding_that_it_has(tmp_path, encoding):
    assert texts(read_bytes(tmp_path, "note.txt", NOTE.encode(encoding))) == [NOTE]


def test_the_set_encoding_wins_over_detection(tmp_path):
    polish = "Pani Wiśniewska ma ataksję."
    assert texts(read_bytes(tmp_path, "note.txt", polish.encode("cp1250"), encoding="cp1250")) == [polish]


def test_a_cyrillic_file_is_not_taken_for_western_text():
    russian = "Пациент жалуется на головную боль и слабость в ногах, судорог не было. " * 5
    detected = detect(russian.encode("cp1251"), valid_utf8=False)
    assert russian.encode("cp1251").decode(detected.encoding) == russian


@pytest.mark.parametrize("line_end", ["\r\n", "\r", "\n"])
def test_every_line_end_becomes_one_kind(tmp_path, line_end):
    content = NOTE.replace("\n", line_end).encode()
    assert texts(read_bytes(tmp_path, "note.txt", content)) == [NOTE]


def test_form_feeds_separate_reports_and_blank_pages_are_none(tmp_path):
    parts = read_bytes(tmp_path, "run.txt", b"first\n\f\nsecond\n\f\n\f")
    assert [(part.text, part.locator) for part in parts] == [("first", "part 1"), ("second", "part 2")]


def test_a_report_of_a_hundred_thousand_words_passes_whole(tmp_path):
    long = "ataxia " * 100_000
    table = io.StringIO()
    csv.writer(table).writerows([["id", "text"], ["a", long]])
    assert texts(read_bytes(tmp_path, "long.txt", long.encode())) == [long]
    assert texts(read_bytes(tmp_path, "long.csv", table.getvalue().encode())) == [long]
    assert texts(read_bytes(tmp_path, "long.jsonl", json.dumps({"id": "a", "text": long}).encode())) == [long]


def test_pages_that_say_so_belong_to_one_report(tmp_path):
    pages = [f"Mercy Hospital  Page {n} of 2\n{text}\n" for text, n in (("a", 1), ("b", 2), ("c", 1), ("d", 2))]
    parts = read_bytes(tmp_path, "run.txt", "\f".join([*pages, "letter"]).encode())
    assert texts(parts) == ["Mercy Hospital\na\nb", "Mercy Hospital\nc\nd", "letter"]
    assert len(read_bytes(tmp_path, "unsure.txt", b"Page 1\na\fPage 2\nb")) == 2  # of how many? perhaps of two reports
    (part,) = read_bytes(tmp_path, "one.txt", "\f".join(pages[:2]).encode())
    assert (part.text, part.locator) == ("Mercy Hospital\na\nb", "")


def test_a_line_can_begin_every_report(tmp_path):
    content = b"Export of today\n=== Report 1\nataxia\n\n=== Report 2\n\fno seizures\n"
    parts = read_bytes(tmp_path, "run.txt", content, report_start="^=== Report")
    assert texts(parts) == ["=== Report 1\nataxia", "=== Report 2\n\nno seizures"]
    assert [(p.reason, p.locator) for p in parts if isinstance(p, Unreadable)] == [("no_report_start", "part 0")]
    assert [p.locator for p in parts[1:]] == ["part 1", "part 2"]
    assert reasons(read_bytes(tmp_path, "run.txt", b"x", report_start="^===")) == ["no_report_start"]
    with pytest.raises(ValueError, match="not a regular expression"):
        SourceSettings(path="a.txt", report_start="(")


@pytest.mark.parametrize(
    ("name", "content", "reason", "kind"),
    [
        ("a.txt", b"PK\x03\x04 and more", "binary", "docx"),
        ("a.csv", b"%PDF-1.7", "binary", "PDF"),
        ("a.html", b"\x89PNG" + bytes(9), "binary", "PNG"),
        ("a.docx", b"\xd0\xcf\x11\xe0" + bytes(9), "broken_file", "password"),
        ("a.jsonl", b"PAR1" + bytes(9), "binary", "parquet"),
    ],
)
def test_a_wrong_extension_is_named_with_what_the_file_is(tmp_path, name, content, reason, kind):
    (problem,) = read_bytes(tmp_path, name, content)
    assert problem.reason == reason
    assert kind in problem.detail


def test_half_a_character_does_not_stop_what_comes_after(tmp_path):
    (part,) = read_bytes(tmp_path, "a.jsonl", b'{"id": "k\\udc00", "text": "a\\ud83d\\ude00 b\\ud83d"}')
    assert (part.key, part.text) == ("k\ufffd", "a\U0001f600 b\ufffd")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.txt", b"", "no_text"),
        ("nulls.txt", b"a\0b\0\0c", "binary"),
        ("nulls.csv", b"id,text\n1,a\0b\n", "binary"),
        ("blank.txt", b" \n\t\n", "no_text"),
        ("picture.txt", b"\x89PNG\r\n\x1a\n" + bytes(200), "binary"),
        ("controls.txt", bytes(range(1, 32)) * 10, "binary"),
        ("scan.txt", b"%PDF-1.7 text", "binary"),
        ("model.pkl", pickle.dumps({"a": 1}), "unsupported_format"),
        ("model.txt", pickle.dumps({"a": list(range(400))}), "binary"),
        ("noextension", b"text", "unsupported_format"),
        ("page.html", b"<html><title>Jane Doe</title><body> </body></html>", "no_text"),
        ("broken.docx", b"PK\x03\x04 not a zip", "broken_file"),
        ("broken.json", b"{", "broken_file"),
        ("deep.json", b"[" * 100_000, "broken_file"),
        ("other.json", b'{"a": 1}', "unsupported_format"),
    ],
)
def test_a_file_without_text_says_why(tmp_path, name, content, reason):
    assert reasons(read_bytes(tmp_path, name, content)) == [reason]


def test_a_picture_stays_binary_in_a_set_single_byte_encoding(tmp_path):
    assert reasons(read_bytes(tmp_path, "a.txt", b"\x89PNG" + bytes(99), encoding="cp1252")) == ["binary"]


def test_a_text_that_does_not_fit_the_set_encoding_is_undecodable(tmp_path):
    assert reasons(read_bytes(tmp_path, "a.txt", b"M\xfcller", encoding="utf-8")) == ["undecodable"]


def test_an_unknown_encoding_is_named_when_the_settings_are_read():
    with pytest.raises(ValueError, match="no encoding"):
        SourceSettings(path="a.txt", encoding="utf-7000")


@pytest.mark.parametrize("name", ["note.txt", "note.html", "note.json"])
def test_a_file_above_the_limit_is_not_read(tmp_path, name):
    assert reasons(read_bytes(tmp_path, name, b"a" * 2000, max_bytes=1000)) == ["too_large"]


def test_the_format_can_be_set_for_a_strange_extension(tmp_path):
    assert texts(read_bytes(tmp_path, "note.dat", NOTE.encode(), format="text")) == [NOTE]


# --- tables -----------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=40), max_size=5
    )
)
def test_any_text_comes_back_from_any_table(tmp_path_factory, notes):
    folder = tmp_path_factory.mktemp("tables")
    expected = [note for note in notes if note.strip()]
    for delimiter in ",;\t|":
        table = io.StringIO()
        writer = csv.writer(table, delimiter=delimiter)
        writer.writerows([["NOTE_TEXT", "NOTE_ID"], *([note, f"N{i}"] for i, note in enumerate(notes))])
        assert texts(read_bytes(folder, "a.csv", table.getvalue().encode("utf-8"))) == expected
    lines = "".join(json.dumps({"id": i, "body": note}) + "\n" for i, note in enumerate(notes))
    if notes:
        assert texts(read_bytes(folder, "a.jsonl", lines.encode())) == expected


@pytest.mark.parametrize("row", [{"id": 1, "text": ["a", "b"]}, {"id": 1, "text": {"a": 1}}, {"id": [1], "text": "a"}])
def test_a_nested_cell_is_no_text(tmp_path, row):
    parts = read_bytes(tmp_path, "a.jsonl", "\n".join(map(json.dumps, [row, {"id": 2, "text": "fine"}])).encode())
    assert (reasons(parts), texts(parts)) == (["broken_row"], ["fine"])


def test_common_names_of_columns_may_have_blanks(tmp_path):
    [part] = read_bytes(tmp_path, "a.csv", b"Report ID,Author,Report Text\n7,B,fine\n")
    assert (part.key, part.text) == ("7", "fine")


def test_rows_bring_their_ids_and_places(tmp_path):
    parts = read_bytes(tmp_path, "a.csv", b"id;text\n7;ataxia\n8;\n;tremor\n")
    assert [(p.key, p.locator) for p in parts] == [("7", "row 1"), ("8", "row 2"), ("", "row 3")]
    assert reasons(parts) == ["no_text", "no_id"]


def test_a_broken_quote_stops_the_table_and_names_the_line(tmp_path):
    parts = read_bytes(tmp_path, "a.csv", b'id,text\n1,"fine"\n2,"he said "no"\n3,lost\n')
    assert texts(parts) == ["fine"]
    assert reasons(parts) == ["broken_quote"]
    assert "line 3" in parts[-1].detail


def test_an_unclosed_quote_does_not_swallow_the_rest_as_one_document(tmp_path):
    parts = read_bytes(tmp_path, "a.csv", b'id,text\n1,fine\n2,"open\n3,lost\n')
    assert texts(parts) == ["fine"]
    assert reasons(parts) == ["broken_quote"]


def test_a_row_with_too_many_cells_is_dropped_alone(tmp_path):
    parts = read_bytes(tmp_path, "a.csv", b"id,text\n1,ataxia, tremor\n2,fine\n")
    assert texts(parts) == ["fine"]
    assert reasons(parts) == ["broken_row"]


def test_a_line_that_is_no_object_is_dropped_alone(tmp_path):
    parts = read_bytes(
        tmp_path, "a.jsonl", b'{"id": 1, "text": "fine"}\n[1]\n{"id": \n\n{"id": 2, "text": "fine too"}\n'
    )
    assert texts(parts) == ["fine", "fine too"]
    assert reasons(parts) == ["broken_row", "broken_row"]


def test_a_line_above_the_limit_is_dropped_alone(tmp_path):
    lines = json.dumps({"id": 1, "text": "x" * 5000}) + "\n" + json.dumps({"id": 2, "text": "fine"}) + "\n"
    parts = read_bytes(tmp_path, "a.jsonl", lines.encode(), max_bytes=1000)
    assert (texts(parts), reasons(parts)) == (["fine"], ["too_large"])


def test_a_table_that_stops_being_its_encoding_ends_with_a_reason(tmp_path):
    content = b"id,text\n1,fine\n" + b"2,M\xfcller\n"
    parts = read_bytes(tmp_path, "a.csv", content, encoding="utf-8")
    assert reasons(parts) == ["undecodable"]


def test_columns_can_be_named_and_missing_ones_are_listed(tmp_path):
    content = b"nr,befund\n1,ataxia\n"
    assert texts(read_bytes(tmp_path, "a.csv", content, id_column="nr", text_column="befund")) == ["ataxia"]
    for settings, missing in (
        ({}, "text_column"),
        ({"text_column": "befund"}, "id_column"),
        ({"text_column": "x"}, "'x'"),
    ):
        with pytest.raises(ProjectError, match="'nr', 'befund'") as error:
            read_bytes(tmp_path, "a.csv", content, **settings)
        assert missing in error.value.message


@pytest.mark.parametrize("first", ["7,Mrs Quux", "a,Mrs Quux has ataxia", "<p>Mrs Quux</p>,b"])
def test_a_table_without_a_header_is_said_so_without_its_text(tmp_path, first):
    content = f"{first}\n8,x\n".encode()
    with pytest.raises(ProjectError, match="no names of columns") as error:
        read_bytes(tmp_path, "a.csv", content)
    assert "Quux" not in error.value.message


def test_one_column_is_never_both_id_and_text(tmp_path):
    assert texts(read_bytes(tmp_path, "a.csv", b"id,report\n1,ataxia\n")) == ["ataxia"]
    with pytest.raises(ProjectError, match="id_column"):
        read_bytes(tmp_path, "b.csv", b"report,x\nataxia,1\n")


def test_rows_are_read_one_at_a_time(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text\n1,ataxia\n" + b'2,"open')
    rows = read_table(SourceFile(path, "a.csv", SourceSettings(path="a.csv")))
    assert next(rows).text == "ataxia"  # the broken end was not looked at yet


# --- HTML -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>a<br/>\nb</p><p>c</p>", "a\nb\n\nc"),
        ("<div>a</div><div>b <b>c</b>d</div>", "a\nb cd"),
        ("<pre>\n a  b\n\n c </pre>", " a  b\n\n c "),
        ("<p>a &lt;5 &amp; M&uuml;ller&nbsp;x</p>", "a <5 & Müller\xa0x"),
        ("<title>Jane</title><style>p{}</style><script>if(a<b)x()</script>text<!-- no -->", "text"),
        ("<table><tr><td>Name</td><td>Jo</td></tr><tr><td>MRN</td><td>7</td></tr></table>", "Name\tJo\nMRN\t7"),
        ("<ul><li>one<li>two</ul>after", "one\ntwo\n\nafter"),
        ("<p>never closed <i>x", "never closed x"),
        ("</div></p></pre>text", "text"),
        ("a<br><br>b", "a\n\nb"),
        ("  a  \n  b  ", "a b "),
    ],
)
def test_html_gives_what_a_reader_sees(page, text):
    assert html_text(page) == text


def test_a_page_of_any_depth_is_read():
    assert html_text("<div>" * 50_000 + "deep") == "deep"


# --- Word -------------------------------------------------------------------------------------------------------


def word_file(body, **parts):
    names = {"word/document.xml": body, **parts}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return packed.getvalue()


def word_xml(inner):
    names = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    return f"<w:document {names}><w:body>{inner}</w:body></w:document>"


def test_a_file_of_an_independent_writer_comes_back(tmp_path):
    import docx

    document = docx.Document()
    for line in NOTE.split("\n"):
        document.add_paragraph(line)
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "MRN", "17\t4"
    document.sections[0].header.paragraphs[0].text = "Records office"
    document.save(tmp_path / "made.docx")
    assert texts(read_bytes(tmp_path, "a.docx", (tmp_path / "made.docx").read_bytes())) == [NOTE + "\nMRN\t17\t4"]


def test_content_controls_and_insertions_count_and_deletions_do_not(tmp_path):
    run = "<w:r><w:t>{}</w:t></w:r>"
    body = word_xml(
        "<w:p>" + run.format("a") + "<w:ins>" + run.format("b") + "</w:ins>"
        "<w:del><w:r><w:delText>x</w:delText></w:r></w:del>"
        "<w:sdt><w:sdtContent>" + run.format("c") + "</w:sdtContent></w:sdt></w:p>"
        "<w:sdt><w:sdtContent><w:p>" + run.format("d") + "</w:p></w:sdtContent></w:sdt>"
    )  # fmt: skip
    assert texts(read_bytes(tmp_path, "a.docx", word_file(body))) == ["abc\nd"]


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(tmp_path):
    bomb = word_file(word_xml("<w:p/>" * 100_000))
    assert len(bomb) < 10_000
    assert reasons(read_bytes(tmp_path, "a.docx", bomb, max_bytes=100_000)) == ["too_large"]


def test_declared_entities_are_refused(tmp_path):
    laughs = '<!DOCTYPE a [<!ENTITY x "lol"><!ENTITY y "&x;&x;">]>' + word_xml("<w:p><w:r><w:t>&y;</w:t></w:r></w:p>")
    assert reasons(read_bytes(tmp_path, "a.docx", word_file(laughs))) == ["broken_file"]


def test_a_zip_that_is_no_word_file_is_broken(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "text")
    assert reasons(read_bytes(tmp_path, "a.docx", packed.getvalue())) == ["broken_file"]


# --- FHIR -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["DocumentReference", "DiagnosticReport"])
def test_a_bundle_gives_its_documents_and_passes_over_the_rest(tmp_path, kind):
    bundle = {
        "resourceType": "Bundle",
        "entry": [{"resource": {"resourceType": "Patient"}}, {"resource": fhir(attachment(), kind=kind)}, {}],
    }
    parts = read_bytes(tmp_path, "a.json", json.dumps(bundle).encode())
    assert [(p.text, p.key, p.locator) for p in parts] == [(NOTE, "doc7", "entry 2")]


@pytest.mark.parametrize("kind", [["DocumentReference"], {}, 7, None])
def test_a_resource_of_a_torn_type_is_passed_over(tmp_path, kind):
    entries = [{"resource": {"resourceType": kind}}, {"resource": fhir(attachment())}]
    bundle = {"resourceType": "Bundle", "entry": entries}
    assert texts(read_bytes(tmp_path, "a.json", json.dumps(bundle).encode())) == [NOTE]
    assert reasons(read_bytes(tmp_path, "b.json", json.dumps({"resourceType": kind}).encode())) == ["no_text"]


def test_a_single_resource_with_html_is_read(tmp_path):
    resource = fhir(attachment("<html><body><pre>a\nb</pre></body></html>", "text/html; charset=utf-8"))
    parts = read_bytes(tmp_path, "a.json", json.dumps(resource).encode())
    assert [(p.text, p.key, p.locator) for p in parts] == [("a\nb", "doc7", "")]


def test_the_first_readable_attachment_counts(tmp_path):
    resource = fhir({"url": "http://example.org/1"}, attachment(NOTE, "text/plain; charset=windows-1252", "cp1252"))
    assert texts(read_bytes(tmp_path, "a.json", json.dumps(resource).encode())) == [NOTE]


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (fhir(), "no_attachment"),
        (fhir({"url": "http://example.org/1"}), "no_attachment"),
        (fhir({"data": "not base64!"}), "broken_attachment"),
        (
            fhir({"contentType": "application/pdf", "data": base64.b64encode(b"%PDF-1.4").decode()}),
            "broken_file",
        ),
        (
            fhir({"contentType": "image/png", "data": base64.b64encode(b"\x89PNG" + bytes(99)).decode()}),
            "unsupported_format",
        ),
        (fhir(attachment("{\\rtf1 x}", "text/rtf")), "unsupported_format"),
        (fhir({"data": ""}), "no_text"),
        (fhir(attachment(), status="entered-in-error"), "withdrawn"),
        (fhir({"url": "Binary/gone"}), "no_attachment"),
        (fhir(attachment(" ")), "no_text"),
        ({"resourceType": "Bundle", "entry": "nonsense"}, "no_text"),
        ({"resourceType": "DocumentReference", "content": [{"attachment": 7}, 8]}, "no_attachment"),
    ],
)
def test_a_document_without_a_readable_attachment_says_why(tmp_path, resource, reason):
    assert reasons(read_bytes(tmp_path, "a.json", json.dumps(resource).encode())) == [reason]


def binary(text=NOTE, name="b1"):
    data = base64.b64encode(text.encode()).decode()
    return {"resourceType": "Binary", "id": name, "contentType": "text/plain", "data": data}


@pytest.mark.parametrize("url", ["Binary/b1", "https://ehr.example.org/fhir/Binary/b1/_history/2", "urn:uuid:9"])
def test_an_attachment_may_be_a_binary_of_the_same_bundle(tmp_path, url):
    entries = [{"resource": fhir({"url": url})}, {"fullUrl": "urn:uuid:9", "resource": binary()}]
    bundle = {"resourceType": "Bundle", "entry": entries}
    assert texts(read_bytes(tmp_path, "a.json", json.dumps(bundle).encode())) == [NOTE]


def test_an_attachment_may_be_contained_in_its_resource(tmp_path):
    resource = fhir({"url": "#b1"}, contained=[binary()])
    assert texts(read_bytes(tmp_path, "a.json", json.dumps(resource).encode())) == [NOTE]


def test_a_word_file_may_be_attached(tmp_path):
    packed = word_file(word_xml("<w:p><w:r><w:t>ataxia</w:t></w:r></w:p>"))
    resource = fhir({"contentType": "application/octet-stream", "data": base64.b64encode(packed).decode()})
    assert texts(read_bytes(tmp_path, "a.json", json.dumps(resource).encode())) == ["ataxia"]


def test_a_bulk_export_has_a_resource_a_line(tmp_path):
    rows = [{"resourceType": "Patient"}, fhir(attachment()), fhir(attachment("two"), id="doc8")]
    lines = "".join(json.dumps(row) + "\n" for row in rows) + "{\n"
    parts = read_bytes(tmp_path, "a.ndjson", lines.encode())
    assert [(p.key, p.locator) for p in parts] == [("doc7", "row 2"), ("doc8", "row 3"), ("", "row 4")]
    assert (texts(parts), reasons(parts)) == ([NOTE, "two"], ["broken_row"])
    assert reasons(read_bytes(tmp_path, "b.ndjson", json.dumps(rows[0]).encode())) == ["no_text"]
