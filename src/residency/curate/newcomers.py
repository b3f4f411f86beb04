"""Newcomers: documents that come after a project's own, curated as those were.

In: the project's steps with what each of them had read; one patient's new documents. Out: each of them as the model's
prompts need it, or ``Dropped``, by the same rules.

Covers: de-identification, cleansing by what the project's documents taught (what repeats, how reports end, which
capitals are acronyms), findings. Does not cover: copies: whoever asks about a text gets an answer, however often it was
asked about before; people's verdicts on other documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from residency.curate.cleanse import Cleanse
from residency.curate.deduplicate import Deduplicate
from residency.curate.deidentify import Deidentify
from residency.curate.extract import ExtractFindings
from residency.curate.step import Step, Tools
from residency.records import Document, Dropped


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Steps with what they learned from the project's documents."""

    steps: Sequence[Step]
    learned: Mapping[str, Any]  # by step
    tools: Tools

    @classmethod
    def after(cls, steps: Sequence[Step], tools: Tools, came_in: Callable[[str], Iterable[Document]]) -> Newcomers:
        """``came_in`` gives the documents that the project's own run of a step had read."""
        learned: dict[str, Any] = {
            step.step: step.learn(came_in(step.step), tools) for step in steps if isinstance(step, Cleanse)
        }
        return cls(steps, learned, tools)

    def curate(self, patient: str, documents: Sequence[Document]) -> list[Document | Dropped]:
        """All new documents of one patient, in their order; ``patient`` keys the surrogates."""
        curated: list[Document | Dropped] = list(documents)
        for step in self.steps:
            going_on = [one for one in curated if isinstance(one, Document)]
            done = iter(self._step(step, patient, going_on))
            curated = [next(done) if isinstance(one, Document) else one for one in curated]
        return curated

    def _step(self, step: Step, patient: str, documents: Sequence[Document]) -> list[Document | Dropped]:
        match step:
            case Deidentify():
                return [one.document for one in step.treat(patient, documents, self.tools)]
            case Cleanse():
                return [step.treat(document, self.learned[step.step], self.tools) for document in documents]
            case Deduplicate():
                return list(documents)
            case ExtractFindings():
                return list(step(documents, self.tools))
        raise TypeError(f"a step without a rule for newcomers: {step.step}")  # a step was added to project.CurationStep
