"""What an output leaves out.

In: the facts that should be there (of a gold answer, or read in the source), the claims of the output.
Out: the facts that are missing.

Covers: findings with their status; a narrower concept in the output covers a wider fact, a wider one that is denied a
narrower denial. Does not cover: facts that the output turns around; those are contradicted claims, and counted there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from residency.evaluate.claims.claim import Claim, FindingClaim
from residency.packs.terminology import Terminology
from residency.records import Finding, Status


@dataclass(frozen=True, slots=True)
class Fact:
    """A concept with its status."""

    concept: str
    status: Status


def facts_in(findings: Iterable[Finding]) -> tuple[Fact, ...]:
    """The facts of findings, each once, in order."""
    return tuple(dict.fromkeys(Fact(finding.concept, finding.status) for finding in findings))


def omitted(facts: Iterable[Fact], claims: Iterable[Claim], terminology: Terminology) -> tuple[Fact, ...]:
    """The facts of which the output says nothing."""
    said = [claim for claim in claims if isinstance(claim, FindingClaim)]
    return tuple(fact for fact in facts if not _spoken_of(fact, said, terminology))


def _spoken_of(fact: Fact, said: Sequence[FindingClaim], terminology: Terminology) -> bool:
    if any(claim.concept == fact.concept for claim in said):
        return True
    if fact.status is Status.ABSENT:
        return any(c.status is Status.ABSENT and terminology.is_a(fact.concept, c.concept) for c in said)
    return any(c.status is fact.status and terminology.is_a(c.concept, fact.concept) for c in said)
