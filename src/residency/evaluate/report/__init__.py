"""The report of one iteration: what came out, how sure we are, and what to do next.

In: the report as plain data (verdict, data, training, scores, cases, ...), as story.py gathers it.
Out: report.json (for programs; the verdict is its first key) and report.html (for people; one file, no script, no
request to anywhere, readable on a phone and on paper).

Covers: layout (templates/), wording of numbers (words.py), what the page shows of the data (view.py).
Does not cover: measuring and judging; what is missing from the data is shown as "not measured", never filled in.

Rejected: a report that loads a chart library; it would need a network or a megabyte of script, and both outlive nobody.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from residency.evaluate.report.view import page, plain
from residency.evaluate.report.words import FILTERS, is_missing

JSON_NAME, HTML_NAME = "report.json", "report.html"


def write_report(report: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Writes report.json and report.html into ``folder``; gives both paths.

    Each file is replaced in one move and is readable by its owner only: it holds de-identified text of cases.
    Numbers that are not finite become null. Raises ``OSError`` where the folder cannot be written.
    """
    data = plain({"verdict": report.get("verdict"), **report})
    folder.mkdir(parents=True, exist_ok=True)
    as_json, as_html = folder / JSON_NAME, folder / HTML_NAME
    _replace(as_json, json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    _replace(as_html, render(data))
    return as_json, as_html


def render(report: Mapping[str, Any]) -> str:
    """The report as one HTML page. Every text of the data is escaped."""
    return _template().render(page(plain(report)))


@cache
def _template() -> Any:
    from jinja2 import ChainableUndefined, Environment, PackageLoader
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return Markup('<span class="missing">not measured</span>') if is_missing(value) else value

    # ChainableUndefined: a section whose data is missing says so; tests render full data and find no such place.
    environment = Environment(
        loader=PackageLoader("residency.evaluate", "templates"),
        autoescape=True,
        undefined=ChainableUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment.get_template("report.html.jinja")


def _replace(path: Path, text: str) -> None:
    """Writes beside ``path`` and moves it there: a reader sees the old file or the new one, never half of one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
