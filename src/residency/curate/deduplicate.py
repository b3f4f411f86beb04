"""Deduplicate: one copy of each report.

In: documents. Out: the first of equal documents; the others ``Dropped`` with the id of the one that was kept.

Covers: texts that are equal when white space and letter case are ignored. Does not cover: near duplicates, and
copies whose identifiers were replaced differently: run it on de-identified text whose surrogates are consistent
for each patient.

"First" is by key and id, not by arrival: whoever shuffles the inbox keeps the same documents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Literal

from pydantic import Field

from residency.curate.step import Step, Tools
from residency.records import Document, Dropped


class Within(StrEnum):
    """Where a copy is looked for."""

    PATIENT = "patient"
    ANYWHERE = "anywhere"


class Deduplicate(Step):
    """Keeps one of several equal documents."""

    step: Literal["deduplicate"] = "deduplicate"
    within: Within = Field(default=Within.ANYWHERE, description="patient: copies of one patient only; anywhere: all")

    def __call__(self, documents: Iterable[Document], tools: Tools) -> Iterator[Document | Dropped]:
        # Which copy is first is known after the last document only. Kept in the order of arrival.
        everything = list(documents)
        kept: dict[str, Document] = {}
        for document in everything:
            identity = self._identity(document)
            kept[identity] = min(kept.get(identity, document), document, key=_rank)
        for document in everything:
            first = kept[self._identity(document)]
            yield document if document is first else self.drop(document, "exact_duplicate", first.id)

    def _identity(self, document: Document) -> str:
        text = " ".join(document.text.casefold().split())
        patient = document.patient if self.within is Within.PATIENT else ""
        return hashlib.sha256(f"{patient}\0{text}".encode()).hexdigest()


def _rank(document: Document) -> tuple[bool, str, str]:
    """Labeled documents first: of a labeled copy and an unlabeled one the label must survive."""
    return not document.answers, document.key, document.id
