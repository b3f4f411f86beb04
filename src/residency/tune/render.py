"""From examples to what a training step reads.

In: examples, a tokenizer, the name of a chat template. Out: ``Sample``: token ids, and which of them are learned.

Covers: the answer's tokens (end-of-turn token included) as the only supervised ones; samples longer than the
recipe allows: the beginning of the question gives way, the answer never does, and every cut is counted; samples whose
tokens are not what the chat template says.
Does not cover: prompts (curate/examples.py), the chat format (models/chat.py, shared with inference, so that a
model is asked in exactly the tokens it was trained on).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from residency.models import chat
from residency.records import Example, Message


@dataclass(frozen=True, slots=True)
class Sample:
    """One example as tokens. ``ids[first:]`` is supervised: predicted from everything before it."""

    example: str  # id
    task: str
    ids: tuple[int, ...]
    first: int
    weight: float
    cut: int = 0  # tokens of the question that did not fit
    mismatched: bool = False  # the tokens are not what the chat template says

    @property
    def supervised(self) -> int:
        """How many tokens are learned; 0 where not even the answer fitted."""
        return max(len(self.ids) - self.first, 0)


def render(examples: Sequence[Example], tokenizer: Any, template: str, *, max_tokens: int) -> list[Sample]:
    """One sample for every example, in their order."""
    return [_sample(example, tokenizer, template, max_tokens) for example in examples]


def _sample(example: Example, tokenizer: Any, template: str, max_tokens: int) -> Sample:
    question = chat.prompt_ids(tokenizer, example.messages, template)
    answer = chat.answer_ids(tokenizer, example.answer, template)
    mismatched = not _follows(example, tokenizer, template, [*question, *answer])
    cut = max(len(question) + len(answer) - max_tokens, 0)
    kept = question[cut:]
    # A sample without a question teaches nothing about the question: it counts as fully masked.
    ids = (*kept, *answer) if kept else ()
    return Sample(example.id, example.task, ids, len(kept), example.weight, cut, mismatched)


def _follows(example: Example, tokenizer: Any, template: str, ids: Sequence[int]) -> bool:
    """Whether ``ids`` are the template's conversation: every control token one token and in its place, no word unknown.

    Not checked by decoding: many tokenizers do not give back white space as it was.
    """
    if example.messages[-1].role == "assistant":
        return False  # two turns of the assistant in a row
    asked = chat.render(example.messages, template, generation=True)
    whole = chat.render(
        [*example.messages, Message(role="assistant", content=example.answer)], template, generation=False
    )
    control = chat.control_tokens(template)
    said = asked + chat.disarm(example.answer, control) + chat.end_of_turn(template)
    numbers = {token: chat.token_id_or_none(tokenizer, token) for token in control}
    unknown = getattr(tokenizer, "unk_token_id", None)
    return (
        whole.startswith(said)
        and all(
            said.count(token) == (ids.count(number) if number is not None else 0) for token, number in numbers.items()
        )
        and (unknown in numbers.values() or unknown not in ids)
    )
