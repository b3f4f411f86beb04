"""The pages that people read: the report of one iteration, and the evidence that a privacy officer signs.

In: plain data, as story.py gathers the report (verdict, data, training, scores, cases, ...) and release.py the evidence
(standing, policy, recall, readings, ...). Out: report.json and deidentification.json (for programs; the verdict is the
first key), gate.json (the verdict and its lines alone), report.html and deidentification.html (for people; one file
each, no script, no request to anywhere, readable on a phone and on paper).

    view.py       what the report shows of its data        evidence.py   what the evidence shows of its data
    words.py      numbers and verdicts as people read them

Covers: layout (templates/), wording of numbers, what the pages show of the data.
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

from residency.evaluate.report.evidence import evidence_page
from residency.evaluate.report.view import page, plain
from residency.evaluate.report.words import FILTERS, is_missing

JSON_NAME, HTML_NAME = "report.json", "report.html"
EVIDENCE_JSON_NAME, EVIDENCE_HTML_NAME = "deidentification.json", "deidentification.html"
GATE_NAME = "gate.json"
OF_GATE = ("verdict", "exit_status", "reasons", "next_step", "project", "iteration", "created", "gate")  # its keys
PAGES = (JSON_NAME, HTML_NAME, GATE_NAME, EVIDENCE_JSON_NAME, EVIDENCE_HTML_NAME)  # every file that is written here


def write_report(report: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Writes report.json, report.html and gate.json, the verdict alone, into ``folder``; gives the first two paths.

    Each file is replaced in one move and is readable by its owner only: it holds de-identified text of cases.
    Numbers that are not finite become null. Raises ``OSError`` where the folder cannot be written.
    """
    data = plain({"verdict": report.get("verdict"), **report})
    as_json, as_html = folder / JSON_NAME, folder / HTML_NAME
    _write(data, as_json, render(data), as_html)
    _replace(folder / GATE_NAME, _json({name: data[name] for name in OF_GATE if name in data}))
    return as_json, as_html


def write_evidence(evidence: Mapping[str, Any], folder: Path) -> Path:
    """Writes deidentification.json and deidentification.html into ``folder``, as ``write_report`` does; gives the page.

    ``evidence``: what ``Release.evidence`` gathers. It holds no text of any document: ids, offsets and classes only.
    """
    data = plain(evidence)
    as_html = folder / EVIDENCE_HTML_NAME
    _write(data, folder / EVIDENCE_JSON_NAME, render_evidence(data), as_html)
    return as_html


def render(report: Mapping[str, Any]) -> str:
    """The report as one HTML page. Every text of the data is escaped."""
    return _template("report.html.jinja").render(page(plain(report)))


def render_evidence(evidence: Mapping[str, Any]) -> str:
    """The evidence of de-identification as one HTML page to sign. Every text of the data is escaped."""
    return _template("evidence.html.jinja").render(evidence_page(plain(evidence)))


@cache
def _template(name: str) -> Any:
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
    return environment.get_template(name)


def _write(data: Any, as_json: Path, page_text: str, as_html: Path) -> None:
    as_json.parent.mkdir(parents=True, exist_ok=True)
    _replace(as_json, _json(data))
    _replace(as_html, page_text)


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


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
