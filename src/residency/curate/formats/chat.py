"""Chat datasets: OpenAI messages, alpaca, sharegpt.

In: JSON lines with one conversation each, or one JSON list of them. Out: one part a conversation; its text has the
role of each turn on a line of its own ("User:", "Assistant:"), and an empty line between turns.

Covers: content in parts, tool calls, system prompts, alpaca's ``input`` and ``history``; what is no text (a picture)
leaves its type in brackets. Does not cover: conversations as examples to train on as they are. They are private
text like any other, so they are documents, and pass de-identification before anything else; the turns are not kept
beside the text, where nothing would de-identify them.

A conversation without an id has the file's name and its row for one: public sets have none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from residency.curate.formats.lines import Object, objects_of
from residency.curate.formats.source import Part, Reading, SourceFile, Unreadable, one_line_end
from residency.curate.formats.table import as_text, common_columns

Turn = tuple[str, str]  # role, content

_IDS = ("id", "conversation_id")
_ROLES: Mapping[str, str] = {
    "system": "System",
    "developer": "System",
    "user": "User",
    "human": "User",
    "assistant": "Assistant",
    "gpt": "Assistant",
    "chatgpt": "Assistant",
    "model": "Assistant",
    "tool": "Tool",
    "function": "Tool",
    "function_call": "Tool",
    "observation": "Tool",
}


class _Broken(ValueError):
    """A row that is no conversation; its message never holds text."""


def read_chat(file: SourceFile) -> Reading:
    """One part a conversation; a row that is none is dropped alone."""
    found = False
    for locator, row in _rows(file):
        found = True
        yield row if isinstance(row, Unreadable) else _read(row, file, locator)
    if not found:
        yield Unreadable(reason="no_rows")


def looks_like_chat(row: Object) -> bool:
    """Whether a row of a JSON-lines file is a conversation; a table with an id and a text stays a table."""
    is_chat = isinstance(row.get("messages"), list) or isinstance(row.get("conversations"), list)
    return (is_chat or {"instruction", "output"} <= row.keys()) and common_columns(list(row)) is None


def _rows(file: SourceFile) -> Iterator[tuple[str, Object | Unreadable]]:
    if file.path.suffix.casefold() != ".json":
        yield from objects_of(file)
        return
    try:
        rows = json.loads(file.text())
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list):
        yield "", Unreadable(reason="broken_file", detail="not a JSON list")
        return
    for number, row in enumerate(rows, 1):
        locator = f"row {number}"
        yield locator, row if isinstance(row, dict) else Unreadable(reason="broken_row", locator=locator)


def _read(row: Object, file: SourceFile, locator: str) -> Part | Unreadable:
    key = _key(row, file)
    if file.settings.id_column is not None and not key:
        return Unreadable(reason="no_id", locator=locator)
    try:
        turns = [(role, content.strip()) for role, content in _turns(row) if content.strip()]
    except _Broken as problem:
        return Unreadable(reason="broken_conversation", detail=str(problem), key=key, locator=locator)
    if not turns:
        return Unreadable(reason="no_text", key=key, locator=locator)
    text = "\n\n".join(f"{role}:\n{one_line_end(content)}" for role, content in turns)
    return Part(text=text, key=key, locator=locator)


def _key(row: Object, file: SourceFile) -> str:
    names = _IDS if file.settings.id_column is None else (file.settings.id_column,)
    return next((key for name in names if (key := as_text(row.get(name)).strip())), "")


def _turns(row: Object) -> Iterator[Turn]:
    if "messages" in row:
        yield from (_openai(turn) for turn in _objects(row["messages"], "messages"))
    elif "conversations" in row:
        if row.get("system"):
            yield "System", _string(row["system"])
        yield from (_sharegpt(turn) for turn in _objects(row["conversations"], "conversations"))
    elif "instruction" in row:
        yield from _alpaca(row)
    else:
        raise _Broken("neither messages, nor conversations, nor an instruction")


def _openai(turn: Object) -> Turn:
    calls = [call.get("function") for call in _objects(turn.get("tool_calls") or [], "tool_calls")]
    called = [f"{call.get('name')}({call.get('arguments')})" for call in calls if isinstance(call, dict)]
    return _role(turn.get("role")), "\n".join(filter(None, [_content(turn.get("content")), *called]))


def _sharegpt(turn: Object) -> Turn:
    # Some sets name the list "conversations" and its turns as OpenAI does.
    return _role(turn.get("from", turn.get("role"))), _content(turn.get("value", turn.get("content")))


def _alpaca(row: Object) -> Iterator[Turn]:
    if row.get("system"):
        yield "System", _string(row["system"])
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise _Broken("history is not a list of pairs")
    for pair in history:
        yield from zip(("User", "Assistant"), map(_string, pair), strict=True)
    asked = (_string(row.get(name)) for name in ("instruction", "input"))
    yield "User", "\n\n".join(filter(None, asked))
    yield "Assistant", _string(row.get("output"))


def _content(content: Any) -> str:
    """The text of a turn's content: a string, or a list of parts."""
    if not isinstance(content, list):
        return _string(content)
    return "\n".join(_piece(part) for part in _objects(content, "content"))


def _piece(part: Object) -> str:
    return part["text"] if isinstance(part.get("text"), str) else f"[{part.get('type')}]"


def _role(name: Any) -> str:
    if not isinstance(name, str) or name.casefold() not in _ROLES:
        raise _Broken(f"a turn has none of the roles {', '.join(sorted(_ROLES))}")
    return _ROLES[name.casefold()]


def _string(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise _Broken("a turn's content is not text")
    return value or ""


def _objects(value: Any, name: str) -> Sequence[Object]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _Broken(f"{name} is not a list of objects")
    return value
