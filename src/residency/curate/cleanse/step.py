"""The step cleanse: each text repaired, what repeats removed, what is no report dropped.

In: de-identified documents. Out: each of them, repaired where needed, or ``Dropped``: "empty", "garbled",
"other_language", "truncated", "too_short", "boilerplate_only".

Covers: the order of the repairs, and carrying spans and findings through them. Does not cover: the repairs
themselves (repair.py), what repeats (boilerplate.py), what counts as a report (quality.py).

What repeats is known after the last document only, so documents are read twice: hand over something that can be (a
list, an object with ``__iter__``) and no text is held, some hundred bytes a report of hashes and counts aside; a
generator is taken in whole. It runs after de-identification: replaced names no longer make equal lines look different.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from pydantic import Field, field_validator

from residency.curate.cleanse import quality, repair
from residency.curate.cleanse.boilerplate import NOTHING_REPEATS, Repeated, repeated_lines
from residency.curate.step import Step, Tools, readable_again
from residency.packs.terminology import load_terminology
from residency.packs.units import Units, load_units
from residency.records import Document, Dropped
from residency.text import Edit, OffsetMap, apply_edits


class Cleanse(Step):
    """Repairs texts and drops what is no report."""

    step: Literal["cleanse"] = "cleanse"
    encoding: bool = Field(default=True, description="repair mojibake and ligatures")
    whitespace: bool = Field(default=True, description="one space between words, one empty line between paragraphs")
    hard_wraps: bool = Field(default=True, description="rejoin lines that were wrapped at a fixed width")
    empty_fields: bool = Field(default=True, description="remove template lines that nobody filled in")
    spoken_punctuation: bool = Field(default=True, description="write dictated 'comma' and 'full stop' as , and .")
    copied_paragraphs: bool = Field(default=True, description="remove paragraphs that a report has for the second time")
    capitals: bool = Field(
        default=True, description="write lines in capitals as sentences; acronyms are learned from the other reports"
    )
    units: bool = Field(default=True, description="write units of measurement one way, by the pack's table")
    boilerplate: bool = Field(default=True, description="remove lines at the end that repeat from patient to patient")
    boilerplate_patients: int = Field(
        default=5, ge=2, description="with how many patients a line must occur to count as boilerplate"
    )
    truncated: bool = Field(
        default=True, description="drop reports that say little and break off; learned from how the others end"
    )
    languages: tuple[str, ...] | None = Field(
        default=("en",), description="languages that go on, as ISO 639-1 codes; null: all"
    )
    min_words: int = Field(default=8, ge=1, description="fewest words, identifiers not counted, that make a report")

    @field_validator("languages")
    @classmethod
    def _known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value == ("en",):
            return value  # the default: asking the model which languages it knows would load it for nothing
        unknown = [code for code in value or () if code not in quality.known_languages()]
        if unknown:
            raise ValueError(f"no language is known by the code {unknown[0]!r}; use ISO 639-1, e.g. en, de, fr")
        return value

    def __call__(self, documents: Iterable[Document], tools: Tools) -> Iterator[Document | Dropped]:
        documents = readable_again(documents)
        repeated = self.learn(documents, tools)
        for document in documents:
            yield self.treat(document, repeated, tools)

    def learn(self, documents: Iterable[Document], tools: Tools) -> Repeated:
        """What repeats among the documents, how they end and which acronyms they use."""
        return self._repeated(map(self._repair, documents), tools)

    def treat(self, original: Document, repeated: Repeated, tools: Tools) -> Document | Dropped:
        """One document, by what was learned from all of them; it need not be one of them."""
        document = self._repair(original)
        reason, detail = self._reason_to_drop(document, repeated)
        if reason:
            return self.drop(original, reason, detail)
        return self._standardized(self._without_repeats(document, repeated), load_units(tools.pack))

    def _standardized(self, document: Document, units: Units) -> Document:
        """Last, when capitals are gone: "MG" is written as "mg" by then or by this."""
        return _edited(document, *repair.units(document.text, units)) if self.units else document

    def _without_repeats(self, document: Document, repeated: Repeated) -> Document:
        if self.boilerplate:
            document = _edited(document, *repeated.removals(document.text, document.spans))
        if self.capitals and repeated.casing is not None:
            replaced = [(span.start, span.end) for span in document.spans]
            document = _edited(document, *repair.capitals(document.text, repeated.casing.is_acronym, replaced))
        for edits in self._last_repairs():
            document = _edited(document, *edits(document.text))
        return document

    def _repair(self, document: Document) -> Document:
        for edits in self._repairs():
            document = _edited(document, *edits(document.text))
        if self.hard_wraps:
            replaced = [(span.start, span.end) for span in document.spans]
            document = _edited(document, *repair.hard_wraps(document.text, replaced))
        for edits in self._late_repairs():
            document = _edited(document, *edits(document.text))
        return document

    def _late_repairs(self) -> Iterator[repair.Repair]:
        """What must see whole paragraphs."""
        if self.spoken_punctuation:
            yield repair.spoken_punctuation
        if self.copied_paragraphs:
            yield repair.copied_paragraphs
        if self.whitespace:
            yield repair.empty_lines

    def _repairs(self) -> Iterator[repair.Repair]:
        """Encoding first: the later repairs look for the characters that it brings back."""
        if self.encoding:
            yield from (repair.encoding, repair.ligatures)
        if self.whitespace:
            yield from (repair.line_ends, repair.invisible, repair.spaces)
        if self.empty_fields:
            yield repair.empty_fields
        if self.whitespace:
            yield repair.empty_lines

    def _last_repairs(self) -> Iterator[repair.Repair]:
        """What removing lines makes necessary again."""
        if self.empty_fields:
            yield repair.empty_fields
        if self.whitespace:
            yield repair.empty_lines

    def _repeated(self, documents: Iterable[Document], tools: Tools) -> Repeated:
        if not (self.boilerplate or self.truncated or self.capitals):
            return NOTHING_REPEATS
        terminology = load_terminology(tools.pack) if tools.pack.settings.terminology else None
        return repeated_lines(documents, patients=self.boilerplate_patients, terminology=terminology)

    def _reason_to_drop(self, repaired: Document, repeated: Repeated) -> tuple[str, str]:
        """Reason and detail; two empty words for a document that goes on."""
        return self._unreadable(repaired) or self._says_too_little(repaired, repeated) or ("", "")

    def _unreadable(self, repaired: Document) -> tuple[str, str] | None:
        """Why the text is no text, or none that the project reads."""
        if not repaired.text.strip():
            return "empty", ""
        words = quality.without(repaired.text, repaired.spans)
        if quality.wordlike_share(words) < quality.MIN_WORDLIKE:
            return "garbled", f"{quality.wordlike_share(words):.0%} of its tokens are words"
        code, probability = quality.language(words) if self.languages is not None else ("", 0.0)
        if code and code not in (self.languages or ()) and probability >= quality.MIN_OTHER_LANGUAGE:
            return "other_language", code
        return None

    def _says_too_little(self, repaired: Document, repeated: Repeated) -> tuple[str, str] | None:
        """Why the text has nothing, or too little, to say about its patient."""
        own = repeated.own_words(repaired.text, repaired.spans)
        if self.truncated and repeated.is_cut_off(repaired.text, repaired.spans):
            return "truncated", f"{own} words of its own"
        if quality.word_count(quality.without(repaired.text, repaired.spans)) < self.min_words:
            return "too_short", ""
        if not self.boilerplate:
            return None
        if any(
            repaired.answers.values()
        ):  # the experts found something to say: it may be a normal report, word for word
            own = repeated.report_words(repaired.text, repaired.spans)
        return ("boilerplate_only", f"{own} words of its own") if own < self.min_words else None


def _edited(document: Document, *edits: Edit) -> Document:
    """The document after the edits, with its spans and findings in their new places; what vanished goes with it."""
    if not edits:
        return document
    text, offsets = apply_edits(document.text, edits)
    spans = ((span, *offsets.forward(span.start, span.end)) for span in document.spans)
    return replace(
        document,
        text=text,
        spans=tuple(replace(span, start=start, end=end) for span, start, end in spans if start < end),
        findings=tuple(
            replace(finding, start=place[0], end=place[1])
            for finding in document.findings
            if (place := _carried(offsets, finding.start, finding.end)) is not None
        ),
    )


def _carried(offsets: OffsetMap, start: int | None, end: int | None) -> tuple[int | None, int | None] | None:
    """The new place of a finding; None where its text is gone. A finding without a place stays without one."""
    if start is None or end is None:
        return start, end
    place = offsets.forward(start, end)
    return place if place[0] < place[1] else None
