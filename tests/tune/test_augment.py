"""Varied copies come from training documents only, and from nothing but the seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.records import Document, Finding, Source, Status
from residency.tune.augment import Augment, varied


def document(number: int, names: str) -> Document:
    findings = tuple(
        Finding(concept=f"C:{name}", label=name, status=Status.PRESENT, start=i, end=i + 1)
        for i, name in enumerate(names)
    )
    return Document(
        id=f"d-{number}",
        key=str(number),
        text="...",
        source=Source(path="x"),
        patient=f"p-{number}",
        answers={"label": "odd" if number % 2 else "even"},
        findings=findings,
    )


DOCUMENTS = [document(0, "abcd"), document(1, "vwxyz"), document(2, "efghij"), document(3, "uvw")]
SETTINGS = st.builds(
    Augment,
    copies=st.integers(0, 3),
    own=st.floats(0, 1),
    smallest=st.integers(1, 4),
    largest=st.integers(4, 9),
    stray=st.floats(0, 1),
)


def answer_of(document: Document) -> str:
    return document.answers["label"]


def names(document: Document) -> str:
    return "".join(finding.label for finding in document.findings)


@given(settings=SETTINGS, seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_copies_hold_known_findings_once_each_and_depend_on_nothing_else(settings, seed, epoch) -> None:
    copies = varied(DOCUMENTS, answer_of, settings, seed=seed, epoch=epoch)
    assert [copy.id for copy in copies] == [d.id for d in DOCUMENTS for _ in range(settings.copies)]
    known = set("abcdefghijuvwxyz")
    for copy in copies:
        assert copy.findings and set(names(copy)) <= known and max(Counter(names(copy)).values()) == 1
        assert all(finding.start is None for finding in copy.findings)
    backwards = varied(DOCUMENTS[::-1], answer_of, settings, seed=seed, epoch=epoch)
    assert sorted((c.id, names(c)) for c in backwards) == sorted((c.id, names(c)) for c in copies)


@given(seed=st.integers(0, 50))
def test_without_strays_a_copy_only_holds_findings_of_patients_with_its_answer(seed) -> None:
    for copy in varied(DOCUMENTS, answer_of, Augment(copies=5, stray=0), seed=seed, epoch=0):
        assert set(names(copy)) <= set("abcdefghij" if answer_of(copy) == "even" else "uvwxyz")


def test_epochs_and_copies_differ_and_the_seed_decides() -> None:
    def drawn(**draw):
        return [names(copy) for copy in varied(DOCUMENTS, answer_of, Augment(copies=8), **draw)]

    assert drawn(seed=1, epoch=0) == drawn(seed=1, epoch=0)
    assert drawn(seed=1, epoch=0) != drawn(seed=1, epoch=1) != drawn(seed=2, epoch=1)
    assert len(set(drawn(seed=1, epoch=0)[:8])) > 3


def test_own_copies_keep_to_their_document() -> None:
    copies = varied(DOCUMENTS, answer_of, Augment(copies=20, own=1, stray=0, largest=3), seed=0, epoch=0)
    assert all(set(names(copy)) <= set(names(DOCUMENTS[int(copy.key)])) for copy in copies)
    assert max(len(copy.findings) for copy in copies) == 3


def test_strays_come_in_at_about_the_rate_set() -> None:
    copies = varied(DOCUMENTS[:1] + DOCUMENTS[1:2], answer_of, Augment(copies=400, stray=0.5), seed=0, epoch=0)
    foreign = sum(len(set(names(c)) & set("vwxyz")) for c in copies if answer_of(c) == "even")
    own = sum(len(set(names(c)) & set("abcd")) for c in copies if answer_of(c) == "even")
    # Half as many strays as findings are drawn, about half of them from the other document; repeats are dropped.
    assert foreign / own == pytest.approx(0.3, abs=0.12)


def test_a_document_without_findings_stays_as_it_is() -> None:
    alone = document(4, "")
    assert varied([alone], answer_of, Augment(copies=2), seed=0, epoch=0) == [alone, alone]
