r"""HL7 v2: the report of each message.

In: a file of messages (ORU, MDM and others that carry text), alone or as a batch. Out: one part a message; its key is
the message's control id (MSH-10).

Covers: the separators that each message declares in MSH-1 and MSH-2; segments ended by CR, LF or both, also inside a
text; OBX of types TX, FT and ST, one line each, joined; ED attachments where a message has no such text, as it is the
same report in another form; escape sequences, formatting commands as line ends; results that were withdrawn (OBX-11);
files cut off in the middle. Does not cover: notes (NTE), pointers (RP: nothing is fetched), coded and numeric
results, switches of the character set inside a text.

Not the package hl7: on a sample of ours it lost LF-ended segments and decoded ``\E\F\`` wrongly, and it logs the
field's text when an escape sequence is unknown to it.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TextIO

from residency.curate.formats.attachment import attached_text, from_base64
from residency.curate.formats.lines import lines
from residency.curate.formats.source import Part, Reading, SourceFile, Unreadable, one_line_end

_TEXT_TYPES = frozenset({"TX", "FT", "ST"})
_WITHDRAWN = frozenset({"D", "W", "X"})  # OBX-11: deleted, wrong patient, cannot be obtained
_MESSAGE = re.compile(r"MSH[^\w\s-]")  # "MSH2" and "MSH-2" begin lines about a gene, not messages
_BATCH = re.compile(r"(FHS|BHS|BTS|FTS)(?:[^\w\s-]|$)")
_FRAME = str.maketrans("", "", "\x0b\x1c")  # how messages are framed on a network
_STATUS = 11
_MOST_SPACES = 100  # what one formatting command may ask for


def read_hl7(file: SourceFile) -> Reading:
    """One part a message. What is missing at the end of a cut file is said as "truncated"."""
    batch = _Batch()
    with file.open_text() as stream:
        for number, message in enumerate(_messages(stream, file.settings.max_bytes, batch), 1):
            part = message.read(file.settings.max_bytes)
            yield _placed(part, message.control_id, f"message {number}")
    yield from batch.problems()


@dataclass(slots=True)
class _Batch:
    """What the lines around the messages say."""

    messages: int = 0
    begun: bool = False  # a header (FHS, BHS) was there
    ended: bool = False  # a trailer (BTS, FTS) was there
    announced: int | None = None  # messages, by the trailers
    astray: bool = False  # segments before the first message

    def take(self, line: str) -> None:
        """Notes a header or trailer."""
        self.begun = self.begun or line[1:3] == "HS"
        self.ended = self.ended or line[1:3] == "TS"
        count = line[4:].split(line[3])[0] if line.startswith("BTS") and len(line) > 4 else ""
        if count.isdecimal():
            self.announced = (self.announced or 0) + int(count)

    def problems(self) -> Reading:
        """What is missing from the file as a whole."""
        place = f"after message {self.messages}"
        if self.messages == 0:
            yield Unreadable(reason="broken_file", detail="no MSH segment begins a message in it")
        elif self.astray:
            yield Unreadable(reason="truncated", detail="segments before the first MSH segment", locator="message 0")
        if self.messages and self.begun and not self.ended:
            yield Unreadable(reason="truncated", detail="the batch has no trailer (BTS or FTS)", locator=place)
        elif self.messages and self.announced is not None and self.announced > self.messages:
            detail = f"its trailer counts {self.announced} messages, {self.messages} are there"
            yield Unreadable(reason="truncated", detail=detail, locator=place)


@dataclass
class _Message:
    """The lines of one message; the first is its MSH segment."""

    lines: list[str] = field(default_factory=list)
    size: int = 0  # characters
    too_large: bool = False
    is_open: bool = False  # the file ends in its last line

    def add(self, line: str | None, limit: int) -> None:
        self.size += len(line or "")
        self.too_large = self.too_large or line is None or self.size > limit
        if line is not None and not self.too_large:
            self.lines.append(line.rstrip("\r\n").translate(_FRAME))
        self.is_open = line is not None and not line.endswith(("\r", "\n", "\x1c"))

    def read(self, limit: int) -> Part | Unreadable:
        if self.too_large:
            return Unreadable(reason="too_large", detail=f"a message of more than {limit} characters")
        if self.separators is None:
            return Unreadable(reason="broken_message", detail="MSH-1 and MSH-2 do not declare usable separators")
        results = [fields for fields in self.segments if fields[0] == "OBX"]
        if self._is_cut(results):
            return Unreadable(reason="truncated", detail="the file ends inside its last OBX segment")
        valid = [fields for fields in results if _at(fields, _STATUS) not in _WITHDRAWN]
        if results and not valid:
            return Unreadable(reason="withdrawn", detail="all its results are deleted or of another patient (OBX-11)")
        return _report(valid, self.separators, limit)

    @cached_property
    def separators(self) -> _Separators | None:
        return _Separators.declared(self.lines[0]) if self.lines else None

    @cached_property
    def segments(self) -> list[list[str]]:
        """The fields of every segment; a line that begins none belongs to the text of the one before."""
        assert self.separators is not None
        name = re.compile(rf"[A-Z][A-Z0-9]{{2}}(?:{re.escape(self.separators.field)}|$)")
        joined: list[str] = []
        for line in self.lines:
            if name.match(line):
                joined.append(line)
            else:
                joined[-1] += f"\n{line}"
        return [segment.rstrip("\n").split(self.separators.field) for segment in joined]

    @property
    def control_id(self) -> str:
        """MSH-10; MSH-1 is the separator itself, so fields of MSH stand one place earlier than their number."""
        return "" if self.too_large or self.separators is None else _at(self.segments[0], 9).strip()

    def _is_cut(self, results: Sequence[Sequence[str]]) -> bool:
        """No line end, and the last OBX lacks the status that the standard asks for and the others have."""
        return (
            self.is_open
            and bool(results)
            and self.segments[-1] is results[-1]
            and len(results[-1]) <= _STATUS
            and all(len(result) > _STATUS for result in results[:-1])
        )


@dataclass(frozen=True, slots=True)
class _Separators:
    """What a message divides its values by; empty where it declares none."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str

    @classmethod
    def declared(cls, header: str) -> _Separators | None:
        """The separators of an MSH segment; None where they contradict each other."""
        mark = header[3]
        codes = header[4:].split(mark)[0]
        letters = any(code.isalnum() or code.isspace() for code in codes)
        if not codes or len(codes) > 5 or letters or len(set(codes + mark)) <= len(codes):
            return None
        return cls(mark, *(codes[place : place + 1] for place in range(4)))

    def unescape(self, text: str) -> str:
        r"""The text with ``\F\`` and its like as what they stand for. Unknown sequences stay as they are."""
        if not self.escape or self.escape not in text:
            return text
        mark = re.escape(self.escape)
        return re.sub(rf"{mark}({_SEQUENCES}){mark}", lambda match: self._meaning(match[1]), text)

    def _meaning(self, sequence: str) -> str:
        named = {
            "F": self.field,
            "S": self.component,
            "T": self.subcomponent,
            "R": self.repetition,
            "E": self.escape,
            "H": "",  # highlighting
            "N": "",
        }
        if sequence in named:
            return named[sequence]
        return _characters(sequence[1:]) if sequence[0] == "X" else _formatting(sequence[1:].casefold())


