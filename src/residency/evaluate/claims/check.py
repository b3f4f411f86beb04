"""Does the source bear a claim out?

In: a claim, a ``SourceText``. Out: the claim ``Checked``: supported with the evidence, contradicted with what speaks
against it, or not found.

    finding    same concept and status; a narrower concept that is present bears out a wider one, and a wider one that
               is absent a narrower one; then the side; then any name of the concept, word by word
    amount     same value in the same base unit, of the same thing
    age, onset, sex      same in days, same period of life; the sex that most words of the source speak of
    wording    all its words close together

Covers: claims one by one. Does not cover: whether a true claim matters (critical.py), what was left out (omission.py).

The order is that of EVALUATION.md d8, from what is certain to what is likely; no step asks a model, so that the same
claim gets the same verdict every time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from residency.evaluate.claims.amounts import Amount
from residency.evaluate.claims.claim import (
    AmountClaim,
    Checked,
    Claim,
    FindingClaim,
    Ground,
    Place,
    Problem,
    SexClaim,
    TimeClaim,
    Verdict,
    WordingClaim,
)
from residency.evaluate.claims.sides import agree, side_within
from residency.evaluate.claims.source import Mention, SourceText
from residency.records import Status

_HAS = frozenset({Status.PRESENT, Status.RESOLVED, Status.UNCERTAIN, Status.FAMILY})  # the finding is somewhere


def check_all(claims: Iterable[Claim], source: SourceText) -> list[Checked]:
    """Every claim with its verdict, in order."""
    return [check(claim, source) for claim in claims]


def check(claim: Claim, source: SourceText) -> Checked:
    """One claim with its verdict."""
    match claim:
        case FindingClaim():
            return _finding(claim, source)
        case AmountClaim():
            return _amount(claim, source)
        case TimeClaim():
            return _time(claim, source)
        case SexClaim():
            return _sex(claim, source)
        case WordingClaim():
            return _wording(claim, source)


# --- findings --------------------------------------------------------------------------------------------------------


def _finding(claim: FindingClaim, source: SourceText) -> Checked:
    supporting = [*_bearing_out(claim, source.mentions, source), *_bearing_out(claim, source.unwrapped(), source)]
    if supporting:
        return _sided(claim, supporting, source)
    named = _by_name(claim, source)
    if named is not None and named.verdict is Verdict.SUPPORTED:
        return named
    return _against(claim, source) or named or _over_specified(claim, source) or _fabricated(claim)


def _bearing_out(claim: FindingClaim, mentions: Sequence[Mention], source: SourceText) -> list[Mention]:
    """The mentions that support a claim, those of the very concept first. What the source says of the very concept
    goes before what it says of narrower or wider ones."""
    same = [mention for mention in mentions if mention.concept == claim.concept]
    agreeing = [mention for mention in same if mention.status is claim.status]
    if same:
        return agreeing
    known = source.means.terminology
    return [
        mention
        for mention in mentions
        if mention.status is claim.status
        and (
            known.is_a(claim.concept, mention.concept)
            if claim.status is Status.ABSENT
            else known.is_a(mention.concept, claim.concept)
        )
    ]


def _sided(claim: FindingClaim, supporting: Sequence[Mention], source: SourceText) -> Checked:
    """The verdict on a claim whose concept and status are borne out: its side decides."""
    fitting = [m for m in supporting if claim.side is None or (m.side is not None and agree(claim.side, m.side))]
    if fitting:
        best = fitting[0]
        return Checked(claim, Verdict.SUPPORTED, ground=_ground(claim, best, source), evidence=best.place)
    other = next((mention for mention in supporting if mention.side is not None), None)
    verdict = Verdict.CONTRADICTED if other else Verdict.NOT_FOUND
    return Checked(claim, verdict, problem=Problem.LATERALITY, evidence=(other or supporting[0]).place)


def _ground(claim: FindingClaim, mention: Mention, source: SourceText) -> Ground:
    if mention.concept != claim.concept:
        return Ground.NARROWER
    written = source.text[slice(*mention.place)]
    return Ground.VERBATIM if _folded(written) == _folded(claim.text) else Ground.NAME


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _by_name(claim: FindingClaim, source: SourceText) -> Checked | None:
    """The claim against a place where a name of its concept stands, though no finding was read there."""
    for name in source.means.names(claim.concept):
        place, negated = source.named(name)
        if place is None:
            continue
        label = source.means.terminology.label(claim.concept)
        status = name.status or (Status.ABSENT if negated else source.read_again(place, label, claim.concept))
        if status is claim.status:
            return Checked(claim, Verdict.SUPPORTED, ground=Ground.WORDING, evidence=place)
        if status is not None:
            return Checked(claim, Verdict.CONTRADICTED, problem=_problem(claim.status, status), evidence=place)
    return None


def _against(claim: FindingClaim, source: SourceText) -> Checked | None:
    """What the source says against a claim: the same concept with another status, or a related one that decides it."""
    known = source.means.terminology
    same = [m for m in source.mentions if m.concept == claim.concept]
    if claim.status is Status.ABSENT:
        related = [m for m in source.mentions if m.status in _HAS and known.is_a(m.concept, claim.concept)]
    else:
        related = [m for m in source.mentions if m.status is Status.ABSENT and known.is_a(claim.concept, m.concept)]
        related += [
            m for m in source.mentions if m.status is not Status.ABSENT and known.is_a(m.concept, claim.concept)
        ]
    for mention in (*same, *related):
        if mention.status is not claim.status:
            problem = _problem(claim.status, mention.status)
            return Checked(claim, Verdict.CONTRADICTED, problem=problem, evidence=mention.place)
    return None


def _problem(claimed: Status, said: Status) -> Problem:
    pair = {claimed, said}
    if Status.FAMILY in pair:
        return Problem.EXPERIENCER
    if Status.UNCERTAIN in pair:
        return Problem.CERTAINTY
    return Problem.TEMPORALITY if Status.RESOLVED in pair else Problem.POLARITY


def _over_specified(claim: FindingClaim, source: SourceText) -> Checked | None:
    """A wider concept, right above the claimed one, is all that the source names."""
    parents = source.means.terminology.parents.get(claim.concept, ())
    wider = next((m for m in source.mentions if m.status is claim.status and m.concept in parents), None)
    if wider is None:
        return None
    return Checked(claim, Verdict.NOT_FOUND, problem=Problem.OVER_SPECIFIED, evidence=wider.place)


def _fabricated(claim: Claim) -> Checked:
    return Checked(claim, Verdict.NOT_FOUND, problem=Problem.FABRICATION)


# --- amounts, times, sex ---------------------------------------------------------------------------------------------


def _amount(claim: AmountClaim, source: SourceText) -> Checked:
    asked = claim.amount
    of_same = [amount for amount in source.amounts if amount.names & asked.names]
    equal = [a for a in of_same if a.equals(asked)]
    if not of_same:  # its name stands elsewhere, or nowhere: the value has to do
        equal = [a for a in source.amounts if a.equals(asked)]
    if equal:
        ground = Ground.VERBATIM if _folded(equal[0].written) == _folded(asked.written) else Ground.VALUE
        return Checked(claim, Verdict.SUPPORTED, ground=ground, evidence=(equal[0].start, equal[0].end))
    if of_same:
        same_number = any(amount.number == asked.number for amount in of_same)
        nearest = min(of_same, key=lambda amount: _factor(asked, amount))
        return Checked(
            claim,
            Verdict.CONTRADICTED,
            problem=Problem.UNIT if same_number else Problem.VALUE,
            evidence=(nearest.start, nearest.end),
            factor=_factor(asked, nearest),
        )
    return _fabricated(claim)


def _factor(one: Amount, other: Amount) -> float:
    """How many times larger one value is than the other; infinite where they cannot be compared."""
    low, high = sorted((abs(one.in_base), abs(other.in_base)))
    return high / low if one.base == other.base and low > 0 else math.inf


def _time(claim: TimeClaim, source: SourceText) -> Checked:
    """An age or an onset. A text that says when it began, and says another time, contradicts."""
    asked = claim.time
    equal = [time for time in source.times if asked.borne_out_by(time)]
    kin = [time for time in source.times if (time.is_onset if asked.is_onset else time.is_age)]
    said = [time for time in equal if time in kin] or ([] if asked.is_onset and kin else equal)
    if said:
        place = (said[0].start, said[0].end)
        verbatim = _folded(source.text[slice(*place)]) == _folded(claim.text)
        return Checked(claim, Verdict.SUPPORTED, ground=Ground.VERBATIM if verbatim else Ground.VALUE, evidence=place)
    problem = Problem.TEMPORALITY if asked.is_onset else Problem.SUBJECT
    if kin:
        return Checked(claim, Verdict.CONTRADICTED, problem=problem, evidence=(kin[0].start, kin[0].end))
    return Checked(claim, Verdict.NOT_FOUND, problem=problem)


def _sex(claim: SexClaim, source: SourceText) -> Checked:
    """The first describing word of the source decides, or else the words that speak of one sex, if they are more."""
    same, other = (source.males, source.females) if claim.sex == "male" else (source.females, source.males)
    if source.described_as == claim.sex or (source.described_as is None and same > other):
        return Checked(claim, Verdict.SUPPORTED, ground=Ground.NAME)
    verdict = Verdict.CONTRADICTED if source.described_as or other > same else Verdict.NOT_FOUND
    return Checked(claim, verdict, problem=Problem.SUBJECT)


# --- wording ---------------------------------------------------------------------------------------------------------


def _wording(claim: WordingClaim, source: SourceText) -> Checked:
    place = source.window(claim.words) if claim.words else None
    if place is not None:
        verbatim = _folded(source.text[slice(*place)]) == _folded(claim.text)
        return Checked(claim, Verdict.SUPPORTED, ground=Ground.VERBATIM if verbatim else Ground.WORDING, evidence=place)
    return _other_side(claim, source) or _fabricated(claim)


def _other_side(claim: WordingClaim, source: SourceText) -> Checked | None:
    """Everything but the side stands in the source."""
    side = side_within(claim.text)
    rest = tuple(word for word in claim.words if side_within(word) is None)
    place: Place | None = source.window(rest) if side is not None and rest else None
    if place is None:
        return None
    around = source.text[max(0, place[0] - 20) : place[1] + 20]
    said = side_within(around)
    verdict = Verdict.CONTRADICTED if said is not None and not agree(side, said) else Verdict.NOT_FOUND  # type: ignore[arg-type]
    return Checked(claim, verdict, problem=Problem.LATERALITY, evidence=place)
