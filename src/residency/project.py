"""A project: its file, its folder, its pack, its workspace, its vault, its key.

In: a folder with residency.yaml. Out: a ``Project``, or one ProjectError with everything that is wrong.

Covers: which curation steps exist (``CurationStep``), what a project file may say and what in it does not fit together,
the key that must be the one that earlier runs used, a new key. Does not cover: running anything (story.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError, model_validator

from residency.curate.augment import Augment
from residency.curate.cleanse import Cleanse
from residency.curate.deduplicate import Deduplicate
from residency.curate.deidentify import Deidentify
from residency.curate.examples import Prompt
from residency.curate.extract import ExtractFindings
from residency.curate.ingest import SourceSettings
from residency.curate.knowledge import KnowledgeSettings
from residency.curate.labels import LabelSettings
from residency.curate.split import SplitSettings
from residency.errors import ProjectError
from residency.evaluate import metrics
from residency.evaluate.baselines import BASELINES
from residency.evaluate.critical.table import CriticalTable, load_table
from residency.evaluate.metrics.catalogue import OWN
from residency.evaluate.metrics.own import OwnMetric, load_own, own_file, own_name
from residency.evaluate.policy import Calibrated, GateSettings
from residency.evaluate.run import EvaluateSettings
from residency.evaluate.sampling import ReviewSettings
from residency.packs import Pack, load_pack
from residency.records import TaskKind
from residency.settings import Settings, explain, read_yaml
from residency.store.anchor import Anchor, anchor_path
from residency.store.identity import own_identity
from residency.store.keys import LocalWrapper, key_fingerprint, key_rotation, project_key
from residency.store.queues import Queues
from residency.store.runs import Workspace
from residency.store.studio import Studio
from residency.store.vault import Vault, lost_vault
from residency.tasks import TaskSettings
from residency.tune.lora import Recipe
from residency.tune.pairs import PreferenceRecipe
from residency.tune.trackers import Tracker

PROJECT_FILE = "residency.yaml"
WORKSPACE = ".residency"
IDENTITY_FILE = Path(".residency") / "project.json"
VAULT_FOLDER = Path(".residency") / "vault"
STUDIO_FILE = Path(".residency") / "studio.sqlite"

CurationStep = Annotated[Deidentify | Cleanse | Deduplicate | ExtractFindings, Field(discriminator="step")]
"""Every curation step there is: the parser, the schema and the error message of ``curate`` in a project file."""


class ProjectSettings(Settings):
    """residency.yaml."""

    name: str = Field(description="name of the project")
    pack: str = Field(description="domain pack: a shipped one by name, or a folder")
    seed: int = Field(default=1, ge=0, description="seed of everything that is drawn")
    sources: tuple[SourceSettings, ...] = Field(min_length=1, description="where the documents are")
    labels: LabelSettings = Field(description="the experts' label file")
    curate: tuple[CurationStep, ...] = Field(min_length=1, description="curation steps, in order")
    augment: Augment | None = Field(default=None, description="write training texts differently; none if left out")
    split: SplitSettings = Field(default=SplitSettings(), description="who is trained on, who is held out")
    knowledge: tuple[KnowledgeSettings, ...] = Field(
        default=(), description="tables of which findings go with which label; they help to rank candidates"
    )
    tasks: tuple[TaskSettings, ...] = Field(min_length=1, description="what the specialist does")
    base: str = Field(default="embedded", description="base model: embedded, or a local model folder")
    template: str | None = Field(default=None, description="chat template, for a base that the catalogue does not know")
    recipe: Recipe = Field(default=Recipe(), description="training recipe; what is not set comes from the catalogue")
    preference: PreferenceRecipe = Field(
        default=PreferenceRecipe(), description="how an adapter learns from preference pairs: residency tune --pairs"
    )
    tracker: Tracker | None = Field(
        default=None,
        description="tensorboard, mlflow or wandb gets the curve of a training run; none if left out",
    )
    evaluate: EvaluateSettings = Field(default=EvaluateSettings(), description="systems and statistics")
    review: ReviewSettings = Field(default=ReviewSettings(), description="what people look at after an iteration")
    gate: GateSettings = Field(default=GateSettings(), description="what must hold before anyone uses the adapter")

    @model_validator(mode="after")
    def _fits_together(self) -> ProjectSettings:
        problems = [*self._private_text_problems(), *self._name_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def deidentify(self) -> Deidentify:
        """The first curation step."""
        first = self.curate[0]
        assert isinstance(first, Deidentify)  # held by the validator
        return first

    def _private_text_problems(self) -> Iterator[str]:
        first = self.curate[0]
        if not isinstance(first, Deidentify) or any(isinstance(step, Deidentify) for step in self.curate[1:]):
            yield "curate must begin with the step deidentify, and have no other: nothing else may touch raw text"
            return
        for task in self.tasks:
            if task.kind is TaskKind.GENERATE and task.answer not in first.answers:
                yield f"curate[0].answers must list {task.answer!r}: it is free text, the answer of task {task.name}"

    def _name_problems(self) -> Iterator[str]:
        """Names that stand for nothing, before a run is spent on them."""
        names = Counter(task.name for task in self.tasks)
        yield from (f"tasks: the name {name!r} stands {count} times" for name, count in names.items() if count > 1)
        kind_of = {task.name: task.kind for task in self.tasks}
        yield from (f"evaluate.own.{name}: there is no task {name!r}" for name in self.evaluate.own.keys() - kind_of)
        for number, line in enumerate(self.gate.lines):
            task, metric = getattr(line, "task", None), getattr(line, "metric", None)
            if task is None:
                continue
            if task not in kind_of:
                yield f"gate.lines[{number}].task: there is no task {task!r}; tasks are {', '.join(kind_of)}"
                continue
            kind = kind_of[task]
            if metric is not None and metric.startswith(OWN):
                if metric not in map(own_name, self.evaluate.own.get(task, ())):
                    own = ", ".join(map(own_name, self.evaluate.own.get(task, ()))) or "none"
                    yield f"gate.lines[{number}].metric: evaluate.own.{task} names no such function; it names {own}"
            elif metric is not None and kind not in metrics.METRICS[metric].kinds:
                usable = ", ".join(name for name, one in metrics.METRICS.items() if kind in one.kinds and one.decides)
                yield f"gate.lines[{number}].metric: {metric} is not measured for {kind} tasks; use one of {usable}"
            elif isinstance(line, Calibrated) and kind is not TaskKind.CLASSIFY:
                yield f"gate.lines[{number}]: confidence is calibrated for classify tasks only, not for {task}"
            known = [*self.evaluate.systems, *BASELINES[kind]]
            for role in ("system", "baseline"):
                named = getattr(line, role, None)
                if named is not None and named not in known:
                    yield f"gate.lines[{number}].{role}: there is no system {named!r}; systems are {', '.join(known)}"


@dataclass(frozen=True)
class Project:
    """A project folder that has been read: settings, domain pack, workspace, secret key."""

    root: Path
    settings: ProjectSettings
    pack: Pack

    @classmethod
    def open(cls, root: Path) -> Project:
        """Reads residency.yaml; all of its problems are one ProjectError."""
        file = root / PROJECT_FILE
        try:
            settings = ProjectSettings.model_validate(read_yaml(file.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            raise ProjectError(f"{file}: not UTF-8 text.", fix="Save the file as UTF-8.") from None
        except IsADirectoryError:
            raise ProjectError(f"{file}: a folder stands where the project file should.", fix="Rename it.") from None
        except FileNotFoundError:
            raise ProjectError(
                f"{file}: there is no project here.", fix=f"Run: residency init {root} --demo neurology"
            ) from None
        except yaml.YAMLError as error:
            place = getattr(error, "problem_mark", None)
            line = f" line {place.line + 1}" if place else ""
            what = str(getattr(error, "problem", "") or "a character that YAML does not allow")
            raise ProjectError(
                f"{file}{line}: not YAML: {what}.", fix="Correct the file; check the indentation."
            ) from None
        except ValidationError as error:
            problems = explain(error)
            count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
            raise ProjectError(f"{file}: {count}.", fix="Correct each line.", problems=problems) from None
        return cls(root.resolve(), settings, load_pack(settings.pack))

    def refuse_output(self, target: Path) -> None:
        """A ProjectError where writing to ``target`` would replace what the project is made of."""
        place, own = target.resolve(), (self.root / WORKSPACE).resolve()
        if place.is_relative_to(own) or own.is_relative_to(place) or place in self._read:
            raise ProjectError(f"{target}: this is part of the project itself.", fix="Name another place with -o.")

    @property
    def _read(self) -> set[Path]:
        settings = self.settings
        named = [PROJECT_FILE, settings.labels.path, *(one.path for one in settings.sources)]
        return {(self.root / name).resolve() for name in named}

    @cached_property
    def workspace(self) -> Workspace:
        return Workspace(self.root / WORKSPACE)

    @cached_property
    def vault(self) -> Vault:
        """Raw text and what links it to people, encrypted; made on first use, and never made a second time."""
        folder, file, key = self.root / VAULT_FOLDER, self.root / IDENTITY_FILE, self.key
        with own_identity(self.root, file) as known:
            # A new vault's surrogates are keyed from the project key, so that the demo's are the same on every machine.
            vault = Vault.open(folder, LocalWrapper(key), known=known.vault, first_surrogate_key=key)
            if known.vault is None:
                known.write(file, vault=vault.id)
        # An older copy of the vault may have been put back: it must not know again whom it has forgotten since.
        forgotten = self.workspace.ledger.forgotten()
        for pseudonym in forgotten.intersection(vault.patients() if forgotten else ()):
            vault.forget(pseudonym)
        return vault

    @cached_property
    def key(self) -> bytes:
        """The project's secret key; refused where it is not the one that earlier runs used."""
        folder, file = self.root / VAULT_FOLDER, self.root / IDENTITY_FILE
        with own_identity(self.root, file) as known:
            sealed_with = Vault.fingerprint_at(folder)
            if sealed_with is None and (known.vault is not None or self.workspace.ledger.used()):
                raise lost_vault(folder)
            key = project_key(known.id, known_fingerprint=sealed_with or known.key)
            if known.key is None:
                known.write(file, key=key_fingerprint(key))
        return key

    @cached_property
    def studio(self) -> Studio:
        """People, audit log and queues of work; made on first use."""
        with own_identity(self.root, self.root / IDENTITY_FILE) as known:
            return Studio.beside(self.root / STUDIO_FILE, Anchor(anchor_path(known.id)))

    def hear_the_studio(self) -> None:
        """The ledger gets what a killed process of the studio has not told it, before anything is made of decisions."""
        if (self.root / STUDIO_FILE).is_file():
            Queues(self.studio).hand_on(self.workspace.ledger)

    def task(self, name: str) -> TaskSettings:
        return next(task for task in self.settings.tasks if task.name == name)

    def own_metrics(self, task: TaskSettings) -> dict[str, OwnMetric]:
        """The team's own metrics of a task, by name."""
        return {own_name(one): load_own(one, self.root) for one in self.settings.evaluate.own.get(task.name, ())}

    def own_files(self, task: TaskSettings) -> list[Path]:
        """Where they are written; a changed file makes a new score."""
        return [own_file(one, self.root) for one in self.settings.evaluate.own.get(task.name, ())]

    def critical_table(self) -> CriticalTable | None:
        """The team's table of critical errors, or else the pack's."""
        file = self.settings.evaluate.critical
        return load_table(self.pack, None if file is None else self.root / file)

    def prompt(self, task: TaskSettings) -> Prompt:
        return Prompt.load(self.root, task)


def rotate_project_key(project: Project) -> tuple[int, str]:
    """Seals the vault with a new key; how many keys were sealed, and what is left to do by hand."""
    vault, file = project.vault, project.root / IDENTITY_FILE
    with (
        project.workspace.alone(),
        own_identity(project.root, file) as known,
        key_rotation(known.id, known=lambda: Vault.fingerprint_at(vault.path.parent)) as keys,
    ):
        count = vault.rotate(LocalWrapper(keys.new))
        known.write(file, key=key_fingerprint(keys.new))
    return count, keys.next_step
