"""The command line: one function a command; each parses, calls one function of the story, and renders one result.

In: arguments. Out: text for a person, and an exit status: 0 done, 1 the gate said NO-GO, 2 a usage or project
error (one sentence and a fix, no traceback), 3 inconclusive.

Covers: commands and their rendering. Does not cover: what they do (story.py).
Everything heavy is imported inside the commands, so that help is there at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

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
WRITES = ("mode", "policy")  # options of deidentify that change what is written, not what is found
OF_FILES = ("cases", "predictions", "task", "against", "as_json", "output", "margin", "risk", "coverage", "metric",
            "pack", "critical", "judge", "draws", "seed", "plan", "assume")  # fmt: skip
OF_A_FILE = ("output", *WRITES, "pack", "organizations", "entities", "workers", "skip_bad")


def refuse_ignored(context: typer.Context, names: Sequence[str], why: str) -> None:
    """A ProjectError where a person gave one of these options, which would change nothing."""
    from residency.errors import ProjectError

    given = [name for name in names if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    if given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ProjectError(f"{options}: {why}.", fix=f"Leave it out, or see: {context.command_path} --help")


def refuse_both(source: Path | None, gold: Path) -> None:
    """A ProjectError where there is a file to treat and one to evaluate against: only one of them would be read."""
    from residency.errors import ProjectError

    if source is not None:
        raise ProjectError(
            f"{source} and --evaluate {gold}: one at a time.",
            fix=f"For the scores leave {source} out; else leave out --evaluate.",
        )


@app.callback()
def refuse_launched(context: typer.Context) -> None:
    from residency.errors import ProjectError
    from residency.tune.processes import launched

    if launched() > 1 and context.invoked_subcommand != "tune":
        raise ProjectError(
            f"residency {context.invoked_subcommand} runs in one process; {launched()} were launched.",
            fix="Launch residency tune, and run the rest without the launcher: the trained adapter is found again.",
        )


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
def tune(
    show: Annotated[
        int | None, typer.Option(min=1, help="Show this many samples as the model sees them.", metavar="COUNT")
    ] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Try learning rates in short runs, and propose one.")] = False,
    pairs: Annotated[
        Path | None, typer.Option(help="Teach preference pairs: id, prompt, chosen, rejected.", metavar="PAIRS.jsonl")
    ] = None,
    corrections: Annotated[bool, typer.Option("--corrections", help="Teach reviewers' corrections as pairs.")] = False,
    adapter: Annotated[
        Path | None, typer.Option(help="Adapter that learns the pairs; the project's if not given.", metavar="ADAPTER")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the new adapter goes.", metavar="NEW")
    ] = None,
    project: Folder = HERE,
) -> None:
    """Run the loop up to tuning; look at what would be trained on, or at learning rates, without training; or teach
    the adapter which answers people prefer."""
    from residency.errors import ProjectError
    from residency.tune.processes import launched

    teaches = pairs is not None or corrections
    if sum([show is not None, sweep, teaches]) > 1:
        raise ProjectError("--show, --sweep and --pairs or --corrections: one at a time.", fix="Leave the others out.")
    if launched() > 1 and (show is not None or sweep or teaches):
        raise ProjectError(
            "--show, --sweep, --pairs and --corrections run in one process.", fix="Run them without the launcher."
        )
    if teaches != (output is not None) or (adapter is not None and not teaches):
        raise ProjectError(
            "Teaching preferences needs pairs and a place: --pairs or --corrections, and -o.",
            fix="For example: residency tune --pairs PAIRS.jsonl -o ADAPTER",
        )
    if output is not None:
        from residency.cli.tune import teach

        teach(project, output, file=pairs, corrections=corrections, adapter=adapter)
    elif show is not None:
        from residency.cli.tune import show_samples

        show_samples(project, show)
    elif sweep:
        from residency.cli.tune import show_sweep

        show_sweep(project)
    elif launched() > 1:
        from residency.cli.tune import tune_together

        tune_together(project)
    else:
        run(project, until="tune")


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
        bool, typer.Option("--deidentified", help="Read raw documents: what did de-identification miss?")
    ] = False,
    doubtful: Annotated[bool, typer.Option("--doubtful", help="Judge the spans that it is unsure of.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Release or refuse the de-identified set.")] = False,
    who: Annotated[str, typer.Option(help="Your name, kept with every decision.", metavar="NAME")] = "",
    project: Folder = HERE,
) -> None:
    """Judge answers, or check the de-identification; the gates count what people decided."""
    from residency.cli.review import judge_answers, judge_spans, read_documents, release_documents
    from residency.errors import ProjectError
    from residency.review import open_review

    if not who.strip() or sum([task is not None, deidentified, doubtful, release]) != 1:
        raise ProjectError(
            "review needs your name, and one of: a task, --deidentified, --doubtful, --release.",
            fix="For example: residency review diagnose --who 'Ann Example'",
        )
    opened = open_review(project)
    if task is not None:
        judge_answers(opened, task, who)
    elif release:
        release_documents(opened, who)
    elif doubtful:
        judge_spans(opened, who)
    else:
        read_documents(opened, who)


@app.command()
def deidentify(
    context: typer.Context,
    source: Annotated[Path | None, typer.Argument(help="JSON lines with id, text, patient.", metavar="IN")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write.", metavar="OUT")] = None,
    mode: Annotated[
        Literal["surrogate", "tag", "generalize"], typer.Option(help="What is written in an identifier's place.")
    ] = "surrogate",
    policy: Annotated[
        str, typer.Option(help="safe_harbor, expert_determination, limited_data_set, or a YAML file.", metavar="POLICY")
    ] = "expert_determination",
    evaluate: Annotated[
        Path | None, typer.Option(help="Score against this file's known identifiers instead.", metavar="GOLD")
    ] = None,
    pack: Annotated[str, typer.Option(help="Domain pack: its vocabulary is no identifier.")] = "neurology",
    organizations: Annotated[bool, typer.Option(help="Also hospitals, schools and employers.")] = True,
    entities: Annotated[bool, typer.Option(help="Also the entities of the spaCy model; slower.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores if not given.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out lines that cannot be read.")] = False,
    project: Folder = HERE,
) -> None:
    """De-identify a file, or a project's inbox; or measure how well identifiers are found."""
    from residency.cli.deidentify import deidentify_one_file, deidentify_project, evaluate_one_file, step
    from residency.file_to_file import Options
    from residency.run.pool import cores

    if source is None and evaluate is None:
        refuse_ignored(context, OF_A_FILE, "only where a file is named; a project's settings are in residency.yaml")
        deidentify_project(project)
        return
    refuse_ignored(context, ("project",), "only where no file is named")
    if evaluate is not None:
        refuse_both(source, evaluate)
        refuse_ignored(context, WRITES, "--evaluate measures what is found, before anything is written in its place")
    settings = step(policy, mode, organizations=organizations, entities=entities)
    options = Options(pack=pack, workers=workers or cores(), skip_bad=skip_bad)
    if evaluate is not None:
        evaluate_one_file(evaluate, output, settings, options)
    elif source is not None:
        deidentify_one_file(source, output, settings, options)


