"""The whole story, top to bottom: a project folder goes in, an evaluated specialist and a verdict come out.

In: a project folder with residency.yaml. Out: an ``Iteration``: data, adapter, scores beside the baselines, verdict.

Covers: which stages there are and in which order (``STAGES``), and what each hands to the next. Does not cover: what a
project file may say (project.py); how a stage does its work (its package).

Every stage is a run in the ledger, found again by its settings, its inputs and its code: telling the story twice
does the work once, and a killed run goes on where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache, cached_property, partial
from itertools import chain
from math import isnan
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from residency.account import HEADLINE, Told, account
from residency.curate.answers import answer_problems
from residency.curate.augment import augment
from residency.curate.candidates import Ranker, Ranking
from residency.curate.corrections import Correction, Corrections, reader_of, usable_corrections
from residency.curate.decontaminate import contamination
from residency.curate.deidentify import Deidentify
from residency.curate.deidentify.feedback import Feedback, feedback, judged_places
from residency.curate.deidentify.policy import LIMITS
from residency.curate.deidentify.recall import Standing
from residency.curate.examples import Question, label_set, make_examples
from residency.curate.extract import find, load_reader
from residency.curate.ingest import count_files, find_files, ingest
from residency.curate.knowledge import HeldOut, Knowledge, held_out_groups, read_knowledge, refuse_leaks
from residency.curate.labels import read_labels
from residency.curate.split import split_patients
from residency.curate.step import Step, Tools
from residency.curate.suspicions import Suspicion, suspicious_labels
from residency.errors import EvaluationError, GateRefused, ProjectError, first_of
from residency.evaluate import metrics
from residency.evaluate.assessment import Assess, in_slices
from residency.evaluate.baselines import (
    candidates_baseline,
    findings_baseline,
    findings_sentence_baseline,
    linear_baseline,
)
from residency.evaluate.calibration.conformal import coverage_of, fit_label_sets
from residency.evaluate.calibration.maps import ConfidenceMap, cross_fitted, fit_map
from residency.evaluate.calibration.reliability import reliability
from residency.evaluate.calibration.selective import choose_threshold, selective
from residency.evaluate.claims.means import Means, means_of
from residency.evaluate.compare import Comparison, compare, compare_tallies
from residency.evaluate.critical.table import CriticalTable
from residency.evaluate.forgetting import control_likelihoods, forgetting
from residency.evaluate.gate import EVERYWHERE, GateEvidence, GateResult, Part, decide
from residency.evaluate.policy import BetterThan, NotWorseThan, OnMetric
from residency.evaluate.report import write_evidence, write_report
from residency.evaluate.report.view import plain
from residency.evaluate.run import System, choose_shots, few_shot, predict
from residency.evaluate.safety import harm_tallies, safety
from residency.evaluate.sampling import Drawn, draw, inclusion_probabilities, risk_of
from residency.evaluate.slices import Slices, in_bins, own_slices, too_few, without_high_age
from residency.intake import TREATMENT, TreatPatients, deidentify_inbox, raw_document, treatment
from residency.packs.terminology import Terminology, load_terminology
from residency.project import Project
from residency.records import (
    Assignment,
    Document,
    Dropped,
    Example,
    Origin,
    Prediction,
    Score,
    Split,
    TaskKind,
    as_plain,
)
from residency.release import Release, judge_release
from residency.run.pool import cores
from residency.run.progress import Progress, Silent
from residency.settings import fingerprint
from residency.store.files import file_sha256
from residency.store.runs import EVALUATIONS, ActiveRun, Outcome
from residency.tasks import NameToConcept, TaskSettings, write_cell
from residency.tune.adapter import Adapter, adapter_for, load_card
from residency.tune.processes import ALONE, Processes

if TYPE_CHECKING:
    from residency.models.base import Base
    from residency.models.model import Model
    from residency.tune.training import Tick

ADAPTERS = "adapters"  # where the workspace keeps them
TRAINED = "patients"  # a fact of a training run: the pseudonyms that it saw
DECONTAMINATE, LABEL_CHECK = "decontaminate", "label_check"  # runs of the stage split
SHOWN = 5  # problems named in a sentence; all are listed below it


@dataclass
class Iteration:
    """One pass of the loop, as far as it has come. Each stage reads what earlier ones wrote here."""

    project: Project
    progress: Progress
    only_recall: bool = False  # do nothing anew: what is not in the ledger is Untold
    processes: Processes = ALONE  # that train together; this is the first of them
    other: Adapter | None = None  # an adapter that answers in place of the one that tuning made
    runs: dict[str, Outcome] = field(default_factory=dict)  # by stage, in order
    documents: list[Document] = field(default_factory=list)
    split_of: dict[str, Split] = field(default_factory=dict)  # patient -> side
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)  # task -> closed set
    candidates: dict[str, dict[str, Ranking]] = field(default_factory=dict)  # task -> document id -> ranked labels
    predictions: dict[tuple[str, str], list[Prediction]] = field(default_factory=dict)  # (system, task)
    scores: list[Score] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    calibration: dict[str, dict[str, Any]] = field(default_factory=dict)  # by task
    safety: dict[str, dict[str, Any]] = field(default_factory=dict)  # by task, then by system
    slices: dict[str, dict[str, Any]] = field(default_factory=dict)  # by task
    samples: dict[str, list[Drawn]] = field(default_factory=dict)  # task -> answers that people should look at
    released: Release | None = None
    verdict: GateResult | None = None
    pages: tuple[Path, Path] | None = None  # report.json, report.html

    def once(
        self, stage: str, identity: Mapping[str, Any], work: Callable[[ActiveRun], None], code: Sequence[str]
    ) -> Outcome:
        """One run of the ledger; ``code`` names the packages and modules whose change makes it stale."""
        whole = {**identity, "code": code_version(*code), "seed": self.project.settings.seed}
        workspace = self.project.workspace
        if not self.only_recall:
            outcome = workspace.once(stage, whole, work)
        elif (known := workspace.latest(stage, whole, whatever=("code", "verdicts"))) is not None:
            outcome = known  # made by another version of the code perhaps, and before the latest verdicts
        else:
            raise Untold(
                f"{stage}: not run yet with these settings and inputs.",
                fix=f"Run: residency run --project {self.project.root}",
            )
        self.runs[stage] = outcome
        return outcome

    @cached_property
    def data(self) -> str:
        """Hash over the curated documents, once copies of held-out ones are gone."""
        return fingerprint([as_plain(document) for document in self.documents])

    @cached_property
    def terminology(self) -> Terminology | None:
        return load_terminology(self.project.pack) if self.project.pack.settings.terminology else None

    @property
    def concept_of(self) -> NameToConcept:
        return self.terminology.concept_of if self.terminology else lambda name: None

    @cached_property
    def finder(self) -> metrics.Find | None:
        """Reads the findings that a text names; None where the pack has no terminology."""
        return partial(find, reader=load_reader(self.project.pack)) if self.terminology else None

    @cached_property
    def means(self) -> Means | None:
        """What claims are checked with; None where the pack has no terminology."""
        return means_of(self.project.pack, self.finder) if self.finder else None

    @cached_property
    def critical(self) -> CriticalTable | None:
        """What counts as a critical error."""
        return self.project.critical_table()

    @cached_property
    def versions(self) -> tuple[list[Document], dict[str, str]]:
        """The training patients' texts written differently, where the project asks for it; and the id of the document
        that each is made from, by its own id."""
        settings = self.project.settings
        made: list[Document] = []
        origin: dict[str, str] = {}
        trained = self.patients(Split.TRAIN) if settings.augment else frozenset()
        for document in self.documents:
            if settings.augment and document.patient in trained:
                for version in augment(document, settings.augment, self.project.pack, seed=settings.seed):
                    origin[version.id] = document.id
                    made.append(version)
        return made, origin

    @cached_property
    def base_sha256(self) -> str:
        from residency.models.base import identify

        return identify(self.project.settings.base)

    @cached_property
    def adapter(self) -> Adapter:
        """The adapter that answers as the tuned system."""
        return self.other or load_card(self.runs["tune"].folder("adapter"))

    @property
    def adapter_sha256(self) -> str:
        return self.other.sha256 if self.other else self.runs["tune"].hash("adapter")

    @cached_property
    def base(self) -> Base:
        from residency.tune.together import read_base

        return read_base(self.project.settings.base, self.project.settings.template, self.processes)

    @property
    def base_to_tune(self) -> Base:
        """The base as the recipe holds it. A narrower one is loaded by itself and not kept: it is to save memory."""
        from residency.models.base import BaseWeights
        from residency.tune.together import read_base

        settings = self.project.settings
        weights = settings.recipe.base_weights
        if weights is BaseWeights.LOADED:
            return self.base
        return read_base(settings.base, settings.template, self.processes, weights)

    @cached_property
    def untuned(self) -> Model:
        from residency.models.transformer import TransformerModel

        return TransformerModel(self.base)

    @cached_property
    def tuned(self) -> Model:
        from residency.models.transformer import TransformerModel

        return TransformerModel(self.base, self.adapter.folder)

    def patients(self, *sides: Split) -> frozenset[str]:
        """The patients on these sides of the split."""
        return frozenset(patient for patient, side in self.split_of.items() if side in sides)


class Untold(ProjectError):
    """Something is asked about a stage that has not run."""


def run_project(
    root: Path,
    progress: Progress,
    *,
    until: str | None = None,
    fresh: bool = False,
    adapter: str | None = None,
    processes: Processes = ALONE,
) -> Iteration:
    """Tells the story for the project in ``root``, to its end or to the stage ``until``.

    ``fresh`` deletes first what earlier runs made; people's decisions stay. ``adapter``, a folder or the first digits
    of a hash: nothing is tuned, and this adapter is judged on today's cases in place of the project's own. Of several
    ``processes`` only the first one tells the story; the others ``assist``.
    """
    if until is not None and until not in STAGES:
        raise ProjectError(f"--until {until}: there is no such stage.", fix=f"Use one of: {', '.join(STAGES)}.")
    project = Project.open(root)
    iteration = Iteration(project, progress, processes=processes)
    iteration.other = named_adapter(iteration, adapter) if adapter is not None else None
    project.hear_the_studio()
    with project.workspace.alone():
        if fresh:
            project.workspace.clear()
        for name, stage in STAGES.items():
            stage(iteration)
            if name == until:
                break
    return iteration


def recall(project: Project, *, until: str | None = None, adapter: str | None = None) -> Iteration:
    """The last iteration as far as the ledger knows it, or to the stage ``until``; nothing is done anew. ``adapter`` as
    for ``run_project``."""
    iteration = Iteration(project, Silent(), only_recall=True)
    iteration.other = named_adapter(iteration, adapter) if adapter is not None else None
    try:
        for name, stage in STAGES.items():
            if stage not in (release, gate, report):
                stage(iteration)
            if name == until:
                break
    except Untold:
        if not iteration.runs:
            raise
    return iteration


def named_adapter(iteration: Iteration, named: str) -> Adapter:
    """The adapter in the folder ``named``, or the one of the workspace whose hash begins so; of the project's base."""
    folder = Path(named)
    if not folder.is_dir():
        made = sorted(path for path in (iteration.project.workspace.folder / ADAPTERS).glob("*") if path.is_dir())
        found = [path for path in made if path.name.startswith(named.removeprefix("a-")[: len(path.name)])]
        if len(found) != 1:
            known = first_of([path.name[:12] for path in made], SHOWN) or "none yet"
            what = "several adapters of the project begin so" if found else "no folder, and no adapter of the project"
            raise ProjectError(
                f"--adapter {named}: {what}.",
                fix=f"Name an adapter's folder, or one of the project by its hash: {known}.",
            )
        folder = found[0]
    return adapter_for(folder, iteration.base_sha256, iteration.project.settings.base)


