"""Review in the terminal: one item after the other, one key each.

In: items, keys. Out: decisions in the ledger.

Covers: judging answers, approving a de-identified sample; stopping whenever one likes. Does not cover: pages.
"""

from __future__ import annotations

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from residency.records import Span
from residency.review import REFUSED, Judgment, Sample, answers_to_judge, decide, documents_to_approve
from residency.story import APPROVED, Project

out = Console(soft_wrap=False, highlight=False)
KEYS = {"c": Judgment.CORRECT, "w": Judgment.WRONG, "x": Judgment.CRITICAL}
PROMPT = "[c]orrect  [w]rong  [x] critically wrong  [s]kip  [q]uit"


def judge_answers(project: Project, task: str, who: str) -> int:
    """Shows answers until the person stops; the number judged."""
    judged = 0
    items = answers_to_judge(project, task)
    for number, item in enumerate(items, 1):
        out.print(Panel(Text(item.text), title=f"{task}, {number} of {len(items)}"))
        out.print(Panel(Text(item.answer), title="answer"))
        key = _ask(PROMPT, [*KEYS, "s", "q"])
        if key == "q":
            break
        if key != "s":
            decide(project, item.subject, KEYS[key], who=who)
            judged += 1
    out.print(f"{judged} answers judged. Run again: residency run --project {project.root}")
    return judged


def approve_documents(project: Project, who: str) -> bool:
    """Shows a sample of de-identified documents, then asks for one verdict on the whole set."""
    sample = documents_to_approve(project)
    for number, (text, spans) in enumerate(sample.documents, 1):
        out.print(Panel(_marked(text, spans), title=f"document {number} of {len(sample.documents)}"))
        if _ask("[n]ext  [q]uit", ["n", "q"]) == "q":
            return False
    key = _ask(
        f"Is any identifier of a real person left?  [a]pprove the {sample.of} documents  [r]efuse  [q]uit", "arq"
    )
    if key == "q":
        return False
    return _record(project, sample, APPROVED if key == "a" else REFUSED, who)


def _record(project: Project, sample: Sample, verdict: str, who: str) -> bool:
    decide(project, sample.subject, verdict, who=who, why=f"{len(sample.documents)} of {sample.of} documents read")
    out.print(f"Recorded: {verdict}. Run again: residency run --project {project.root}")
    return verdict == APPROVED


def _ask(prompt: str, keys: list[str] | str) -> str:
    while True:
        try:
            key: str = typer.prompt(prompt).strip().lower()[:1]
        except typer.Abort:  # the input ended: what was decided is kept
            return "q"
        if key in list(keys):
            return key


def _marked(text: str, spans: tuple[Span, ...]) -> Text:
    shown = Text(text)
    for span in spans:
        shown.stylize("reverse", span.start, span.end)
    return shown
