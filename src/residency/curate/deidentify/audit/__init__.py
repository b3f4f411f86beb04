"""The leak audit: a second look at de-identified documents, by other means than the first.

In: de-identified documents; for each, the raw identifiers of its patient; the vocabulary of the pack. Out: suspects,
places where something may have been left. They hold offsets and classes, never text.

The first pass finds what its rules describe. This one denies by default: a word or number that nothing explains is a
suspect. It shares the word lists with the first pass, not the rules.

    known.py       an identifier of the same patient that was replaced elsewhere still stands here
    vocabulary.py  a word that no list of ordinary, medical or abbreviated words explains; a capital that nothing does
    numbers.py     a number that no clinical context explains: long, or in the shape of a date, phone number or code
    second.py      Presidio with its own recognizers and spaCy's model, if asked for (slow; give it a sample)

Covers: what stands outside replaced places; there surrogates or tags stand, and nothing is suspected. What the policy
lets stay is left alone wherever it stands. Words hold together over line breaks, spaces, punctuation and accents.
Does not cover: names that are ordinary words, in a line without case or at the start of a sentence; initials and
names of one or two letters; scores and dates that look alike ("3/4"); misspelled identifiers that look like ordinary
words; answers and metadata; anything that identifies without being an identifier (anonymity.py). Few suspects are no
proof that nothing was missed: that is measured on reviewed documents (evaluation.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from residency.curate.deidentify.audit.found import Found, Method, hide
from residency.curate.deidentify.audit.known import Dictionary, Stays
from residency.curate.deidentify.audit.numbers import unexplained_numbers
from residency.curate.deidentify.audit.second import Second, outside, presidio_as_shipped
from residency.curate.deidentify.audit.vocabulary import Vocabulary, unexplained_words, vocabulary_for
from residency.curate.deidentify.labels import Identifier as Id
from residency.curate.deidentify.tokens import Words
from residency.records import Document, Span

__all__ = [
    "LOWEST_SCORE",
    "Method",
    "Second",
    "Suspect",
    "Vocabulary",
    "audit",
    "presidio_as_shipped",
    "summary",
    "vocabulary_for",
]

LOWEST_SCORE = 0.4  # suspects below are not told

Known = Callable[[Document], Sequence[tuple[str, str]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """``[start, end)`` of a de-identified text where something may have been left."""

    document: str  # id
    start: int
    end: int
    label: str  # the class that it may be
    methods: tuple[Method, ...]  # the one with the highest score first
    score: float


def audit(
    documents: Iterable[Document],
    *,
    known: Known,
    vocabulary: Vocabulary,
    stays: Stays = lambda label, text: False,
    second: Second | None = None,
    sampled: Callable[[Document], bool] = lambda document: True,
) -> Iterator[Suspect]:
    """Suspects, document by document, in the order of the text.

    ``known`` gives the raw identifiers (class, text) of the document's patient. ``stays`` says which of them the policy
    lets stay: they are no suspects for any method. ``second`` reads the documents that ``sampled`` picks; it gets the
    text with the replaced places in it.
    """
    searched: tuple[frozenset[tuple[str, str]], Dictionary] | None = None
    for document in documents:
        identifiers = frozenset(known(document))
        if searched is None or searched[0] != identifiers:  # documents of a patient mostly follow each other
            searched = identifiers, Dictionary.of(identifiers, vocabulary.lexicon, stays)
        spans = second(document.text) if second and sampled(document) else ()
        yield from _audit_one(document, searched[1], vocabulary, spans)


def summary(suspects: Iterable[Suspect], documents: int) -> dict[str, Any]:
    """Plain data for a report. ``documents``: how many were audited. A suspect found by two methods counts for both."""
    listed = list(suspects)
    with_suspects = len({suspect.document for suspect in listed})
    by_method = Counter(str(method) for suspect in listed for method in suspect.methods)
    by_label = Counter(str(suspect.label) for suspect in listed)
    return {
        "documents": documents,
        "documents_with_suspects": with_suspects,
        "share_with_suspects": with_suspects / documents if documents else None,
        "suspects": len(listed),
        "suspects_per_document": len(listed) / documents if documents else None,
        "by_method": dict(by_method.most_common()),
        "by_label": dict(by_label.most_common()),
        "lowest_score": LOWEST_SCORE,
    }


def _audit_one(
    document: Document, dictionary: Dictionary, vocabulary: Vocabulary, second: Sequence[Span]
) -> Iterator[Suspect]:
    hidden = hide(document.text, ((span.start, span.end) for span in document.spans))
    words = Words(hidden, vocabulary.lexicon)
    matches = dictionary.search(hidden, words)
    hidden = hide(hidden, ((match.start, match.end) for match in matches if match.needle.stays))
    if any(match.needle.stays for match in matches):
        words = Words(hidden, vocabulary.lexicon)
    found = [
        Found(match.start, match.end, match.needle.label, Method.KNOWN, match.needle.score)
        for match in matches
        if not match.needle.stays
    ]
    names_end = frozenset(span.end for span in document.spans if span.label == Id.NAME)
    found += unexplained_words(words, vocabulary, names_end)
    found += unexplained_numbers(hidden)
    found += [piece for span in second for piece in outside(span, hidden, vocabulary)]
    yield from _merged(document.id, found)


def _merged(document: str, found: Iterable[Found]) -> Iterator[Suspect]:
    """Overlapping finds as one suspect: all of their extent, label and score of the strongest."""
    told = sorted((f for f in found if f.score >= LOWEST_SCORE), key=lambda f: (f.start, f.end))
    groups: list[list[Found]] = []
    end = -1
    for one in told:
        if one.start < end:
            groups[-1].append(one)
        else:
            groups.append([one])
        end = max(end, one.end)
    for group in groups:
        strongest = sorted(group, key=lambda f: (-f.score, f.start, f.end, f.label, f.method))
        yield Suspect(
            document=document,
            start=min(f.start for f in group),
            end=max(f.end for f in group),
            label=str(strongest[0].label),
            methods=tuple(dict.fromkeys(f.method for f in strongest)),
            score=min(1.0, round(strongest[0].score, 2)),
        )
