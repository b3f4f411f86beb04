"""What the commands that go from file to file say and write alike.

In: lines that were left out; figures. Out: lines on the terminal; a JSON file.

Covers: rendering. Does not cover: the step's own results (cli/deidentify.py, cli/extract.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from residency.cli.terminal import terminal
from residency.store.files import write_text
from residency.store.jsonl import PROBLEMS_NAMED

out = terminal()


def show_left_out(problems: Sequence[str]) -> None:
    """How many lines could not be read, and why the first of them."""
    if problems:
        out.print(f"Left out: {len(problems)} lines.", style="yellow")
        for problem in problems[:PROBLEMS_NAMED]:
            out.print(f"  {problem}")


def write_figures(figures: Mapping[str, Any], output: Path | None) -> None:
    """All figures as JSON, where a file was named."""
    if output is not None:
        write_text(output, json.dumps(figures, indent=1) + "\n")
