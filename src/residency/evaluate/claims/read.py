"""The claims of an output.

In: a written text, or findings as data. Out: its claims, in text order.

Covers: findings with their status and side; amounts; age, sex and onset of the patient; pieces of text in which nothing
else was read, as their words. Does not cover: what follows from two claims together; claims in words that carry no
name (``SCAFFOLD``).

Rejected: asking a language model for the claims. It would be a judge that nobody has measured, and would give other
claims on another day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from residency.evaluate.claims.amounts import read_amounts
from residency.evaluate.claims.claim import (
    AmountClaim,
    Claim,
    FindingClaim,
    Place,
    SexClaim,
    TimeClaim,
    WordingClaim,
)
from residency.evaluate.claims.means import Means, words_of
from residency.evaluate.claims.sides import side_of
from residency.evaluate.claims.source import FEMALE, MALE
from residency.evaluate.claims.times import Time, read_times
from residency.packs.words import word_set
from residency.records import Status

_SEX = re.compile(rf"\b(?:(?P<female>{'|'.join(sorted(FEMALE))})|(?P<male>{'|'.join(sorted(MALE))}))\b", re.IGNORECASE)
_PIECE_END = re.compile(r"[.;,:!?()]+(?=\s|$)|\n+|\s(?:and|or|but|with)\s", re.IGNORECASE)
SHORTEST_NAME = 4  # letters of a word that may be a name
# Words of reports that hold other words together, and claim nothing alone.
SCAFFOLD = word_set(
    """patient individual person subject case unstated unknown age aged old year month week day male female boy girl man
    woman lady gentleman infant toddler child adult neonate onset absent present presence absence notably notable
    finding feature include including included history background examination exam assessment assessed impression
    summary report reported noted seen show showed shown found consistent known without not no none nil denies denied
    however also otherwise currently previously onset began at since during after before when there who which that
    diagnosis diagnosed suspected possible probable likely following seen reviewed clinic presented presents presenting
    presentation he she they it her his him symptom sign medical clinical positive negative significant remarkable
    unremarkable"""
)


def claims_of(text: str, means: Means) -> list[Claim]:
    """Every claim of a written text."""
    findings = list(_findings(text, means))
    # A number within a finding's name, such as that of a gene or of an age range, is part of the name.
    named = [claim.place for claim in findings if claim.place is not None]
    lifetimes = [time for time in read_times(text) if not _overlaps((time.start, time.end), named)]
    times = [_time(text, time) for time in lifetimes if time.is_age or time.is_onset]
    taken = [*named, *((time.start, time.end) for time in lifetimes)]
    amounts = [
        AmountClaim(amount.written, amount, (amount.start, amount.end))
        for amount in read_amounts(text, means.units, taken)
    ]
    read: list[Claim] = [*findings, *times, *amounts, *_sexes(text)]
    read += _wordings(text, [claim.place for claim in read if claim.place is not None])
    return sorted(read, key=lambda claim: claim.place or (0, 0))


def claims_of_findings(findings: Iterable[Mapping[str, Any]] | None) -> list[Claim]:
    """The claims of an output that is a list of findings.

    A name outside the terminology is a claim in words, and so is a status that there is none of.
    """
    claims: list[Claim] = []
    for finding in findings or ():
        label, known = finding["label"], finding["status"] in set(Status)
        if finding.get("concept") and known:
            claims.append(FindingClaim(label, finding["concept"], Status(finding["status"])))
        else:
            said = label if known else f"{finding['status']} {label}"
            claims.append(WordingClaim(said, words_of(said), (0, 0)))
    return claims


def _findings(text: str, means: Means) -> Iterator[FindingClaim]:
    for found in means.find(text):
        if found.start is None or found.end is None:
            yield FindingClaim(found.label, found.concept, found.status)
        else:
            end = _label_end(text, found.start, found.end, found.label)
            side = side_of(text, found.start, end)
            yield FindingClaim(text[found.start : end], found.concept, found.status, (found.start, end), side)


def _label_end(text: str, start: int, end: int, label: str) -> int:
    """Where a mention ends if the concept's whole label stands there: a label may go on in brackets."""
    whole = text[start : start + len(label)].casefold() == label.casefold()
    return max(end, start + len(label)) if whole else end


def _time(text: str, time: Time) -> TimeClaim:
    return TimeClaim(text[time.start : time.end], time, (time.start, time.end))


def _sexes(text: str) -> Iterator[SexClaim]:
    """The patient's sex, once: what a text says first is about its patient."""
    match = _SEX.search(text)
    if match:
        yield SexClaim(match.group(), "male" if match["male"] else "female", match.span())


def _wordings(text: str, taken: Sequence[Place]) -> Iterator[WordingClaim]:
    start = 0
    for stop in [*_PIECE_END.finditer(text), None]:
        end = stop.start() if stop else len(text)
        words = words_of(text[start:end])
        telling = [word for word in words if word not in SCAFFOLD and len(word) >= SHORTEST_NAME and word.isalpha()]
        if telling and not _overlaps((start, end), taken):
            yield WordingClaim(text[start:end].strip(), tuple(w for w in words if w not in SCAFFOLD), (start, end))
        start = stop.end() if stop else end


def _overlaps(place: Place, places: Sequence[Place]) -> bool:
    return any(place[0] < end and start < place[1] for start, end in places)
