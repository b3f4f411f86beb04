"""Propagation: what is surely an identifier in one place is one everywhere in the same patient's documents.

In: the documents of one patient (reading copies) and the spans found so far. Out: further spans.

Covers: whole names and their parts, in any case, with a possessive 's, over a line break; initials of whole
names after "by", "signed", "--"; keyed numbers, e-mail addresses, towns and organizations. Does not cover:
nicknames, misspellings.

A part of a name that is also an ordinary word ("Long", "Head") is followed only where a capital inside a
sentence marks it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from residency.curate.deidentify.labels import Identifier as Id
from residency.curate.deidentify.lexicon import Lexicon
from residency.curate.deidentify.tokens import Words
from residency.curate.deidentify.words import words
from residency.records import Span

CERTAIN = 0.85  # a name found with this score or more is searched for everywhere
_PART = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_ANY_WORD = re.compile(r"\w+")
_WORD_GOES_ON = re.compile(r"\w|-\w")
_SHORTEST_PART = 3
_SHORTEST_CODE = 5
_PERSONAL_VERBS = words("personal_verbs")
_CODES = frozenset(
    (
        Id.MRN,
        Id.SSN,
        Id.HEALTH_PLAN_ID,
        Id.ACCOUNT,
        Id.LICENSE,
        Id.VEHICLE_ID,
        Id.DEVICE_ID,
        Id.OTHER_ID,
        Id.BIOMETRIC,
        Id.EMAIL,
        Id.PHONE,
        Id.FAX,
    )
)


def propagate(texts: Sequence[str], found: Sequence[Sequence[Span]], lexicon: Lexicon) -> list[list[Span]]:
    """For each text, the further places of what was found with certainty in any of them."""
    certain = _certain(texts, found)
    parts = _name_parts(certain.get(Id.NAME, set()), lexicon)
    wholes = _by_first_word(certain, lexicon)
    return [_names(text, parts, lexicon) + _wholes(text, wholes) for text in texts]


def _certain(texts: Sequence[str], found: Sequence[Sequence[Span]]) -> dict[str, set[str]]:
    certain: dict[str, set[str]] = {}
    for text, spans in zip(texts, found, strict=True):
        for span in spans:
            if span.score >= CERTAIN and span.found_by != "name:initials":
                certain.setdefault(span.label, set()).add(" ".join(text[span.start : span.end].split()).lower())
    return certain


def _worth_searching(value: str, label: str, lexicon: Lexicon) -> bool:
    if label in _CODES:
        return len(value) >= _SHORTEST_CODE
    if label == Id.LOCATION:
        return len(value) >= 4 and not (value.isalpha() and lexicon.is_word(value))
    return label == Id.ORGANIZATION and " " in value


def _by_first_word(certain: dict[str, set[str]], lexicon: Lexicon) -> dict[str, list[tuple[str, str]]]:
    """What to search for, as (value, label), longest first, under the first word of the value.

    One pattern of all values was rejected: a book of one patient holds thousands of them.
    """
    wholes: dict[str, list[tuple[str, str]]] = {}
    for label, values in sorted(certain.items()):
        for value in values:
            first = _ANY_WORD.match(value)
            if first and _worth_searching(value, label, lexicon):
                wholes.setdefault(first.group(), []).append((value, label))
    for found in wholes.values():
        found.sort(key=lambda whole: (-len(whole[0]), whole))
    return wholes


def _wholes(text: str, wholes: dict[str, list[tuple[str, str]]]) -> list[Span]:
    lowered = text.lower()
    # Lower case of a few letters is longer than the letter; offsets matter more than those.
    flat = (lowered if len(lowered) == len(text) else text).replace("\n", " ")
    spans = []
    position = 0
    for word in _ANY_WORD.finditer(flat):
        if word.start() < position or flat[word.start() - 1 : word.start()] == "-":
            continue
        for value, label in wholes.get(word.group(), ()):
            end = word.start() + len(value)
            if flat.startswith(value, word.start()) and not _WORD_GOES_ON.match(flat, end):
                spans.append(Span(start=word.start(), end=end, label=label, score=0.8, found_by="propagated"))
                position = end
                break
    return spans


def _name_parts(names: set[str], lexicon: Lexicon) -> dict[str, bool]:
    """Parts of names -> whether the part is an ordinary word too."""
    parts: dict[str, bool] = {}
    for name in names:
        for part in _PART.findall(name.replace("^", " ")):
            bare = part.removesuffix("'s")
            if len(bare) >= _SHORTEST_PART and not lexicon.is_particle(bare):
                parts[bare] = lexicon.is_word(bare)
    return parts


def _names(text: str, parts: dict[str, bool], lexicon: Lexicon) -> list[Span]:
    words = Words(text, lexicon)
    spans: list[Span] = []
    index = 0
    while index < len(words.all):
        if not _is_known(words, index, parts):
            index += 1
            continue
        end = index + 1
        while (
            end < len(words.all)
            and words.gap(end - 1).strip(" ,") == ""
            and "\n" not in words.gap(end - 1)
            and _continues(words, end, parts)
        ):
            end += 1
        sure = end - index > 1 or not parts[_bare(words, index)]
        start, stop = words.all[index].start, words.all[end - 1].end
        if words.all[end - 1].text.endswith(("'s", "'S")):
            stop -= 2
        if sure or _marked(words, index, end):
            spans.append(Span(start=start, end=stop, label=Id.NAME, score=0.84 if sure else 0.6, found_by="propagated"))
        index = end
    return spans


def _bare(words: Words, index: int) -> str:
    return words.all[index].text.casefold().removesuffix("'s")


def _is_known(words: Words, index: int, parts: dict[str, bool]) -> bool:
    return _bare(words, index) in parts


def _continues(words: Words, index: int, parts: dict[str, bool]) -> bool:
    word = words.all[index]
    return _is_known(words, index, parts) and (not word.cased or word.capital)


def _marked(words: Words, index: int, end: int) -> bool:
    """A capital that no sentence start explains; or a given name that does what only people do."""
    word = words.all[index]
    following = words.all[end].text.casefold() if end < len(words.all) and words.gap(end - 1) == " " else ""
    acts = following in _PERSONAL_VERBS and (
        _bare(words, index) in words.lexicon.given or word.text.endswith(("'s", "'S"))
    )
    if not word.cased:
        return acts
    return word.capital and not word.text.isupper() and (index not in words.sentence_starts or acts)
