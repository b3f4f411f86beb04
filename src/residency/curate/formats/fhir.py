"""FHIR R4 in JSON: the documents of a Bundle, of one resource, or of a bulk export (.ndjson).

In: a .json or .ndjson file. Out: one part a DocumentReference or DiagnosticReport that carries its text.

Covers: attachments of DocumentReference.content and DiagnosticReport.presentedForm, as base64 or as a Binary of the
same Bundle or resource; the first readable one counts, as FHIR lists the same document in several forms. Records
entered in error are dropped. Does not cover: attachments behind a URL (nothing is fetched), the generated narrative
``text.div``, ``conclusion``, Compositions, and other resources, which are no documents: Patient, Encounter and the
like are passed over.

JSON paths and no resource models: a model package refuses the resources that real exports get slightly wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from residency.curate.formats.attachment import attached_text, from_base64
from residency.curate.formats.lines import Object, objects_of
from residency.curate.formats.source import Part, Reading, SourceFile, Unreadable

Binaries = Mapping[str, Object]  # by every reference that leads to one

_DOCUMENTS = ("DocumentReference", "DiagnosticReport")  # no set: a torn resource has a list for its type
_LINES = (".ndjson", ".jsonl")
_TEXT = "text/plain"


def read_fhir(file: SourceFile) -> Reading:
    """One part a document; a file that holds none is one ``Unreadable``."""
    found = False
    for part in _parts(file):
        found = True
        yield part
    if not found:
        yield Unreadable(reason="no_text", detail="no DocumentReference or DiagnosticReport in it")


def _parts(file: SourceFile) -> Reading:
    limit = file.settings.max_bytes
    if file.path.suffix.casefold() in _LINES:
        for locator, resource in objects_of(file):
            if isinstance(resource, Unreadable):
                yield resource
            elif resource.get("resourceType") in _DOCUMENTS:
                yield _read(resource, {}, locator, limit)
        return
    top = _resource(file)
    if isinstance(top, Unreadable):
        yield top
        return
    binaries = dict(_binaries(_list(top.get("entry"))))
    for number, resource in _documents(top):
        yield _read(resource, binaries, f"entry {number}" if number else "", limit)


def _resource(file: SourceFile) -> Object | Unreadable:
    try:
        top = json.loads(file.text())
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError):
        return Unreadable(reason="broken_file", detail="not JSON")
    if not isinstance(top, dict) or "resourceType" not in top:
        return Unreadable(reason="unsupported_format", detail="JSON, but not a FHIR resource")
    return top


def _documents(top: Object) -> Iterator[tuple[int, Object]]:
    """The document resources with their number in the Bundle; 0 for a resource that is the whole file."""
    if top["resourceType"] in _DOCUMENTS:
        yield 0, top
    for number, entry in enumerate(_list(top.get("entry")), 1):
        resource = entry.get("resource")
        if isinstance(resource, dict) and resource.get("resourceType") in _DOCUMENTS:
            yield number, resource


def _binaries(entries: list[dict[str, Any]]) -> Iterator[tuple[str, Object]]:
    for entry in entries:
        resource = entry.get("resource")
        if isinstance(resource, dict) and resource.get("resourceType") == "Binary":
            yield str(entry.get("fullUrl") or ""), resource
            yield f"Binary/{resource.get('id')}", resource


def _read(resource: Object, binaries: Binaries, locator: str, limit: int) -> Part | Unreadable:
    key = str(resource.get("id") or "")
    if resource.get("status") == "entered-in-error":
        return Unreadable(reason="withdrawn", detail="its status is entered-in-error", key=key, locator=locator)
    contained = {f"#{one.get('id')}": one for one in _list(resource.get("contained"))}
    problem = Unreadable(reason="no_attachment", key=key, locator=locator)
    for attachment in _attachments(resource):
        text = _text(attachment, {**binaries, **contained} if contained else binaries, limit)
        if isinstance(text, str):
            return Part(text=text, key=key, locator=locator)
        problem = Unreadable(reason=text.reason, detail=text.detail, key=key, locator=locator)
    return problem


def _attachments(resource: Object) -> Iterator[Object]:
    contents = _list(resource.get("content"))
    yield from (content["attachment"] for content in contents if isinstance(content.get("attachment"), dict))
    yield from _list(resource.get("presentedForm"))


def _text(attachment: Object, binaries: Binaries, limit: int) -> str | Unreadable:
    media_type = attachment.get("contentType")
    data = attachment.get("data")
    if not isinstance(data, str):
        binary = _referred(str(attachment.get("url") or ""), binaries)
        data, media_type = binary.get("data"), media_type or binary.get("contentType")
    if not isinstance(data, str):
        return Unreadable(reason="no_attachment", detail="no data, and no Binary here; a URL is never fetched")
    content = from_base64(data)
    if content is None:
        return Unreadable(reason="broken_attachment", detail="not base64")
    return attached_text(content, str(media_type or _TEXT), limit)


def _referred(url: str, binaries: Binaries) -> Object:
    """The Binary that a URL means: by its full URL, or by "Binary/id" at its end, whatever the server was."""
    relative = "/".join(url.partition("/_history")[0].rsplit("/", 2)[-2:])
    return binaries.get(url) or binaries.get(relative) or {} if url else {}


def _list(value: Any) -> list[dict[str, Any]]:
    """The objects of a JSON list; anything else counts as an empty list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
