"""FHIR R4 in JSON: the documents of a Bundle, or one resource.

In: a .json file. Out: one part a DocumentReference or DiagnosticReport that carries its text.

Covers: base64 attachments (text, HTML) of DocumentReference.content and DiagnosticReport.presentedForm; the first
readable one counts, as FHIR lists the same document in several forms. Does not cover: attachments behind a URL
(nothing is fetched), PDF attachments, the generated narrative ``text.div``, and other resources, which are no
documents: Patient, Encounter and the like are passed over.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any

from residency.curate.formats.charset import detect
from residency.curate.formats.html import html_text
from residency.curate.formats.source import Part, Reading, SourceFile, Unreadable, one_line_end

_DOCUMENTS = {"DocumentReference", "DiagnosticReport"}


def read_fhir(file: SourceFile) -> Reading:
    try:
        top = json.loads(file.text())
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        yield Unreadable(reason="broken_file", detail="not JSON")
        return
    if not isinstance(top, dict) or "resourceType" not in top:
        yield Unreadable(reason="unsupported_format", detail="JSON, but not a FHIR resource")
        return
    found = False
    for number, resource in _documents(top):
        found = True
        yield _read(resource, locator=f"entry {number}" if number else "")
    if not found:
        yield Unreadable(reason="no_text", detail="no DocumentReference or DiagnosticReport in it")


def _documents(top: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The document resources with their number in the Bundle; 0 for a resource that is the whole file."""
    if top["resourceType"] in _DOCUMENTS:
        yield 0, top
    for number, entry in enumerate(_list(top.get("entry")), 1):
        resource = entry.get("resource")
        if isinstance(resource, dict) and resource.get("resourceType") in _DOCUMENTS:
            yield number, resource


def _read(resource: Mapping[str, Any], *, locator: str) -> Part | Unreadable:
    key = str(resource.get("id") or "")
    problem = Unreadable(reason="no_attachment", key=key, locator=locator)
    for attachment in _attachments(resource):
        text = _attached_text(attachment)
        if isinstance(text, str):
            return Part(text=text, key=key, locator=locator)
        problem = Unreadable(reason=text.reason, detail=text.detail, key=key, locator=locator)
    return problem


def _attachments(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    contents = _list(resource.get("content"))
    yield from (content["attachment"] for content in contents if isinstance(content.get("attachment"), dict))
    yield from _list(resource.get("presentedForm"))


def _attached_text(attachment: Mapping[str, Any]) -> str | Unreadable:
    data = attachment.get("data")
    if not isinstance(data, str):
        return Unreadable(reason="no_attachment", detail="the attachment has no data; a URL is never fetched")
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return Unreadable(reason="broken_attachment", detail="not base64")
    media_type, _, parameters = str(attachment.get("contentType") or "text/plain").casefold().partition(";")
    text = _decode(content, parameters)
    if text is None:
        return Unreadable(reason="unsupported_format", detail="the attachment is not text")
    text = html_text(text) if media_type.strip() in ("text/html", "application/xhtml+xml") else one_line_end(text)
    return text if text.strip() else Unreadable(reason="no_text", detail="the attachment is empty")


def _decode(content: bytes, parameters: str) -> str | None:
    named = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'")
    for encoding in filter(None, (named, detect(content, valid_utf8=_is_utf8(content)).encoding)):
        try:
            return content.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _list(value: Any) -> list[dict[str, Any]]:
    """The objects of a JSON list; anything else counts as an empty list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
