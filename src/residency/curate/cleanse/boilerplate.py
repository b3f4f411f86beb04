"""Boilerplate: lines at the end of reports that repeat from patient to patient and so say nothing about any of them.

In: documents. Out: ``Repeated``: which lines to remove from a text, how many words of it are its own, and whether it
breaks off.

Covers: disclaimers, dictation notices, signature and print lines, learned from the documents themselves; a name that
was replaced does not make two lines different. Does not cover: sentences inside a paragraph; letterheads and titles,
which say what kind of report it is; long reports that break off.

Not a list of phrases: every hospital has its own. And not repetition alone: "The parents are consanguineous." and
"## Past medical history" repeat as well. What is removed stands, nearly always, after the last line that a report
has for itself; it has some words beside identifiers, is no heading, list item or field, and holds no date or age. Two
rules ask the pack's terminology: a line that names a concept counts as the report's own, however often it repeats ("No
seizures were seen"), and a line of which the terminology knows every word stays ("The ventricles are normal in size.",
but not "Dictated, not read.").
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from residency.curate.cleanse.habits import Casing, Endings
from residency.curate.cleanse.lines import IDENTIFIER, Line, form_hash, lines_of
from residency.packs.terminology import Terminology
from residency.packs.words import AND, content, name_key
from residency.records import Document, Span
from residency.text import Edit

# Chosen by us on reports outside the demo, 2026-11-24.
_MIN_WORDS = 3  # a line that is removed has as many: shorter ones are headings, greetings, signatures
_MIN_AT_END = 0.8  # share of a line's occurrences that stand after the last line of the report's own
_LONGEST_NAME = 5  # words of a concept that are looked up together; nearly every lay and medical name is shorter
# When a report is cut off. Chosen by us on the development half of the planted defects, 2026-11-24.
_CUT_WORDS = 32  # words of its own; a report that was cut later still says something, and goes on
_MAX_ODDS = -0.2  # of its last line being a last line; complete reports of so few words have 0 and more
_HEADER_WORDS = 7  # a text with so few is a letterhead and a beginning ...
_MAX_ODDS_HEADER = 1.0  # ... unless its last line is clearly a last one
_COUNTERS = 2**22  # bytes; many kinds of lines sharing one only keep more texts than needed

Numbers = npt.NDArray[Any]

_TIME = re.compile(r"<(?:date|age)", re.IGNORECASE)
_LIST_ITEM = re.compile(r"(?:[-•·>+◦▪–—]|[*.]\s|\(?\d{1,2}[.)]\s)")
_FIELD = re.compile(r"[^:]{2,40}:(?:\s+\S+){0,7}")  # "current medication: none": content, whatever its value


@dataclass(frozen=True, slots=True)
class Repeated:
    """The lines that repeat, by the hashes of their folded forms."""

    familiar: frozenset[int]  # all of them, numbers folded: also headings, letterheads, lines with dates
    removable: frozenset[int] = frozenset()
    closing: frozenset[int] = frozenset()  # what stands at the end whatever its numbers: "time spent: 48 min"
    endings: Endings | None = None
    casing: Casing | None = None

    def removals(self, text: str, spans: Sequence[Span]) -> Iterator[Edit]:
        """Edits that remove the removable lines at the end of the text, with their line ends."""
        lines = list(lines_of(text, spans))
        end = self.end_of(lines)
        for line in lines[end:] if end is not None else ():
            if form_hash(line.form) in self.removable:
                yield Edit(line.start, min(line.end + 1, len(text)), "")

    def end_of(self, lines: Sequence[Line]) -> int | None:
        """The number of lines up to the last one of the report's own; None where it has no own line."""
        own = (number for number in range(len(lines), 0, -1) if self.is_own(lines[number - 1]))
        return next(own, None)

    def is_own(self, line: Line) -> bool:
        return line.words > 0 and form_hash(line.loose) not in self.familiar

    def own_words(self, text: str, spans: Sequence[Span]) -> int:
        """How many words the text has outside familiar lines and identifiers."""
        return sum(line.words for line in lines_of(text, spans) if self.is_own(line))

    def report_words(self, text: str, spans: Sequence[Span]) -> int:
        """How many words the text has that a report may consist of, be they its own or those of every normal report:
        outside lines that close reports, and outside familiar lines with an identifier, such as letterheads."""
        return sum(line.words for line in lines_of(text, spans) if self.is_own(line) or self._may_be_normal(line))

    def _may_be_normal(self, line: Line) -> bool:
        closes = form_hash(line.loose) in self.closing or line.words < _MIN_WORDS  # "page 1 of 3", "social history:"
        return not closes and not IDENTIFIER.search(line.form)

    def is_cut_off(self, text: str, spans: Sequence[Span]) -> bool:
        """Whether the text says little and does not end as reports end."""
        lines = [line for line in lines_of(text, spans) if line.form]
        if self.endings is None or not lines or not self.is_own(lines[-1]):
            return False  # it ends with a line that many reports have
        own = sum(line.words for line in lines if self.is_own(line))
        odds = self.endings.log_odds(lines[-1].form)
        return (own <= _HEADER_WORDS and odds < _MAX_ODDS_HEADER) or (own <= _CUT_WORDS and odds < _MAX_ODDS)