# --- curate -----------------------------------------------------------------------------------------------------


def deidentify(iteration: Iteration) -> None:
    """Files of the inbox go into the vault and come out as de-identified documents. Nothing else sees raw text."""
    project, vault = iteration.project, iteration.project.vault
    problems = label_problems(project)
    if problems:
        shown = "; ".join(problems[:SHOWN])
        raise ProjectError(
            f"{project.settings.labels.path}: {len(problems)} problems with the answers: {shown}.",
            fix="Correct the label file, or the names in the project file.",
            problems=problems,
        )
    settings = project.settings.deidentify
    iteration.progress.begin(settings.step)

    def work(run: ActiveRun) -> None:
        patients = TreatPatients(
            vault=vault.path.parent,
            vault_id=vault.id,
            key=project.key,
            settings=settings,
            pack=str(project.pack.folder),
            told=told_by_people(project),
        )
        advance = iteration.progress.advance
        deidentify_inbox(run, vault, raw_documents(project), patients, workers=cores(), advance=advance)

    identity = {
        "settings": settings.model_dump(mode="json", exclude={"policy": {"review": set(LIMITS)}}),
        "inputs": inbox_fingerprint(project),
        "pack": project.pack.fingerprint(),
        "vault": [vault.id, vault.state().forgotten],
        "verdicts": judged_places(project.workspace.ledger.decisions()),
    }
    outcome = iteration.once(settings.step, plain(identity), work, INTAKE_CODE)
    iteration.progress.end(_flow(outcome), reused=outcome.reused)


def curate(iteration: Iteration) -> None:
    """De-identified documents become curated ones, one run a step."""
    project = iteration.project
    outcome = iteration.runs[project.settings.deidentify.step]
    for step in project.settings.curate[1:]:
        inputs = outcome.ref("documents")
        documents = partial(outcome.stream, "documents", Document)
        iteration.progress.begin(step.step, inputs.count)
        identity = {"settings": step.model_dump(mode="json"), "inputs": inputs.hash, "pack": project.pack.fingerprint()}
        outcome = iteration.once(step.step, identity, curation(iteration, step, documents), CURATION_CODE)
        iteration.progress.end(_flow(outcome), reused=outcome.reused)
    iteration.documents = outcome.read("documents", Document)
    if not iteration.documents:
        raise ProjectError("curate: no document is left.", fix="Look at the reasons: residency check.")