_SEQUENCES = r"[FSTREHN]|X(?:[0-9A-Fa-f]{2})+|\.(?i:br|ce|fi|nf|(?:sp|sk|in|ti)\s*[+-]?\d*)"


def _characters(digits: str) -> str:
    content = binascii.unhexlify(digits)
    try:
        return one_line_end(content.decode("utf-8"))
    except UnicodeDecodeError:
        return one_line_end(content.decode("cp1252", errors="replace"))


def _formatting(command: str) -> str:
    """What a formatting command puts into the text: line ends, spaces, or nothing (indents, filling)."""
    count = min(int("".join(filter(str.isdecimal, command[:6])) or 1), _MOST_SPACES)
    return {"br": "\n", "ce": "\n", "sp": "\n" * count, "sk": " " * count}.get(command[:2], "")


def _messages(stream: TextIO, limit: int, batch: _Batch) -> Iterator[_Message]:
    """The messages of a file, one at a time; what stands around them is noted in ``batch``."""
    message: _Message | None = None
    for line in lines(stream, limit):
        text = (line or "").translate(_FRAME)
        if _MESSAGE.match(text):
            if message is not None:
                yield message
            message = _Message()
            batch.messages += 1
        if _BATCH.match(text):
            batch.take(text.strip())
        elif message is not None:
            message.add(line, limit)
        elif text.strip():
            batch.astray = True
    if message is not None:
        yield message


def _report(results: Sequence[Sequence[str]], separators: _Separators, limit: int) -> Part | Unreadable:
    """The text of a message's results; of its attachments where there is none."""
    texts = [_lines(fields, separators) for fields in results if _at(fields, 2) in _TEXT_TYPES]
    text = "\n".join(texts)
    if text.strip():
        return Part(text=text)
    problem = Unreadable(reason="no_text", detail="no OBX of type TX, FT, ST or ED with a text")
    for fields in results:
        attached = _attached(_at(fields, 5), separators, limit) if _at(fields, 2) == "ED" else problem
        if isinstance(attached, str):
            return Part(text=attached)
        problem = attached
    return problem


def _lines(fields: Sequence[str], separators: _Separators) -> str:
    value = _at(fields, 5)
    if value == '""':  # HL7's word for "delete the value"
        return ""
    values = value.split(separators.repetition) if separators.repetition else [value]
    return "\n".join(separators.unescape(one) for one in values)


def _attached(value: str, separators: _Separators, limit: int) -> str | Unreadable:
    """The text of an encapsulated value (ED): source, type, subtype, encoding, data."""
    components = value.split(separators.component) if separators.component else [value]
    kind, subtype, encoding, data = (*components[1:5], "", "", "", "")[:4]
    content = _bytes(separators.unescape(data), encoding.strip().casefold())
    if content is None:
        return Unreadable(reason="broken_attachment", detail="the attachment is not in the encoding that it names")
    is_html = "html" in (subtype.strip().casefold(), kind.strip().casefold())
    return attached_text(content, "text/html" if is_html else "text/plain", limit)


def _bytes(data: str, encoding: str) -> bytes | None:
    if encoding == "base64":
        return from_base64(data)
    if encoding == "hex":
        try:
            return binascii.unhexlify("".join(data.split()))
        except ValueError:
            return None
    return data.encode("utf-8", errors="replace")


def _at(fields: Sequence[str], place: int) -> str:
    return fields[place] if place < len(fields) else ""


def _placed(part: Part | Unreadable, key: str, locator: str) -> Part | Unreadable:
    if isinstance(part, Part):
        return Part(text=part.text, key=key, locator=locator)
    return Unreadable(reason=part.reason, detail=part.detail, key=key, locator=locator)
