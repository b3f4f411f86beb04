"""A terminology from an OBO file: a small invented one with known truth, and the shipped pack's."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.errors import ProjectError
from residency.packs import PackSettings, load_pack
from residency.packs.terminology import Terminology, load_terminology, read_obo
from residency.packs.words import content, light, name_key, strong

OBO = """format-version: 1.2
data-version: test

[Term]
id: T:1
name: Thing

[Term]
id: T:2
name: Abnormal ear
synonym: "Ear anomaly" EXACT []
synonym: "Say \\"ear\\"" RELATED layperson []
synonym: "Old ear" EXACT obsolete_synonym []
is_a: T:1 ! Thing

[Term]
id: T:3
name: Oedema of the ear
alt_id: T:30
is_a: T:2 ! Abnormal ear

[Term]
id: T:4
name: obsolete Swelling
is_obsolete: true
replaced_by: T:30

[Term]
id: T:9
name: Elsewhere

[Typedef]
id: part_of
name: part of
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESIDENCY_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "t.obo"
    path.write_text(OBO, encoding="utf-8")
    return path


@pytest.fixture
def terminology(file: Path) -> Terminology:
    return read_obo(file, root="T:1")


def test_only_concepts_below_the_root_that_are_in_use_are_kept(terminology: Terminology) -> None:
    assert set(terminology) == {"T:1", "T:2", "T:3"}


def test_names_are_the_label_and_its_synonyms_without_discarded_ones(terminology: Terminology) -> None:
    assert terminology.names("T:2") == ("Abnormal ear", "Ear anomaly", 'Say "ear"')


@pytest.mark.parametrize(
    ("name", "concept"),
    [
        ("edema of the ear", "T:3"),
        ("EAR OEDEMA", "T:3"),
        ("oedemas of ears", "T:3"),
        ("ear anomalies", "T:2"),
        ("T:30", "T:3"),
        ("t:3", "T:3"),
        ("old ear", None),
        ("Elsewhere", None),
        ("", None),
        ("\x00", None),
    ],
)
def test_a_name_leads_to_its_concept(name: str, concept: str | None, terminology: Terminology) -> None:
    found = terminology.concept_of(name)
    assert (found and found[0]) == concept
    assert found is None or found[1] == terminology.label(found[0])


def test_old_ids_lead_to_the_current_one(terminology: Terminology) -> None:
    assert [terminology.current(i) for i in ("T:30", "T:4", "T:3", "T:77")] == ["T:3", "T:3", "T:3", "T:77"]
    assert "T:4" in terminology and terminology.label("T:4") == "Oedema of the ear"


def test_is_a_follows_the_hierarchy(terminology: Terminology) -> None:
    assert terminology.ancestors("T:3") == {"T:2", "T:1"}
    assert terminology.is_a("T:30", "T:2") and terminology.is_a("T:2", "T:2") and not terminology.is_a("T:2", "T:3")


def test_nothing_above_the_root_is_known(file: Path) -> None:
    assert read_obo(file, root="T:2").ancestors("T:3") == {"T:2"}


def test_replacements_that_run_in_a_circle_end(file: Path) -> None:
    extra = "\n[Term]\nid: T:5\nname: a\nis_obsolete: true\nreplaced_by: T:6\n"
    file.write_text(OBO + extra + extra.replace("T:5", "T:x").replace("T:6", "T:5").replace("T:x", "T:6"))
    assert read_obo(file, root="T:1").current("T:5") in {"T:5", "T:6"}


def test_the_cache_gives_the_same_terminology(file: Path) -> None:
    assert read_obo(file, root="T:1") == read_obo(file, root="T:1")


@pytest.mark.parametrize("damage", ["truncated", "edited", "not json", "empty", "binary"])
def test_a_damaged_cache_is_rebuilt(damage: str, file: Path, tmp_path: Path) -> None:
    whole = read_obo(file, root="T:1")
    (cached,) = (tmp_path / "cache").iterdir()
    text = cached.read_text(encoding="utf-8")
    edited = json.dumps(json.loads(text) | {"labels": {"T:1": "Other"}})
    contents = {"truncated": text[:50], "edited": edited, "not json": "{", "empty": "", "binary": "\x00\xff"}
    cached.write_text(contents[damage], encoding="latin-1")
    assert read_obo(file, root="T:1") == whole
    assert json.loads(cached.read_text(encoding="utf-8"))["labels"] == whole.labels


def test_a_changed_file_or_root_is_read_anew(file: Path) -> None:
    read_obo(file, root="T:1")
    assert set(read_obo(file, root="T:2")) == {"T:2", "T:3"}
    file.write_text(OBO.replace("Abnormal ear", "Odd ear"), encoding="utf-8")
    assert read_obo(file, root="T:1").label("T:2") == "Odd ear"


def test_a_cache_that_cannot_be_written_is_no_error(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blocked").write_text("a file where the folder should be")
    monkeypatch.setenv("RESIDENCY_CACHE", str(tmp_path / "blocked"))
    assert len(read_obo(file, root="T:1")) == 3


def test_an_unknown_root_names_the_setting(file: Path) -> None:
    with pytest.raises(ProjectError, match=r"no term 'T:77'") as caught:
        read_obo(file, root="T:77")
    assert "terminology.root" in caught.value.fix


def test_a_missing_package_names_the_command() -> None:
    pack = load_pack("neurology")
    source = pack.settings.terminology
    assert source is not None
    elsewhere = pack.settings.model_copy(update={"terminology": source.model_copy(update={"package": "no_such_pack"})})
    with pytest.raises(ProjectError) as caught:
        load_terminology(replace(pack, settings=elsewhere))
    assert caught.value.fix == "Run: pip install no-such-pack"


def test_a_pack_without_terminology_says_so() -> None:
    pack = replace(load_pack("neurology"), settings=PackSettings(name="x", title="x", about="x"))
    with pytest.raises(ProjectError, match="names no terminology"):
        load_terminology(pack)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("oedema", "edema"),
        ("Tumours", "tumor"),
        ("generalised", "generalized"),
        ("Ataxias", "ataxia"),
        ("testes", "testis"),
    ],
)
def test_spelling_and_number_are_folded(left: str, right: str) -> None:
    assert light(left) == light(right)


@pytest.mark.parametrize(
    ("left", "right"), [("ataxic", "ataxia"), ("microcephalic", "microcephaly"), ("obese", "obesity")]
)
def test_noun_and_adjective_share_a_stem(left: str, right: str) -> None:
    assert light(left) != light(right) and strong(light(left)) == strong(light(right))


@given(st.text(max_size=60))
def test_the_key_of_a_name_does_not_depend_on_case_of_ascii_or_order(name: str) -> None:
    words = content(name)
    assert name_key(" ".join(reversed(words))) == name_key(" ".join(words))


def test_the_shipped_index_loads_in_under_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDENCY_CACHE", str(tmp_path))
    pack = load_pack("neurology")
    whole = load_terminology(pack)
    started = time.process_time()
    assert load_terminology(pack) == whole
    assert time.process_time() - started < 1
    assert whole.label("HP:0002004") == "Abnormal facial shape"  # an old id
