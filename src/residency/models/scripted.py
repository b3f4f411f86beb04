"""A model whose answers are written down, for tests and dry runs.

In: a rule: conversation -> its answer, or its answers with probabilities. Out: the same promises as any ``Model``.

Covers: everything of the protocol, deterministically, without weights. Does not cover: language.

The distribution is a real one, so that likelihoods add up: with probability p an answer of the rule, else a
string of UTF-8 bytes drawn uniformly, byte after byte, until an end symbol is drawn. A token is a word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from residency.models.model import Conversation, Generation, Likelihood

Rule = Callable[[Conversation], str | Mapping[str, float]]
SURE = 0.95  # probability of the answer of a rule that gives no probabilities
SYMBOLS = 257  # bytes and the end symbol
WORD = re.compile(r"\s*\S+|\s+$")


def says(answer: str) -> Rule:
    """The rule that always gives the same answer."""
    return lambda _: answer


def looks_up(answers: Mapping[str, str | Mapping[str, float]], otherwise: str = "") -> Rule:
    """The rule that answers by the first key that occurs in the last message; keys are tried in their order."""

    def rule(conversation: Conversation) -> str | Mapping[str, float]:
        asked = conversation[-1].content
        return next((answer for key, answer in answers.items() if key in asked), otherwise)

    return rule


class ScriptedModel:
    """A ``Model`` that follows a rule. Probabilities of a rule that sum to more than one are a ValueError."""

    def __init__(self, rule: Rule, *, name: str = "scripted") -> None:
        self.rule = rule
        self.name = name

    def generate(self, conversations: Sequence[Conversation], *, max_tokens: int) -> list[Generation]:
        """The likeliest answer of the rule, cut after ``max_tokens`` words (the end counts as one)."""
        return [self._generate(conversation, max_tokens) for conversation in conversations]

    def choose(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[tuple[float, ...]]:
        """Natural-log probability of every option: (len, options)."""
        scripts = [self._script(conversation) for conversation in conversations]
        return [tuple(math.log(_probability(script, option)) for option in options) for script in scripts]

    def score(self, conversations: Sequence[Conversation], answers: Sequence[str]) -> list[Likelihood]:
        """Likelihood of one answer for each conversation."""
        pairs = zip(conversations, answers, strict=True)
        return [
            Likelihood(-math.log(_probability(self._script(conversation), answer)), len(WORD.findall(answer)) + 1)
            for conversation, answer in pairs
        ]

    def _script(self, conversation: Conversation) -> Mapping[str, float]:
        answer = self.rule(conversation)
        script = {answer: SURE} if isinstance(answer, str) else answer
        if any(p < 0 for p in script.values()) or sum(script.values()) > 1 + 1e-9:
            raise ValueError("the probabilities of a script must be positive and sum to at most one")
        return script

    def _generate(self, conversation: Conversation, max_tokens: int) -> Generation:
        script = self._script(conversation)
        answer = max(script, key=lambda text: script[text], default="")
        words = WORD.findall(answer)
        if len(words) < max_tokens:
            return Generation(answer, -math.log(_probability(script, answer)), len(words) + 1, finished=True)
        start = "".join(words[:max_tokens])
        return Generation(start, -math.log(_probability_of_start(script, start)), max_tokens, finished=False)


def _probability(script: Mapping[str, float], answer: str) -> float:
    return max(script.get(answer, 0.0) + _rest(script) * _noise(len(answer.encode()) + 1), math.ulp(0.0))


def _probability_of_start(script: Mapping[str, float], start: str) -> float:
    """Probability of all answers that begin with ``start``."""
    listed = sum(p for text, p in script.items() if text.startswith(start))
    return max(listed + _rest(script) * _noise(len(start.encode())), math.ulp(0.0))


def _rest(script: Mapping[str, float]) -> float:
    return max(0.0, 1.0 - sum(script.values()))


def _noise(symbols: int) -> float:
    return math.exp(-symbols * math.log(SYMBOLS))
