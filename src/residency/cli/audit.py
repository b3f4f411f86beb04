"""The audit log on the command line: is it whole, and all of it as a file.

In: a project, or an exported file. Out: one sentence and an exit status; JSON lines.

Covers: the first entry that does not stand; an end that nothing proves. Does not cover: the log (store/audit.py).
"""

from __future__ import annotations

from pathlib import Path

from residency.cli.terminal import terminal
from residency.project import Project
from residency.store.audit import Verification, console_user, export, read_exported, verify, verify_entries

BROKEN, UNPROVED = 1, 3  # exit statuses, as those of the gate's NO-GO and INCONCLUSIVE

out = terminal()


def verify_log(project: Path, file: Path | None) -> int:
    """Says what was found; gives the exit status."""
    found = verify(Project.open(project).studio) if file is None else verify_entries(read_exported(file))
    if not found.whole:
        out.print(f"BROKEN at entry {found.broken}: {found.why}.", style="bold red")
        return BROKEN
    out.print(f"{found.entries} entries stand as they were written; the last has the hash {found.head.hash[:16]}.")
    return _end(found, exported=file is not None)


def export_log(project: Path, target: Path) -> None:
    opened = Project.open(project)
    opened.refuse_output(target)
    count = export(opened.studio, target, who=console_user())
    out.print(f"{target}: {count} entries. To check it anywhere: residency audit verify {target}")


def _end(found: Verification, *, exported: bool) -> int:
    if found.anchored is not None:
        out.print(f"Anchored beside the key up to entry {found.anchored}.")
        return 0
    if exported:
        out.print(
            "Whether more entries followed, the file alone cannot show: compare the last hash with the project's."
        )
        return 0
    if found.entries == 0:
        return 0
    out.print("There is no anchor beside the key: whether entries are gone from the end, nothing can show.")
    return UNPROVED
