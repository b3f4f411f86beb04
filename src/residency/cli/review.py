"""Review in the terminal: one item after the other, one key each.

In: items, keys. Out: decisions in the ledger.

Covers: judging answers, and correcting those that are wrong; reading raw documents and naming what was missed; judging
doubtful spans; releasing a set of de-identified documents; stopping whenever one likes. Does not cover: pages, blind
reading.
"""

from __future__ import annotations

from typing import Any

import typer
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from residency.cli.terminal import terminal
from residency.curate.deidentify.feedback import Place
from residency.curate.deidentify.labels import Identifier
from residency.curate.deidentify.recall import in_percent
from residency.errors import ProjectError
from residency.project import Project
from residency.records import Failure, Judgment, Span, TaskKind
from residency.release import Release
from residency.review import (
    Doubtful,
    Item,
    ToRead,
    answers_to_judge,
    check_corrected,
    check_label,
    deidentified,
    documents_to_read,
    doubtful_spans,
    log_look,
    places_of,
    rates,
    record_answer,
    record_reading,
    record_release,
    record_span,
    sample_of_output,
    standing,
)

out = terminal(soft_wrap=False)
KEYS = {"c": Judgment.CORRECT, "w": Judgment.WRONG, "x": Judgment.CRITICAL}
PROMPT = "[c]orrect  [w]rong  [x] critically wrong  [s]kip  [q]uit"
CORRECTED = "Corrected answer (Enter: none)"
FAILURES = {
    "m": Failure.MISSED,
    "i": Failure.INVENTED,
    "t": Failure.STATUS,
    "c": Failure.CONFUSED,
    "f": Failure.FORM,
    "o": Failure.OTHER,
}
FAILURE = "[m]issed  [i]nvented  s[t]atus  [c]onfused  [f]orm  [o]ther  (Enter: none of these)"
COMMENT = "Comment (Enter: none)"
READING = "Missed? CLASS text  |  no identifier? -number  |  Enter: read to the end  |  s: skip  q: quit"
SPAN = "[y] identifier  [n] none  [c] another class  [s]kip  [q]uit"
OPEN, CLOSE = "\u27e6", "\u27e7"  # around a span: a terminal without color must show it too
SHOWN_BEFORE_RELEASE = 5  # de-identified documents; the bounds come from the raw ones that were read


def judge_answers(project: Project, task: str, who: str) -> int:
    """Shows answers until the person stops; the number judged."""
    judged = 0
    items = answers_to_judge(project, task)
    for number, item in enumerate(items, 1):
        out.print(Panel(Text(item.text), title=Text(f"{task}, {number} of {len(items)}")))
        out.print(Panel(Text(item.answer), title="answer"))
        key = _ask(PROMPT, [*KEYS, "s", "q"])
        if key == "q":
            break
        if key != "s":
            told = {} if KEYS[key] is Judgment.CORRECT else _wrong(project, item)
            record_answer(project, item, KEYS[key], who=who, **told)
            judged += 1
    out.print(f"{judged} answers judged. Run again: residency run --project {project.root}")
    if judged:
        show_rates(project, task)
    return judged


def show_rates(project: Project, task: str) -> None:
    """What the verdicts so far say of all answers on test patients, and of those on new ones."""
    found = rates(project, task)
    for name, rate in (("wrong", found.wrong), ("critically wrong", found.critical)):
        for about, known in ((f"these {rate.population}", rate.these), ("new patients' like these", rate.new)):
            between = "" if known.low is None else f" ({100 * known.low:.1f} to {100 * (known.high or 0):.1f} %)"
            out.print(f"Of {about} answers {100 * known.value:.1f} % are {name}{between}.")


def _wrong(project: Project, item: Item) -> dict[str, Any]:
    """What a reviewer adds to a wrong answer, all of it optional: the corrected one, what went wrong, a comment."""
    corrected = _corrected(project, item)
    key = _ask(FAILURE, [*FAILURES, ""])
    return {"corrected": corrected, "failure": FAILURES.get(key), "why": _line(COMMENT) or ""}


def _corrected(project: Project, item: Item) -> str:
    """The corrected answer, asked for until it fits the task; empty where the reviewer gives none."""
    several = project.task(item.task).kind is not TaskKind.CLASSIFY
    while True:
        lines = [_line(CORRECTED) or ""]
        while several and lines[-1]:
            lines.append(_line("...") or "")
        text = "\n".join(lines).strip()
        try:
            return check_corrected(project, item, text) if text else ""
        except ProjectError as error:
            out.print(str(error))


def read_documents(project: Project, who: str) -> int:
    """Shows raw documents with the machine's spans until the person stops; the number read."""
    done, run = 0, deidentified(project)
    out.print(f"Classes: {', '.join(Identifier)}. The text is real: see that nobody looks over your shoulder.")
    for read in documents_to_read(project):
        log_look(project, read.document)
        out.print(Panel(_numbered(read), title=Text(f"document {read.document}")))
        answer = _reading(read)
        if answer is None:
            break
        if answer:
            record_reading(project, read, *answer, who=who)
            done += 1
            now = standing(project, run)
            out.print(f"{now.recall.read} of {now.recall.documents} read: {now.reason}")
    out.print(f"{done} documents read.")
    show_standing(standing(project, run))
    return done