@app.command()
def extract(
    source: Annotated[Path | None, typer.Argument(help="JSON lines with id and text.", metavar="IN")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write.", metavar="OUT")] = None,
    evaluate: Annotated[
        Path | None, typer.Option(help="Score against this file's known findings instead.", metavar="GOLD")
    ] = None,
    pack: Annotated[str, typer.Option(help="Domain pack: its terminology is read.")] = "neurology",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores if not given.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out lines that cannot be read.")] = False,
) -> None:
    """Read findings with their status from a file's texts, without a language model; or measure how well."""
    from residency.cli.extract import evaluate_one_file, extract_one_file
    from residency.file_to_file import Options
    from residency.run.pool import cores

    options = Options(pack=pack, workers=workers or cores(), skip_bad=skip_bad)
    if evaluate is not None:
        refuse_both(source, evaluate)
        evaluate_one_file(evaluate, output, options)
    else:
        extract_one_file(source, output, options)


@app.command()
def predict(
    source: Annotated[Path, typer.Argument(help="JSON lines with id, text, perhaps patient.", metavar="IN")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write.", metavar="OUT")],
    task: Annotated[str, typer.Option(help="A task of the project.", metavar="TASK")],
    adapter: Annotated[
        str | None, typer.Option(help="Folder or hash of an adapter; the project's own if not given.")
    ] = None,
    curated: Annotated[
        bool, typer.Option("--curated", help="The texts are de-identified and cleansed: they stay as they are.")
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out lines that cannot be read.")] = False,
    project: Folder = HERE,
) -> None:
    """Answer a task about new texts, with confidence, evidence, and when to ask a person."""
    from residency.cli.predict import predict_one_file

    predict_one_file(project, source, output, task, adapter=adapter, curated=curated, skip_bad=skip_bad)


@app.command()
def evaluate(
    context: typer.Context,
    cases: Annotated[Path | None, typer.Option(help="JSON lines with id, answer.", metavar="CASES")] = None,
    predictions: Annotated[Path | None, typer.Option(help="JSON lines with id, output.", metavar="OUT")] = None,
    task: Annotated[Literal["classify", "extract", "generate"] | None, typer.Option(help="Kind of the task.")] = None,
    against: Annotated[Path | None, typer.Option(help="Another system's predictions.", metavar="OTHER")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to a file.", metavar="FILE")] = None,
    margin: Annotated[float, typer.Option(min=0, help="Loss that would not matter, in the metric's unit.")] = 0.02,
    risk: Annotated[float, typer.Option(min=0.0001, max=0.5, help="Largest share of wrong answers given.")] = 0.05,
    coverage: Annotated[float, typer.Option(min=0.5, max=0.999, help="Stated coverage of label sets.")] = 0.9,
    metric: Annotated[list[str] | None, typer.Option(help="Your own metric.", metavar="FILE.py:FUNCTION")] = None,
    pack: Annotated[str | None, typer.Option(help="Domain pack: reads the facts of texts.")] = None,
    critical: Annotated[Path | None, typer.Option(help="Table of critical errors.", metavar="TABLE.tsv")] = None,
    judge: Annotated[Path | None, typer.Option(help="Verdicts of a judge model.", metavar="VERDICTS")] = None,
    draws: Annotated[int, typer.Option(min=200, max=100_000, help="Bootstrap draws.")] = 2_000,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    adapter: Annotated[
        str | None, typer.Option(help="Instead: judge this adapter, a folder or a hash, on the project's cases.")
    ] = None,
    project: Folder = HERE,
    plan: Annotated[bool, typer.Option("--plan", help="Cases that a study needs; files are the pilot.")] = False,
    assume: Annotated[
        list[str] | None, typer.Option(help="For --plan, e.g. difference=0.05.", metavar="NAME=VALUE")
    ] = None,
) -> None:
    """Score any model's outputs, file to file, with intervals and a verdict; or an adapter of a project; or plan."""
    from residency.cli.evaluate import judge_adapter, plan_cases, score_one_file

    if adapter is not None:
        refuse_ignored(context, OF_FILES, "not with --adapter; a project's settings are in residency.yaml")
        raise typer.Exit(judge_adapter(project, adapter))
    refuse_ignored(context, ("project",), "only with --adapter")
    from residency.evaluate.assessment import Assess

    how = Assess(margin=margin, risk=risk, coverage=coverage, draws=draws, seed=seed)
    files = (cases, predictions, task, against)
    if plan:
        refuse_ignored(context, ("metric", "pack", "critical", "judge"), "a plan does not read it")
        plan_cases(files, assume or [], how, as_json=as_json, output=output)
    else:
        more = {"own": metric or [], "pack": pack, "critical": critical, "judge": judge}
        score_one_file(files, how, more, as_json=as_json, output=output)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A system, an adapter (folder or hash), or a run's key.", metavar="A")],
    second: Annotated[str, typer.Argument(help="What it is held against, named alike.", metavar="B")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to a file.", metavar="FILE")] = None,
    project: Folder = HERE,
) -> None:
    """Is A better than B? Two systems or adapters of a project on the same frozen cases, with verdicts."""
    from residency.cli.compare import compare_two

    compare_two(project, first, second, as_json=as_json, output=output)


@app.command()
def data(
    enough: Annotated[int, typer.Option(min=1, help="Training examples a task that would be enough.")] = 10_000,
    project: Folder = HERE,
) -> None:
    """What the curated data is, and whether it is enough; writes dataset.md."""
    from residency.cli.render import show_data
    from residency.datacard import describe_data, write_card
    from residency.project import Project

    opened = Project.open(project)
    card = describe_data(opened, enough=enough)
    show_data(card, write_card(card, opened.root)[1])


@app.command("export")
def export_(
    target: Annotated[Path, typer.Argument(help="Where to write the tasks.", metavar="OUT.json")],
    project: Folder = HERE,
) -> None:
    """Write the curated documents as Label Studio tasks, with a labelling configuration beside them."""
    from residency.cli.render import show_exported
    from residency.exchange import export_tasks
    from residency.project import Project

    show_exported(target, *export_tasks(Project.open(project), target))


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="JSON that Label Studio exported.", metavar="IN.json")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Label file to write.")] = Path("annotations.csv"),
    project: Folder = HERE,
) -> None:
    """Read Label Studio's annotations into a label file, with the annotators' agreement."""
    from residency.cli.render import show_imported
    from residency.exchange import import_annotations
    from residency.project import Project

    show_imported(import_annotations(Project.open(project), source, output))


@app.command()
def forget(
    patient: Annotated[str, typer.Argument(help="The id in the label file, or the pseudonym.", metavar="PATIENT")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    project: Folder = HERE,
) -> None:
    """Take a patient out of everything that the project holds, and name every dataset and adapter that saw them."""
    from residency.cli.vault import forget_one
    from residency.project import Project

    forget_one(Project.open(project), patient, ask=not yes)


vault = typer.Typer(help="The encrypted store of raw text.", no_args_is_help=True)
app.add_typer(vault, name="vault")


@vault.command()
def show(project: Folder = HERE) -> None:
    """What the vault holds, in numbers."""
    from residency.cli.vault import show_state
    from residency.project import Project

    show_state(Project.open(project))


@vault.command()
def rotate(project: Folder = HERE) -> None:
    """Seal the vault with a new project key; surrogates stay as they are."""
    from residency.cli.vault import rotate_key
    from residency.project import Project

    rotate_key(Project.open(project))


people = typer.Typer(help="Who may do what in the review studio.", no_args_is_help=True)
app.add_typer(people, name="people")
Account = Annotated[str, typer.Argument(help="The name that the person signs in with.", metavar="NAME")]


@people.command("add")
def add_person(
    name: Account,
    shown: Annotated[str, typer.Option(help="The name that others read.", metavar="TEXT")] = "",
    role: Annotated[list[str] | None, typer.Option(help="A role; may be given again.", metavar="ROLE")] = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Signs in through the company's proxy only.")
    ] = False,
    project: Folder = HERE,
) -> None:
    """Make an account; the password is asked for, or read from standard input."""
    from residency.cli.people import add

    add(project, name, shown or name, role or [], no_password=no_password)


@people.command("list")
def list_people(project: Folder = HERE) -> None:
    """Everyone with their roles."""
    from residency.cli.people import show_all

    show_all(project)


@people.command("role")
def change_role(
    name: Account,
    role: Annotated[str, typer.Argument(help="For example reviewer.", metavar="ROLE")],
    take: Annotated[bool, typer.Option("--take", help="Take it away instead.")] = False,
    project: Folder = HERE,
) -> None:
    """Give a person a role, or take it away."""
    from residency.cli.people import change

    change(project, name, role, take=take)


@people.command()
def disable(
    name: Account,
    undo: Annotated[bool, typer.Option("--undo", help="Let the person in again.")] = False,
    project: Folder = HERE,
) -> None:
    """Close an account and end its sessions; what the person did stays under the name."""
    from residency.cli.people import close

    close(project, name, undo=undo)


@people.command()
def password(name: Account, project: Folder = HERE) -> None:
    """Set a new password, asked for or read from standard input; the person's sessions end."""
    from residency.cli.people import set_password

    set_password(project, name)


audit = typer.Typer(help="The log of what people did.", no_args_is_help=True)
app.add_typer(audit, name="audit")


@audit.command("verify")
def verify_audit(
    file: Annotated[
        Path | None, typer.Argument(help="An exported log; the project's own if not given.", metavar="FILE")
    ] = None,
    project: Folder = HERE,
) -> None:
    """Whether every entry stands as it was written: exit status 1 if not, 3 if its end cannot be proved."""
    from residency.cli.audit import verify_log

    raise typer.Exit(verify_log(project, file))


@audit.command("export")
def export_audit(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write.", metavar="OUT")],
    project: Folder = HERE,
) -> None:
    """Write the log as JSON lines."""
    from residency.cli.audit import export_log

    export_log(project, output)


@app.command()
def web(
    project: Folder = HERE,
    host: Annotated[str, typer.Option(help="Address to listen on.", metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    behind_proxy: Annotated[
        str | None,
        typer.Option(help="The header in which the company's sign-on proxy names the person.", metavar="HEADER"),
    ] = None,
    proxy_address: Annotated[
        list[str] | None, typer.Option(help="The proxy's address; may be given again.", metavar="ADDRESS")
    ] = None,
    public_host: Annotated[
        list[str] | None, typer.Option(help="Name under which browsers know the proxy.", metavar="HOST")
    ] = None,
) -> None:
    """Open the review studio for people to work in, in a browser."""
    from residency.cli.web import serve_studio

    serve_studio(project, host, port, behind_proxy, proxy_address or [], public_host or [])


@app.command()
def models(
    context: typer.Context,
    base: Annotated[
        str | None, typer.Argument(help="What does it take to train this one? A name, or a folder with config.json.")
    ] = None,
    rank: Annotated[int, typer.Option(min=1, max=1024, help="Of the adapter.")] = 16,
    micro_tokens: Annotated[int, typer.Option(min=16, help="Tokens held in memory at once.")] = 2048,
    recompute: Annotated[bool, typer.Option("--recompute", help="Compute blocks again instead of keeping.")] = False,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs that share the blocks.")] = 8,
) -> None:
    """List the base models that are known; or say what it takes to train one, without reading its weights."""
    if base is None:
        from residency.cli.render import show_models
        from residency.models.catalogue import catalogue

        refuse_ignored(context, ("rank", "micro_tokens", "recompute", "gpus"), "only where a base is named")
        show_models(catalogue())
    else:
        from residency.cli.tune import show_sizes
        from residency.tune.lora import Recipe

        show_sizes(base, Recipe(rank=rank, micro_tokens=micro_tokens, recompute=recompute), gpus)


def main() -> None:
    """Runs the command line; a user's mistake ends in one sentence and a fix."""
    import io
    import os
    import sys

    # Threads that wait by spinning make a step ten times slower as soon as another process wants the same core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may hold what a terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception as error:
        from residency.errors import ResidencyError

        if not isinstance(error, ResidencyError):
            raise
        from residency.cli.render import exit_status, show_error

        show_error(error)
        sys.exit(exit_status(error))