def label_problems(project: Project) -> tuple[str, ...]:
    """Every problem of the experts' answers, with its place."""
    settings, pack = project.settings, project.pack
    free_text = chain.from_iterable(step.answers for step in settings.curate if isinstance(step, Deidentify))
    known = load_terminology(pack).__contains__ if pack.settings.terminology else None
    labels = read_labels(settings.labels, project.root)
    columns = sorted({column for label in labels.values() for column in label.answers})
    shown = ", ".join(map(repr, columns)) or "none"
    of_slices = (
        f"evaluate.slices: the label file has no column {name!r}; its answer columns are {shown}"
        for name in settings.evaluate.slices
        if name not in columns
    )
    return (*answer_problems(labels, settings.tasks, free_text, known), *of_slices)


def raw_documents(project: Project) -> Iterator[Document | Dropped]:
    """What the inbox holds, without the columns of the experts that neither a task nor a slice asks for."""
    asked, dividing = kept_columns(project)
    for record in ingest(project.settings.sources, project.settings.labels, project.root):
        if isinstance(record, Document):
            answers = {column: cell for column, cell in record.answers.items() if column in asked}
            answers |= {column: without_high_age(record.answers.get(column, "")) for column in dividing}
            record = replace(record, answers=answers)
        yield record


def kept_columns(project: Project) -> tuple[tuple[str | None, ...], tuple[str, ...]]:
    """Columns of the label file that tasks or the split ask for; those that only divide the held-out cases."""
    settings = project.settings
    asked = dict.fromkeys((*(task.answer for task in settings.tasks), settings.split.stratify))
    return tuple(asked), tuple(name for name in settings.evaluate.slices if name not in asked)


def told_by_people(project: Project) -> Feedback:
    """People's verdicts on spans, with the texts that they are about, from the vault."""
    decisions = project.workspace.ledger.decisions()
    known = set(project.vault.ids(TREATMENT))
    judged = [document for document in judged_places(decisions) if document in known]
    texts = {document: raw_document(project.vault, document).text for document in judged}
    was = {document: treatment(project.vault, document).found for document in judged}
    return feedback(decisions, texts, was)


def curation(
    iteration: Iteration, step: Step, documents: Callable[[], Iterable[Document]]
) -> Callable[[ActiveRun], None]:
    """The work of one step: every document that comes in goes out, changed or not, or is dropped with a reason."""
    tools = Tools(
        key=iteration.project.vault.surrogate_key, seed=iteration.project.settings.seed, pack=iteration.project.pack
    )

    def work(run: ActiveRun) -> None:
        incoming = _Incoming(documents)
        changed = 0
        with run.writer("documents", Document) as kept, run.writer("dropped", Dropped) as dropped:
            for record in step(incoming, tools):
                iteration.progress.advance()
                if isinstance(record, Dropped):
                    dropped.add(record)
                else:
                    # A step that edits a text gives it a new id and names the old one as its parent.
                    original = record.id if record.id in incoming.came else record.parents[0]
                    changed += hash(record.text) != incoming.came[original]
                    kept.add(record)
        run.facts.update(came=len(incoming.came), kept=kept.count, dropped=dropped.count, changed=changed, unreadable=0)

    return work


@dataclass
class _Incoming:
    """What a step is handed: read from the artifact as often as the step asks, the texts' hashes remembered."""

    read: Callable[[], Iterable[Document]]
    came: dict[str, int] = field(default_factory=dict)  # document id -> hash of the text that came in

    def __iter__(self) -> Iterator[Document]:
        for document in self.read():
            self.came[document.id] = hash(document.text)
            yield document


# --- release ----------------------------------------------------------------------------------------------------


def release(iteration: Iteration) -> None:
    """The privacy officer's gate: training sees the documents once people have read enough of them, if the policy
    asks for it. The evidence is written either way."""
    project, settings = iteration.project, iteration.project.settings.deidentify
    iteration.progress.begin("release")
    iteration.released = judge(project, iteration.runs[settings.step])
    page = write_evidence(iteration.released.evidence(), project.root)
    iteration.progress.end(f"{iteration.released.standing}, {page.name}")
    if settings.policy.review.before_training and iteration.released.standing is not Standing.GO:
        raise GateRefused(
            f"The text is not released for training: {iteration.released.reason}",
            fix=f"{iteration.released.next_step} The evidence: {page}",
            verdict=iteration.released.standing,
        )


def judge(project: Project, deidentified: Outcome) -> Release:
    """What people's decisions so far say of the de-identified documents."""
    return judge_release(
        project.settings.name, project.settings.deidentify, deidentified, project.vault,
        project.workspace.ledger.decisions(),
        review=f"residency review --deidentified --who NAME --project {project.root}",
    )  # fmt: skip


# --- split ------------------------------------------------------------------------------------------------------


def split(iteration: Iteration) -> None:
    """Patients are dealt out to training, validation, calibration and test, once and for all by their key."""
    settings = iteration.project.settings
    iteration.progress.begin("split")
    documents = iteration.documents

    def work(run: ActiveRun) -> None:
        result = split_patients(documents, settings.split, seed=settings.seed)
        run.write("assignments", Assignment, (Assignment(patient=p, split=s) for p, s in result.split_of.items()))
        run.facts.update(warnings=result.warnings, classes={k: dict(v) for k, v in result.patients.items()})

    identity = {
        "settings": settings.split.model_dump(mode="json"),
        "inputs": fingerprint([(d.id, d.patient, d.group, dict(d.answers)) for d in documents]),
    }
    outcome = iteration.once("split", identity, work, CURATION_CODE)
    iteration.split_of = {a.patient: a.split for a in outcome.read("assignments", Assignment)}
    sizes = Counter(iteration.split_of.values())
    dealt = ", ".join(f"{sizes[side]} {side}" for side in Split)
    iteration.progress.end(f"patients: {dealt}; {outcome.hash('assignments')[:12]}", reused=outcome.reused)
    decontaminate(iteration)
    doubt_labels(iteration)
    iteration.labels = {task.name: label_set(documents, task, iteration.split_of) for task in settings.tasks}
    for task in settings.tasks:
        if task.kind is TaskKind.CLASSIFY:
            iteration.candidates[task.name] = differential(iteration, task)
    warnings = outcome.facts["warnings"]
    for warning in warnings[:SHOWN]:
        iteration.progress.say(f"    note: {warning}")
    if len(warnings) > SHOWN:
        iteration.progress.say(f"    and {len(warnings) - SHOWN} notes more, in the report")


