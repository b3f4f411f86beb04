"""Which encoding a text file has, or that it is no text at all.

In: the first bytes of a file, and whether all of it is valid UTF-8.
Out: a ``Charset``: the name of a codec, or the reason why there is none.

Covers: byte order marks, UTF-8, UTF-16 without a mark, Windows-1252 as western systems write it, and what
charset-normalizer recognizes. Does not cover: files that mix encodings; they decode, and cleanse repairs the
mojibake. Short texts in other single-byte encodings cannot be told apart: the setting ``encoding`` decides.

Windows-1252 goes before statistics: on a report with three accented names a detector guesses from three bytes,
and guesses Mac or DOS code pages that no hospital has written for decades.
"""

from __future__ import annotations

import codecs
import unicodedata
from dataclasses import dataclass

SAMPLE_BYTES = 1 << 20  # a block of reading; also what detection looks at

SIGNATURE_BYTES = 8  # as many as the longest mark below needs, and some

_MARKS = (  # longest first: the UTF-32 mark begins with the UTF-16 one
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIGNATURES = {  # what no text begins with, and what to call it
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a zip archive, such as docx or xlsx",
    b"PAR1": "a parquet table",
    b"\xd0\xcf\x11\xe0": "an old Office file, or one with a password",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"\x1f\x8b": "a gzip archive",
    b"\x7fELF": "a program",
}
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\v\b\x1b\x1a")  # what old systems put into text on purpose
_MAX_CONTROL_SHARE = 0.01  # chosen by us: text has none, the shortest binary headers several percent
_MIN_UTF16_ZERO_SHARE = 0.3  # of the bytes on one side; chosen by us: western UTF-16 has nearly all


@dataclass(frozen=True, slots=True)
class Charset:
    """The codec that reads a text file; None with a ``problem`` ("binary", "undecodable")."""

    encoding: str | None
    problem: str = ""


def detect(sample: bytes, *, valid_utf8: bool) -> Charset:
    """The encoding of a file that begins with ``sample``."""
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return Charset(encoding)
    if signature(sample):
        return Charset(None, "binary")
    if b"\0" in sample:
        return _utf16(sample)
    if _control_share(sample) > _MAX_CONTROL_SHARE:
        return Charset(None, "binary")
    if valid_utf8:
        return Charset("utf-8")
    if _reads_as_western(sample):
        return Charset("cp1252")
    return _most_likely(sample)


def signature(sample: bytes) -> str:
    """What a file that begins with these bytes is, in words; empty where they are not those of a known binary kind."""
    return next((name for mark, name in _SIGNATURES.items() if sample.startswith(mark)), "")


def _utf16(sample: bytes) -> Charset:
    """UTF-16 without a mark: western letters leave a zero in every second byte, and only there."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) / 2
    if odd > _MIN_UTF16_ZERO_SHARE * half and not even:
        return Charset("utf-16-le")
    if even > _MIN_UTF16_ZERO_SHARE * half and not odd:
        return Charset("utf-16-be")
    return Charset(None, "binary")


def _control_share(sample: bytes) -> float:
    controls = bytes(set(range(32)) - _TEXT_CONTROLS)
    return (len(sample) - len(sample.translate(None, controls))) / max(len(sample), 1)


def _reads_as_western(sample: bytes) -> bool:
    """Whether Windows-1252 gives Latin letters, with punctuation and signs in the minority."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    marked = [c for c in text if not c.isascii()]
    # A text of another script reads as Windows-1252 too, but then most of its letters carry accents.
    letters = sum(c.isalpha() for c in text)
    accented = sum(unicodedata.category(c) in ("Ll", "Lu") for c in marked)
    return accented <= letters / 5


def _most_likely(sample: bytes) -> Charset:
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    return Charset(best.encoding) if best is not None else Charset(None, "undecodable")
