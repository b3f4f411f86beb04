"""A project of the development reports, to run what a project runs on more than the demo holds.

    python bench/project.py DATA FOLDER
    residency run --until split --project FOLDER
    residency data --project FOLDER

In: the folder of the data (DATA/neurology/reports.jsonl). Out: a project folder like the demo's, with these reports.

Does not cover: measuring; the reports are not divided into halves here.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from shutil import copytree
from typing import Any

from residency.packs import load_pack

DEMO_ONLY = ("inbox", "labels.csv")


def main() -> None:
    """The demo's project file and prompts, other reports and labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    pack = load_pack("neurology")
    demo = pack.path(pack.settings.demo)
    assert demo is not None
    copytree(demo, chosen.folder, ignore=lambda _, names: [name for name in names if name in DEMO_ONLY])
    rows = [json.loads(line) for line in (chosen.data / "neurology" / "reports.jsonl").read_text("utf-8").splitlines()]
    inbox = chosen.folder / "inbox"
    inbox.mkdir()
    with (inbox / "reports.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"id": row["id"], "text": row["text"]}) + "\n" for row in rows)
    labels = [_label(row) for row in rows]
    with (chosen.folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(labels[0]))
        writer.writeheader()
        writer.writerows(labels)


def _label(row: dict[str, Any]) -> dict[str, str]:
    findings = (f"{one['label']} [{one['hpo_id']}] {one['status']}" for one in row["findings"])
    return {
        "report": row["id"],
        "patient": row["patient"],
        "group": row["group"],
        "diagnosis": row["diagnosis"]["label"],
        "findings": "; ".join(dict.fromkeys(findings)),
        "summary": row["summary"],
    }


if __name__ == "__main__":
    main()
