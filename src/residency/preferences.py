"""Preferences: what reviewers prefer to what a model wrote, taught to the project's adapter.

In: a project; corrections in its ledger, or a file of pairs; an adapter. Out: a new adapter in a folder, and which
pairs were not trained on, with the reason.

Covers: pairs made of corrections, in the very questions of training; a file of pairs, every wrong line with its number;
pairs of patients who are held out or forgotten, by their id, their pseudonym or their document's text. Does not cover:
de-identifying a file's pairs, which are taken as they are; taking the new adapter into the loop, which trains its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from residency.curate.corrections import HELD_OUT
from residency.errors import ProjectError, TrainingError
from residency.models.chat import ROLES
from residency.project import Project
from residency.records import Message, Origin, Split
from residency.run.progress import Progress
from residency.settings import fingerprint
from residency.store.files import writable_file
from residency.store.jsonl import read_objects
from residency.store.runs import ActiveRun
from residency.story import TRAINED, TRAINING_CODE, Iteration, Lessons, prepare_lessons, run_project
from residency.tune.adapter import CARD, Adapter, copy_adapter, load_card, may_be_adapter
from residency.tune.pairs import Pair

STAGE = "preference"
SHAPE = '{"id", "prompt" or "messages", "chosen", "rejected"}, and "task" and "patient" where they are known'


class Withheld(StrEnum):
    """Why a pair is not trained on; the sentence that a person reads, after the number of them."""

    HELD_OUT = "of held-out patients"
    HELD_OUT_TEXT = "that hold the text of a held-out patient"
    FORGOTTEN = "of forgotten patients"


@dataclass(frozen=True, slots=True)
class Taught:
    """What came of it. ``notes`` say which corrections and pairs were not trained on."""

    adapter: Adapter
    notes: tuple[str, ...]
    reused: bool


def teach_preferences(
    root: Path, progress: Progress, target: Path, *, file: Path | None = None, corrections: bool = False,
    adapter: Path | None = None,
) -> Taught:  # fmt: skip
    """Teaches the pairs of a file, of reviewers' corrections, or of both to an adapter; the project's own if none is
    named. What comes before in the loop is run where it has not been."""
    from residency.tune.preference import require_library

    require_library()
    Project.open(root).refuse_output(target)
    may_be_adapter(target)
    writable_file(target / CARD)
    given = read_pairs(file) if file else []
    parent = load_card(adapter) if adapter else None
    iteration = run_project(root, progress, until="release" if parent else "tune")
    parent = parent or load_card(iteration.runs["tune"].folder("adapter"))
    if target.resolve() == parent.folder.resolve():
        raise ProjectError(f"{target}: the new adapter would replace the old one.", fix="Name another folder with -o.")
    lessons = prepare_lessons(iteration)
    notes = list(lessons.corrections.notes()) if corrections else []
    kept, withheld = allowed(iteration, given)
    notes += (f"{count} pairs {reason} are not trained on" for reason, count in sorted(withheld.items()))
    pairs = [*kept, *(pairs_of_corrections(lessons) if corrections else [])]
    if not pairs:
        raise TrainingError(
            "; ".join(["There is no pair to learn from", *notes]) + ".",
            fix="Bring pairs of training patients: residency tune --pairs PAIRS.jsonl -o ADAPTER",
        )
    progress.begin(STAGE)
    for note in notes:
        progress.say(f"    note: {note}")
    with iteration.project.workspace.alone():
        made, reused = _taught(iteration, pairs, parent, lessons.held_out, progress)
    best = made.card.preferences.best if made.card.preferences else None
    progress.end(f"{len(pairs)} pairs, margin {best.margin:.3f}" if best else "", reused=reused)
    return Taught(copy_adapter(made, target), tuple(notes), reused)


def _taught(
    iteration: Iteration, pairs: Sequence[Pair], parent: Adapter, held_out: frozenset[str], progress: Progress
) -> tuple[Adapter, bool]:
    """One run of the ledger, so that forgetting a patient names this adapter too."""
    recipe = iteration.project.settings.preference
    judges = iteration.patients(Split.VALIDATION)

    def work(run: ActiveRun) -> None:
        from residency.tune.preference import PreferenceTick, prefer

        def show(tick: PreferenceTick) -> None:
            judged = f", {tick.point.judged:.3f} on pairs not trained on" if tick.point else ""
            progress.reach(tick.step, tick.steps, f"loss {tick.loss:.3f}{judged}")

        made = prefer(
            pairs, iteration.base, parent, recipe, run.scratch / "adapter",
            held_out=held_out, judges=judges, progress=show, say=lambda line: progress.say(f"    {line}"),
        )  # fmt: skip
        run.keep_folder("adapter", made.folder, made.sha256)
        run.facts[TRAINED] = sorted({pair.patient for pair in pairs} & iteration.split_of.keys())

    identity = {
        "pairs": fingerprint([[p.id, p.question, p.chosen, p.rejected, p.patient] for p in pairs]),
        "recipe": recipe.model_dump(mode="json"),
        "base": [iteration.base_sha256, iteration.project.settings.template],
        "parent": parent.sha256,
        "walls": [sorted(held_out), sorted(judges)],
    }
    outcome = iteration.once(STAGE, identity, work, TRAINING_CODE)
    return load_card(outcome.folder("adapter")), outcome.reused


def pairs_of_corrections(lessons: Lessons) -> list[Pair]:
    """One pair for every correction that may be trained on: the corrected answer, and what the system had written."""
    asked = {
        (example.task, example.parents[0]): example
        for example in (*lessons.training, *lessons.validation)
        if example.origin is Origin.REVIEW
    }
    return [
        Pair(
            id=one.decision, task=one.task, messages=asked[one.task, one.document].messages,
            chosen=one.answer, rejected=one.rejected, patient=one.patient,
        )
        for one in lessons.corrections.usable
        if one.rejected.strip() and (one.task, one.document) in asked  # silence is no answer to prefer another to
    ]  # fmt: skip


def read_pairs(file: Path) -> list[Pair]:
    """The pairs of a JSON lines file; one RecordError names every line that is none, and why, never what it holds."""
    return read_objects(file, _pair, shape=SHAPE)


def _pair(record: dict[str, Any]) -> Pair:
    chosen, rejected = (_text(record, name) for name in ("chosen", "rejected"))
    if chosen.split() == rejected.split():
        raise ValueError("chosen is the same as rejected")
    patient = record.get("patient")
    task = record.get("task", "")
    if not isinstance(task, str):
        raise ValueError("task is no text")
    return Pair(
        id=str(record["id"]), task=task, messages=_messages(record), chosen=chosen, rejected=rejected,
        patient="" if patient is None else str(patient),
    )  # fmt: skip


def _messages(record: dict[str, Any]) -> tuple[Message, ...]:
    if ("messages" in record) == ("prompt" in record):
        raise ValueError("needs either prompt or messages")
    if "prompt" in record:
        return (Message(role="user", content=_text(record, "prompt")),)
    turns = record["messages"]
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError("messages is no list of turns")
    for number, turn in enumerate(turns):
        if turn.get("role") not in ROLES:
            raise ValueError(f"messages[{number}] has no role of {', '.join(ROLES)}")
    if turns[-1]["role"] != "user":
        raise ValueError("messages does not end with the user's turn")
    return tuple(Message(role=turn["role"], content=_text(turn, "content")) for turn in turns)


def _text(holder: dict[str, Any], name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"no {name}, or an empty one")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half a character") from None
    return value


def allowed(iteration: Iteration, pairs: Sequence[Pair]) -> tuple[list[Pair], Counter[Withheld]]:
    """The pairs that may be trained on, with the project's pseudonyms; and how many may not."""
    vault, forgotten = iteration.project.vault, iteration.project.workspace.ledger.forgotten()
    texts = [_folded(d.text) for d in iteration.documents if iteration.split_of.get(d.patient) in HELD_OUT]
    kept: list[Pair] = []
    withheld: Counter[Withheld] = Counter()
    for pair in pairs:
        patient = (vault.find(pair.patient) if pair.patient else None) or pair.patient
        said = _folded(" ".join(message.content for message in pair.messages))
        if iteration.split_of.get(patient) in HELD_OUT:
            withheld[Withheld.HELD_OUT] += 1
        elif patient in forgotten:
            withheld[Withheld.FORGOTTEN] += 1
        elif any(text and text in said for text in texts):
            withheld[Withheld.HELD_OUT_TEXT] += 1
        else:
            kept.append(replace(pair, patient=patient))
    return kept, withheld


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
