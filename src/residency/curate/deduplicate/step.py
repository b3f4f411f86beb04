"""The step deduplicate: one of each set of copies goes on.

In: documents, with replaced identifiers marked in ``spans``. Out: one of each set of copies; the others ``Dropped``
with "exact_duplicate" or "near_duplicate" and the id of the copy that was kept.

Covers: exact copies (white space, letter case and replaced identifiers aside) and near copies (a corrected typo,
another date, a status line, an addendum), of one patient or, where they are more alike, anywhere: reports that two
patients have from one template are no copies. Does not cover: a near copy that says the opposite in one word ("no
seizures"): it is a copy, and only the one that stays is read; paragraphs copied into another report; texts that say the
same in other words.

Which copy stays depends on the documents, not on their order: labeled ones first, then as ``keep`` says. A document is
a copy of one that *stays*: in a chain of small changes the far end is compared with the kept beginning, so that a chain
never swallows a document that is like nothing that was kept.

Two passes: signatures first, a few hundred bytes each, then the documents again. Hand over something that can be read
twice (a list, an object with ``__iter__``) and no text is held; a generator is taken in whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import Field

from residency.curate.deduplicate.near import Near
from residency.curate.deduplicate.signature import Likeness, Signatures, signatures
from residency.curate.step import Step, Tools, readable_again
from residency.records import Document, Dropped


class Within(StrEnum):
    """Where a copy is looked for."""

    PATIENT = "patient"
    ANYWHERE = "anywhere"


class Keep(StrEnum):
    """Which of several copies stays; labeled ones come first in any case."""

    FIRST = "first"  # by key
    LONGEST = "longest"  # the most words, e.g. the one with the addendum


class Deduplicate(Step):
    """Keeps one of several copies."""

    step: Literal["deduplicate"] = "deduplicate"
    within: Within = Field(default=Within.ANYWHERE, description="patient: copies of one patient only; anywhere: all")
    near: Likeness | None = Field(
        default=Likeness(), description="when two texts count as near copies; null: exact copies only"
    )
    keep: Keep = Field(
        default=Keep.FIRST,
        description="which copy stays among labeled ones, or where none is labeled: first by key, or longest",
    )

    def __call__(self, documents: Iterable[Document], tools: Tools) -> Iterator[Document | Dropped]:
        documents = readable_again(documents)
        copies = self._copies(documents)
        for position, document in enumerate(documents):
            copy = copies.get(position)
            yield document if copy is None else self.drop(document, copy.reason, copy.of)

    def _copies(self, documents: Iterable[Document]) -> Mapping[int, _Copy]:
        """The documents to drop, by their position."""
        cards: list[_Card] = []
        marks = signatures(_noted(documents, cards), self.near or Likeness())
        order = sorted(range(len(cards)), key=lambda position: (*self._rank(cards, marks, position), position))
        look_up = self._near_copy_finder(marks, cards)
        copies: dict[int, _Copy] = {}
        exact: dict[tuple[str, bytes], int] = {}
        for position in order:
            identity = (self._scope(cards[position]), marks.exact[position])
            if identity in exact:
                copies[position] = _Copy("exact_duplicate", cards[exact[identity]].id)
            elif (kept := look_up(position)) is not None:
                copies[position] = _Copy("near_duplicate", cards[kept].id)
            else:
                exact[identity] = position
        return copies

    def _near_copy_finder(self, marks: Signatures, cards: list[_Card]) -> Callable[[int], int | None]:
        """A function that gives the kept document which one is like; where there is none it remembers it as kept."""
        if self.near is None:
            return lambda position: None
        likeness = self.near
        index = Near(marks.near, likeness.lowest)
        rank_of: dict[int, int] = {}

        def look_up(position: int) -> int | None:
            if marks.empty[position]:
                return None
            patient = cards[position].patient
            alike = [
                (other, share)
                for other, share in index.alike(position)
                if cards[other].patient == patient or self.within is Within.ANYWHERE
                if likeness.is_copy(share, same_patient=cards[other].patient == patient)
            ]
            if alike:
                return min(alike, key=lambda pair: (-pair[1], rank_of[pair[0]]))[0]
            rank_of[position] = len(rank_of)
            index.add(position)
            return None

        return look_up

    def _scope(self, card: _Card) -> str:
        return card.patient if self.within is Within.PATIENT else ""

    def _rank(self, cards: list[_Card], marks: Signatures, position: int) -> tuple[bool, int, str, str]:
        """Labeled documents first: of a labeled copy and an unlabeled one the label must survive."""
        card = cards[position]
        length = marks.words[position] if self.keep is Keep.LONGEST else 0
        return not card.labeled, -length, card.key, card.id


@dataclass(frozen=True, slots=True)
class _Card:
    """What must be known of a document when its text is gone."""

    id: str
    key: str
    patient: str
    labeled: bool


@dataclass(frozen=True, slots=True)
class _Copy:
    """Why a document goes: the reason, and the id of the copy that stays."""

    reason: str
    of: str


def _noted(documents: Iterable[Document], cards: list[_Card]) -> Iterator[Document]:
    """The documents, each with its card added to ``cards``."""
    for document in documents:
        labeled = any(document.answers.values())
        cards.append(_Card(document.id, document.key, document.patient, labeled))
        yield document
