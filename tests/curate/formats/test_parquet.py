"""Rows of a parquet file come back one by one."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from residency.errors import ProjectError


@pytest.fixture
def table_bytes():
    def write(columns, **settings):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns), sink, **settings)
        return sink.getvalue().to_pybytes()

    return write


def test_rows_bring_their_ids_and_places(read_bytes, table_bytes):
    content = table_bytes({"other": [1, 2, 3], "note_text": ["a\r\nb", " ", "c"], "note_id": [7, 8, None]})
    parts = read_bytes("a.parquet", content)
    assert [(p.key, p.locator) for p in parts] == [("7", "row 1"), ("8", "row 2"), ("", "row 3")]
    assert parts[0].text == "a\nb"
    assert [p.reason for p in parts[1:]] == ["no_text", "no_id"]


def test_bytes_and_categories_are_texts_and_nested_cells_are_not(read_bytes, table_bytes, outcomes):
    assert outcomes(read_bytes("a.parquet", table_bytes({"id": ["x"], "text": ["Müller".encode()]}))) == ["Müller"]
    assert outcomes(read_bytes("a.parquet", table_bytes({"id": ["x"], "text": [b"M\xfcller"]}))) == ["! broken_row"]
    assert outcomes(read_bytes("a.parquet", table_bytes({"id": ["x"], "text": [["a"]]}))) == ["! broken_row"]
    categories = pa.array(["a", "a", "b"]).dictionary_encode()
    content = table_bytes({"id": [1.0, 2.0, 3.0], "text": categories})
    assert [(p.key, p.text) for p in read_bytes("a.parquet", content)] == [("1", "a"), ("2", "a"), ("3", "b")]


def test_a_cell_above_the_limit_is_dropped_alone_and_a_large_file_is_read(read_bytes, table_bytes, outcomes):
    content = table_bytes({"id": [1, 2], "text": ["x" * 5000, "fine"]}, compression="none")
    assert outcomes(read_bytes("a.parquet", content, max_bytes=1000)) == ["! too_large", "fine"]


def test_missing_columns_are_listed(read_bytes, table_bytes):
    with pytest.raises(ProjectError, match="'x', 'y'"):
        read_bytes("a.parquet", table_bytes({"x": [1], "y": [2]}))


def test_a_broken_or_empty_file_says_so(read_bytes, table_bytes, outcomes):
    content = table_bytes({"id": [1], "text": ["a"]})
    for broken in (content[:-3], content[len(content) // 2 :], b"text", b"PAR1"):
        assert outcomes(read_bytes("a.parquet", broken)) == ["! broken_file"]
    none = pa.array([], type=pa.string())
    assert outcomes(read_bytes("a.parquet", table_bytes({"id": none, "text": none}))) == ["! no_rows"]