NOTHING_REPEATS = Repeated(frozenset())


def repeated_lines(documents: Iterable[Document], *, patients: int, terminology: Terminology | None) -> Repeated:
    """The lines that occur with at least ``patients`` patients. Documents are read once, and no text is kept but that
    of lines which occur as often."""
    seen = _Seen(patients)
    endings, casing = Endings(), Casing()
    for document in documents:
        lines = list(lines_of(document.text, document.spans))
        seen.add(document.patient, lines)
        endings.learn(lines)
        casing.learn(document.text)
    frequent = seen.with_patients(seen.loose, np.ones(len(seen.loose), dtype=np.bool_))
    familiar = frozenset(
        form for form in frequent if terminology is None or not names_a_concept(seen.texts[form], terminology)
    )
    removable, closing = (
        frozenset(
            form
            for form in seen.at_the_end(familiar, forms)
            if terminology is None or _has_foreign_word(seen.texts[form], terminology)
        )
        for forms in (seen.form, seen.loose)
    )
    return Repeated(familiar, removable, closing, endings, casing)


class _Seen:
    """Every line that was seen, as two hashes, the numbers of its patient and document and two small facts: 26
    bytes, not its text.

    A line's text is written down when a line of its kind is seen for the ``patients``-th time. Kinds are counted in a
    small table that several may share: some texts too many are kept, and none too few.
    """

    def __init__(self, patients: int) -> None:
        self.patients = patients
        self.texts: dict[int, str] = {}
        self._times = bytearray(_COUNTERS)
        self._number: dict[str, int] = {}  # patient -> number
        self._loose, self._form = array("Q"), array("Q")
        self._patient, self._document = array("I"), array("I")
        self._words, self._may_go = array("B"), array("B")
        self._documents = 0

    def add(self, patient: str, lines: Iterable[Line]) -> None:
        """One document. Empty lines say nothing."""
        number = self._number.setdefault(patient, len(self._number))
        for line in lines:
            if line.form:
                self._loose.append(self._hashed(line.loose))
                self._form.append(self._hashed(line.form))
                self._patient.append(number)
                self._document.append(self._documents)
                self._words.append(min(line.words, 255))
                self._may_go.append(_may_go(line))
        self._documents += 1

    def _hashed(self, form: str) -> int:
        value = form_hash(form)
        cell = value % _COUNTERS
        self._times[cell] = min(self._times[cell] + 1, 255)
        if self._times[cell] >= min(self.patients, 255):
            self.texts.setdefault(value, form)
        return value

    @property
    def loose(self) -> Numbers:
        return np.array(self._loose, dtype=np.uint64)

    @property
    def form(self) -> Numbers:
        return np.array(self._form, dtype=np.uint64)

    def with_patients(self, forms: Numbers, chosen: Numbers) -> frozenset[int]:
        """Which of the chosen lines' forms occur with enough patients."""
        pairs = np.stack([forms[chosen], np.array(self._patient, dtype=np.uint64)[chosen]], axis=1)
        values, counts = np.unique(np.unique(pairs, axis=0)[:, 0], return_counts=True)
        return frozenset(map(int, values[counts >= self.patients]))

    def at_the_end(self, familiar: frozenset[int], forms: Numbers) -> frozenset[int]:
        """Those of the lines' ``forms`` that may go and stand nearly always after the last own line of a report.

        A page without own lines has no end, and tells nothing about where lines stand."""
        known = np.array(sorted(familiar), dtype=np.uint64)
        own = (np.array(self._words) > 0) & ~np.isin(self.loose, known)
        document = np.array(self._document, dtype=np.int64)
        last = np.full(self._documents, -1, dtype=np.int64)  # (documents,), the place of the last own line
        np.maximum.at(last, document[own], np.flatnonzero(own))
        end = last[document]  # (lines,)
        counted = (end >= 0) & (np.array(self._may_go) > 0)
        values, back, everywhere = np.unique(forms[counted], return_inverse=True, return_counts=True)
        behind = np.bincount(back[np.flatnonzero(counted) > end[counted]], minlength=len(values))
        enough = self.with_patients(forms, counted)
        return frozenset(int(v) for v in values[behind >= everywhere * _MIN_AT_END] if int(v) in enough)


def _has_foreign_word(line: str, terminology: Terminology) -> bool:
    return any(word not in terminology.known_words and word != AND for word in content(IDENTIFIER.sub(" ", line)))


def _may_go(line: Line) -> bool:
    kept = _TIME.search(line.form) or _LIST_ITEM.match(line.form) or _FIELD.fullmatch(line.form)
    return not kept and line.words >= _MIN_WORDS


def names_a_concept(line: str, terminology: Terminology) -> bool:
    """Whether neighboring words of the line are a name of a concept, in any order."""
    words = content(IDENTIFIER.sub(" ", line))
    return any(
        name_key(" ".join(words[start:end])) in terminology.keys
        for start in range(len(words))
        for end in range(start + 1, min(start + _LONGEST_NAME, len(words)) + 1)
    )