def decontaminate(iteration: Iteration) -> None:
    """Copies of what is held out leave the side that is less protected: training first, the test set never."""
    settings = iteration.project.settings.split
    documents = iteration.documents
    side_of = {document.id: iteration.split_of[document.patient] for document in documents}
    iteration.progress.begin("decontaminate")

    def work(run: ActiveRun) -> None:
        found = contamination(documents, side_of, by=settings.by)
        run.write("dropped", Dropped, found.dropped)
        run.facts.update(
            came=len(documents), kept=len(found.clean), dropped=len(found.dropped), changed=0, unreadable=0,
            violations=dict(Counter(violation.kind for violation in found.violations)),
        )  # fmt: skip

    identity = {
        "inputs": iteration.runs[iteration.project.settings.curate[-1].step].hash("documents"),
        "split": iteration.runs["split"].hash("assignments"),
        "by": settings.by,
    }
    outcome = iteration.once(DECONTAMINATE, identity, work, CURATION_CODE)
    gone = {dropped.id for dropped in outcome.read("dropped", Dropped)}
    iteration.documents = [document for document in documents if document.id not in gone]
    iteration.progress.end(_flow(outcome), reused=outcome.reused)


def doubt_labels(iteration: Iteration) -> None:
    """Labels that the other documents speak against are listed for a second look; none is changed."""
    iteration.progress.begin("label check")
    columns = [task.answer for task in iteration.project.settings.tasks if task.kind is TaskKind.CLASSIFY]

    def work(run: ActiveRun) -> None:
        found = {column: suspicious_labels(iteration.documents, column) for column in columns}
        run.write("suspicions", Suspicion, chain.from_iterable(one.listed for one in found.values()))
        run.facts["likely_wrong"] = sum(one.likely_wrong for one in found.values())

    outcome = iteration.once(LABEL_CHECK, {"inputs": iteration.data, "columns": columns}, work, CURATION_CODE)
    iteration.progress.end(f"{outcome.facts['likely_wrong']} labels are worth a second look", reused=outcome.reused)


def differential(iteration: Iteration, task: TaskSettings) -> dict[str, Ranking]:
    """The labels that each document's findings speak for."""
    ranked = ranker(iteration, task)
    return {document.id: ranked.rank(document) for document in iteration.documents}


def ranker(iteration: Iteration, task: TaskSettings) -> Ranker:
    """What ranks labels by findings, learned from training patients only."""
    trained = iteration.patients(Split.TRAIN)
    label_of = {
        document.id: " ".join(document.answers[task.answer].split())
        for document in iteration.documents
        if document.patient in trained and document.answers.get(task.answer)
    }
    labels = iteration.labels[task.name]
    known = [fact for source in knowledge(iteration) for fact in source.about(labels).facts]
    return Ranker.fitted([d for d in iteration.documents if d.id in label_of], label_of, labels, known)


def knowledge(iteration: Iteration) -> list[Knowledge]:
    """What the project adds from outside; nothing of it descends from a publication or site that is held out."""
    held_out = held_out_groups(iteration.documents, iteration.split_of)
    sources: list[Knowledge] = []
    for settings in iteration.project.settings.knowledge:
        source = read_knowledge(settings, iteration.project.root)
        sources.append(source.without(held_out) if settings.held_out is HeldOut.LEAVE_OUT else source)
    refuse_leaks(sources, held_out)
    return sources


def questions(
    iteration: Iteration,
    task: TaskSettings,
    *sides: Split,
    instruct: bool = False,
    about: Sequence[Document] | None = None,
) -> list[Example]:
    """The task's examples on these sides of the split; ``instruct`` for models that do not know the task. ``about``:
    other documents than the iteration's."""
    question = question_of(iteration, task, iteration.candidates.get(task.name, {}), instruct=instruct)
    documents = iteration.documents if about is None else about
    examples = make_examples(documents, task, iteration.project.prompt(task), question, iteration.split_of)
    return [example for example in examples if example.split in sides]


def question_of(
    iteration: Iteration, task: TaskSettings, candidates: Mapping[str, Ranking], *, instruct: bool = False
) -> Question:
    """What the task's prompts may show; ``candidates`` by the id of the document."""
    return Question(labels=iteration.labels[task.name], candidates=candidates, instruct=instruct)


# --- tune -------------------------------------------------------------------------------------------------------


def tune(iteration: Iteration) -> None:
    """The base model learns all tasks in one adapter, from training patients only."""
    if iteration.other is not None:
        if not iteration.only_recall:  # it is about to be judged
            refuse_taught(iteration, iteration.other)
        return
    settings = iteration.project.settings
    lessons = prepare_lessons(iteration)
    iteration.progress.begin("tune")
    for note in lessons.corrections.notes():
        iteration.progress.say(f"    note: {note}")

    def work(run: ActiveRun) -> None:
        from residency.tune.together import Job, train_together
        from residency.tune.trackers import tracked

        refuse_copies(iteration)
        base = iteration.base_to_tune
        job = Job(
            settings.base, settings.template, base.sha256, lessons.training, lessons.validation, settings.recipe,
            run.scratch / "adapter", iteration.labels, lessons.held_out,
        )  # fmt: skip
        told = settings.recipe.model_dump(mode="json", exclude_unset=True)
        with tracked(settings.tracker, iteration.project.workspace.folder / "trackers", told) as track:
            adapter = train_together(
                job, base, iteration.processes,
                judge=partial(judge_adapter, iteration, lessons),
                progress=partial(_show_tick, iteration.progress, track),
                say=lambda line: iteration.progress.say(f"    {line}"),
            )  # fmt: skip
        run.keep_folder("adapter", adapter.folder, adapter.sha256)
        run.facts["corrections"] = {"trained_on": lessons.corrected, **lessons.corrections.refused}
        run.facts[TRAINED] = sorted({example.patient for example in (*lessons.training, *lessons.validation)})

    identity = {
        "inputs": fingerprint([as_plain(example) for example in (*lessons.training, *lessons.validation)]),
        "recipe": settings.recipe.model_dump(mode="json", exclude_unset=True),
        "base": [iteration.base_sha256, settings.template],
    }
    outcome = iteration.once("tune", identity, work, TRAINING_CODE)
    learned = f"{len(lessons.training)} examples{_of_review(lessons)}"
    iteration.progress.end(f"{learned}, adapter {outcome.hash('adapter')[:12]}", reused=outcome.reused)


def _of_review(lessons: Lessons) -> str:
    return f", {lessons.corrected} answers corrected by reviewers" if lessons.corrected else ""


def refuse_taught(iteration: Iteration, adapter: Adapter) -> None:
    """EvaluationError where an adapter was trained on patients that are held out today: its scores would be too good.
    Where the ledger does not know what it was trained on, that is said."""
    runs = [run for run in iteration.project.workspace.ledger.runs("tune") if TRAINED in run.facts]
    taught = [set(run.facts[TRAINED]) for run in runs if run.outputs["adapter"]["hash"] == adapter.sha256]
    if not taught:
        iteration.progress.say(f"    note: the ledger does not know which patients {adapter.name} was trained on")
        return
    known = set().union(*taught) & iteration.patients(Split.CALIBRATION, Split.TEST)
    if known:
        raise EvaluationError(
            f"{adapter.name} was trained on {len(known)} patients that are held out today.",
            fix="Compare it by the cases of its own iteration, or tune again.",
        )


