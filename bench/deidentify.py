"""De-identification, side by side: ours and Presidio as shipped, with the same spaCy model, on reports held
out from development.

    python bench/deidentify.py REPORTS.jsonl [--side development] [--limit 300]
    [--ablate]

In: reports with ``text``, ``phi``, ``patient``, ``genre`` (JSON lines). Out: a table by class and a line for
every system with its speed.

Held out are a fifth of the patients and a third of the genres, both chosen by hash. Rules were tuned on the
rest only, less the patients of the file given with ``--never`` (the demo's), who count on neither side of
development. CPU time of one process; intervals are Wilson's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from residency.curate.deidentify import Detector, Evaluation, evaluate_deidentification
from residency.curate.deidentify.audit import presidio_as_shipped
from residency.curate.deidentify.evaluation import Level
from residency.packs import Pack, load_pack
from residency.records import Span

PATIENTS_HELD_OUT = 0.2
GENRES_HELD_OUT = 1 / 3
SALT = "deidentify:"

System = Callable[[Sequence[str]], Sequence[Sequence[Span]]]


def main() -> None:
    """Parse, split, run every system, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path)
    parser.add_argument(
        "--side", choices=("held-out", "held-out-patients", "held-out-genres", "development"), default="held-out"
    )
    parser.add_argument("--never", type=Path, help="JSON lines whose patients never serve development")
    parser.add_argument("--limit", type=int, default=0, help="first so many reports only")
    parser.add_argument("--pack", default="neurology")
    parser.add_argument("--ablate", action="store_true", help="also ours with spaCy's entities")
    parser.add_argument("--no-presidio", action="store_true", help="ours only")
    arguments = parser.parse_args()

    reports = list(side(read_lines(arguments.reports), arguments.side, never=patients_of(arguments.never)))
    reports = reports[: arguments.limit or None]
    print(f"{arguments.side}: {len(reports)} reports of {len({r['patient'] for r in reports})} patients\n")
    systems = dict(make_systems(load_pack(arguments.pack), ablate=arguments.ablate, presidio=not arguments.no_presidio))
    results = {name: timed(system, reports) for name, system in systems.items()}
    print(by_class({name: evaluation for name, (evaluation, _) in results.items()}))
    print(summary(results))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Records of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def patients_of(path: Path | None) -> set[str]:
    """Patients of a JSON lines file; none without one."""
    return {record["patient"] for record in read_lines(path)} if path else set()


def side(reports: Sequence[dict[str, Any]], name: str, *, never: set[str]) -> Iterator[dict[str, Any]]:
    """Reports of one side of the split."""
    genres = sorted(
        {report["genre"] for report in reports}, key=lambda genre: hashlib.sha256((SALT + genre).encode()).hexdigest()
    )
    held_genres = set(genres[: int(len(genres) * GENRES_HELD_OUT)])
    for report in reports:
        by_patient = _share(report["patient"]) < PATIENTS_HELD_OUT
        by_genre = report["genre"] in held_genres
        if {
            "held-out": by_patient or by_genre,
            "held-out-patients": by_patient and not by_genre,
            "held-out-genres": by_genre,
            "development": not by_patient and not by_genre and report["patient"] not in never,
        }[name]:
            yield report


def _share(patient: str) -> float:
    return int(hashlib.sha256((SALT + patient).encode()).hexdigest()[:8], 16) / 2**32


def make_systems(pack: Pack, *, ablate: bool, presidio: bool) -> Iterator[tuple[str, System]]:
    """The systems, loaded and warm."""
    yield "residency", Detector(pack, entities=False)
    if ablate:
        yield "residency, entities too", Detector(pack)
    if presidio:
        second = presidio_as_shipped()
        yield "presidio as shipped", lambda texts: list(map(second, texts))


def timed(system: System, reports: Sequence[dict[str, Any]]) -> tuple[Evaluation, float]:
    """The evaluation, and reports for each second of CPU time."""
    system([reports[0]["text"]])
    start = time.process_time()
    evaluation = evaluate_deidentification(reports, system)
    return evaluation, len(reports) / (time.process_time() - start)


def by_class(evaluations: dict[str, Evaluation]) -> str:
    """Character recall of every class with its interval, whatever class was given; whole spans; and with the
    right class."""
    names = list(evaluations)
    lines = [f"{'class':16s}{'spans':>7s}  " + "".join(f"{name:>40s}" for name in names)]
    lines.append(f"{'':23s}  " + "".join(f"{'recall  [95 %]        whole  labelled':>40s}" for _ in names))
    for row in (row for row in evaluations[names[0]].rows if row.level is Level.CHARACTER and row.spans):
        cells = []
        for name in names:
            its = evaluations[name].row(row.label)
            low, high = its.recall_interval
            shares = f"{evaluations[name].row(row.label, Level.SPAN).recall:.3f}  {its.recall_with_label:.3f}"
            cells.append(f"{its.recall:.4f} [{low:.3f}, {high:.3f}]  {shares}".rjust(40))
        lines.append(f"{row.label:16s}{row.spans:7d}  " + "".join(cells))
    return "\n".join(lines) + "\n"


def summary(results: dict[str, tuple[Evaluation, float]]) -> str:
    """One line for each system."""
    lines = [
        f"{'system':24s}{'recall':>9s}{'precision':>11s}{'F1':>7s}{'F2':>7s}{'findings altered':>18s}{'reports/s':>11s}"
    ]
    for name, (e, speed) in results.items():
        altered = e.findings_altered / e.findings if e.findings else math.nan
        lines.append(
            f"{name:24s}{e.row().recall:9.4f}{e.row().precision:11.4f}{e.row().f(1):7.3f}{e.row().f(2):7.3f}"
            f"{altered:18.4%}{speed:11.1f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
