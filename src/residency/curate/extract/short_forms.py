"""What abbreviations stand for in one text.

In: tokens and a lexicon. Out: ``ShortForms``: the pack's abbreviations, as far as this text does not define its own.

Covers: definitions in brackets, in both orders ("imprinting defect (ID)", "ID (imprinting defect)"), which go before
the pack's reading; texts without letter case; numbers, cards and examinations that only look like a finding
("ID 805-95", "MR imaging", "mean +/- SE"). Does not cover: two meanings of one abbreviation in one text.

Definitions are found by the rule of Schwartz and Hearst (2003): the letters of the short form occur in the long form
in order, and its first letter begins a word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from residency.curate.extract.lexicon import Entry, Lexicon, forms
from residency.curate.extract.tokens import Tokens
from residency.packs.words import AND_WORDS, WORD, join_prefixes, light, word_set

_BRACKETED = re.compile(r"\s\(([A-Z][A-Za-z]{1,7})\)")
_WORDS_BEFORE = re.compile(r"(?:[^\W\d_][\w'’-]*\s+){0,9}[^\W\d_][\w'’-]*$")
_LONGEST_FORM = 120  # characters
_DEFINED_BEFORE = re.compile(r"\b([A-Z]{2,8})[ \t]+\(([^\W\d_][\w'’-]*(?:[ \t\n]+[\w'’-]+){1,7})\)")
_NAME_WORD = re.compile(WORD.pattern + "|[&/+]")
# Words after an abbreviation that show that it is not a finding.
_NO_FINDING_BEFORE = word_set("imaging scan spectroscopy angiography venography angiogram card number")
_STATISTICS_WITHIN = 5  # characters before an abbreviation in which "+/-" is looked for
_DIGITS_OF_A_NUMBER = 3


@dataclass(frozen=True, slots=True)
class ShortForms:
    """The abbreviations that one text may use: as written, or folded where it has no letter case."""

    names: Mapping[str, Entry]
    words: Mapping[str, tuple[str, ...]]  # abbreviated word -> light forms
    folded: bool

    @classmethod
    def of(cls, tokens: Tokens, lexicon: Lexicon) -> ShortForms:
        if tokens.text.islower() or tokens.text.isupper():
            return cls(lexicon.folded_abbreviations, lexicon.folded_expansions, folded=True)
        defined = definitions(tokens.text)
        if not defined:
            return cls(lexicon.abbreviations, lexicon.expansions, folded=False)
        words = {short: _content(long, lexicon) for short, long in defined.items()}
        names = {short: _entry(content, lexicon) for short, content in words.items()}
        return cls({**lexicon.abbreviations, **names}, {**lexicon.expansions, **words}, folded=False)

    def spelled(self, raw: str) -> str:
        return raw.lower() if self.folded else raw


def definitions(text: str) -> dict[str, str]:
    """The abbreviations that a text defines, and what they stand for in it; the first definition counts."""
    found: dict[str, str] = {}
    if "(" not in text:
        return found
    for match in _BRACKETED.finditer(text):
        before = _WORDS_BEFORE.search(text[max(0, match.start() - _LONGEST_FORM) : match.start()])
        if before and (long := _long_form(match[1], before.group().split())):
            found.setdefault(match[1], long)
    for match in _DEFINED_BEFORE.finditer(text):
        if _long_form(match[1], match[2].split()) == " ".join(match[2].split()):
            found.setdefault(match[1], match[2])
    return found


def _long_form(short: str, words: list[str]) -> str:
    """The last of the words, as many as the letters of ``short`` need; empty where they do not fit."""
    letters = short.lower().removesuffix("s") if short[-1] == "s" else short.lower()
    for size in range(max(2, len(letters) // 2), min(len(words), len(letters) + 3) + 1):
        long = words[-size:]
        parts = [part for part in re.split(r"[-/\s]+", " ".join(long).lower()) if part]
        if long[0].lower() not in AND_WORDS and _spells(letters, parts):
            return " ".join(long)
    return ""


def _spells(letters: str, words: list[str]) -> bool:
    """Whether the letters occur in the words in order, most of them as first letters, the first as the first."""
    if not words[0].startswith(letters[0]):
        return False
    initials = "".join(word[0] for word in words)
    if _in_order(letters, initials):
        return True
    return _in_order(letters, "".join(words)) and sum(letter in initials for letter in letters) > len(letters) // 2


def _in_order(letters: str, text: str) -> bool:
    rest = iter(text)
    return all(letter in rest for letter in letters)


def _content(long: str, lexicon: Lexicon) -> tuple[str, ...]:
    return tuple(forms(_NAME_WORD.findall(join_prefixes(long)), lexicon.expansions))


def _entry(words: tuple[str, ...], lexicon: Lexicon) -> Entry:
    """What the written-out words name; an entry without concept where they are no finding."""
    entry = lexicon.read(words, [lexicon.stem(word) for word in words]) if words else None
    return entry or Entry("")


def names_a_thing(tokens: Tokens, index: int) -> bool:
    """Whether an abbreviation introduces a number or an examination, or is one of statistics."""
    before = tokens.text[max(0, tokens.starts[index] - _STATISTICS_WITHIN) : tokens.starts[index]].rstrip()
    if before.endswith(("±", "+/-", "+-")):
        return True
    following = index + 1
    while following < len(tokens) and tokens.raw[following] in (":", "#", "-"):
        following += 1
    if following == len(tokens):
        return False
    word = tokens.raw[following]
    digits = sum(c.isdigit() for c in word)
    number = digits >= _DIGITS_OF_A_NUMBER or (digits > 0 and len(word) > _DIGITS_OF_A_NUMBER)
    return number or tokens.raw[index + 1] == "#" or light(word) in _NO_FINDING_BEFORE
