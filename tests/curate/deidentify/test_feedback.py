"""What people said comes back in later runs."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from residency.curate.deidentify.feedback import (
    NO_FEEDBACK,
    Feedback,
    Place,
    apply_feedback,
    feedback,
    judged_places,
    reading_decision,
    readings,
    span_decision,
)
from residency.records import Decision, Document, Source, Span

TEXT = "Seen with Marfan. The girl Zeph came with Marfan habitus; zeph slept."


def document(key: str = "d1", text: str = TEXT) -> Document:
    return Document(id=key, key=key, text=text, source=Source(path="x"), patient="p1")


def decision(fields: dict[str, str], number: int = 1) -> Decision:
    return Decision(id=f"v{number}", who="Pat", when=f"2026-11-24T10:00:{number:02}", **fields)


def place(part: str, label: str, text: str = TEXT) -> Place:
    start = text.index(part)
    return Place(start, start + len(part), label)


def span(part: str, score: float, label: str = "NAME", text: str = TEXT) -> Span:
    start = text.index(part)
    return Span(start=start, end=start + len(part), label=label, score=score, found_by="x")


def marked(spans: list[Span], text: str = TEXT) -> list[str]:
    return [text[s.start : s.end] for s in spans]


def test_what_was_missed_becomes_certain_everywhere_in_the_patients_texts() -> None:
    told = Feedback({"d1": (place("Zeph", "NAME"),)})
    other = document("d2", "ZEPH was well.")
    first, second = apply_feedback([document(), other], [TEXT, other.text], [[], []], told)
    assert marked(first) == ["Zeph", "zeph"]
    assert first[0].score == 1.0 and first[0].found_by == "person"
    assert marked(second, other.text) == ["ZEPH"]


def test_another_patients_texts_are_left_alone() -> None:
    told = Feedback({"d1": (place("Zeph", "NAME"),)})
    assert apply_feedback([document("d9")], [TEXT], [[]], told) == [[]]


def test_a_rejected_span_goes_there_and_where_only_doubt_speaks_for_it() -> None:
    told = Feedback({"d1": (place("Marfan", ""),)})
    again = Span(start=TEXT.rindex("Marfan"), end=TEXT.rindex("Marfan") + 6, label="NAME", score=0.55, found_by="x")
    assert apply_feedback([document()], [TEXT], [[span("Marfan", 0.99), again]], told) == [[]]


def test_a_rejection_does_not_hide_a_certain_finding_elsewhere() -> None:
    text = "Marfan habitus. Dr. Marfan wrote."
    told = Feedback({"d1": (Place(0, 6, ""),)})
    certain = Span(start=20, end=26, label="NAME", score=0.95, found_by="x")
    [kept] = apply_feedback([document(text=text)], [text], [[certain]], told)
    assert kept == [certain]


def test_in_other_patients_documents_a_rejection_counts_against_doubtful_findings_only() -> None:
    decisions = [decision(span_decision("d1", place("Marfan", ""), was="NAME"))]
    told = feedback(decisions, {"d1": TEXT}, {"d1": [span("Marfan", 0.55)]})
    assert told.ordinary == {("NAME", "marfan")}
    other = document("d9", "Marfan syndrome; Mr Marfan.")
    doubtful = Span(start=0, end=6, label="NAME", score=0.55, found_by="spacy")
    certain = Span(start=20, end=26, label="NAME", score=0.95, found_by="cue")
    assert apply_feedback([other], [other.text], [[doubtful, certain]], told) == [[certain]]


def test_a_relabeled_span_has_the_class_that_the_person_gave() -> None:
    told = Feedback({"d1": (place("Zeph", "LOCATION"),)})
    [spans] = apply_feedback([document()], [TEXT], [[span("Zeph", 0.9)]], told)
    assert {s.label for s in spans} == {"LOCATION"}


def test_the_last_verdict_on_a_place_holds_and_all_are_kept() -> None:
    first = decision(span_decision("d1", place("Zeph", ""), was="NAME"), 1)
    second = decision(span_decision("d1", place("Zeph", "NAME"), was="NAME"), 2)
    assert judged_places([first, second])["d1"] == (place("Zeph", "NAME"),)


def test_a_decision_holds_places_and_no_text() -> None:
    fields = reading_decision("d1", [place("Zeph", "NAME")], [place("Marfan", "NAME")])
    assert "Zeph" not in json.dumps(fields) and "Marfan" not in json.dumps(fields)
    [reading] = readings([decision(fields)]).values()
    assert reading.missed == (place("Zeph", "NAME"),) and reading.who == "Pat"


def test_decisions_about_other_things_are_not_taken_for_verdicts_on_spans() -> None:
    other = Decision(id="v", subject="p-1", who="Ann", when="2026", verdict="correct")
    assert judged_places([other]) == {} and readings([other]) == {}


@given(
    st.text(alphabet="ab Zé\n", min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 29), st.integers(1, 8), st.sampled_from(["NAME", "", "MRN"])), max_size=4),
    st.lists(st.tuples(st.integers(0, 29), st.integers(1, 8), st.floats(0.5, 1)), max_size=4),
)
def test_spans_stay_within_the_text_and_apart(text: str, judged: list, found: list) -> None:
    places = tuple(Place(a, min(a + n, len(text)), label) for a, n, label in judged if a < len(text))
    spans: list[Span] = []
    for start, length, score in sorted(found):
        if start < len(text) and (not spans or spans[-1].end <= start):
            spans.append(Span(start=start, end=min(start + length, len(text)), label="NAME", score=score))
    [result] = apply_feedback([document(text=text)], [text], [spans], Feedback({"d1": places}))
    assert all(0 <= s.start < s.end <= len(text) for s in result)
    assert all(one.end <= two.start for one, two in pairwise(result))
    assert apply_feedback([document(text=text)], [text], [spans], NO_FEEDBACK) == [spans]
