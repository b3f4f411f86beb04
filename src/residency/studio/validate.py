"""Judging answers: the review sample of an iteration as a queue, blind.

In: the sample that the loop drew, the systems' answers. Out: verdicts as decisions; rates of errors and of critical
errors with their intervals; how consistent each reviewer is.

Covers: one answer at a time, or two systems' answers to a question as A and B in an order drawn for each question;
hidden duplicates; verdict, kind of failure, corrected answer, comment; verdicts given in the terminal count as well.
Does not cover: drawing the sample (evaluate/sampling.py), training on corrections (curate/corrections.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

from residency.agreement import cohen_kappa
from residency.errors import ProjectError
from residency.evaluate.sampling import Shown, pick_copies
from residency.records import Example, Failure, Judgment, Prediction, Split, record_id
from residency.review import Item as Judgeable
from residency.review import Rates, answer_decision, rates
from residency.settings import fingerprint
from residency.store.queues import Answer, Duty, Item, Suggestion
from residency.story import questions
from residency.studio.work import Filled, OfProject, View, a_text, an_object, one_of

SIDES = ("A", "B")


@dataclass(frozen=True, kw_only=True, slots=True)
class Consistency:
    """How often a reviewer says the same of the same answer twice. ``kappa`` is None where it is not defined."""

    who: str
    pairs: int
    equal: int
    kappa: float | None


class Validate(OfProject):
    """Output validation of one project."""

    kind = "validate"
    decides = True
    raw = False
    suggests = False

    def queue(self, task: str) -> str:
        """The queue of a task's answers in this iteration: another sample is another queue."""
        drawn = fingerprint([one.id for one in self.iteration.samples[task]])
        return f"{self.kind}/{task}/{drawn[:8]}"

    def fill(self) -> list[Filled]:
        settings = self.project.settings.review
        filled = []
        for task in self.iteration.samples:
            added = self.queues.add(self._items(task), readers=settings.readers)
            filled.append(Filled(queue=self.queue(task), added=added, readers=settings.readers))
        return filled

    def _items(self, task: str) -> Iterator[tuple[Item, float]]:
        settings, seed = self.project.settings.review, self.project.settings.seed
        drawn, queue = self.iteration.samples[task], self.queue(task)
        items = {one.id: self._item(task, queue, one.id, seed) for one in drawn}
        for one in drawn:
            yield items[one.id], float(one.turn)
        for name in pick_copies(drawn, round(settings.duplicates * len(drawn)), seed=seed):
            original = items[name]
            copy = record_id("i", copy_of=original.id)
            # Its own order of the sides: the second time is not the first one's picture.
            facts = {"sides": list(self._order(original.facts["sides"], copy, seed)), "seed": seed}
            yield Item(
                id=copy, queue=queue, kind=self.kind, subject=name, patient=original.patient, facts=facts,
                copy_of=original.id,
            ), 0.0  # fmt: skip

    def _item(self, task: str, queue: str, prediction: str, seed: int) -> Item:
        answered = self._prediction(prediction)
        sides = [prediction]
        if self.project.settings.review.shown is Shown.PAIR:
            sides.append(self._other(task, answered).id)
        name = record_id("i", queue=queue, sides=sides)
        patient = self._example(answered).patient
        facts = {"sides": list(self._order(sides, name, seed)), "seed": seed}
        return Item(id=name, queue=queue, kind=self.kind, subject=prediction, patient=patient, facts=facts)

    def _order(self, sides: Sequence[str], item: str, seed: int) -> Sequence[str]:
        """The sides as they are shown: drawn for each item from the project's seed."""
        return Random(f"{seed} {item}").sample(sorted(sides), len(sides))

    def _other(self, task: str, answered: Prediction) -> Prediction:
        system = self.project.settings.review.against
        for one in self.iteration.predictions.get((system, task), ()):
            if one.example == answered.example:
                return one
        raise ProjectError(
            f"review.against: {system!r} has no answer to compare with.", fix="Name a system that was evaluated."
        )

    # --- what a person sees and says --------------------------------------------------------------------------

    def view(self, item: Item, *, duty: Duty, versions: Sequence[Any] = (), answered: Any = None) -> View:
        """Text, task and answers; no name of a system, no confidence, no gold answer."""
        judged = [self._judgeable(name) for name in item.facts["sides"]]
        first = judged[0]
        return {
            "task": first.task,
            "text": first.text,
            "answers": [{"side": side, "answer": one.answer} for side, one in zip(SIDES, judged, strict=False)],
            "labels": list(first.labels),
            "verdicts": list(Judgment),
            "failures": list(Failure),
        }

    def suggestions(self, item: Item) -> list[Suggestion]:
        return []  # a blind reader has none

    def check(self, item: Item, content: Any, *, duty: Duty) -> Any:
        """``{"verdicts": [{"verdict", "failure", "corrected", "comment"}, ...]}``, one for each side that was shown."""
        given = an_object(content, "verdicts")["verdicts"] if content else None
        sides = item.facts["sides"]
        if not isinstance(given, list) or len(given) != len(sides):
            raise ProjectError(f"{len(sides)} verdicts are asked for.", fix="Judge every answer that is shown.")
        return {"verdicts": [self._checked(name, one) for name, one in zip(sides, given, strict=True)]}

    def _checked(self, prediction: str, given: Any) -> dict[str, str]:
        said = an_object(given, "verdict", "failure", "corrected", "comment")
        failure = said.get("failure") or ""
        plain = {
            "verdict": one_of(said.get("verdict"), list(Judgment), "The verdict"),
            "failure": one_of(failure, list(Failure), "The failure") if failure else "",
            "corrected": a_text(said, "corrected"),
            "comment": a_text(said, "comment"),
        }
        self._decision(prediction, plain)  # refuses a correction that does not fit the task
        return plain

    def differ(self, item: Item, contents: Sequence[Any]) -> bool:
        return False  # several reviewers' verdicts are counted, not settled

    def parts(self, item: Item) -> int:
        """One a side. A hidden duplicate measures its reviewer and decides nothing."""
        return 0 if item.copy_of is not None else len(item.facts["sides"])

    def decisions(self, item: Item, content: Any) -> list[dict[str, Any]]:
        if not self.parts(item):
            return []
        return [self._decision(name, one) for name, one in zip(item.facts["sides"], content["verdicts"], strict=True)]

    def _decision(self, prediction: str, plain: dict[str, str]) -> dict[str, Any]:
        return answer_decision(
            self.project, self._judgeable(prediction), Judgment(plain["verdict"]), corrected=plain["corrected"],
            failure=Failure(plain["failure"]) if plain["failure"] else None, why=plain["comment"],
        )  # fmt: skip

    # --- what follows -----------------------------------------------------------------------------------------

    def rates(self, task: str) -> Rates:
        """Of wrong answers and of critically wrong ones, from every verdict that holds, given here or elsewhere."""
        return rates(self.project, task, self.iteration)

    def consistency(self, task: str) -> list[Consistency]:
        """Each reviewer's verdicts on the hidden duplicates beside their first ones."""
        first: dict[tuple[str, str], dict[str, str]] = {}
        again: list[Answer] = []
        for answer in self.queues.answers(self.queue(task)):
            if answer.item.copy_of is None:
                first[answer.who, answer.item.id] = _by_side(answer)
            else:
                again.append(answer)
        pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for answer in again:
            before = first.get((answer.who, str(answer.item.copy_of)))
            if before is not None:
                pairs[answer.who] += [(before[name], verdict) for name, verdict in _by_side(answer).items()]
        return [
            Consistency(who=who, pairs=len(of), equal=sum(a == b for a, b in of), kappa=cohen_kappa(of))
            for who, of in sorted(pairs.items())
        ]

    # --- look-up ----------------------------------------------------------------------------------------------

    def _judgeable(self, prediction: str) -> Judgeable:
        one = self._prediction(prediction)
        example = self._example(one)
        document = example.parents[0]
        return Judgeable(
            one.id, one.task, document, example.patient, self._texts[document], one.output,
            self.iteration.labels.get(one.task, ()),
        )  # fmt: skip

    def _prediction(self, name: str) -> Prediction:
        try:
            return self._predictions[name]
        except KeyError:
            raise ProjectError(
                "This answer is of an iteration that is not here any more.", fix="Ask for the next item."
            ) from None

    def _example(self, prediction: Prediction) -> Example:
        return self._examples[prediction.example]

    @cached_property
    def _predictions(self) -> dict[str, Prediction]:
        return {one.id: one for of_task in self.iteration.predictions.values() for one in of_task}

    @cached_property
    def _examples(self) -> dict[str, Example]:
        tasks = self.project.settings.tasks
        return {one.id: one for task in tasks for one in questions(self.iteration, task, Split.TEST)}

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {document.id: document.text for document in self.iteration.documents}


def _by_side(answer: Answer) -> dict[str, str]:
    verdicts = (one["verdict"] for one in answer.content["verdicts"])
    return dict(zip(answer.item.facts["sides"], verdicts, strict=True))
