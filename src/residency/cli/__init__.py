"""The command line: one function a command; each parses, calls one function of the story, and renders one result.

In: arguments. Out: text for a person, and an exit status: 0 done, 1 the gate said NO-GO, 2 a usage or project
error (one sentence and a fix, no traceback), 3 inconclusive.

Covers: commands and their rendering. Does not cover: what they do (story.py).
Everything heavy is imported inside the commands, so that help is there at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="residency",
    help="Takes a team's private text to a specialist language model that it can trust, on its own machines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Folder = Annotated[Path, typer.Option("--project", "-p", help="Project folder.", metavar="DIR")]
HERE = Path(".")


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to make the project.", metavar="DIR")],
    demo: Annotated[str | None, typer.Option(help="Bring the sample reports of this pack.", metavar="PACK")] = None,
) -> None:
    """Make a new project folder."""
    from residency.cli.render import show_new_project
    from residency.folder import new_project

    show_new_project(new_project(folder, demo=demo))


@app.command()
def check(project: Folder = HERE) -> None:
    """Name every problem of the project file and of this machine at once."""
    from residency.cli.render import show_check
    from residency.folder import check_project

    raise typer.Exit(show_check(check_project(project)))


@app.command()
def run(
    project: Folder = HERE,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.", metavar="STAGE")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what earlier runs made, and do all again.")] = False,
) -> None:
    """Run the loop: curate, tune, evaluate, gate, report. Goes on where an earlier run stopped."""
    from residency.cli.progress import bars
    from residency.cli.render import show_iteration
    from residency.story import run_project

    with bars() as progress:
        iteration = run_project(project, progress, until=until, fresh=fresh)
    raise typer.Exit(show_iteration(iteration))


@app.command()
def why(
    record: Annotated[str, typer.Argument(help="Id of a prediction, example, document or report.", metavar="ID")],
    project: Folder = HERE,
) -> None:
    """Trace an answer back to the file it was read from and to the examples that taught it."""
    from residency.cli.render import show_trace
    from residency.trace import trace_record

    show_trace(trace_record(project, record))


@app.command()
def review(
    task: Annotated[str | None, typer.Argument(help="Task whose answers to judge.", metavar="TASK")] = None,
    deidentified: Annotated[
        bool, typer.Option("--deidentified", help="Read a sample of the documents instead.")
    ] = False,
    who: Annotated[str, typer.Option(help="Your name, kept with every decision.", metavar="NAME")] = "",
    project: Folder = HERE,
) -> None:
    """Judge answers, or approve the de-identification; the gate counts what people decided."""
    from residency.cli.review import approve_documents, judge_answers
    from residency.errors import ProjectError
    from residency.review import open_review

    if not who.strip() or (task is None) != deidentified:
        raise ProjectError(
            "review needs your name, and either a task or --deidentified.",
            fix="For example: residency review diagnose --who 'Ann Example'",
        )
    opened = open_review(project)
    if task is None:
        approve_documents(opened, who)
    else:
        judge_answers(opened, task, who)


@app.command()
def models() -> None:
    """List the base models that are known, with licence and defaults."""
    from residency.cli.render import show_models
    from residency.models.catalogue import catalogue

    show_models(catalogue())


def main() -> None:
    """Runs the command line; a user's mistake ends in one sentence and a fix."""
    import os
    import sys

    # Threads that wait by spinning make a step ten times slower as soon as another process wants the same core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    try:
        app()
    except Exception as error:
        from residency.errors import ResidencyError

        if not isinstance(error, ResidencyError):
            raise
        from residency.cli.render import show_error

        show_error(error)
        sys.exit(2)
