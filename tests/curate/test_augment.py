"""A version of a text says the same things, at the places where it says them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.curate.augment import Augment, augment
from residency.curate.extract import find, load_reader
from residency.packs import load_pack
from residency.records import Document, Source, Span

PACK = load_pack("neurology")
TEXT = (
    "Dear colleague,\n\nThank you for asking us to see this girl with ataxia and seizures.\n\n"
    "On examination there is no tremor. Muscular hypotonia is marked, and nystagmus is present.\n\n"
    "Family history: her mother had chorea.\n\nThe family came from Fernbrook yesterday.\n\nYours sincerely, Dr Ashbank"
)
PARAGRAPHS = TEXT.split("\n\n")
STRONG = {"copies": 8, "names": 1.0, "sections": 1.0, "capitals": 0.2, "typos": 0.2}


def document(text: str = TEXT) -> Document:
    spans = [
        Span(start=text.find(w), end=text.find(w) + len(w), label="NAME") for w in ("Fernbrook", "Ashbank") if w in text
    ]
    return Document(
        id="d-1", key="a", text=text, source=Source(path="x"), patient="p-1", answers={"diagnosis": "X"},
        spans=tuple(spans), findings=find(text, load_reader(PACK)), parents=("d-0",),
    )  # fmt: skip


def keys(one: Document) -> list[tuple[str, str]]:
    return sorted(finding.key for finding in one.findings)


@pytest.mark.parametrize("seed", range(6))
def test_findings_spans_and_answers_stay_exact(seed: int) -> None:
    original = document()
    versions = list(augment(original, Augment(**STRONG), PACK, seed=seed))
    assert len(versions) >= 6
    for version in versions:
        assert keys(version) == keys(original) and version.answers == original.answers
        read_again = {(f.concept, f.status, f.start, f.end) for f in find(version.text, load_reader(PACK))}
        assert {(f.concept, f.status, f.start, f.end) for f in version.findings} == read_again
        assert [version.text[s.start : s.end].casefold() for s in version.spans] == sorted(
            ("fernbrook", "ashbank"), key=lambda w: version.text.casefold().index(w)
        )
        assert version.parents == ("d-1", "d-0") and version.id != original.id


def test_every_kind_of_change_happens() -> None:
    def texts(**changed: float) -> set[str]:
        settings = Augment(**{"copies": 12, "names": 0, "sections": 0, "capitals": 0, "typos": 0, **changed})
        return {version.text for version in augment(document(), settings, PACK, seed=1)}

    assert texts() == set()
    assert any("hypotonia" not in text.lower() or "seizures" not in text for text in texts(names=1))
    assert all(sorted(text.split("\n\n")) == sorted(PARAGRAPHS) for text in texts(sections=1)) and texts(sections=1)
    assert texts(capitals=1) == {TEXT.upper()}
    assert all(len(text) == len(TEXT) for text in texts(typos=0.2)) and texts(typos=0.2)


def test_the_seed_decides_and_nothing_else() -> None:
    def texts(seed: int) -> list[str]:
        return [version.text for version in augment(document(), Augment(**STRONG), PACK, seed=seed)]

    assert texts(1) == texts(1) != texts(2)


@settings(max_examples=25)
@given(st.text(alphabet="ab\n .ataxi", max_size=60), st.integers(0, 3))
def test_any_text_comes_through(text: str, seed: int) -> None:
    for version in augment(document(text), Augment(**STRONG), PACK, seed=seed):
        assert keys(version) == keys(document(text))
