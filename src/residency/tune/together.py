"""Training in several processes: the first one tells the others what to train, and all of them train it.

In: a ``Job``. Out: the adapter, in the first process.

Covers: who reads the base, and from where; waiting for the next job. The first process alone opens the project, its
ledger and its vault; the others get the de-identified examples from it and write nothing that stays.
Does not cover: the run (training.py), what is exchanged in it (processes.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from residency.errors import TrainingError
from residency.models.base import Base, BaseWeights, Precision, load_base, resolve
from residency.records import Example
from residency.tune.adapter import Adapter
from residency.tune.lora import Recipe
from residency.tune.processes import Processes
from residency.tune.training import train


@dataclass(frozen=True, slots=True)
class Job:
    """What is trained. Every process has to see the base's folder, and ``folder``, where the checkpoint lies."""

    base: str
    template: str | None
    base_sha256: str
    training: Sequence[Example]
    validation: Sequence[Example]
    recipe: Recipe
    folder: Path
    labels: Mapping[str, Sequence[str]]
    held_out: frozenset[str]


NOTHING: Job | None = None


def train_together(job: Job, base: Base, processes: Processes, **reports: Callable[..., Any]) -> Adapter:
    """Trains the job here and in every process that assists. ``reports`` are those of ``train``."""
    processes.tell(job)
    return _train(job, base, processes, **reports)


def assist(processes: Processes) -> None:
    """Trains what the first process says, until it says that there is nothing more."""
    while (job := processes.tell(NOTHING)) is not None:
        base = replace(read_base(job.base, job.template, processes, job.recipe.base_weights), sha256=job.base_sha256)
        try:
            _train(job, base, processes)
        except TrainingError:
            return  # the first process meets the same error, and says it


def dismiss(processes: Processes) -> None:
    """Lets those go that assist."""
    processes.tell(NOTHING)


def read_base(name: str, template: str | None, processes: Processes, weights: BaseWeights = BaseWeights.LOADED) -> Base:
    """The base as this process needs it: on its device, or where blocks are shared out, whole in the first one only."""
    if not processes.fsdp:
        return load_base(name, weights=weights, template_name=template, device=processes.device)
    precision = resolve(Precision.AUTO, processes.device or "cpu")
    return load_base(name, precision=precision, template_name=template, device="cpu", empty=not processes.leads)


def _train(job: Job, base: Base, processes: Processes, **reports: Any) -> Adapter:
    return train(
        job.training, job.validation, base, job.recipe, job.folder,
        labels=job.labels, held_out=job.held_out, processes=processes, **reports,
    )  # fmt: skip
