"""Repairs change what is broken and nothing else; spans stay on their text; nothing disappears without a reason."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.curate.cleanse import Cleanse, quality, repair
from residency.curate.cleanse.boilerplate import names_a_concept, repeated_lines
from residency.curate.step import Tools
from residency.packs import Pack, PackSettings
from residency.packs.terminology import read_obo
from residency.records import Document, Dropped, Finding, Source, Span, Status
from residency.text import apply_edits

BODY = "The patient was seen in clinic today and walks without help since last summer."
SPANISH = "Paciente que acude a la consulta por retraso global del desarrollo y crisis epilépticas desde hace años."
DISCLAIMER = "This note was dictated and may hold errors."
OBO = """format-version: 1.2

[Term]
id: HP:0000118
name: Phenotypic abnormality

[Term]
id: HP:0001250
name: Seizure
def: "An event in the brain; ventricles may have normal size." []
is_a: HP:0000118
"""


@pytest.fixture
def tools(tmp_path):
    return Tools(key=bytes(32), seed=1, pack=Pack(tmp_path, PackSettings(name="none", title="none", about="none")))


def document(text, key="a", patient=None, spans=(), findings=()):
    return Document(id=f"d-{key}", key=key, text=text, source=Source(path=key), patient=patient or key,
                    spans=tuple(spans), findings=tuple(findings))  # fmt: skip


def only(step, tools, text, **parts):
    (result,) = step([document(text, **parts)], tools)
    return result


def repaired(name, text):
    return apply_edits(text, getattr(repair, name)(text))[0]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("encoding", "Ã–zdemir and Özdemir\nâ€¢ plain", "Özdemir and Özdemir\n• plain"),
        ("encoding", "“quotes”, ﬁne, 5 µm, naïve &amp; ½", "“quotes”, ﬁne, 5 µm, naïve &amp; ½"),
        ("ligatures", "ﬁrst ﬂoppy oﬃce", "first floppy office"),
        ("line_ends", "a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("invisible", "sei\u00adzure\u200b\x07s\ufeff", "seizures"),
        ("spaces", "  a \t b\u00a0c  \n\td", "a b c\nd"),
        ("empty_lines", "\n\na\n\n\n\nb\n\nc\n", "a\n\nb\n\nc"),
        ("empty_fields", "Allergies: ______\nCode status: [not documented]\nImmunizations: [ ]\nend", "end"),
        ("empty_fields", "Referring provider: ***\nInterpreter: N/A\nPeriod: ---\nSmoking status: not asked\nx", "x"),
        ("empty_fields", "Plan:\nrest\n[ ] Seizures\nAtaxia: -\nSeizures: not seen\nFamily: unknown cause",
         "Plan:\nrest\n[ ] Seizures\nAtaxia: -\nSeizures: not seen\nFamily: unknown cause"),
        ("empty_fields", "text\n\nSocial Hx: ", "text\n\n"),
    ],
)  # fmt: skip
def test_a_repair_changes_what_is_broken_and_nothing_else(name, text, expected):
    assert repaired(name, text) == expected
    assert repaired(name, expected) == expected


WRAPPED = """Summary of admission:
Oliver has struggled with feeding problems. Over time, he
developed bilateral tonic-clonic seizures. There was severe
global developmental delay and he has never walked well-
adjusted. First concerns arose in the neonatal period only.

Plan
- Await exome results of the whole family, which were sent in
  January to the other laboratory for the second time this week
- Family to call with questions

