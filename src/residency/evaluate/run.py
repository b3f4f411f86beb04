"""Asking a model all the questions.

In: a model, a task, examples. Out: one ``Prediction`` for every example, in small groups.

Covers: classify by scoring the closed label set, extract and generate by greedy writing, the likelihood of the
gold answer, outputs that cannot be parsed (value None), few-shot conversations, going on after a kill.
Does not cover: judging the predictions (metrics.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from pydantic import Field

from residency.errors import PromptTooLong
from residency.models.memory import return_free_memory
from residency.models.model import Conversation, Model
from residency.records import Example, Message, Prediction, TaskKind, record_id
from residency.settings import Settings
from residency.tasks import NameToConcept, TaskSettings, read_output


class System(StrEnum):
    """Who is asked."""

    ZERO_SHOT = "zero_shot"  # the base model, told what to do
    FEW_SHOT = "few_shot"  # the base model, told what to do and shown solved examples
    TUNED = "tuned"  # the base model with the adapter, asked as in training

    @property
    def instructed(self) -> bool:
        """Whether its prompts explain the task."""
        return self is not System.TUNED


class EvaluateSettings(Settings):
    """Who is asked, and how sure the statistics have to be."""

    systems: tuple[System, ...] = Field(default=tuple(System), min_length=1, description="systems to ask")
    shots: int = Field(default=4, ge=1, le=64, description="solved examples in a few-shot prompt, count")
    group_size: int = Field(
        default=32, ge=1, le=1024, description="cases asked together; a kill loses at most one group"
    )
    draws: int = Field(default=2_000, ge=200, le=100_000, description="bootstrap draws, count")
    margin: float = Field(default=0.02, ge=0, le=1, description="loss that would not matter, in the metric's unit")
    slices: tuple[str, ...] = Field(
        default=(), description="columns of the label file that divide the held-out cases, e.g. site, sex, age"
    )
    critical: str | None = Field(
        default=None, description="table of critical errors, a path below the project folder; the pack's if left out"
    )
    own: Mapping[str, tuple[str, ...]] = Field(
        default={}, description="metrics of your own by task, each FILE.py:FUNCTION below the project folder"
    )


def few_shot(example: Example, shots: Sequence[Example]) -> Example:
    """The example with solved examples in front of its question."""
    turns: list[Message] = []
    for shot in shots:
        turns += [*shot.messages, Message(role="assistant", content=shot.answer)]
    return replace(example, messages=(*turns, *example.messages))


def choose_shots(candidates: Sequence[Example], count: int) -> list[Example]:
    """Shots for a prompt: the shortest questions, each with another answer; so the prompt is short and varied."""
    shots: list[Example] = []
    seen: set[str] = set()
    for example in sorted(candidates, key=lambda e: (sum(len(m.content) for m in e.messages), e.id)):
        if example.answer not in seen and example.gold:
            seen.add(example.answer)
            shots.append(example)
        if len(shots) == count:
            break
    return shots


def predict(
    model: Model,
    system: str,
    task: TaskSettings,
    examples: Sequence[Example],
    labels: Sequence[str],
    concept_of: NameToConcept,
    *,
    group_size: int,
    finished: Collection[str] = (),
) -> Iterator[list[Prediction]]:
    """Predictions in groups of at most ``group_size``; examples whose id is in ``finished`` are left out.

    Groups hold prompts of similar length: the same model calls then waste less.
    """
    waiting = sorted(
        (e for e in examples if e.id not in finished), key=lambda e: (sum(len(m.content) for m in e.messages), e.id)
    )
    ask = (
        _classifier(model, system, labels)
        if task.kind is TaskKind.CLASSIFY
        else _writer(model, system, task, labels, concept_of)
    )
    for start in range(0, len(waiting), group_size):
        group = waiting[start : start + group_size]
        try:
            yield _timed(ask, group)
        except PromptTooLong:
            yield [_one_by_one(ask, system, example) for example in group]
        return_free_memory()


Ask = Callable[[Sequence[Example]], list[Prediction]]


def _timed(ask: Ask, group: Sequence[Example]) -> list[Prediction]:
    begun = time.monotonic()
    answers = ask(group)
    seconds = (time.monotonic() - begun) / len(group)
    return [replace(answer, seconds=seconds) for answer in answers]


def _one_by_one(ask: Ask, system: str, example: Example) -> Prediction:
    """One answer; a question too long for the model is an outcome of its own: no answer, which counts as wrong."""
    try:
        return _timed(ask, [example])[0]
    except PromptTooLong:
        return _blank(system, example)


def _classifier(model: Model, system: str, labels: Sequence[str]) -> Ask:
    def ask(group: Sequence[Example]) -> list[Prediction]:
        rows = model.choose(_conversations(group), labels)
        answers = [_closed_answer(system, example, labels, row) for example, row in zip(group, rows, strict=True)]
        return _with_likelihoods(model, group, answers)

    return ask


def _writer(model: Model, system: str, task: TaskSettings, labels: Sequence[str], concept_of: NameToConcept) -> Ask:
    def ask(group: Sequence[Example]) -> list[Prediction]:
        written = model.generate(_conversations(group), max_tokens=task.max_tokens)
        answers = [
            replace(
                _blank(system, example),
                output=answer.text,
                value=read_output(task, answer.text, labels=labels, concept_of=concept_of),
                # Geometric mean of the token probabilities: comparable between short and long answers.
                confidence=math.exp(-answer.nats / max(answer.tokens, 1)),
            )
            for example, answer in zip(group, written, strict=True)
        ]
        return _with_likelihoods(model, group, answers)

    return ask


def _closed_answer(system: str, example: Example, labels: Sequence[str], row: Sequence[float]) -> Prediction:
    """The most likely label; its probability is over the closed set, so that what lies outside it plays no part."""
    highest = max(row)
    weights = [math.exp(value - highest) for value in row]
    total = sum(weights)
    probabilities = {label: weight / total for label, weight in zip(labels, weights, strict=True)}
    best = max(probabilities, key=lambda label: probabilities[label])
    return replace(
        _blank(system, example), output=best, value=best, confidence=probabilities[best], probabilities=probabilities
    )


def _blank(system: str, example: Example) -> Prediction:
    return Prediction(
        id=record_id("p", system=system, example=example.id),
        example=example.id,
        task=example.task,
        system=system,
        output="",
        value=None,
    )


def _with_likelihoods(model: Model, group: Sequence[Example], answers: Sequence[Prediction]) -> list[Prediction]:
    if not any(example.answer for example in group):
        return list(answers)  # new questions: there is no gold answer that could be likely
    likelihoods = model.score(_conversations(group), [example.answer for example in group])
    return [
        replace(answer, nats=gold.nats, tokens=gold.tokens) for answer, gold in zip(answers, likelihoods, strict=True)
    ]


def _conversations(group: Sequence[Example]) -> list[Conversation]:
    return [example.messages for example in group]
