"""The one protocol that every language model answers.

In: conversations (sequences of ``Message``). Out: generated text, or log-likelihoods of given texts.

Covers: what evaluation, serving and synthesis may ask of a model. Does not cover: training (tune/).
Implementations: transformer.py (local base + PEFT adapter), openai_api.py (a server), scripted.py (for tests);
tests/models/test_contract.py holds all of them to the same promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from residency.records import Message

Conversation = Sequence[Message]  # ends with a user turn; the model writes the next assistant turn


@dataclass(frozen=True, slots=True)
class Generation:
    """A greedy answer. ``nats`` is minus its natural-log probability, summed over its ``tokens``."""

    text: str
    nats: float
    tokens: int
    finished: bool  # False: stopped by the token limit


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Minus the natural-log probability of a given answer (end-of-turn token included), and its length."""

    nats: float
    tokens: int


class Model(Protocol):
    """A language model. Results are in the order of the conversations."""

    name: str

    def generate(self, conversations: Sequence[Conversation], *, max_tokens: int) -> list[Generation]:
        """Greedy answers of at most ``max_tokens`` tokens."""
        ...

    def choose(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[tuple[float, ...]]:
        """Natural-log probability of every option as the whole answer, for each conversation: (len, options)."""
        ...

    def score(self, conversations: Sequence[Conversation], answers: Sequence[str]) -> list[Likelihood]:
        """Likelihood of one given answer for each conversation."""
        ...
