"""Repairs change what is broken and nothing else; spans stay on their text; nothing disappears without a reason."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.curate.cleanse import Cleanse, quality, repair
from residency.curate.cleanse.boilerplate import names_a_concept, repeated_lines
from residency.curate.cleanse.lines import form_hash
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
        ("empty_fields", "ROS: .nonefilled\n@CAPHE@\nFever: .5\n@home since May", "Fever: .5\n@home since May"),
        ("spoken_punctuation", "ataxia comma floppy period She walks full stop", "ataxia, floppy. She walks."),
        ("spoken_punctuation", "Ataxia full stop new paragraph Plan colon rest comma eeg FULL STOP",
         "Ataxia.\n\nPlan: rest, eeg."),
        ("spoken_punctuation", "born at term comma ill in the neonatal period full stop Well period Seen full stop",
         "born at term, ill in the neonatal period. Well. Seen."),
        ("spoken_punctuation", "well in this period comma ill in the period full stop",
         "well in this period, ill in the period."),
        ("spoken_punctuation", "in the neonatal period she was ill comma well now comma",
         "in the neonatal period she was ill, well now,"),
        ("spoken_punctuation", "ill in infancy period full stop well comma", "ill in infancy period. well,"),
        ("spoken_punctuation", "of the colon comma seen full\nstop Twice comma", "of the colon, seen. Twice,"),
        ("spoken_punctuation", "The period was short. One comma", "The period was short. One comma"),
        ("copied_paragraphs", "He walks and talks and eats.\n\nPlan\n\nhe walks and  talks and eats.\nPlan",
         "He walks and talks and eats.\n\nPlan\n\nhe walks and  talks and eats.\nPlan"),
        ("copied_paragraphs", "He walks, talks, eats now.\n\nPlan\n\n-- old --\nhe walks, talks,\neats now.\nPlan",
         "He walks, talks, eats now.\n\nPlan\n\n-- old --\nhe walks, talks,\neats now.\nPlan"),
        ("copied_paragraphs", "He walks, talks and eats now.\n\n-- old --\nhe walks, talks\nand eats now.\n\nPlan",
         "He walks, talks and eats now.\n\n\n\nPlan"),
        ("copied_paragraphs", "Seizures: no\n\nTremor\n\nSeizures: no", "Seizures: no\n\nTremor\n\nSeizures: no"),
        ("copied_paragraphs", "S: He walks and talks, eats.\n\n[copied forward] S: He walks and talks, eats.",
         "S: He walks and talks, eats.\n\n"),
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


def written_small(text, acronyms=("mri",), replaced=()):
    return apply_edits(text, repair.capitals(text, set(acronyms).__contains__, replaced))[0]


def test_lines_in_capitals_become_sentences_and_acronyms_stay():
    assert written_small("SHE HAS ATAXIA. AN MRI IS PLANNED.\n* I SAW HIM") == (
        "She has ataxia. An MRI is planned.\n* I saw him"
    )


def test_replaced_names_in_capitals_stay_and_so_do_short_lines_and_codes_of_a_mixed_text():
    text = "SEEN BY ANNA TODAY. SHE HAS ATAXIA.\nPLAN\nA mixed line with MRI and EEG and CSF"
    assert written_small(text, replaced=[(8, 12)]) == (
        "Seen by ANNA today. She has ataxia.\nPLAN\nA mixed line with MRI and EEG and CSF"
    )


def test_units_and_codes_in_a_line_of_capitals_stay():
    assert written_small("T2 AND SPO2 WERE WELL BUT THE PRESSURE WAS 120 mmHg AND ABC/DEF") == (
        "T2 and SPO2 were well but the pressure was 120 mmHg and ABC/DEF"
    )


def test_what_is_an_acronym_is_learned_from_the_lines_of_other_reports(tools):
    body = "She had an MRI of the brain and her ataxia was worse than in spring."
    caps = "THE MRI WAS NORMAL AND THE ATAXIA AND HER DYSTONIA WERE BETTER."
    results = {r.key: r for r in Cleanse()([document(body, "a"), document(caps, "b")], tools)}
    assert results["b"].text == "The MRI was normal and the ataxia and her dystonia were better."
    assert results["a"].text == body


# --- spans ------------------------------------------------------------------------------------------------------

_MESS = st.sampled_from(
    [
        "ataxia",
        "Ã¶",
        "ﬁ",
        "  ",
        "\n",
        "\r\n",
        "\n\n\n",
        "\t",
        "\u200b",
        "-",
        "Dr",
        "seizure,",
        "\nAllergies: ___\n",
        " comma ",
        " full stop ",
        " period ",
        "SHE",
        " HAS MRI.",
        "--- note ---\n",
    ]
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
    tools = Tools(key=bytes(32), seed=1, pack=Pack(None, PackSettings(name="n", title="n", about="n")))
    step = Cleanse(boilerplate=False, languages=None, min_words=1)
    result = only(step, tools, text, spans=spans, findings=findings)
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
    step = step.model_copy(update={"capitals": False})  # what was dropped taught it acronyms
    kept = [result for result in step(documents, tools) if isinstance(result, Document)]
    assert [d.text for d in step(kept, tools) if isinstance(d, Document)] == [d.text for d in kept]


@given(st.lists(_MESS, max_size=30).map("".join), st.sets(st.sampled_from(["mri", "she", "has"])))
def test_writing_capitals_small_keeps_every_length_and_happens_once(text, acronyms):
    small = written_small(text, acronyms)
    assert len(small) == len(text) and small.casefold() == text.casefold()
    assert written_small(small, acronyms) == small


def test_a_finding_whose_line_goes_is_gone_and_one_without_a_place_stays(tools):
    text = f"{BODY}\nAllergies: ____"
    gone = Finding(concept="a", label="a", status=Status.PRESENT, start=text.index("Allergies"), end=len(text))
    placeless = Finding(concept="b", label="b", status=Status.PRESENT)
    result = only(Cleanse(languages=None), tools, text, findings=[gone, placeless])
    assert result.findings == (placeless,)


def test_everything_can_be_switched_off(tools):
    text = f"  Ã¶  and ﬁ \n\n\n\nAllergies: ___\n{BODY}\n\n{BODY.upper()} FULL STOP\n\n{BODY} new line comma full stop"
    step = Cleanse(
        encoding=False, whitespace=False, hard_wraps=False, empty_fields=False, spoken_punctuation=False,
        copied_paragraphs=False, capitals=False, boilerplate=False, truncated=False, languages=None,
    )  # fmt: skip
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
    assert repeated.removable == {form_hash(DISCLAIMER.casefold())}
    assert form_hash(names_one.casefold()) not in repeated.familiar
    assert form_hash(knows_all.casefold()) in repeated_lines(documents, patients=5, terminology=None).removable


def test_documents_that_can_be_read_again_are_not_held(tools):
    class Files:
        """Counts how often it is read."""

        reads = 0

        def __iter__(self):
            self.reads += 1
            yield from crowd(DISCLAIMER)

    files = Files()
    assert [result.text for result in Cleanse()(files, tools)] == bodies(6)
    assert files.reads == 2
    assert [result.text for result in Cleanse()(iter(crowd(DISCLAIMER)), tools)] == bodies(6)


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


def complete_reports(size=120):
    rng = random.Random(4)
    lines = [f"The child {' '.join(rng.choices(WORDS, k=6))} today." for _ in range(3 * size)]
    return [
        document("\n".join([*lines[n * 3 : n * 3 + 3], f"Plan: {rng.choice(WORDS)} and come back"]), key=f"full{n}")
        for n in range(size)
    ]


def test_a_short_report_that_does_not_end_as_the_others_end_is_dropped_as_truncated(tools):
    cut = document("The child walks and talks and sleeps today.\nThe child eats and pla", key="cut")
    short = document("The child walks and talks and sleeps and eats well.\nPlan: talks and come back", key="short")
    ended = document("The child walks and talks and sleeps and eats.\nPlan: talks and hops and come back", key="ended")
    results = {r.key: r for r in Cleanse(languages=None)([*complete_reports(), cut, short, ended], tools)}
    assert {key: r.reason for key, r in results.items() if isinstance(r, Dropped)} == {"cut": "truncated"}
    assert isinstance(only(Cleanse(languages=None), tools, cut.text), Document), "one report does not tell how they end"
    kept = Cleanse(languages=None, truncated=False)([*complete_reports(), cut], tools)
    assert all(isinstance(result, Document) for result in kept)


def test_copies_of_one_patient_are_no_boilerplate(tools):
    copies = [document(BODY, key=str(n), patient="p") for n in range(9)]
    assert [result.text for result in Cleanse()(copies, tools)] == [BODY] * 9


def test_a_label_does_not_save_a_page_of_closing_lines(tools):
    closing = "Some {} minutes were spent with the family"
    full = [document(f"{body}\n{DISCLAIMER}\n{closing.format(n)}", key=str(n)) for n, body in enumerate(bodies(12))]
    page = replace(document(f"{closing.format(77)}\n{DISCLAIMER}", key="page"), answers={"diagnosis": "none"})
    results = {result.key: result for result in Cleanse(truncated=False)([*full, page], tools)}
    assert {key: r.reason for key, r in results.items() if isinstance(r, Dropped)} == {"page": "boilerplate_only"}


def test_equal_normal_reports_stay_where_experts_labeled_them(tools):
    normal = [replace(document(BODY, key=str(n)), answers={"diagnosis": "none"}) for n in range(9)]
    assert [result.text for result in Cleanse()(normal, tools)] == [BODY] * 9


@pytest.mark.parametrize(
    "text",
    [
        BODY,
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
