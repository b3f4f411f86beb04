"""Augmentation: more ways of writing the same training text.

In: a document with its findings, the pack, a seed. Out: copies of it, written differently, with the same findings and
answers.

Covers: other names of the same concept, abbreviations, the order of sections, capitals throughout, typing mistakes.
Every kind of change is read again: it stays only if exactly the same findings with the same status stand where the
edits have moved them, so that spans and labels are exact and not merely likely to be. Does not cover: new facts
(that would be synthesis); text that is held out (the story augments training patients only).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random
from re import finditer

from pydantic import Field

from residency.curate.extract import Reader, find, load_reader
from residency.packs import Pack
from residency.packs.terminology import Terminology, load_terminology
from residency.records import Document, Finding, record_id
from residency.settings import Settings
from residency.text import Edit, apply_edits

_SHORTEST_TYPO = 5  # letters; shorter words become other words too easily


class Augment(Settings):
    """How often, and how strongly, a training text is written differently."""

    copies: int = Field(default=1, ge=1, le=20, description="versions of each training document, beside itself, count")
    names: float = Field(default=0.3, ge=0, le=1, description="mentions written by another name of the concept, ratio")
    sections: float = Field(default=0.3, ge=0, le=1, description="versions whose sections change places, ratio")
    capitals: float = Field(default=0.05, ge=0, le=1, description="versions in capitals throughout, ratio")
    typos: float = Field(default=0.01, ge=0, le=0.2, description="words with two letters exchanged, ratio")


def augment(document: Document, settings: Augment, pack: Pack, *, seed: int) -> Iterator[Document]:
    """The versions of one document; one that came out equal to an earlier one is left out."""
    reader, terminology = load_reader(pack), load_terminology(pack)
    seen = {document.text}
    for number in range(settings.copies):
        random = Random(f"{seed}:{number}:{document.id}")
        version = _version(document, settings, reader, terminology, random)
        if version.text not in seen:
            seen.add(version.text)
            yield replace(
                version,
                id=record_id("d", augmented=document.id, text=version.text),
                parents=(document.id, *document.parents),
            )


def _version(
    document: Document, settings: Augment, reader: Reader, terminology: Terminology, random: Random
) -> Document:
    changes: list[Callable[[Document], Document]] = [
        lambda d: _edited(d, _other_names(d, terminology, settings.names, random)),
        lambda d: _edited(d, _typos(d, settings.typos, random)),
    ]
    if random.random() < settings.sections:
        changes.append(lambda d: _reordered(d, random))
    if random.random() < settings.capitals:
        changes.append(_in_capitals)
    # What the reader reads in the original is what every version must say; the document's own findings may be gold.
    known = replace(document, findings=find(document.text, reader))
    for change in changes:
        changed = change(known)
        if _facts(find(changed.text, reader)) == _facts(changed.findings):
            known = changed
    return replace(known, findings=_carried(document.findings, known.findings))


def _facts(findings: Sequence[Finding]) -> set[tuple[str, str, int | None, int | None]]:
    return {(f.concept, f.status.value, f.start, f.end) for f in findings}


def _carried(wanted: Sequence[Finding], known: Sequence[Finding]) -> tuple[Finding, ...]:
    """The new places of the findings that the document had; all of them are in the known ones or had no place."""
    keys = {finding.key for finding in wanted}
    return tuple(finding for finding in known if finding.key in keys)


def _edited(document: Document, edits: Sequence[Edit]) -> Document:
    """The document with its text edited and its spans and findings moved."""
    text, offsets = apply_edits(document.text, edits)

    return _moved(document, text, offsets.forward)


def _other_names(document: Document, terminology: Terminology, share: float, random: Random) -> list[Edit]:
    edits = []
    for finding in document.findings:
        if finding.start is None or finding.end is None or random.random() >= share:
            continue
        written = document.text[finding.start : finding.end]
        known = terminology.concept_of(written)
        if known is None or known[0] != finding.concept:
            continue  # written in a way that no name has: another name might not fit the sentence
        names = [name for name in terminology.names(finding.concept) if name.casefold() != written.casefold()]
        if names:
            edits.append(Edit(finding.start, finding.end, _cased_like(random.choice(names), written)))
    return edits


def _cased_like(name: str, written: str) -> str:
    if written.isupper() and len(written) > 1:
        return name.upper()
    first = name[:1].upper() if written[:1].isupper() else name[:1].lower()
    return first + name[1:] if not name[1:2].isupper() else name


def _typos(document: Document, share: float, random: Random) -> list[Edit]:
    taken = [(f.start, f.end) for f in document.findings if f.start is not None and f.end is not None]
    taken += [(span.start, span.end) for span in document.spans]
    edits = []
    for word in finditer(r"[^\W\d_]+", document.text):
        start, end = word.span()
        if end - start < _SHORTEST_TYPO or random.random() >= share or any(a < end and start < b for a, b in taken):
            continue
        at = random.randrange(1, end - start - 2) + start
        edits.append(Edit(at, at + 2, document.text[at : at + 2][::-1]))
    return edits


def _in_capitals(document: Document) -> Document:
    """All in capitals, where that changes no length: offsets stay as they are."""
    upper = "".join(ch.upper() if len(ch.upper()) == 1 else ch for ch in document.text)
    return replace(document, text=upper)


def _reordered(document: Document, random: Random) -> Document:
    """The paragraphs in another order; the first and the last, greeting and signature, stay."""
    borders = [0, *(match.end() for match in finditer(r"\n[ \t]*\n\s*", document.text)), len(document.text)]
    blocks = [(a, b) for a, b in pairwise(borders) if a < b]
    if len(blocks) < 4 or any(_crosses(place, blocks) for place in _places(document)):
        return document
    inner = blocks[1:-1]
    random.shuffle(inner)
    order = [blocks[0], *inner, blocks[-1]]
    new_start: dict[int, int] = {}
    position = 0
    for start, end in order:
        new_start[start] = position
        position += end - start

    def moved(start: int, end: int) -> tuple[int, int]:
        block = next(a for a, b in blocks if a <= start and end <= b)
        shift = new_start[block] - block
        return start + shift, end + shift

    return _moved(document, "".join(document.text[a:b] for a, b in order), moved)


def _moved(document: Document, text: str, place: Callable[[int, int], tuple[int, int]]) -> Document:
    """The document with another text, its spans and findings where ``place`` says."""
    spans = []
    for span in document.spans:
        start, end = place(span.start, span.end)
        spans.append(replace(span, start=start, end=end))
    findings = []
    for finding in document.findings:
        if finding.start is None or finding.end is None:
            findings.append(finding)
            continue
        start, end = place(finding.start, finding.end)
        findings.append(replace(finding, start=start, end=end))
    spans.sort(key=lambda span: span.start)
    return replace(document, text=text, spans=tuple(spans), findings=tuple(findings))


def _places(document: Document) -> Iterator[tuple[int, int]]:
    yield from ((span.start, span.end) for span in document.spans)
    yield from ((f.start, f.end) for f in document.findings if f.start is not None and f.end is not None)


def _crosses(place: tuple[int, int], blocks: Sequence[tuple[int, int]]) -> bool:
    return not any(a <= place[0] and place[1] <= b for a, b in blocks)