@dataclass(frozen=True, slots=True)
class Lessons:
    """What is trained on, what chooses the weights, and the patients that neither may have."""

    training: list[Example]
    validation: list[Example]
    held_out: frozenset[str]
    corrections: Corrections

    @property
    def corrected(self) -> int:
        """How many examples have a reviewer's answer."""
        return sum(example.origin is Origin.REVIEW for example in (*self.training, *self.validation))


def prepare_lessons(iteration: Iteration) -> Lessons:
    """The examples of the training and validation patients; a reviewer's corrected answer takes the place of the label
    file's."""
    for side in (Split.TRAIN, Split.VALIDATION, Split.TEST):
        if not iteration.patients(side):
            raise ProjectError(
                f"split: no patient is left for {side}; there are {len(iteration.split_of)} patients.",
                fix="Bring more labeled patients, or change the fractions under split in the project file.",
            )
    told = corrections(iteration)
    by_question = told.by_question()
    tasks = iteration.project.settings.tasks
    training = [example for task in tasks for example in lessons_of(iteration, task, Split.TRAIN, by_question)]
    training += written_differently(iteration, by_question)
    validation = [example for task in tasks for example in lessons_of(iteration, task, Split.VALIDATION, by_question)]
    return Lessons(training, validation, iteration.patients(Split.CALIBRATION, Split.TEST), told)


def corrections(iteration: Iteration) -> Corrections:
    """What reviewers said that answers should have been, as far as it may be trained on."""
    project = iteration.project
    closed = iteration.terminology is not None
    read = reader_of(project.settings.tasks, iteration.labels, iteration.concept_of, closed=closed)
    documents = {document.id: document for document in iteration.documents}
    return usable_corrections(project.workspace.ledger.decisions(), documents, iteration.split_of, read)


def lessons_of(
    iteration: Iteration, task: TaskSettings, side: Split, by_question: Mapping[tuple[str, str], Correction]
) -> list[Example]:
    """The task's examples on one side: the label file's, and in their place or beside them the corrected ones."""
    asked = questions(iteration, task, side)
    corrected = [
        replace(document, answers={**document.answers, task.answer: write_cell(task, its.gold)})
        for document in iteration.documents
        if (its := by_question.get((task.name, document.id)))
    ]
    kept = [example for example in asked if (task.name, example.parents[0]) not in by_question]
    for example in questions(iteration, task, side, about=corrected):
        author = by_question[task.name, example.parents[0]].who
        kept.append(replace(example, origin=Origin.REVIEW, author=author))
    return kept


def refuse_copies(iteration: Iteration) -> None:
    """ProjectError where a text that is trained on, in whatever version, is a copy of one that is held out."""
    documents = [*iteration.documents, *iteration.versions[0]]
    side_of = {document.id: iteration.split_of[document.patient] for document in documents}
    found = contamination(documents, side_of, by=iteration.project.settings.split.by).violations
    if found:
        raise ProjectError(
            f"tune: {len(found)} texts are known across the split.",
            fix="Leave augment out of the project file, or split again: residency run --until split --fresh",
            problems=tuple(map(str, found[:SHOWN])),
        )


def judge_adapter(iteration: Iteration, lessons: Lessons, adapter: Path) -> float:
    """The headline metric of the answers to the validation questions, mean over the tasks."""
    from residency.models.transformer import TransformerModel

    settings, model = iteration.project.settings, TransformerModel(iteration.base, adapter)
    values = []
    for task in settings.tasks:
        examples = [example for example in lessons.validation if example.task == task.name]
        labels = iteration.labels[task.name]
        groups = predict(
            model, System.TUNED, task, examples, labels, iteration.concept_of, group_size=settings.evaluate.group_size
        )
        tallies = metrics.tallies(examples, list(chain.from_iterable(groups)), labels=labels, find=iteration.finder)
        value = tallies[HEADLINE[task.kind]].value
        values.append(0.0 if isnan(value) else value)
    return fmean(values)


def written_differently(iteration: Iteration, by_question: Mapping[tuple[str, str], Correction]) -> list[Example]:
    """Questions about other versions of the training patients' texts. None where the answer was corrected: the version
    has the label file's."""
    made, origin = iteration.versions
    examples: list[Example] = []
    for task in iteration.project.settings.tasks if made else ():
        ranked = iteration.candidates.get(task.name, {})
        candidates = {name: ranked[document] for name, document in origin.items() if document in ranked}
        question = question_of(iteration, task, candidates)
        of_task = make_examples(made, task, iteration.project.prompt(task), question, iteration.split_of)
        examples += (
            replace(example, origin=Origin.SYNTHETIC)
            for example in of_task
            if (task.name, origin[example.parents[0]]) not in by_question
        )
    return examples


def _show_tick(progress: Progress, track: Callable[[Tick], None], tick: Tick) -> None:
    track(tick)
    left = timedelta(seconds=round(tick.seconds_left))
    progress.reach(tick.step, tick.steps, f"loss {tick.loss:.3f}, {tick.tokens_per_second:.0f} tokens/s, {left} left")


# --- evaluate ---------------------------------------------------------------------------------------------------


def evaluate(iteration: Iteration) -> None:
    """Every system answers every question of the test patients; closed questions of the calibration patients as well,
    where the tuned system's confidence is to be made honest."""
    settings = iteration.project.settings
    for system in settings.evaluate.systems:
        for task in settings.tasks:
            calibrates = system is System.TUNED and task.kind is TaskKind.CLASSIFY
            sides = (Split.TEST, Split.CALIBRATION) if calibrates else (Split.TEST,)
            examples = questions(iteration, task, *sides, instruct=system.instructed)
            if system is System.FEW_SHOT:
                known = questions(iteration, task, Split.TRAIN, instruct=True)
                shots = choose_shots(known, settings.evaluate.shots)
                examples = [few_shot(example, shots) for example in examples]
            iteration.progress.begin(f"{system} {task.name}", len(examples))
            outcome = answers(iteration, system, task, examples)
            iteration.progress.end(f"{len(examples)} answers", reused=outcome.reused)
            iteration.predictions[system, task.name] = outcome.read("predictions", Prediction)
    baselines(iteration)
    control(iteration)


def answers(iteration: Iteration, system: System, task: TaskSettings, examples: Sequence[Example]) -> Outcome:
    """One system's answers to one task; a kill loses at most the group that was being asked."""
    settings = iteration.project.settings
    labels = iteration.labels[task.name]

    def work(run: ActiveRun) -> None:
        model = iteration.tuned if system is System.TUNED else iteration.untuned
        journal = run.journal("predictions", Prediction)
        finished = {prediction.example for prediction in journal.read()}
        iteration.progress.advance(len(finished))
        groups = predict(
            model, system, task, examples, labels, iteration.concept_of,
            group_size=settings.evaluate.group_size, finished=finished,
        )  # fmt: skip
        for group in groups:
            journal.append(group)
            iteration.progress.advance(len(group))
        run.write("predictions", Prediction, sorted(journal.read(), key=lambda p: p.example))

    identity = {
        "inputs": fingerprint([as_plain(example) for example in examples]),
        "labels": labels,
        "task": task.model_dump(mode="json"),
        "base": [iteration.base_sha256, settings.template],
        "adapter": iteration.adapter_sha256 if system is System.TUNED else None,
    }
    return iteration.once(f"{system} {task.name}", identity, work, EVALUATION_CODE)


