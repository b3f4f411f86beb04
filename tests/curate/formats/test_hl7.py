"""The report of every HL7 v2 message comes back as it was written; a cut or odd message says so."""

import base64

import pytest

HEAD = r"MSH|^~\&|RIS|HOSP|EHR|HOSP|20200101||ORU^R01|{}|P|2.5.1"
PATIENT = "PID|1||7^^^HOSP^MR||Doe^Jane"


def obx(value, kind="TX", status="F", number=1):
    return f"OBX|{number}|{kind}|18842-5^Report^LN||{value}||||||{status}"


def message(*segments, control="M1", end="\r"):
    return end.join([HEAD.format(control), PATIENT, "OBR|1", *segments, ""])


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_results_are_the_lines_of_one_report(read_bytes, end):
    content = message(obx("Ataxia."), obx(""), obx("No seizures.", kind="ST"), obx("7.1", kind="NM"), end=end)
    (part,) = read_bytes("a.hl7", content)
    assert (part.text, part.key, part.locator) == ("Ataxia.\n\nNo seizures.", "M1", "message 1")


def test_several_messages_stand_in_one_file(read_bytes):
    content = message(obx("one"), control="A") + "\r" + message(obx("two"), control="B")
    assert [(p.key, p.text, p.locator) for p in read_bytes("a.hl7", content)] == [
        ("A", "one", "message 1"),
        ("B", "two", "message 2"),
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f"),
        (r"\E\F\E\ ", "\\F\\ "),
        (r"one\.br\two\.br\\.br\three", "one\ntwo\n\nthree"),
        (r"one\X0D0A\two\X0d\three", "one\ntwo\nthree"),
        (r"M\XC3BC\ller M\XFC\ller", "Müller Müller"),
        (r"\H\bold\N\ plain", "bold plain"),
        (r"a\.sp2\b\.sk 3\c\.in+4\d\.ce\e", "a\n\nb   cd\ne"),
        (r"C:\temp\x \Zlocal\ \.br\end", "C:\\temp\\x \\Zlocal\\ \nend"),
        (r"\.sp999999999\x", "\n" * 100 + "x"),
        ("one~two", "one\ntwo"),
        ("unescaped ^ & stay", "unescaped ^ & stay"),
    ],
)
def test_escape_sequences_mean_what_the_standard_says(read_bytes, written, meant):
    (part,) = read_bytes("a.hl7", message(obx("x"), obx(written, kind="FT"), obx("y")))
    assert part.text == f"x\n{meant}\ny"


def test_every_message_declares_its_own_separators(read_bytes, outcomes):
    odd = message(obx("a^b"), obx(r"c\S\d")).translate(str.maketrans("|^~\\&", "#*:%!"))
    assert outcomes(read_bytes("a.hl7", odd + message(obx(r"e\F\f")))) == ["a*b\nc*d", "e|f"]
    assert outcomes(read_bytes("b.hl7", "MSH|^|\rOBX|1|TX|||a~b\\F\\c|\r")) == ["a~b\\F\\c"]


@pytest.mark.parametrize("declared", ["||", "|^^~\\&|", "|ABCD|", "|^~ &|", "|^~\\&#!|"])
def test_separators_that_contradict_each_other_break_the_message_alone(read_bytes, outcomes, declared):
    broken = f"MSH{declared}A\rOBX|1|TX|||ataxia||||||F\r"
    assert outcomes(read_bytes("a.hl7", broken + message(obx("fine")))) == ["! broken_message", "fine"]


def test_a_raw_line_break_belongs_to_the_text(read_bytes, outcomes):
    assert outcomes(read_bytes("a.hl7", message(obx("one\nMSH2 gene\nMSH-2 two", kind="FT")))) == [
        "one\nMSH2 gene\nMSH-2 two"
    ]


