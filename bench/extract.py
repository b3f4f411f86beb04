"""How well findings are read: development reports held out by patient and by genre, and published abstracts.

    python bench/extract.py --reports REPORTS.jsonl --leave-out DEMO.jsonl [--abstracts HPO_GSC] [--demo DEMO.jsonl]

In: paths; nothing of the data is in this repository. Out: tables on standard output.

Covers: concept F1 of a report's set of (concept, status), of its set of concepts, of its mentions (same concept,
spans overlap), status accuracy on mentions found, reports a second of one core; always once without the pack's
synonyms and once with synonyms built from the training side only. ``--demo`` adds the shipped synonyms on the
demo's reports: report it, never choose by it. Does not cover: text of real hospitals.

The development reports are written by one generator, so a held-out patient shares its phrases with the training
side. The row "new genres" and the abstracts say more about text of other making.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from residency.curate.extract import Reader, find, load_reader
from residency.packs import Pack, load_pack
from residency.packs.terminology import Terminology, load_terminology

FOLDS = 5  # one is held out
GENRE_PARTS = 3  # one third of the genres is held out
Report = Mapping[str, Any]


@dataclass(slots=True)
class Tally:
    """Counts for precision, recall and F1."""

    right: int = 0
    given: int = 0
    gold: int = 0

    def add(self, right: int, given: int, gold: int) -> None:
        self.right += right
        self.given += given
        self.gold += gold

    def __str__(self) -> str:
        precision = self.right / max(self.given, 1)
        recall = self.right / max(self.gold, 1)
        return f"{precision:.3f} {recall:.3f} {2 * self.right / max(self.given + self.gold, 1):.3f}"


@dataclass(slots=True)
class Result:
    """What one reader did on one set of reports."""

    reports: int
    keys: Tally
    concepts: Tally
    mentions: Tally
    status_right: int
    status_of: int
    seconds: float

    def row(self, name: str) -> str:
        status = f"{self.status_right / self.status_of:.3f}" if self.status_of else "    -"
        speed = self.reports / self.seconds
        return f"{name:<34} {self.reports:>5}  {self.keys}  {self.concepts}  {self.mentions}  {status}  {speed:>6.0f}"


HEAD = (
    f"{'':<34} {'n':>5}  {'concept + status':<17}  {'concept':<17}  {'mention':<17}  status  per s\n"
    f"{'':<34} {'':>5}  {'P     R     F1':<17}  {'P     R     F1':<17}  {'P     R     F1':<17}"
)


def measure(reports: Sequence[Report], reader: Reader) -> Result:
    """Read all reports and compare."""
    started = time.process_time()
    read = [find(report["text"], reader) for report in reports]
    result = Result(len(reports), Tally(), Tally(), Tally(), 0, 0, time.process_time() - started)
    for report, findings in zip(reports, read, strict=True):
        gold = report["findings"]
        _count_sets(result.keys, {f.key for f in findings}, {(g["hpo_id"], g["status"]) for g in gold})
        _count_sets(result.concepts, {f.concept for f in findings}, {g["hpo_id"] for g in gold})
        pairs = [
            (f, g)
            for f in findings
            for g in gold
            if f.concept == g["hpo_id"] and f.start is not None and f.end is not None
            if f.start < g["end"] and g["start"] < f.end
        ]
        result.mentions.add(len({(f.start, f.end) for f, _ in pairs}), len(findings), len(gold))
        result.status_of += len(pairs)
        result.status_right += sum(f.status.value == g["status"] for f, g in pairs)
    return result


def _count_sets(tally: Tally, given: set[Any], gold: set[Any]) -> None:
    tally.add(len(given & gold), len(given), len(gold))


def held_out(reports: Iterable[Report], salt: str, key: Callable[[Report], str], parts: int) -> list[bool]:
    """Whether each report's patient (or genre) falls in the held-out part; by hash, so it never changes."""
    digests = (hashlib.sha256(f"{salt}:{key(report)}".encode()).hexdigest() for report in reports)
    return [int(digest, 16) % parts == 0 for digest in digests]