def control(iteration: Iteration) -> None:
    """How likely the untuned and the tuned model find a general text: what tuning made them forget."""
    settings = iteration.project.settings
    iteration.progress.begin("control")

    def work(run: ActiveRun) -> None:
        both = [
            control_likelihoods(model, group_size=settings.evaluate.group_size)
            for model in (iteration.untuned, iteration.tuned)
        ]
        run.facts["forgetting"] = plain(forgetting(*both, draws=settings.evaluate.draws, seed=settings.seed))

    identity = {
        "base": [iteration.base_sha256, settings.template],
        "adapter": iteration.adapter_sha256,
        "draws": settings.evaluate.draws,
    }
    outcome = iteration.once("control", identity, work, EVALUATION_CODE)
    iteration.progress.end(f"plain English {outcome.facts['forgetting']['verdict']}", reused=outcome.reused)


def baselines(iteration: Iteration) -> None:
    """What costs nothing to train answers the same questions: a linear classifier, the terminology step alone."""
    documents = {document.id: document for document in iteration.documents}
    for task in iteration.project.settings.tasks:
        examples = questions(iteration, task, Split.TEST)
        iteration.progress.begin(f"baseline {task.name}")

        def work(run: ActiveRun, task: TaskSettings = task, examples: Sequence[Example] = examples) -> None:
            run.write("predictions", Prediction, _baseline(iteration, task, examples, documents))

        identity = {
            "task": task.model_dump(mode="json"),
            "inputs": iteration.data,
            "split": iteration.runs["split"].hash("assignments"),
            "candidates": fingerprint(sorted(iteration.candidates.get(task.name, {}).items())),
        }
        outcome = iteration.once(f"baseline {task.name}", identity, work, EVALUATION_CODE)
        for prediction in outcome.read("predictions", Prediction):
            iteration.predictions.setdefault((prediction.system, task.name), []).append(prediction)
        iteration.progress.end(f"{outcome.ref('predictions').count} answers", reused=outcome.reused)


def _baseline(
    iteration: Iteration, task: TaskSettings, examples: Sequence[Example], documents: Mapping[str, Document]
) -> Iterable[Prediction]:
    if task.kind is TaskKind.CLASSIFY:
        known = questions(iteration, task, Split.TRAIN)
        yield from linear_baseline(
            [documents[e.parents[0]].text for e in known], [e.gold for e in known], [e.patient for e in known],
            examples, [documents[e.parents[0]].text for e in examples], seed=iteration.project.settings.seed,
        )  # fmt: skip
        yield from candidates_baseline(examples, iteration.candidates[task.name])
        return
    found = {document.id: document.findings for document in documents.values()}
    alone = findings_baseline if task.kind is TaskKind.EXTRACT else findings_sentence_baseline
    yield from alone(examples, found)


# --- score ------------------------------------------------------------------------------------------------------


def score(iteration: Iteration) -> None:
    """Every metric of every system with its interval, the tuned system against each other one, and calibration."""
    tasks = iteration.project.settings.tasks
    iteration.progress.begin("score", len(tasks))
    reused = True
    for task in tasks:
        systems = [name for name, of_task in iteration.predictions if of_task == task.name]
        identity = {
            "settings": iteration.project.settings.evaluate.model_dump(mode="json"),
            "inputs": fingerprint([as_plain(p) for name in systems for p in iteration.predictions[name, task.name]]),
            "labels": iteration.labels[task.name],
            "own": [file_sha256(file) for file in iteration.project.own_files(task)],
            "texts": iteration.data,
            "pack": iteration.project.pack.fingerprint(),
            "critical": [repr(row) for row in iteration.critical.rows] if iteration.critical else None,
        }
        outcome = iteration.once(f"score {task.name}", identity, scoring(iteration, task, systems), EVALUATION_CODE)
        reused &= outcome.reused
        iteration.scores += outcome.read("scores", Score)
        iteration.comparisons += outcome.read("comparisons", Comparison)
        iteration.calibration[task.name] = outcome.facts["calibration"]
        iteration.safety[task.name] = outcome.facts.get("safety", {})
        iteration.slices[task.name] = outcome.facts["slices"]
        iteration.progress.advance()
    iteration.progress.end(f"{len(iteration.scores)} scores", reused=reused)


def scoring(iteration: Iteration, task: TaskSettings, systems: Sequence[str]) -> Callable[[ActiveRun], None]:
    """Scores of every system, comparisons of the tuned one; its confidence is calibrated before it is judged."""
    settings = iteration.project.settings
    test = questions(iteration, task, Split.TEST)
    of_test = {example.id for example in test}
    common = measuring(iteration, task)

    def work(run: ActiveRun) -> None:
        asked = {name: [p for p in iteration.predictions[name, task.name] if p.example in of_test] for name in systems}
        trust = confidence_of(iteration, task) if System.TUNED in asked and task.kind is TaskKind.CLASSIFY else None
        scores, run.facts["safety"] = measured(iteration, task, test, asked, trust, common)
        run.write("scores", Score, scores)
        ours = asked.pop(System.TUNED, None)
        others = asked.values() if ours else ()
        compared = (compare(test, ours or [], other, margin=settings.evaluate.margin, **common) for other in others)
        run.write("comparisons", Comparison, chain.from_iterable(compared))
        run.facts["calibration"], run.facts["slices"] = {}, {}
        if ours:
            how = Assess(**common)
            sides = slices_of(test, iteration.documents, settings.evaluate.slices)
            run.facts["slices"] = plain(in_slices(test, ours, sides, metrics.HEADLINE[task.kind], how))
        if ours and trust:
            run.facts["calibration"] = calibrated(trust, test, ours, settings.seed)

    return work


def measuring(iteration: Iteration, task: TaskSettings) -> dict[str, Any]:
    """What every metric of a task is measured with."""
    settings = iteration.project.settings
    return {
        "labels": iteration.labels[task.name],
        "find": iteration.finder,
        "own": iteration.project.own_metrics(task),
        "draws": settings.evaluate.draws,
        "seed": settings.seed,
    }


def measured(
    iteration: Iteration,
    task: TaskSettings,
    test: Sequence[Example],
    asked: Mapping[str, Sequence[Prediction]],
    trust: Trust | None,
    common: Mapping[str, Any],
) -> tuple[list[Score], dict[str, Any]]:
    """Every score of every system on these cases, and what the report shows of harm."""
    harm, shown = harmful(iteration, task, test, asked, trust)
    named = {(one.system, one.metric) for one in harm}
    found = chain.from_iterable(metrics.score(test, answers, **common) for answers in asked.values())
    return [*(one for one in found if (one.system, one.metric) not in named), *harm], shown


@dataclass(frozen=True, slots=True)
class Trust:
    """What the tuned system answered to the calibration patients' questions, and the map that this fits."""

    known: list[Example]
    answered: list[Prediction]
    honest: ConfidenceMap