def test_network_frames_and_any_encoding_are_no_obstacle(read_bytes, outcomes):
    content = "\x0b" + message(obx("Müller")) + "\x1c\r"
    assert outcomes(read_bytes("a.hl7", content.encode("cp1252"))) == ["Müller"]
    assert outcomes(read_bytes("b.hl7", content.encode("utf-16"))) == ["Müller"]


def test_attachments_count_where_there_is_no_text(read_bytes, outcomes, make_pdf):
    pdf, page = (base64.b64encode(b).decode() for b in (make_pdf(["from pdf"]), b"<p>from html</p>"))
    assert outcomes(read_bytes("a.hl7", message(obx(f"^AP^PDF^Base64^{pdf}", "ED")))) == ["from pdf"]
    assert outcomes(read_bytes("a.hl7", message(obx(f"^TEXT^HTML^Base64^{page}", "ED")))) == ["from html"]
    assert outcomes(read_bytes("a.hl7", message(obx("^TEXT^PLAIN^A^a\\T\\b", "ED")))) == ["a&b"]
    assert outcomes(read_bytes("a.hl7", message(obx("^TEXT^PLAIN^Hex^6162", "ED")))) == ["ab"]
    assert outcomes(read_bytes("a.hl7", message(obx(f"^AP^PDF^Base64^{pdf}", "ED"), obx("text")))) == ["text"]
    assert outcomes(read_bytes("a.hl7", message(obx("^AP^PDF^Base64^???", "ED")))) == ["! broken_attachment"]


def test_withdrawn_results_are_left_out(read_bytes, outcomes):
    assert outcomes(read_bytes("a.hl7", message(obx("wrong", status="W"), obx("right", status="C")))) == ["right"]
    assert outcomes(read_bytes("a.hl7", message(obx("wrong", status="D")))) == ["! withdrawn"]


def test_a_message_without_a_report_is_dropped_alone(read_bytes, outcomes):
    assert outcomes(read_bytes("a.hl7", message() + message(obx('""')) + message(obx("x")))) == [
        "! no_text",
        "! no_text",
        "x",
    ]


def test_a_batch_is_read_and_counted(read_bytes, outcomes):
    head, two = "FHS|^~\\&|A\rBHS|^~\\&|A\r", message(obx("a")) + message(obx("b"))
    assert outcomes(read_bytes("a.hl7", head + two + "BTS|2\rFTS|1\r")) == ["a", "b"]
    assert outcomes(read_bytes("a.hl7", head + two + "BTS|3\rFTS|1\r")) == ["a", "b", "! truncated"]
    assert outcomes(read_bytes("a.hl7", head + two)) == ["a", "b", "! truncated"]
    assert outcomes(read_bytes("a.hl7", "OBX|1|TX|||lost\r" + two)) == ["a", "b", "! truncated"]


def test_half_a_report_is_no_report(read_bytes, outcomes):
    whole = message(obx("No seizures were seen."), obx("until yesterday"))
    assert outcomes(read_bytes("a.hl7", whole[: whole.index(" yesterday")])) == ["! truncated"]
    assert outcomes(read_bytes("a.hl7", whole.rstrip("\r"))) == ["No seizures were seen.\nuntil yesterday"]


@pytest.mark.parametrize("content", ["nothing here", "PID|1\rOBX|1|TX|||x\r", "\r\r\r"])
def test_a_file_without_a_message_is_broken(read_bytes, outcomes, content):
    assert outcomes(read_bytes("a.hl7", content)) == ["! broken_file"]


def test_a_message_above_the_limit_is_dropped_alone(read_bytes, outcomes):
    content = message(obx("x" * 3000)) + message(*[obx("y" * 90)] * 30) + message(obx("fine"))
    assert outcomes(read_bytes("a.hl7", content, max_bytes=1000)) == ["! too_large", "! too_large", "fine"]


def test_messages_in_a_txt_are_messages(read_bytes, outcomes):
    assert outcomes(read_bytes("a.txt", message(obx("a")))) == ["a"]
    assert outcomes(read_bytes("a.txt", "MSH2 | gene panel")) == ["MSH2 | gene panel"]
