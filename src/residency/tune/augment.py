"""Made-up cases from training documents, so that a small model learns what findings mean and not the cases by heart.

In: training documents with the findings that the extraction step read, and the answer of each. Out: copies of them
that hold a few findings, drawn from all training documents with the same answer, and some that belong to neither.

Covers: tasks whose answer belongs to the patient (classify) and whose prompt reads findings and not the text. Works
on the findings of any pack: it looks at nothing but their equality. Does not cover: tasks whose answer describes
this very text (extract, generate): there another finding would make the answer wrong.

Everything comes from training documents: a finding of a held-out patient cannot get in. Drawn from the seed, the
epoch and the document's id, so that a copy does not depend on the order of documents.

Few findings a copy: a case then cannot be told by its rarest finding, so every finding has to carry its own weight, as
in a naive Bayes classifier, which does well with a dozen cases a label. Rejected: copies that lose a quarter of their
own document's findings or take half of another's; the model still learned them by heart (docs/decisions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from residency.records import Document, Finding
from residency.settings import Settings, fingerprint

if TYPE_CHECKING:
    import numpy as np


class Augment(Settings):
    """What a made-up case holds."""

    copies: int = Field(
        default=1, ge=0, le=1000, description="made-up cases for each training document an epoch, count"
    )
    own: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of cases drawn from one document alone, not from all with its answer",
    )
    smallest: int = Field(default=2, ge=1, le=100, description="fewest findings drawn for a case, count")
    largest: int = Field(default=8, ge=1, le=100, description="most findings drawn for a case, count")
    stray: float = Field(
        default=0.2, ge=0, le=1, description="findings of any training document added, for each finding drawn, ratio"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Augment:
        if self.smallest > self.largest:
            raise ValueError(f"smallest ({self.smallest}) is above largest ({self.largest})")
        return self


def varied(
    documents: Sequence[Document], answer_of: Callable[[Document], str], settings: Augment, *, seed: int, epoch: int
) -> list[Document]:
    """``copies`` made-up cases for every document, in the documents' order. Ids and texts stay; the findings differ.

    A document without findings comes back as it is.
    """
    import numpy as np

    ordered = sorted(documents, key=lambda document: document.id)
    everything = [finding for document in ordered for finding in _once(document.findings)]
    alike: dict[str, list[Finding]] = {}
    for document in ordered:
        alike.setdefault(answer_of(document), []).extend(_once(document.findings))
    copies = []
    for document in documents:
        for copy in range(settings.copies):
            rng = np.random.default_rng(int(fingerprint([seed, epoch, document.id, copy]), 16))
            copies.append(_made_up(document, alike[answer_of(document)], everything, settings, rng))
    return copies


def _made_up(
    document: Document,
    alike: Sequence[Finding],
    everything: Sequence[Finding],
    settings: Augment,
    rng: np.random.Generator,
) -> Document:
    if not document.findings:
        return document
    source = document.findings if rng.random() < settings.own else alike
    # With replacement: a finding that many patients share is drawn more often, and counts once.
    drawn = _draw(source, int(rng.integers(settings.smallest, settings.largest + 1)), rng)
    strays = _draw(everything, int(rng.binomial(len(drawn), settings.stray)), rng)
    found = _once([*drawn, *strays])
    mixed = [found[int(i)] for i in rng.permutation(len(found))]
    # Offsets point into one document's text; these findings come from several.
    return replace(document, findings=tuple(replace(finding, start=None, end=None) for finding in mixed))


def _draw(source: Sequence[Finding], count: int, rng: np.random.Generator) -> list[Finding]:
    return [source[int(i)] for i in rng.integers(len(source), size=count)]


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Each concept once, as it is first spoken of."""
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.concept, finding)
    return list(first.values())
