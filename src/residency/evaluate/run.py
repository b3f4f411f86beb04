"""Asking a model all the questions.

In: a model, a task, examples. Out: one ``Prediction`` for every example, in small groups.

Covers: classify by scoring the closed label set, extract and generate by greedy writing, the likelihood of the
gold answer, outputs that cannot be parsed (value None), few-shot conversations, going on after a kill.
Does not cover: judging the predictions (metrics.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from residency.models.model import Conversation, Likelihood, Model
from residency.records import Example, Message, Prediction, TaskKind, record_id
from residency.tasks import NameToConcept, TaskSettings, read_output


def few_shot(example: Example, shots: Sequence[Example]) -> Example:
    """The example with solved examples in front of its question."""
    turns: list[Message] = []
    for shot in shots:
        turns += [*shot.messages, Message(role="assistant", content=shot.answer)]
    return replace(example, messages=(*turns, *example.messages))


def choose_shots(candidates: Sequence[Example], count: int) -> list[Example]:
    """Shots for a prompt: the shortest questions, each with another answer, so that the prompt stays short and varied."""
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
    for start in range(0, len(waiting), group_size):
        group = waiting[start : start + group_size]
        begun = time.monotonic()
        answers = _classify(model, system, group, labels) if task.kind is TaskKind.CLASSIFY else []
        if task.kind is not TaskKind.CLASSIFY:
            read: Callable[[str], object] = lambda text: read_output(task, text, labels=labels, concept_of=concept_of)  # noqa: E731
            answers = _write(model, system, task, group, read)
        likelihoods = model.score([e.messages for e in group], [e.answer for e in group])
        seconds = (time.monotonic() - begun) / len(group)
        yield [_finish(p, gold, seconds) for p, gold in zip(answers, likelihoods, strict=True)]


def _classify(model: Model, system: str, group: Sequence[Example], labels: Sequence[str]) -> list[Prediction]:
    rows = model.choose(_conversations(group), labels)
    return [_closed_answer(system, example, labels, row) for example, row in zip(group, rows, strict=True)]


def _closed_answer(system: str, example: Example, labels: Sequence[str], row: Sequence[float]) -> Prediction:
    """The most likely label; its probability is over the closed set, so that what lies outside it plays no part."""
    highest = max(row)
    weights = [math.exp(value - highest) for value in row]
    total = sum(weights)
    probabilities = {label: weight / total for label, weight in zip(labels, weights, strict=True)}
    best = max(probabilities, key=lambda label: probabilities[label])
    return Prediction(
        id=record_id("p", system=system, example=example.id),
        example=example.id,
        task=example.task,
        system=system,
        output=best,
        value=best,
        confidence=probabilities[best],
        probabilities=probabilities,
    )


def _write(
    model: Model, system: str, task: TaskSettings, group: Sequence[Example], read: Callable[[str], object]
) -> list[Prediction]:
    written = model.generate(_conversations(group), max_tokens=task.max_tokens)
    return [
        Prediction(
            id=record_id("p", system=system, example=example.id),
            example=example.id,
            task=example.task,
            system=system,
            output=answer.text,
            value=read(answer.text),
            # Geometric mean of the token probabilities: comparable between short and long answers.
            confidence=math.exp(-answer.nats / max(answer.tokens, 1)),
        )
        for example, answer in zip(group, written, strict=True)
    ]


def _finish(prediction: Prediction, gold: Likelihood, seconds: float) -> Prediction:
    return replace(prediction, nats=gold.nats, tokens=gold.tokens, seconds=seconds)


def _conversations(group: Sequence[Example]) -> list[Conversation]:
    return [example.messages for example in group]
