"""The text layer of a PDF comes back as it is set; where there is none, that is said."""

import io

import pytest

NOTE = ["Clinic letter", "", "She has ataxia (since 2019).", "No seizures."]


def test_lines_and_empty_lines_come_back(read_bytes, make_pdf):
    (part,) = read_bytes("letter.pdf", make_pdf(NOTE))
    assert (part.text, part.key, part.locator) == ("\n".join(NOTE), "", "")


def test_pages_follow_each_other(read_bytes, make_pdf, outcomes):
    assert outcomes(read_bytes("a.pdf", make_pdf(["one", "two"], [], ["three"]))) == ["one\ntwo\nthree"]


def test_running_headers_and_footers_are_said_once_and_break_no_sentence(read_bytes, make_pdf, outcomes):
    pages = [["Mercy Hospital", f"Page {n} of 3", text, "Confidential", "Tel 555"] for n, text in enumerate("abc", 1)]
    assert outcomes(read_bytes("a.pdf", make_pdf(*pages))) == ["Mercy Hospital\na\nb\nc\nConfidential\nTel 555"]


def test_lines_that_differ_in_a_value_are_no_header(read_bytes, make_pdf, outcomes):
    parts = read_bytes("a.pdf", make_pdf(["Hb 12.1", "x"], ["Hb 9.8", "y"]))
    assert outcomes(parts) == ["Hb 12.1\nx\nHb 9.8\ny"]


def test_a_scan_without_a_text_layer_is_said_so(read_bytes, make_pdf, outcomes):
    assert outcomes(read_bytes("a.pdf", make_pdf(None, None))) == ["! no_text_layer"]
    assert outcomes(read_bytes("b.pdf", make_pdf([]))) == ["! no_text_layer"]


def test_a_page_that_is_only_a_picture_is_named_beside_the_text(read_bytes, make_pdf, outcomes):
    parts = read_bytes("a.pdf", make_pdf(["one"], None, [], ["two"]))
    assert outcomes(parts) == ["one\ntwo", "! no_text_layer"]
    assert parts[1].locator == "page 2"


@pytest.mark.parametrize(("password", "outcome"), [("secret", "! encrypted"), ("", "\n".join(NOTE))])
def test_a_password_is_said_and_mere_restrictions_are_no_obstacle(read_bytes, make_pdf, outcomes, password, outcome):
    import pypdf

    writer, stream = pypdf.PdfWriter(clone_from=io.BytesIO(make_pdf(NOTE))), io.BytesIO()
    writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
    writer.write(stream)
    assert outcomes(read_bytes("a.pdf", stream.getvalue())) == [outcome]


def test_what_unpacks_to_too_much_is_not_read(read_bytes, make_pdf, outcomes):
    import pypdf
    from pypdf.generic import DecodedStreamObject, NameObject

    writer, stream = pypdf.PdfWriter(clone_from=io.BytesIO(make_pdf(NOTE))), io.BytesIO()
    packed = DecodedStreamObject()
    packed.set_data(b"BT /F1 11 Tf " + b"(ataxia) Tj T* " * 5000 + b"ET")
    writer.pages[0][NameObject("/Contents")] = writer._add_object(packed.flate_encode())
    writer.write(stream)
    assert len(stream.getvalue()) < 3000
    assert outcomes(read_bytes("a.pdf", stream.getvalue(), max_bytes=3000)) == ["! too_large"]


def test_a_picture_named_pdf_says_what_it_is(read_bytes):
    (problem,) = read_bytes("a.pdf", b"\x89PNG\r\n\x1a\n" + bytes(200))
    assert (problem.reason, problem.detail) == ("broken_file", "not a PDF but a PNG picture")


def test_a_broken_file_is_quiet(read_bytes, make_pdf, outcomes, caplog, capfd):
    whole = make_pdf(NOTE)
    assert outcomes(read_bytes("a.pdf", whole[:60])) == ["! broken_file"]
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
