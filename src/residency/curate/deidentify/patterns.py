"""Patterns that give spans: the shape that all rules of keyed fields, shapes, contacts and ages share.

In: a regular expression whose group ``v`` is the identifier. Out: a ``Rule``; ``matches`` gives its spans.

Covers: labels with a value behind them (``keyed``) and values by themselves (``shaped``). Does not cover: words
with case and context, which names and places need (tokens.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from residency.curate.deidentify.labels import Identifier
from residency.records import Span

# What may follow a label: "no.", "number", "#", ...
NO = (
    r"(?:\s*(?:#|(?:no|nos|nr|num|numbers?|nummer|numero|número|numéro|id|ids|code|ref|reference|n[°º])"
    r"(?![a-z0-9])))?\.?"
)
# What may stand between a label and its value, also over a line end or into the next cell of a table.
_SEPARATOR = r"""["']?(?:\s*(?:is|was|of|reads|:|=|-|\|))?[\s:=|"'-]{0,4}#??"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern; the span is group ``v`` where ``accepts`` has nothing against the value."""

    label: Identifier
    name: str
    pattern: re.Pattern[str]
    score: float
    accepts: Callable[[str], bool] | None = None


def keyed(
    label: Identifier, cue: str, value: str, score: float = 0.95, *, accepts: Callable[[str], bool] | None = None
) -> Rule:
    """A label in front of its value; letters of any case."""
    pattern = re.compile(rf"(?<!\w)(?:{cue})(?![^\W\d_]){_SEPARATOR}(?P<v>{value})", re.IGNORECASE)
    return Rule(label, f"keyed:{label.lower()}", pattern, score, accepts)


def shaped(
    label: Identifier,
    value: str,
    score: float,
    *,
    case: bool = False,
    accepts: Callable[[str], bool] | None = None,
    name: str = "shape",
) -> Rule:
    """A value that speaks for itself; ``case`` where capitals are part of the shape."""
    pattern = re.compile(rf"(?P<v>{value})", 0 if case else re.IGNORECASE)
    return Rule(label, f"{name}:{label.lower()}", pattern, score, accepts)


def matches(text: str, rules: Iterable[Rule]) -> list[Span]:
    """The spans of every rule; they may overlap."""
    return [
        Span(start=match.start("v"), end=match.end("v"), label=rule.label, score=rule.score, found_by=rule.name)
        for rule in rules
        for match in rule.pattern.finditer(text)
        if rule.accepts is None or rule.accepts(match.group("v"))
    ]


def digits(value: str) -> int:
    """How many digits ``value`` holds."""
    return sum(map(str.isdigit, value))
