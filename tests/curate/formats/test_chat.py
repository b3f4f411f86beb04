"""A conversation becomes one document with its roles marked."""

import json

import pytest

MESSAGES = {"messages": [{"role": "user", "content": "Ataxia?"}, {"role": "assistant", "content": "Yes.\nSince 2019."}]}
SHAREGPT = {"conversations": [{"from": "human", "value": "Ataxia?"}, {"from": "gpt", "value": "Yes.\nSince 2019."}]}
ALPACA = {"instruction": "Ataxia?", "input": "", "output": "Yes.\nSince 2019."}
TEXT = "User:\nAtaxia?\n\nAssistant:\nYes.\nSince 2019."


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("row", [MESSAGES, SHAREGPT, ALPACA])
def test_the_three_shapes_are_recognized(read_bytes, row):
    (part,) = read_bytes("a.jsonl", lines(row))
    assert (part.text, part.key, part.locator) == (TEXT, "", "row 1")
    assert read_bytes("a.json", json.dumps([row])) == [part]
    assert read_bytes("a.jsonl", lines({"id": 7, **row}))[0].key == "7"


def test_prompts_tools_parts_and_history_are_there(read_bytes, outcomes):
    picture = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {}}]
    call = {"function": {"name": "find", "arguments": '{"id": 1}'}}
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": picture},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "none"},
    ]
    history = {"system": "Be brief.", "history": [["a", "b"]], "instruction": "c", "input": "d", "output": "e"}
    assert outcomes(read_bytes("a.jsonl", lines({"messages": turns}, history))) == [
        'System:\nBe brief.\n\nUser:\nSee\n[image_url]\n\nAssistant:\nfind({"id": 1})\n\nTool:\nnone',
        "System:\nBe brief.\n\nUser:\na\n\nAssistant:\nb\n\nUser:\nc\n\nd\n\nAssistant:\ne",
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": "x"},
        {"messages": [1]},
        {"messages": [{"role": "judge", "content": "x"}]},
        {"messages": [{"role": "user", "content": 7}]},
        {"conversations": {}},
        {"instruction": ["x"], "output": "y"},
        {"instruction": "x", "output": "y", "history": ["z"]},
        {"instruction": "x", "output": "y", "history": 5},
        {"other": 1},
    ],
)
def test_a_row_that_is_no_conversation_is_dropped_alone(read_bytes, outcomes, row):
    assert outcomes(read_bytes("a.jsonl", lines(MESSAGES, row, MESSAGES))) == [TEXT, "! broken_conversation", TEXT]


def test_empty_and_broken_rows_say_so(read_bytes, outcomes):
    found = outcomes(read_bytes("a.jsonl", lines(MESSAGES, {"messages": []}) + "{\n"))
    assert found == [TEXT, "! no_text", "! broken_row"]
    assert outcomes(read_bytes("a.json", "[1, {}]")) == ["! broken_row", "! broken_conversation"]
    assert outcomes(read_bytes("a.json", "[]")) == ["! no_rows"]
    assert outcomes(read_bytes("a.json", "[{")) == ["! broken_file"]


def test_a_table_with_id_and_text_stays_a_table(read_bytes, outcomes):
    assert outcomes(read_bytes("a.jsonl", lines({"id": 1, "text": "note", **MESSAGES}))) == ["note"]
    assert outcomes(read_bytes("a.jsonl", lines({"k": 1, "t": "note", **ALPACA}), id_column="k", text_column="t")) == [
        "note"
    ]
    assert outcomes(read_bytes("a.jsonl", lines({"id": 1, "text": "note", **ALPACA}), format="chat")) == [TEXT]
    assert outcomes(read_bytes("a.jsonl", lines(ALPACA), id_column="nr")) == ["! no_id"]
