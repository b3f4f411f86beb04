"""Ingest: how many reports of a hospital's export come back, by format, and how many of them exactly.

    python bench/ingest.py DATA

In: the folder of the data (DATA/neurology/raw with its manifest, DATA/neurology/reports.jsonl with the true texts).
Out: a line for each format. ``recovered``: a document of the right file holds the report word for word, whitespace
aside; ``exact``: it is the report, character for character, counted where the manifest says that it should be.
Then every report that is missing, and every record of the files that hold none.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import copyfile
from typing import Any

from residency.curate.ingest import SourceSettings, ingest
from residency.records import Document, Dropped


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    folder = parser.parse_args().data / "neurology"
    manifest = json.loads((folder / "raw" / "manifest.json").read_text(encoding="utf-8"))
    truth = {report["id"]: report["text"] for report in json_lines(folder / "reports.jsonl")}
    records = read(folder / "raw", [file["file"] for file in manifest["files"]])

    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for file in manifest["files"]:
        compare(file, truth, records.get(file["file"], []), counts[file["format"]])
    print(f"{'format':16s}{'recovered':>12s}{'exact':>10s}{'more documents':>17s}{'dropped':>10s}")
    for name, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        recovered = f"{count['recovered']}/{count['expected']}"
        exact = f"{count['exact']}/{count['exact expected']}"
        print(f"{name:16s}{recovered:>12s}{exact:>10s}{count['more']:>17d}{count['dropped']:>10d}")
    for file in manifest["files"]:
        for record in records.get(file["file"], []) if not file["ids"] else []:
            outcome = f"dropped: {record.reason}" if isinstance(record, Dropped) else "a document"
            print(f"no report in it: {file['file']}: {outcome}")


def read(raw: Path, names: list[str]) -> Mapping[str, list[Document | Dropped]]:
    """The records of every file; read from a copy, as a project folder holds them."""
    records: dict[str, list[Document | Dropped]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "inbox").mkdir()
        for name in names:
            copyfile(raw / name, Path(folder) / "inbox" / name)
        for record in ingest((SourceSettings(path="inbox"),), None, Path(folder)):
            records[record.source.path.removeprefix("inbox/")].append(record)
    return records


def compare(
    file: Mapping[str, Any], truth: Mapping[str, str], records: list[Document | Dropped], count: Counter[str]
) -> None:
    """Counts what came back of one file; prints the ids that did not."""
    texts = [record.text for record in records if isinstance(record, Document)]
    keys = [record.key for record in records if isinstance(record, Document)]
    for place, report in enumerate(file["ids"]):
        recovered = any(words(truth[report]) in words(text) for text in texts)
        named = "row_keys" not in file or str(file["row_keys"][place]) in keys
        exact = truth[report] in texts
        count["expected"] += 1
        count["recovered"] += recovered and named
        count["exact expected"] += file["text_exact"]
        count["exact"] += exact and file["text_exact"]
        if not (recovered and named) or (file["text_exact"] and not exact):
            print(f"{file['file']}: {report} is {'changed' if recovered and named else 'missing'}")
    count["more"] += max(0, len(texts) - len(file["ids"]))
    count["dropped"] += len(records) - len(texts)


def words(text: str) -> str:
    return f" {' '.join(text.split())} "


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


if __name__ == "__main__":
    main()
