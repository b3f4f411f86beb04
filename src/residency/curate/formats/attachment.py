"""Attachments: the text of a document that another one carries, as FHIR and HL7 v2 do.

In: bytes with the media type that the carrier names. Out: the text, or an ``Unreadable``.

Covers: text in the named or detected encoding, HTML, PDF with a text layer, Word. What the bytes begin with counts
before the media type, which senders set wrongly. Does not cover: RTF, CDA and other XML, pictures.
"""

from __future__ import annotations

import base64
import binascii
import io

from residency.curate.formats.charset import detect, signature
from residency.curate.formats.docx import docx_text
from residency.curate.formats.html import html_text
from residency.curate.formats.pdf import pdf_text
from residency.curate.formats.source import Unreadable, one_line_end

_HTML = frozenset({"text/html", "application/xhtml+xml"})
_MARKUP = (b"{\\rtf", b"<?xml", b"<ClinicalDocument")  # text by its bytes, but not what a person reads


def from_base64(data: str) -> bytes | None:
    """The bytes of a base64 text, line breaks allowed; None where it is none."""
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def attached_text(content: bytes, media_type: str, limit: int) -> str | Unreadable:
    """The text of an attachment. ``media_type`` may name a charset; ``limit`` bounds what it unpacks to."""
    if not content.strip():
        return Unreadable(reason="no_text", detail="the attachment is empty")
    if content.startswith(b"%PDF"):
        return pdf_text(content, limit)
    if content.startswith(b"PK\x03\x04"):
        return docx_text(io.BytesIO(content), limit)
    name, _, parameters = media_type.casefold().partition(";")
    is_html = name.strip() in _HTML
    if content.lstrip().startswith(_MARKUP) and not is_html:
        return Unreadable(reason="unsupported_format", detail="the attachment is RTF or XML")
    text = _decoded(content, parameters)
    if text is None:
        kind = signature(content) or "not text"
        return Unreadable(reason="unsupported_format", detail=f"the attachment is {kind}")
    text = html_text(text) if is_html else one_line_end(text)
    return text if text.strip() else Unreadable(reason="no_text", detail="the attachment is empty")


def _decoded(content: bytes, parameters: str) -> str | None:
    detected = detect(content, valid_utf8=_is_utf8(content))
    if detected.problem == "binary":
        return None
    named = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'")
    for encoding in filter(None, (named, detected.encoding)):
        try:
            return content.decode(encoding)
        except (ValueError, LookupError):  # not in this encoding; no encoding of this name
            continue
    return None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
