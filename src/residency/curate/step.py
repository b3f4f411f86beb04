"""What every curation step is: settings plus one verb.

In: documents. Out: each of them, changed or not, or ``Dropped`` with a reason; nothing disappears.

Covers: the shape that local runs, pools and clusters rely on; documents that a step reads twice. Does not cover: which
steps exist; the closed union in project.py says that.

A step opens nothing and writes nothing: what it needs beside its settings comes in as ``Tools``. Some steps must know
every document before the first can go on. They read twice what can be read twice (a list, an object whose ``__iter__``
opens its file anew), and hold no text; a generator is taken in whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from residency.packs import Pack
from residency.records import Document, Dropped
from residency.settings import Settings


@dataclass(frozen=True, slots=True)
class Tools:
    """What a step may use: the project's secret key, a seed for everything drawn, and the domain pack."""

    key: bytes  # 32 bytes, kept outside the project folder
    seed: int
    pack: Pack


class Step(Settings):
    """Base of all curation steps; a subclass sets ``step: Literal["name"]`` and implements the verb."""

    step: str

    def __call__(self, documents: Iterable[Document], tools: Tools) -> Iterator[Document | Dropped]:
        raise NotImplementedError

    def drop(self, document: Document, reason: str, detail: str = "") -> Dropped:
        """The record of a document that ends here."""
        return Dropped(
            id=document.id, key=document.key, source=document.source, step=self.step, reason=reason, detail=detail
        )


def readable_again(documents: Iterable[Document]) -> Iterable[Document]:
    """The documents as something that can be read any number of times."""
    return list(documents) if isinstance(documents, Iterator) else documents