def reader_with(pack: Pack, training: Sequence[Report] | None) -> Reader:
    """The pack's reader with synonyms built from these reports only; None: without synonyms."""
    bare = replace(pack, settings=pack.settings.model_copy(update={"synonyms": None}))
    if training is None:
        return load_reader(bare)
    build = _synonym_builder()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "synonyms.tsv"
        build.write(build.build(training, pack), table, remarks=())
        return load_reader(replace(pack, settings=pack.settings.model_copy(update={"synonyms": str(table)})))


def _synonym_builder() -> Any:
    path = Path(__file__).parent.parent / "scripts" / "build_synonyms.py"
    spec = importlib.util.spec_from_file_location("build_synonyms", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_synonyms"] = module
    spec.loader.exec_module(module)
    return module


def read_abstracts(folder: Path, terminology: Terminology) -> list[Report]:
    """GSC+ as reports; annotations outside the pack's concepts (mode of inheritance) are left out."""
    line = re.compile(r"\[(\d+)::(\d+)\]\s+(HP_\d+)")
    abstracts: list[Report] = []
    for path in sorted((folder / "corpus").iterdir()):
        gold = []
        for start, end, concept in line.findall((folder / "ann" / path.name).read_text(encoding="utf-8")):
            current = terminology.current(concept.replace("_", ":"))
            if current in terminology.labels:
                gold.append({"start": int(start), "end": int(end), "hpo_id": current, "status": "present"})
        abstracts.append({"text": path.read_text(encoding="utf-8"), "findings": gold})
    return abstracts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=Path, required=True)
    parser.add_argument("--leave-out", type=Path, nargs="*", default=[], help="reports whose patients stay out")
    parser.add_argument("--abstracts", type=Path, help="folder of GSC+ with corpus/ and ann/")
    parser.add_argument("--demo", type=Path, help="reports for the final figure of the shipped synonyms")
    parser.add_argument("--pack", default="neurology")
    chosen = parser.parse_args()
    pack = load_pack(chosen.pack)
    out = {report["patient"] for path in chosen.leave_out for report in map(json.loads, path.open(encoding="utf-8"))}
    reports = [r for r in _synonym_builder().read_reports(chosen.reports) if r["patient"] not in out]
    by_patient = held_out(reports, "extract", lambda r: r["patient"], FOLDS)
    by_genre = held_out(reports, "genre", lambda r: r["genre"], GENRE_PARTS)
    test = [r for r, held in zip(reports, by_patient, strict=True) if held]
    train = [r for r, held in zip(reports, by_patient, strict=True) if not held]
    new = [r for r, p, g in zip(reports, by_patient, by_genre, strict=True) if p and g]
    known = [r for r, p, g in zip(reports, by_patient, by_genre, strict=True) if not p and not g]
    bare = reader_with(pack, None)
    print(HEAD)
    print(measure(test, bare).row("new patients, no synonyms"))
    own = reader_with(pack, train)
    print(measure(test, own).row("new patients"))
    print(measure(new, bare).row("new patients + genres, no synonyms"))
    print(measure(new, reader_with(pack, known)).row("new patients + genres"))
    if chosen.abstracts:
        abstracts = read_abstracts(chosen.abstracts, load_terminology(pack))
        print("\nGSC+ abstracts (no status annotated: read the concept columns)")
        print(measure(abstracts, bare).row("no synonyms"))
        print(measure(abstracts, own).row("with the synonyms of above"))
        if pack.settings.synonyms:
            print(measure(abstracts, load_reader(pack)).row("with the shipped synonyms"))
    if chosen.demo:
        print("\nThe demo's reports, shipped synonyms (never used for choosing)")
        print(measure(_synonym_builder().read_reports(chosen.demo), load_reader(pack)).row("demo"))
    print("\nheld-out genres:", ", ".join(sorted({r["genre"] for r, g in zip(reports, by_genre, strict=True) if g})))


if __name__ == "__main__":
    main()
