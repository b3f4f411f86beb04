"""Boilerplate: lines at the end of reports that repeat from patient to patient and so say nothing about any of them.

In: documents. Out: ``Repeated``: which lines to remove from a text, and how many words of it are its own.

Covers: disclaimers, dictation notices, signature and print lines, learned from the documents themselves; a name that
was replaced does not make two lines different. Does not cover: sentences inside a paragraph; letterheads and titles,
which say what kind of report it is.

Not a list of phrases: every hospital has its own. And not repetition alone: "The parents are consanguineous." and
"## Past medical history" repeat as well. What is removed stands, nearly always, after the last line that a report
has for itself; it has some words beside identifiers, is no heading, list item or field, and holds no date or age. Two
rules ask the pack's terminology: a line that names a concept counts as the report's own, however often it repeats ("No
seizures were seen"), and a line of which the terminology knows every word stays ("The ventricles are normal in size.",
but not "Dictated, not read.").
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from residency.packs.terminology import Terminology
from residency.packs.words import AND, content, name_key
from residency.records import Document, Span
from residency.text import Edit

# Chosen by us on reports outside the demo, 2026-11-24.
_MIN_WORDS = 3  # a line that is removed has as many: shorter ones are headings, greetings, signatures
_MIN_AT_END = 0.8  # share of a line's occurrences that stand after the last line of the report's own
_MAX_NUMBERS = 2  # a line with more is a measurement ("BP 116/68"), and only equal numbers make it a repetition
_LONGEST_NAME = 5  # words of a concept that are looked up together; nearly every lay and medical name is shorter
_WORD = re.compile(r"[^\W\d_]{2,}")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_IDENTIFIER = re.compile(r"<[^>]*>")
_TIME = re.compile(r"<(?:date|age)", re.IGNORECASE)
_LIST_ITEM = re.compile(r"(?:[-•·>+◦▪–—]|[*.]\s|\(?\d{1,2}[.)]\s)")
_FIELD = re.compile(r"[^:]{2,40}:(?:\s+\S+){0,7}")  # "current medication: none": content, whatever its value


@dataclass(frozen=True, slots=True)
class Repeated:
    """The lines that repeat, in their folded forms."""

    familiar: frozenset[str]  # all of them, numbers folded: also headings, letterheads, lines with dates
    removable: frozenset[str] = frozenset()

    def removals(self, text: str, spans: Sequence[Span]) -> Iterator[Edit]:
        """Edits that remove the removable lines at the end of the text, with their line ends."""
        lines = list(_lines(text, spans))
        end = self.end_of(lines)
        for line in lines[end:] if end is not None else ():
            if line.form in self.removable:
                yield Edit(line.start, min(line.end + 1, len(text)), "")

    def end_of(self, lines: Sequence[_Line]) -> int | None:
        """The number of lines up to the last one of the report's own; None where it has no own line."""
        own = (number for number in range(len(lines), 0, -1) if self._is_own(lines[number - 1]))
        return next(own, None)

    def _is_own(self, line: _Line) -> bool:
        return line.words > 0 and line.loose not in self.familiar

    def own_words(self, text: str, spans: Sequence[Span]) -> int:
        """How many words the text has outside familiar lines and identifiers."""
        return sum(line.words for line in _lines(text, spans) if self._is_own(line))


NOTHING_REPEATS = Repeated(frozenset())


def repeated_lines(documents: Sequence[Document], *, patients: int, terminology: Terminology | None) -> Repeated:
    """The lines that occur with at least ``patients`` patients."""
    who: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        for line in _lines(document.text, document.spans):
            who[line.loose].add(document.patient)
    frequent = (form for form, its_patients in who.items() if form and len(its_patients) >= patients)
    repeated = Repeated(
        frozenset(form for form in frequent if terminology is None or not names_a_concept(form, terminology))
    )
    removable = _at_the_end(documents, repeated, patients)
    return Repeated(
        repeated.familiar,
        frozenset(form for form in removable if terminology is None or _has_foreign_word(form, terminology)),
    )


def _has_foreign_word(line: str, terminology: Terminology) -> bool:
    return any(word not in terminology.known_words and word != AND for word in content(_IDENTIFIER.sub(" ", line)))


def _at_the_end(documents: Sequence[Document], repeated: Repeated, patients: int) -> frozenset[str]:
    """The forms that may go and stand nearly always at the end."""
    everywhere: Counter[str] = Counter()
    at_end: Counter[str] = Counter()
    who: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        lines = list(_lines(document.text, document.spans))
        end = repeated.end_of(lines)
        if end is None:
            continue  # a page without own lines has no end, and tells nothing about where lines stand
        for line in filter(_may_go, lines):
            everywhere[line.form] += 1
            who[line.form].add(document.patient)
        at_end.update(line.form for line in lines[end:])
    return frozenset(
        form for form, count in everywhere.items() if len(who[form]) >= patients and at_end[form] >= count * _MIN_AT_END
    )


def _may_go(line: _Line) -> bool:
    kept = _TIME.search(line.form) or _LIST_ITEM.match(line.form) or _FIELD.fullmatch(line.form)
    return not kept and line.words >= _MIN_WORDS


def names_a_concept(line: str, terminology: Terminology) -> bool:
    """Whether neighboring words of the line are a name of a concept, in any order."""
    words = content(_IDENTIFIER.sub(" ", line))
    return any(
        name_key(" ".join(words[start:end])) in terminology.keys
        for start in range(len(words))
        for end in range(start + 1, min(start + _LONGEST_NAME, len(words)) + 1)
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """One line. ``form``: letter case and white space folded, identifiers by their label."""

    start: int
    end: int  # without the line end
    form: str
    loose: str  # the form with numbers folded, where it is no measurement
    words: int  # outside identifiers


def _lines(text: str, spans: Sequence[Span]) -> Iterator[_Line]:
    ordered = sorted(spans, key=lambda span: (span.start, span.end))
    start = 0
    for line in text.split("\n"):
        end = start + len(line)
        pieces, done = [], start
        for span in ordered:
            if span.start < end and span.end > done:
                pieces += [text[done : max(span.start, done)], f"<{span.label}>"]
                done = min(span.end, end)
        pieces.append(text[done:end])
        form = " ".join("".join(pieces).casefold().split())
        loose = _NUMBER.sub("0", form) if len(_NUMBER.findall(form)) <= _MAX_NUMBERS else form
        yield _Line(start, end, form, loose, len(_WORD.findall(_IDENTIFIER.sub(" ", form))))
        start = end + 1
