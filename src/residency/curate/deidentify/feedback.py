"""Feedback: people's verdicts on spans, and what they change in later runs.

In: decisions of the ledger; the texts and found spans of one patient. Out: the spans after the verdicts.

Covers: a place that a person called an identifier becomes certain, and what stands there is found everywhere in the
patient's texts; a place that a person called ordinary is left alone, as is the same text elsewhere in the patient's
documents unless its surroundings leave no doubt, and in other patients' documents where only a doubtful finding
speaks for it. Does not cover: learning new rules.

A verdict names a document by the hash of its raw text: it holds as long as the text does not change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from residency.curate.deidentify.resolve import CERTAIN, resolve
from residency.records import Decision, Document, Span

DOUBTFUL = 0.6  # a finding below this score is worth a person's look; chosen by us, see resolve.py
SPAN_VERDICT, READING = "span", "read"  # verdicts of the ledger that this module reads
_PERSON = "person"


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of a raw text with what it is: the class of an identifier, or "" for none."""

    start: int
    end: int
    label: str

    def overlaps(self, span: Span) -> bool:
        return span.start < self.end and self.start < span.end


@dataclass(frozen=True, slots=True)
class Reading:
    """One document that a person read from beginning to end: what the machine missed, and what it took for an
    identifier without being one. No text, only where it stands."""

    document: str
    who: str
    when: str
    missed: tuple[Place, ...] = ()
    wrong: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Feedback:
    """All verdicts that hold now. ``ordinary`` are texts (class, text in small letters) that are no identifiers."""

    places: Mapping[str, tuple[Place, ...]]  # raw document id -> places
    ordinary: frozenset[tuple[str, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.places)


NO_FEEDBACK = Feedback({})


def span_decision(document: str, place: Place, *, was: str) -> dict[str, str]:
    """A verdict on one span, as the fields of a Decision. ``was``: the class that the machine had given."""
    what = {"start": place.start, "end": place.end, "label": place.label, "was": was}
    return {"subject": document, "verdict": SPAN_VERDICT, "why": json.dumps(what)}


def reading_decision(document: str, missed: Iterable[Place], wrong: Iterable[Place]) -> dict[str, str]:
    """What a person found who read a whole document, as the fields of a Decision. Offsets and classes only."""
    what = {"missed": [_plain(place) for place in missed], "wrong": [_plain(place) for place in wrong]}
    return {"subject": document, "verdict": READING, "why": json.dumps(what)}


def readings(decisions: Iterable[Decision]) -> dict[str, Reading]:
    """The last reading of every document, by raw document id."""
    found: dict[str, Reading] = {}
    for decision in decisions:
        if decision.verdict == READING:
            found[decision.subject] = _reading(decision)
    return found


def judged_places(decisions: Sequence[Decision]) -> dict[str, tuple[Place, ...]]:
    """Every place that a person has judged, by raw document id; the last verdict on a place holds."""
    places: dict[str, dict[tuple[int, int], Place]] = {}
    for decision in decisions:
        if decision.verdict == SPAN_VERDICT:
            what = json.loads(decision.why)
            judged = [Place(what["start"], what["end"], what["label"])]
        elif decision.verdict == READING:
            reading = _reading(decision)
            judged = [*reading.missed, *(Place(place.start, place.end, "") for place in reading.wrong)]
        else:
            continue
        places.setdefault(decision.subject, {}).update({(place.start, place.end): place for place in judged})
    return {document: tuple(of_document.values()) for document, of_document in places.items()}


def feedback(decisions: Sequence[Decision], texts: Mapping[str, str], was: Mapping[str, Sequence[Span]]) -> Feedback:
    """The verdicts with the texts they are about. ``was`` holds the machine's spans of the same documents."""
    places = judged_places(decisions)
    ordinary = {
        (span.label, _normal(texts[document][span.start : span.end]))
        for document, judged in places.items()
        if document in texts
        for place in judged
        if not place.label
        for span in was.get(document, ())
        if place.overlaps(span)
    }
    return Feedback(places, frozenset(ordinary))


def apply_feedback(
    documents: Sequence[Document], texts: Sequence[str], found: Sequence[Sequence[Span]], told: Feedback
) -> list[list[Span]]:
    """The spans of one patient's texts after people's verdicts. ``texts`` begins with those of ``documents``."""
    if not told:
        return [list(spans) for spans in found]
    places = [told.places.get(document.id, ()) for document in documents]
    places += [()] * (len(texts) - len(places))
    identifiers = {
        (place.label, _normal(text[place.start : place.end]))
        for text, judged in zip(texts, places, strict=True)
        for place in judged
        if place.label
    }
    own = {
        _normal(text[place.start : place.end])
        for text, judged in zip(texts, places, strict=True)
        for place in judged
        if not place.label
    }
    pattern, label_of = _searched(identifiers)
    return [
        _judged(text, spans, judged, own, told.ordinary, _everywhere(text, pattern, label_of))
        for text, spans, judged in zip(texts, found, places, strict=True)
    ]


def _judged(
    text: str,
    spans: Sequence[Span],
    places: Sequence[Place],
    own: set[str],
    ordinary: frozenset[tuple[str, str]],
    known: Sequence[Span],
) -> list[Span]:
    kept = [
        span
        for span in spans
        if not any(place.overlaps(span) for place in places)
        and not (span.score < CERTAIN and _normal(text[span.start : span.end]) in own)
        and not (span.score < DOUBTFUL and (span.label, _normal(text[span.start : span.end])) in ordinary)
    ]
    certain = [
        Span(start=place.start, end=place.end, label=place.label, score=1.0, found_by=_PERSON)
        for place in places
        if place.label and place.end <= len(text)
    ]
    ruled_out = [place for place in places if not place.label]
    further = [span for span in known if not any(place.overlaps(span) for place in ruled_out)]
    return resolve(text, [*kept, *certain, *further])


def _searched(identifiers: set[tuple[str, str]]) -> tuple[re.Pattern[str] | None, dict[str, str]]:
    """One pattern of everything that a person called an identifier of this patient, longest first."""
    label_of = {value: label for label, value in sorted(identifiers) if len(value) > 1}
    if not label_of:
        return None, {}
    values = sorted(label_of, key=lambda value: (-len(value), value))
    alternatives = "|".join(r"\s+".join(map(re.escape, value.split())) for value in values)
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE), label_of


def _everywhere(text: str, pattern: re.Pattern[str] | None, label_of: Mapping[str, str]) -> list[Span]:
    if pattern is None:
        return []
    return [
        Span(start=m.start(), end=m.end(), label=label_of[_normal(m.group())], score=0.95, found_by=f"{_PERSON}:again")
        for m in pattern.finditer(text)
        if _normal(m.group()) in label_of
    ]


def _reading(decision: Decision) -> Reading:
    what = json.loads(decision.why)
    missed, wrong = (tuple(Place(*place) for place in what[name]) for name in ("missed", "wrong"))
    return Reading(decision.subject, decision.who, decision.when, missed, wrong)


def _normal(text: str) -> str:
    return " ".join(text.split()).lower()


def _plain(place: Place) -> list[Any]:
    return [place.start, place.end, place.label]
