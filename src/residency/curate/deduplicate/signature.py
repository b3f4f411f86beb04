"""Signatures: what a document shares with its copies, in a few hundred bytes.

In: a document. Out: a digest that exact copies share, and a MinHash signature from which the likeness of two documents
can be estimated without their texts.

Covers: white space, letter case, punctuation, and identifiers that were replaced: copies of one report under two
patients carry two names and two sets of dates, so a replaced place counts by its class in the digest and not at all in
the signature. Does not cover: other words for the same thing; translations.

Likeness is the Jaccard index of word shingles: shared shingles / shingles in either. MinHash (Broder 1997) estimates it
by the share of equal positions, with a standard error of sqrt(j(1-j)/PERMUTATIONS), 0.04 at most.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from residency.records import Document
from residency.settings import Settings

PERMUTATIONS = 128  # numbers in a signature of 512 bytes; twice as many halve no error that matters at our thresholds
_SEED = 1  # of the permutations: signatures of two runs can be compared
_WORD = re.compile(r"[^\W_]+")

Numbers = npt.NDArray[Any]


class Likeness(Settings):
    """When two texts count as copies of each other."""

    threshold: float = Field(
        default=0.6,
        ge=0.3,
        le=1,
        description="share of word shingles that two near copies of one patient have in common at least, 0.3 to 1",
    )
    other_patients: float = Field(
        default=0.8,
        ge=0.3,
        le=1,
        description="the same for reports of two patients; higher, because two reports written from one template are "
        "alike without being copies, 0.3 to 1",
    )
    shingle_words: int = Field(
        default=2,
        ge=1,
        le=8,
        description="words in a shingle, 1 to 8; more make each changed word cost more, and short texts less alike",
    )

    @property
    def lowest(self) -> float:
        """The likeness below which nothing is a copy of anything."""
        return min(self.threshold, self.other_patients)

    def is_copy(self, share: float, *, same_patient: bool) -> bool:
        """Whether two texts with this share in common are copies."""
        return share >= (self.threshold if same_patient else self.other_patients)


# The defaults were chosen by us on the development half of the planted duplicates, 2026-11-24: with two words a copy
# has at least 0.74 in common with its original, two reports that are no copies at most 0.36. Letters of three sentences
# from one template have 0.7 to 0.78, of two patients with one disease: 0.8 keeps them apart, and misses one in twenty
# copies that were edited and filed under another patient.


@dataclass(frozen=True, slots=True)
class Signatures:
    """Those of many documents, in their order. ``near`` has a row a document; ``empty`` marks texts without a shingle,
    which are like nothing."""

    exact: Sequence[bytes]
    near: Numbers  # (documents, PERMUTATIONS), uint32
    empty: Numbers  # (documents,), bool
    words: Sequence[int]


def signatures(documents: Iterable[Document], likeness: Likeness) -> Signatures:
    """Signatures of documents, each looked at once; no text is kept."""
    exact: list[bytes] = []
    words: list[int] = []
    near, empty = bytearray(), bytearray()
    for document in documents:
        own = own_words(document)
        shingles = {" ".join(shingle) for shingle in _windows(own, likeness.shingle_words)}
        exact.append(exact_digest(document))
        words.append(len(own))
        near += min_hash(shingles).tobytes()
        empty.append(not shingles)
    table = np.frombuffer(bytes(near), dtype=np.uint32).reshape(-1, PERMUTATIONS)
    return Signatures(exact, table, np.frombuffer(bytes(empty), dtype=np.bool_), words)


def exact_digest(document: Document) -> bytes:
    """Equal for texts that differ in white space, letter case and the content of replaced places only."""
    text = "".join(piece if piece is not None else f"\0{label}\0" for piece, label in _pieces(document))
    return hashlib.blake2b(" ".join(text.casefold().split()).encode(), digest_size=16).digest()


def own_words(document: Document) -> list[str]:
    """The words outside replaced places, letter case folded. Runs of them across a replaced place are neighbors."""
    text = "".join(" " if piece is None else piece for piece, _ in _pieces(document))
    return _WORD.findall(text.casefold())


def min_hash(shingles: Iterable[str]) -> Numbers:
    """The MinHash signature of a set of shingles."""
    fresh = _fresh().copy()
    fresh.update_batch([shingle.encode() for shingle in shingles])
    return np.asarray(fresh.hashvalues, dtype=np.uint32)


def estimated_likeness(one: Numbers, others: Numbers) -> Numbers:
    """The estimated Jaccard index of one signature with each of others."""
    return np.asarray((others == one).mean(axis=-1))


@lru_cache(maxsize=1)
def _fresh() -> Any:
    """An empty MinHash; copying it is cheaper than drawing its permutations again."""
    from datasketch import MinHash

    return MinHash(num_perm=PERMUTATIONS, seed=_SEED, scheme="affine32")


def _windows(words: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Runs of ``size`` words; all words, where there are fewer."""
    if words:
        yield from (words[start : start + size] for start in range(max(1, len(words) - size + 1)))


def _pieces(document: Document) -> Iterator[tuple[str | None, str]]:
    """The text between replaced places as (text, ""), and each replaced place as (None, label), in order."""
    done = 0
    for span in sorted(document.spans, key=lambda span: (span.start, span.end)):
        if span.end > done:
            yield document.text[done : max(span.start, done)], ""
            yield None, span.label
            done = span.end
    yield document.text[done:], ""