Signed"""


def test_lines_of_a_fixed_width_are_joined_and_lists_and_headings_are_not():
    text, _ = apply_edits(WRAPPED, repair.hard_wraps(WRAPPED))
    assert "feeding problems. Over time, he developed bilateral tonic-clonic seizures. There was severe global" in text
    assert "well-adjusted" in text
    assert "Summary of admission:\nOliver" in text
    assert "Plan\n- Await" in text and "\n- Family to call" in text


@pytest.mark.parametrize(
    "text",
    [
        "Short lines\nof a form\nwith values\nand no width",
        "A paragraph that goes on and on. " * 9 + "\nAnother paragraph that also goes on and on. " * 9,
        "\n".join(
            f"{finding} {'x' * 30} present +" for finding in ("Ataxia in legs", "Tremor in legs", "Chorea in arms")
        ),
        "\n".join("- a list item that has nearly the same length as others" for _ in range(9)),
    ],
)
def test_lines_that_nobody_wrapped_stay(text):
    assert not repair.hard_wraps(text)


def test_replaced_names_do_not_hide_the_width():
    name = "Maximiliana Featherstonehaugh-Cholmondeley"
    text = WRAPPED.replace("Oliver", name)
    start = text.index(name)
    edits = repair.hard_wraps(text, [(start, start + len(name))])
    joined = apply_edits(text, edits)[0]
    assert "There was severe global" in joined and "Over time, he developed" in joined


def test_a_line_that_a_shorter_surrogate_left_short_still_counts_as_wrapped():
    text = WRAPPED.replace("feeding problems. Over time, he", "feeding woe. Over time, he")
    start = text.index("woe")
    with_span, without = (apply_edits(text, repair.hard_wraps(text, spans))[0] for spans in ([(start, start + 3)], []))
    assert "he developed" in with_span and "he\ndeveloped" in without


# --- spans ------------------------------------------------------------------------------------------------------

_MESS = st.sampled_from(
    ["ataxia", "Ã¶", "ﬁ", "  ", "\n", "\r\n", "\n\n\n", "\t", "\u200b", "-", "Dr", "seizure,", "\nAllergies: ___\n"]
)


@given(st.lists(_MESS, max_size=30), st.data())
@settings(max_examples=200)
def test_a_span_on_text_that_no_edit_touches_keeps_its_text(pieces, data):
    text = "".join(pieces)
    words = []
    start = 0
    for piece in pieces:
        if piece in ("ataxia", "seizure,", "Dr"):
            words.append((start, start + len(piece)))
        start += len(piece)
    chosen = data.draw(st.lists(st.sampled_from(words), unique=True)) if words else []
    spans = [Span(start=a, end=b, label="X") for a, b in chosen]
    findings = [Finding(concept="c", label="c", status=Status.PRESENT, start=a, end=b) for a, b in chosen]
    tools = Tools(key=bytes(32), seed=1, pack=None)
    result = only(Cleanse(boilerplate=False, languages=None, min_words=1), tools, text, spans=spans, findings=findings)
    if isinstance(result, Document):
        for (a, b), span, finding in zip(chosen, result.spans, result.findings, strict=True):
            assert result.text[span.start : span.end] == text[a:b]
            assert result.text[finding.start : finding.end] == text[a:b]


@given(st.lists(st.lists(_MESS, max_size=12).map("".join), max_size=8), st.randoms())
@settings(max_examples=100)
def test_what_goes_in_comes_out_and_order_and_repetition_change_nothing(texts, order):
    documents = [document(text, key=str(number)) for number, text in enumerate(texts)]
    step = Cleanse(languages=None, min_words=1, boilerplate_patients=2)
    tools = Tools(key=bytes(32), seed=1, pack=Pack(None, PackSettings(name="n", title="n", about="n")))
    first = {result.id: result for result in step(documents, tools)}
    assert set(first) == {d.id for d in documents}
    shuffled = list(documents)
    order.shuffle(shuffled)
    assert {result.id: result for result in step(shuffled, tools)} == first
    kept = [result for result in first.values() if isinstance(result, Document)]
    assert [d.text for d in step(kept, tools) if isinstance(d, Document)] == [d.text for d in kept]


def test_a_finding_whose_line_goes_is_gone_and_one_without_a_place_stays(tools):
    text = f"{BODY}\nAllergies: ____"
    gone = Finding(concept="a", label="a", status=Status.PRESENT, start=text.index("Allergies"), end=len(text))
    placeless = Finding(concept="b", label="b", status=Status.PRESENT)
    result = only(Cleanse(languages=None), tools, text, findings=[gone, placeless])
    assert result.findings == (placeless,)


def test_everything_can_be_switched_off(tools):
    text = "  Ã¶  and ﬁ \n\n\n\nAllergies: ___\n" + BODY
    step = Cleanse(
        encoding=False, whitespace=False, hard_wraps=False, empty_fields=False, boilerplate=False, languages=None
    )
    assert only(step, tools, text) == document(text)


# --- boilerplate ------------------------------------------------------------------------------------------------


WORDS = ("walks", "talks", "sleeps", "eats", "plays", "runs", "smiles", "sits", "stands", "reads", "well", "often")
NAMES = ("Anna", "Bo", "Carla", "Dee", "Emilia", "Fo")


def bodies(size):
    """Reports that have no line in common."""
    rng = random.Random(3)
    return [f"The child {' '.join(rng.choices(WORDS, k=12))} and is seen again in spring." for _ in range(size)]


def crowd(line, size=6, label="NAME"):
    """Reports of as many patients with one line in common; a name in it differs."""
    documents = []
    for number, body in enumerate(bodies(size)):
        name = NAMES[number]
        text = f"{body}\n{line.format(name)}"
        start = text.find(name) if "{}" in line else -1
        spans = [Span(start=start, end=start + len(name), label=label)] if start >= 0 else []
        documents.append(document(text, key=str(number), spans=spans))
    return documents


@pytest.mark.parametrize("line", [DISCLAIMER, "I have verified this note. {}, physician"])
def test_a_line_that_repeats_from_patient_to_patient_goes(tools, line):
    assert [result.text for result in Cleanse(boilerplate_patients=6)(crowd(line), tools)] == bodies(6)


def test_a_line_in_the_middle_of_reports_stays_however_often_it_repeats(tools):
    line = "The parents are second cousins and well."
    documents = [
        document(f"{d.text}\n{own}", key=d.key) for d, own in zip(crowd(line), reversed(bodies(12)), strict=False)
    ]
    assert all(line in result.text for result in Cleanse()(documents, tools))


def test_pages_of_repeated_lines_only_do_not_tell_where_a_line_stands(tools):
    line = "The parents are second cousins and well."
    own = bodies(12)
    at_end = [document(f"{body}\n{line}", key=f"end{n}") for n, body in enumerate(own[:3])]
    inside = [document(f"{body}\n{line}\n{body} Indeed.", key=f"in{n}") for n, body in enumerate(own[3:9])]
    pages = [document(f"{line}\n{DISCLAIMER}", key=f"page{n}") for n in range(40)]
    results = {result.key: result for result in Cleanse()([*at_end, *inside, *pages], tools)}
    assert all(line in results[d.key].text for d in (*at_end, *inside))


@pytest.mark.parametrize(
    "line",
    [
        "Yours sincerely,",
        "- consent was obtained in writing",
        "2. consent was obtained today",
        "Current medication: none at present",
    ],
)
def test_headings_greetings_and_list_items_stay_however_often_they_repeat(tools, line):
    assert all(line in result.text for result in Cleanse()(crowd(line), tools))


def test_a_line_with_a_date_stays(tools):
    results = list(Cleanse()(crowd("The date of birth is {} as told", label="DATE"), tools))
    assert all("date of birth" in result.text for result in results)


def test_a_line_of_few_patients_stays_and_copies_of_one_patient_count_once(tools):
    few = crowd(DISCLAIMER, size=4)
    copies = [document(f"{body}\n{DISCLAIMER}", key=f"copy{n}", patient="0") for n, body in enumerate(bodies(12)[4:])]
    assert all(DISCLAIMER in result.text for result in Cleanse()([*few, *copies], tools))


def test_a_line_that_the_terminology_understands_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("RESIDENCY_CACHE", str(tmp_path))
    (tmp_path / "small.obo").write_text(OBO)
    terminology = read_obo(tmp_path / "small.obo", root="HP:0000118")
    names_one, knows_all = "There were no seizures of any kind.", "The brain ventricles are normal in size."
    assert names_a_concept(names_one, terminology) and not names_a_concept(DISCLAIMER, terminology)
    documents = [
        replace(d, id=f"{line}{d.id}", patient=f"{line}{d.patient}")
        for line in (names_one, knows_all, DISCLAIMER)
        for d in crowd(line)
    ]
    repeated = repeated_lines(documents, patients=5, terminology=terminology)
    assert repeated.removable == {DISCLAIMER.casefold()}
    assert names_one.casefold() not in repeated.familiar
    assert knows_all.casefold() in repeated_lines(documents, patients=5, terminology=None).removable


# --- dropping ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\u200b\n", "empty"),
        ("�-þ�-þ�#¤inal m§~§a¤ þ--� fr~m:#no �~t§� re#%n si@va¤~ ?%11 �þ%@�@�%��in@?§%þ", "garbled"),
        (SPANISH, "other_language"),
        ("Der Patient stellt sich wegen Ataxie vor, er hat Anfälle bestehen seit der Kindheit.", "other_language"),
        ("Seen today.", "too_short"),
    ],
)  # fmt: skip
def test_what_is_no_report_is_dropped_with_a_reason(tools, text, reason):
    result = only(Cleanse(), tools, text)
    assert isinstance(result, Dropped)
    assert (result.reason, result.step, result.id) == (reason, "cleanse", "d-a")


def test_pages_with_nothing_but_what_every_page_has_are_dropped(tools):
    pages = [document(f"Page {n} of 9\n{DISCLAIMER}\nPrinted by the records office", key=f"p{n}") for n in range(6)]
    assert {result.reason for result in Cleanse()(pages, tools)} == {"boilerplate_only"}


def test_copies_of_one_patient_are_no_boilerplate(tools):
    copies = [document(BODY, key=str(n), patient="p") for n in range(9)]
    assert [result.text for result in Cleanse()(copies, tools)] == [BODY] * 9


def test_equal_normal_reports_stay_where_experts_labeled_them(tools):
    normal = [replace(document(BODY, key=str(n)), answers={"diagnosis": "none"}) for n in range(9)]
    assert [result.text for result in Cleanse()(normal, tools)] == [BODY] * 9


@pytest.mark.parametrize(
    "text",
    [
        BODY,
        BODY.upper(),
        "9-year-old boy p/w CC thinning, hypotonia. no h/o hearing loss. PE: w/o ataxia. Plan: f/u neuro, rpt MRI",
        "VITALS: T 36.7 HR 115 RR 14 BP 116/68 SpO2 95% RA\nCC: 7yr old boy c/o feeding difficulties, ?reflux",
        "Checklist (+ present / - absent)\nAtaxia +\nSeizures -\nHypotonia +\nMicrocephaly -\nShort +\nTremor -",
    ],
)
def test_reports_in_telegraphic_style_go_on(tools, text):
    assert only(Cleanse(), tools, text).text == text


def test_other_languages_can_be_allowed(tools):
    assert only(Cleanse(languages=("en", "es")), tools, SPANISH).text == SPANISH
    assert only(Cleanse(languages=None), tools, SPANISH).text == SPANISH
    with pytest.raises(ValueError, match="'english'"):
        Cleanse(languages=("english",))


def test_a_report_of_a_hundred_thousand_words_passes(tools):
    sentences = [f"{BODY} Visit {n}." + " Ã¶" * (n % 100 == 0) for n in range(6_000)]
    result = only(Cleanse(), tools, " ".join(sentences) + " " * 100_000)
    assert result.text == " ".join(sentences).replace("Ã¶", "ö")


def test_identifiers_do_not_count_as_words(tools):
    text = "Seen by Anna Maria Lopez Garcia Perez Smith Jones Brown"
    spans = [Span(start=8, end=len(text), label="NAME")]
    assert only(Cleanse(languages=None), tools, text, spans=spans).reason == "too_short"
    assert quality.without("a Jo b", [Span(start=2, end=4, label="NAME")]).split() == ["a", "b"]