def confidence_of(iteration: Iteration, task: TaskSettings) -> Trust:
    """How the tuned system's confidence is made honest: by the calibration patients, of whom no weight has learned."""
    by_example = {prediction.example: prediction for prediction in iteration.predictions[System.TUNED, task.name]}
    known = questions(iteration, task, Split.CALIBRATION)
    answered = [by_example[example.id] for example in known]
    return Trust(known, answered, fit_map(known, answered, seed=iteration.project.settings.seed))


def slices_of(examples: Sequence[Example], documents: Sequence[Document], columns: Sequence[str]) -> Slices:
    """What the held-out cases can be divided by: the project's columns, length, frequency of the label, the format. A
    column stands for itself, whatever it is called."""
    of = {document.id: document for document in documents}
    asked = [of[example.parents[0]] for example in examples]
    named = {column: in_bins([one.answers.get(column, "") for one in asked]) for column in columns}
    formats = {"format": [one.meta.get("format", "") for one in asked]}
    return named | own_slices(examples, [one.text for one in asked]) | formats | named


def harmful(
    iteration: Iteration,
    task: TaskSettings,
    test: Sequence[Example],
    asked: Mapping[str, Sequence[Prediction]],
    trust: Trust | None,
) -> tuple[list[Score], dict[str, Any]]:
    """Claims without a source and critical errors of every system; the tuned one's confidence is made honest first."""
    settings = iteration.project.settings
    scores, shown = safety(
        test, trusted(asked, trust), texts_of(iteration, test), means=iteration.means, table=iteration.critical,
        labels=iteration.labels[task.name], draws=settings.evaluate.draws, seed=settings.seed,
    )  # fmt: skip
    return scores, plain(shown)


def trusted(asked: Mapping[str, Sequence[Prediction]], trust: Trust | None) -> dict[str, Sequence[Prediction]]:
    """The answers of all systems, the tuned one's with honest confidence."""
    if trust is None or System.TUNED not in asked:
        return dict(asked)
    return {**asked, System.TUNED: [trust.honest.apply(prediction) for prediction in asked[System.TUNED]]}


def texts_of(iteration: Iteration, examples: Sequence[Example]) -> dict[str, str]:
    """The text that each example is about, by the example's id."""
    text_of = {document.id: document.text for document in iteration.documents}
    return {example.id: text_of[example.parents[0]] for example in examples}


def harm_compared(
    iteration: Iteration,
    task: TaskSettings,
    test: Sequence[Example],
    asked: Mapping[str, Sequence[Prediction]],
    trust: Trust | None,
    lines: Iterable[BetterThan | NotWorseThan],
) -> Iterator[Comparison]:
    """The comparisons in rates of harm that these lines of the policy ask for."""
    settings, patients = iteration.project.settings, [example.patient for example in test]
    answers, texts = trusted(asked, trust), texts_of(iteration, test)
    tallies = harm_tallies(test, answers, texts, means=iteration.means, table=iteration.critical)
    for line in lines:
        ours, theirs = (tallies.get(name, {}).get(line.metric) for name in (line.system, line.baseline))
        if ours is not None and theirs is not None:
            found = compare_tallies(
                ours, theirs, patients, margin=line.margin, draws=settings.evaluate.draws, seed=settings.seed
            )
            yield replace(found, task=task.name, metric=line.metric, candidate=line.system, baseline=line.baseline)


def calibrated(trust: Trust, test: Sequence[Example], predictions: Sequence[Prediction], seed: int) -> dict[str, Any]:
    """How honest the tuned system's confidence is on the test cases, after the map of the calibration cases."""
    by_example = {prediction.example: prediction for prediction in predictions}
    asked = [by_example[example.id] for example in test]
    answered = [trust.honest.apply(prediction) for prediction in asked]
    correct = [p.value == e.gold for e, p in zip(test, answered, strict=True)]
    patients = [example.patient for example in test]
    # As honest as on patients that no map has seen.
    sure = cross_fitted(trust.known, trust.answered, kind=trust.honest.kind, seed=seed)
    sets = fit_label_sets(trust.known, trust.answered, seed=seed)
    return plain({
        "map": trust.honest,
        "reliability": reliability(test, answered, seed=seed),
        "selective": selective([p.confidence for p in answered], correct, patients, seed=seed),
        "abstention": choose_threshold(
            [p.confidence or 0.0 for p in sure],
            [p.value == e.gold for e, p in zip(trust.known, sure, strict=True)],
            [example.patient for example in trust.known],
        ),
        "sets": sets,
        "covered": coverage_of(sets, test, asked),
    })  # fmt: skip


# --- review -----------------------------------------------------------------------------------------------------


def review(iteration: Iteration) -> None:
    """Draws the answers of the tuned system that people should look at: by risk, each with a known probability."""
    settings = iteration.project.settings
    iteration.progress.begin("review", len(settings.tasks))
    reused = True
    for task in settings.tasks:
        held_out = {example.id for example in questions(iteration, task, Split.TEST)}
        answered = [p for p in iteration.predictions.get((System.TUNED, task.name), ()) if p.example in held_out]
        if not answered:
            continue

        def work(run: ActiveRun, answered: Sequence[Prediction] = answered) -> None:
            chances = inclusion_probabilities(
                [risk_of(one) for one in answered], settings.review.sample, random_share=settings.review.random_share
            )
            run.write("drawn", Drawn, draw([one.id for one in answered], chances, seed=settings.seed))
            run.facts["population"] = len(answered)

        identity = {
            "inputs": fingerprint([as_plain(one) for one in answered]),
            "settings": settings.review.model_dump(mode="json", include={"sample", "random_share"}),
        }
        outcome = iteration.once(f"review {task.name}", identity, work, REVIEW_CODE)
        iteration.samples[task.name] = outcome.read("drawn", Drawn)
        reused &= outcome.reused
        iteration.progress.advance()
    drawn = ", ".join(f"{len(of_task)} of {task}" for task, of_task in iteration.samples.items())
    iteration.progress.end(f"answers to look at: {drawn or 'none'}", reused=reused)


# --- gate and report --------------------------------------------------------------------------------------------


def gate(iteration: Iteration) -> None:
    """The policy, written before the numbers were known, is held against the evidence and people's decisions."""
    iteration.progress.begin("gate")
    decisions = iteration.project.workspace.ledger.decisions()
    released, on_slices = iteration.released, [(task, found) for task, found in iteration.slices.items() if found]
    task_of = {p.id: p.task for answers in iteration.predictions.values() for p in answers if p.system == System.TUNED}
    evidence = GateEvidence(
        scores=iteration.scores,
        comparisons=iteration.comparisons,
        slices={task: {name: sorted(values) for name, values in found["matrix"].items()} for task, found in on_slices},
        parts=dict(gated_parts(iteration)),
        calibration={task: found["reliability"] for task, found in iteration.calibration.items() if found},
        critical={
            (task, system): shown["critical"]
            for task, of_task in iteration.safety.items()
            for system, shown in of_task.items()
            if "critical" in shown
        },
        severities=[row.severity for row in iteration.critical.rows] if iteration.critical else (),
        forgetting=iteration.runs["control"].facts["forgetting"],
        reviews=Counter(task_of[subject] for subject in {d.subject for d in decisions} if subject in task_of),
        deidentification=released.standing if released else None,
        deidentification_reason=released.reason if released else "",
        review_step=f"Run: `residency review {{task}} --who NAME --project {iteration.project.root}`.",
        deidentification_step=released.next_step if released else "",
    )
    iteration.verdict = decide(iteration.project.settings.gate, evidence)
    iteration.progress.end(iteration.verdict.verdict)


