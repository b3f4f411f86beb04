"""Records come back as they went in, or the damage is said."""

import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.errors import StoreError
from residency.records import Document, Finding, Prediction, Source, Span, Status
from residency.store.artifacts import Artifacts

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
starts = st.integers(0, 9)
documents = st.builds(
    Document,
    id=texts, key=texts, text=texts, patient=texts, group=texts,
    source=st.builds(Source, path=texts, locator=texts),
    answers=st.dictionaries(texts, texts, max_size=3),
    meta=st.dictionaries(texts, texts, max_size=2),
    spans=st.lists(st.builds(Span, start=starts, end=st.integers(9, 20), label=texts), max_size=2).map(tuple),
    findings=st.lists(
        st.builds(Finding, concept=texts, label=texts, status=st.sampled_from(Status), start=st.none() | starts),
        max_size=2,
    ).map(tuple),
    parents=st.lists(texts, max_size=2).map(tuple),
)  # fmt: skip


@given(st.lists(documents, max_size=5))
def test_what_is_read_equals_what_was_written(tmp_path_factory, some):
    artifacts = Artifacts(tmp_path_factory.mktemp("artifacts"))
    ref = artifacts.write(Document, some)
    assert list(artifacts.read(ref, Document)) == some
    assert ref.count == len(some)


def prediction(**change):
    return Prediction(**{"id": "p", "example": "e", "task": "t", "system": "s", "output": "o", "value": ["a"]} | change)


def test_equal_records_have_an_equal_name_and_other_records_another(tmp_path):
    artifacts = Artifacts(tmp_path)
    one = artifacts.write(Prediction, [prediction(confidence=0.5)])
    assert artifacts.write(Prediction, [prediction(confidence=0.5)]) == one
    assert artifacts.write(Prediction, [prediction(confidence=0.6)]).hash != one.hash
    assert artifacts.write(Document, []).hash != artifacts.write(Prediction, []).hash


def test_more_records_than_a_row_group_holds_keep_their_order(tmp_path):
    artifacts = Artifacts(tmp_path)
    many = [prediction(id=f"p{i}") for i in range(2_500)]
    assert [p.id for p in artifacts.read(artifacts.write(Prediction, many), Prediction)] == [p.id for p in many]


@pytest.mark.parametrize("damage", ["cut", "swapped", "gone"])
def test_a_damaged_artifact_is_an_error_with_a_next_step(tmp_path, damage):
    artifacts = Artifacts(tmp_path)
    ref, other = artifacts.write(Prediction, [prediction()]), artifacts.write(Prediction, [prediction(id="q")])
    path = artifacts.path(ref)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "swapped":
        path.write_bytes(artifacts.path(other).read_bytes())
    else:
        path.unlink()
    with pytest.raises(StoreError, match=r"damaged.*Delete"):
        list(artifacts.read(ref, Prediction))


def test_an_error_while_writing_leaves_nothing_behind(tmp_path):
    artifacts = Artifacts(tmp_path)

    def breaks():
        yield prediction()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        artifacts.write(Prediction, breaks())
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_full_disk_is_a_clear_error_and_leaves_nothing_half_written(tmp_path):
    """A real limit of the kernel on the size of any file stands in for the full disk."""
    program = textwrap.dedent("""
        import resource, signal, sys
        from pathlib import Path
        from residency.records import Prediction
        from residency.store.artifacts import Artifacts
        from residency.errors import StoreError
        import random
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        noise = random.Random(0)
        records = (Prediction(id=str(i), example="e", task="t", system="s", value=None,
                              output="".join(chr(noise.randint(33, 9000)) for _ in range(500))) for i in range(3000))
        try:
            Artifacts(Path(sys.argv[1])).write(Prediction, records)
        except StoreError as error:
            print(error)
    """)
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "the disk is full" in result.stdout
    assert "run the same command again" in result.stdout
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
