"""Reading findings from text, without a language model.

In: documents, or one text. Out: documents with ``findings``: every mention of a concept of the pack's terminology,
with its span and status, in text order.

Covers: the names of the terminology and of the pack's own tables (matcher), and what the text says about each
(status). Does not cover: findings that are implied and not named ("walked at three years"), other languages.

A rule reader and not a trained tagger: it needs no labels, its mistakes can be traced to a row of a table, and it
never says what is not in the text. tune/ trains what goes beyond it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from residency.curate.extract.lexicon import Lexicon, load_lexicon
from residency.curate.extract.matcher import find_mentions
from residency.curate.extract.status import Cues, read_cues, statuses
from residency.curate.extract.tokens import tokenize
from residency.curate.step import Step, Tools
from residency.packs import Pack
from residency.records import Document, Dropped, Finding, Span

__all__ = ["ExtractFindings", "Reader", "find", "load_reader"]


@dataclass(frozen=True, slots=True)
class Reader:
    """What is needed to read findings in one field: names and cues."""

    lexicon: Lexicon
    cues: Cues


@lru_cache(maxsize=4)
def load_reader(pack: Pack) -> Reader:
    """The reader of a pack; built once a process."""
    return Reader(lexicon=load_lexicon(pack), cues=read_cues(pack.rows(pack.settings.status_cues)))


def find(text: str, reader: Reader) -> tuple[Finding, ...]:
    """All findings of a text in text order; spans never overlap."""
    tokens = tokenize(text)
    mentions = find_mentions(tokens, reader.lexicon)
    said = statuses(tokens, mentions, reader.cues, reader.lexicon.known_words)
    return tuple(
        Finding(
            concept=mention.entry.concept,
            label=reader.lexicon.labels[mention.entry.concept],
            status=status,
            start=tokens.starts[mention.first],
            end=tokens.ends[mention.last],
        )
        for mention, status in zip(mentions, said, strict=True)
        if status is not None
    )


class ExtractFindings(Step):
    """Fills ``findings`` of each document from its text; drops no document.

    A name inside a marked identifier is no finding: a surrogate town may be called Cedar Falls.
    """

    step: Literal["extract"] = "extract"

    def __call__(self, documents: Iterable[Document], tools: Tools) -> Iterator[Document | Dropped]:
        reader = load_reader(tools.pack)
        for document in documents:
            findings = find(document.text, reader)
            yield replace(document, findings=tuple(f for f in findings if not _is_identifier(f, document.spans)))


def _is_identifier(finding: Finding, spans: Sequence[Span]) -> bool:
    start, end = finding.start or 0, finding.end or 0
    return any(span.start < end and start < span.end for span in spans)