def judge_spans(project: Project, who: str) -> int:
    """Shows doubtful spans in their context until the person stops; the number judged."""
    judged = 0
    for doubtful in doubtful_spans(project):
        log_look(project, doubtful.document)
        out.print(Panel(_in_context(doubtful), title=Text(f"{doubtful.span.label}?  {doubtful.why}")))
        key = _ask(SPAN, ["y", "n", "c", "s", "q"])
        if key == "q":
            break
        if key == "s":
            continue
        label = {"y": doubtful.span.label, "n": ""}.get(key)
        record_span(project, doubtful, _class() if label is None else label, who=who)
        judged += 1
    out.print(f"{judged} spans judged; they count from the next run on: residency run --project {project.root}")
    return judged


def release_documents(project: Project, who: str) -> bool:
    """Shows the evidence and some de-identified documents, then asks for one verdict on the whole set."""
    now = standing(project)
    for number, document in enumerate(sample_of_output(project, SHOWN_BEFORE_RELEASE), 1):
        out.print(Panel(_marked(document.text, document.spans), title=Text(f"de-identified document {number}")))
    show_standing(now)
    key = _ask(f"Release the {now.recall.documents} documents for training?  [a]pprove  [r]efuse  [q]uit", "arq")
    if key == "q":
        return False
    decision = record_release(project, approve=key == "a", who=who)
    out.print(f"Recorded: {decision.verdict}. Run again: residency run --project {project.root}")
    return key == "a"


def show_standing(now: Release) -> None:
    """The bounds so far, and what they lack."""
    table = Table("class", "in all", "reviewed", "missed", "missed at most", "limit", "")
    for row in now.recall.rows:
        name = row.label if len(row.classes) == 1 else f"{row.label} ({', '.join(row.classes)})"
        counts = (str(row.occurs), str(row.reviewed), str(row.missed))
        table.add_row(name, *counts, in_percent(row.bound), f"{100 * row.limit:.6g}%", row.standing)
    out.print(table)
    cells = now.facts["anonymity"]
    out.print(f"Second look: {now.suspects['suspects']} suspects; {now.doubtful_judged} spans judged, ", end="")
    out.print(f"{now.confirmed} of them identifiers that stood in the text or were in doubt.")
    out.print(f"{cells['patients_below']} of {cells['patients']} patients are in cells of fewer than {cells['k']}.")
    out.print(f"{now.standing}: {now.reason}")
    if now.next_step:
        out.print(f"Next: {now.next_step}")


def _reading(read: ToRead) -> tuple[list[Place], list[Place]] | tuple[()] | None:
    """What the person missed and refused; empty where the document was skipped, None where the person stops."""
    missed: list[Place] = []
    wrong: list[Place] = []
    while True:
        line = _line(READING)
        if line in ("q", None):
            return None
        if line == "s":
            return ()
        if not line:
            return missed, wrong
        problem = _note(line, read, missed, wrong)
        out.print(problem or f"{len(missed)} missed, {len(wrong)} no identifiers.")


def _note(line: str, read: ToRead, missed: list[Place], wrong: list[Place]) -> str:
    """Takes one line of a reading; what is wrong with it, or nothing."""
    if line.startswith("-"):
        numbered = {str(number): span for number, span in enumerate(read.spans, 1)}
        span = numbered.get(line[1:].strip())
        if span is None:
            return f"There is no span {line[1:20]}: they go from 1 to {len(read.spans)}."
        wrong.append(Place(span.start, span.end, span.label))
        return ""
    label, _, part = line.partition(" ")
    try:
        check_label(label.upper())
    except ProjectError as error:
        return str(error)
    places = [p for p in places_of(read.text, part, label.upper()) if not any(p.overlaps(s) for s in read.spans)]
    missed += places
    return "" if places else "That stands nowhere in this document outside what was found; copy it as it is written."


def _class() -> str:
    while True:
        line = _line("Class")
        if line is None:
            raise typer.Abort
        label = line.upper()
        try:
            check_label(label)
        except ProjectError as error:
            out.print(str(error))
        else:
            return label


def _ask(prompt: str, keys: list[str] | str) -> str:
    """One of the keys; "q" where the input ended: what was decided is kept."""
    while True:
        answer = _line(prompt)
        if answer is None:
            return "q"
        if answer.lower()[:1] in list(keys):
            return answer.lower()[:1]


def _line(prompt: str) -> str | None:
    """One line of input; None where the input has ended."""
    try:
        answer: str = typer.prompt(prompt, default="", show_default=False)
    except typer.Abort:
        return None
    return answer.strip()


def _numbered(read: ToRead) -> Text:
    """The text with the machine's spans marked, each with its number and class."""
    shown = Text()
    position = 0
    for number, span in enumerate(read.spans, 1):
        shown.append(read.text[position : span.start])
        shown.append(f"{OPEN}{read.text[span.start : span.end]}", style="reverse")
        shown.append(f"{number} {span.label}{CLOSE}", style="dim")
        position = span.end
    return shown.append(read.text[position:])


def _in_context(doubtful: Doubtful) -> Text:
    return Text.assemble(doubtful.before, (f"{OPEN}{doubtful.text}{CLOSE}", "reverse"), doubtful.after)


def _marked(text: str, spans: tuple[Span, ...]) -> Text:
    shown = Text(text)
    for span in spans:
        shown.stylize("reverse", span.start, span.end)
    return shown