def gated_parts(iteration: Iteration) -> Iterator[tuple[tuple[str, str, str], Part]]:
    """What the lines of the policy that are about a slice ask for, measured on the cases of that slice."""
    asked: dict[tuple[str, str, str], list[OnMetric]] = {}
    for line in iteration.project.settings.gate.lines:
        if isinstance(line, OnMetric) and (line.where or _of_harm(line)):
            name, value = next(iter(line.where.items()), EVERYWHERE)
            asked.setdefault((line.task, name, value), []).append(line)
    for (of_task, name, value), lines in asked.items():
        task = iteration.project.task(of_task)
        test = questions(iteration, task, Split.TEST)
        columns = iteration.project.settings.evaluate.slices
        values = {"": [""] * len(test), **slices_of(test, iteration.documents, columns)}.get(name, [])
        cases = [example for example, its in zip(test, values, strict=False) if its == value]
        if name and cases and too_few(len({example.patient for example in cases})):
            yield (of_task, name, value), Part(too_few=True)
        elif cases:
            yield (of_task, name, value), _part(iteration, task, cases, lines)


def _of_harm(line: OnMetric) -> bool:
    """Whether a line compares two systems in what needs the source texts: no comparison of answers alone knows it."""
    return isinstance(line, BetterThan | NotWorseThan) and line.metric in metrics.OF_SOURCES


def _part(iteration: Iteration, task: TaskSettings, cases: Sequence[Example], lines: Sequence[OnMetric]) -> Part:
    """The scores and comparisons that these lines are about, on these cases."""
    of_cases = {example.id for example in cases}
    named = dict.fromkeys(chain.from_iterable((line.system, getattr(line, "baseline", line.system)) for line in lines))
    known = {name: iteration.predictions.get((name, task.name), []) for name in named}
    answered = {name: [p for p in its if p.example in of_cases] for name, its in known.items() if its}
    common = measuring(iteration, task)
    trusts = task.kind is TaskKind.CLASSIFY and System.TUNED in answered
    trust = confidence_of(iteration, task) if trusts else None
    pairs = [line for line in lines if isinstance(line, BetterThan | NotWorseThan)]
    compared = list(harm_compared(iteration, task, cases, answered, trust, filter(_of_harm, pairs)))
    for line in pairs:
        if not _of_harm(line) and {line.system, line.baseline} <= answered.keys():
            both = answered[line.system], answered[line.baseline]
            found = compare(cases, *both, margin=line.margin, **common)
            compared += (one for one in found if one.metric == line.metric)
    return Part(scores=measured(iteration, task, cases, answered, trust, common)[0], comparisons=compared)


def report(iteration: Iteration) -> None:
    """Everything a person needs to agree or disagree with the verdict, as a page and as data."""
    iteration.progress.begin("report")
    project, folder = iteration.project, iteration.project.root
    if iteration.other is not None:  # the project's own report stays
        folder = project.workspace.folder / EVALUATIONS / iteration.other.name
    iteration.pages = write_report(account(told(iteration)), folder)
    iteration.progress.end(iteration.pages[1].name)


def told(iteration: Iteration) -> Told:
    """What the stages left, for the account."""
    project, settings = iteration.project, iteration.project.settings
    steps = [step.step for step in settings.curate]
    assert iteration.verdict is not None and iteration.released is not None  # both come before the report
    return Told(
        project=settings.name,
        about=project.pack.settings.about,
        settings=settings.model_dump(mode="json"),
        tasks=settings.tasks,
        runs=iteration.runs,
        curation=steps,
        files=count_files(settings.sources, project.root),
        documents=iteration.documents,
        dropped=[d for step in (*steps, DECONTAMINATE) for d in iteration.runs[step].read("dropped", Dropped)],
        split_of=iteration.split_of,
        adapter=iteration.adapter,
        test={task.name: questions(iteration, task, Split.TEST) for task in settings.tasks},
        predictions=iteration.predictions,
        scores=iteration.scores,
        comparisons=iteration.comparisons,
        calibration=iteration.calibration,
        safety=iteration.safety,
        forgetting=iteration.runs["control"].facts["forgetting"],
        slices=iteration.slices,
        find=iteration.finder,
        verdict=iteration.verdict,
        released=iteration.released,
    )


STAGES: dict[str, Callable[[Iteration], None]] = {
    "deidentify": deidentify,
    "curate": curate,
    "split": split,
    "release": release,
    "tune": tune,
    "evaluate": evaluate,
    "score": score,
    "review": review,
    "gate": gate,
    "report": report,
}
"""The loop, in order. Serve and watch join it here when they come."""


# --- identity ---------------------------------------------------------------------------------------------------

CURATION_CODE = ("curate", "packs", "records.py", "tasks.py", "text.py")
INTAKE_CODE = (*CURATION_CODE, "intake.py")
TRAINING_CODE = ("tune", "models", "tasks.py")
REVIEW_CODE = ("evaluate/sampling.py",)
EVALUATION_CODE = ("evaluate", "models", "tasks.py")


@cache
def code_version(*parts: str) -> str:
    """Hash over the source of packages and modules of residency: a changed stage is done again (hex, 16 digits)."""
    root = Path(__file__).parent
    sources = chain.from_iterable(sorted(p.rglob("*")) if (p := root / part).is_dir() else [p] for part in parts)
    # The demo is input, not code: the inbox has its own hash.
    kept = (p for p in sources if p.is_file() and p.suffix != ".pyc" and "demo" not in p.relative_to(root).parts)
    return fingerprint([(p.relative_to(root).as_posix(), file_sha256(p)) for p in kept])


def inbox_fingerprint(project: Project) -> str:
    """Hash over everything that ingest reads, and what is kept of it."""
    settings = project.settings
    files = [file.path for file in find_files(settings.sources, project.root, without=(settings.labels.path,))]
    labels = project.root / settings.labels.path
    whole = [*files, *([labels] if labels.is_file() else [])]
    # A link to nothing has no content; ingest drops it with a reason.
    hashes = [(str(p.relative_to(project.root)), file_sha256(p) if p.exists() else "") for p in whole]
    read = settings.model_dump(mode="json", include={"sources", "labels"})
    return fingerprint([hashes, read, *kept_columns(project)])


def _flow(outcome: Outcome) -> str:
    facts = outcome.facts
    unreadable = f"{facts['unreadable']} files or rows gave no text; " if facts["unreadable"] else ""
    mended = f"; broken characters replaced in {facts['mended']}" if facts.get("mended") else ""
    return (
        f"{unreadable}{facts['came']} in, {facts['kept']} out, {facts['dropped']} dropped, {facts['changed']} changed"
        f"{mended}"
    )
