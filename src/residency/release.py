"""Release: may de-identified text be handed to training?

In: the run of de-identification, the vault, people's decisions, the policy. Out: a ``Release``: a standing with its
reason and next step, and the evidence that a privacy officer signs, as plain data.

Covers: recall from documents that people read, with exact bounds, held against the policy; the privacy officer's own
verdict on exactly this set of documents; what the second look suspects; small cells of quasi-identifiers; the state of
the vault; who decided what and when. Does not cover: showing documents (review.py), drawing the page
(evaluate/report/). The evidence holds no text of any document: ids, offsets and classes only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from residency import __version__
from residency.curate.deidentify import Deidentify, not_covered
from residency.curate.deidentify.feedback import SPAN_VERDICT, Reading, readings
from residency.curate.deidentify.recall import Recall, Row, Standing, estimate_recall, in_percent
from residency.errors import first_of
from residency.intake import TREATMENT, treatment
from residency.records import Decision
from residency.store.runs import Outcome
from residency.store.vault import Vault, VaultState

APPROVED, REFUSED = "approved", "refused"  # a privacy officer's verdict on one set of de-identified documents


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """Whether the documents may go on, and everything that speaks for or against it."""

    standing: Standing
    reason: str
    next_step: str  # empty on GO
    project: str
    settings: Deidentify
    documents: str  # hash of the set
    facts: Mapping[str, Any]  # of the run of de-identification
    recall: Recall
    read: Sequence[Reading]
    suspects: Mapping[str, Any]
    vault: VaultState
    signed: Decision | None
    doubtful_judged: int
    confirmed: int  # of these, the ones that a person called identifiers

    def evidence(self) -> dict[str, Any]:
        """All of it as plain data."""
        policy = self.settings.policy
        return {
            "standing": self.standing,
            "reason": self.reason,
            "next_step": self.next_step,
            "project": self.project,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "residency": __version__,
            "policy": {
                "name": policy.name,
                "about": policy.about,
                "mode": self.settings.mode,
                "dates": policy.dates,
                "places": policy.places,
                "ages_over_89": policy.ages_over_89,
                "codes": policy.codes,
                "organizations": self.settings.organizations,
                "review": policy.review.model_dump(mode="json"),
            },
            "documents": {
                "set": self.documents,
                "count": self.facts["kept"],
                "with_identifiers": self.facts["changed"],
                "unreadable": self.facts["unreadable"],
                "dropped": self.facts["dropped"],
            },
            "found": [{"label": label, "count": count} for label, count in self.facts["found"].items()],
            "recall": _recall(self.recall),
            "readings": [asdict(one) for one in self.read],
            "doubtful": {"spans": self.facts["doubtful"], "judged": self.doubtful_judged, "confirmed": self.confirmed},
            "audit": dict(self.suspects),
            "anonymity": self.facts["anonymity"],
            "vault": asdict(self.vault),
            "signature": None
            if self.signed is None
            else {"who": self.signed.who, "when": self.signed.when, "verdict": self.signed.verdict},
            "not_covered": list(not_covered()),
        }


def judge_release(
    project: str, settings: Deidentify, run: Outcome, vault: Vault, decisions: Sequence[Decision], *, review: str
) -> Release:
    """What speaks for handing the run's documents to training. ``review``: the command that adds evidence."""
    signed = last_verdict(decisions, run.hash("documents"))
    kept = set(vault.ids(TREATMENT))
    read = [reading for document, reading in readings(decisions).items() if document in kept]
    found = {reading.document: treatment(vault, reading.document).found for reading in read}
    recall = estimate_recall(read, found, run.facts["found"], settings.policy.review, documents=run.facts["kept"])
    standing, reason, next_step = _judge(recall, signed, review)
    spans = [json.loads(decision.why) for decision in decisions if decision.verdict == SPAN_VERDICT]
    return Release(
        standing=standing, reason=reason, next_step=next_step, project=project, settings=settings,
        documents=run.hash("documents"), facts=run.facts, recall=recall, read=read,
        suspects=run.facts["audit"], vault=vault.state(), signed=signed, doubtful_judged=len(spans),
        confirmed=sum(bool(span["label"]) for span in spans),
    )  # fmt: skip


def last_verdict(decisions: Sequence[Decision], documents: str) -> Decision | None:
    """The privacy officer's last verdict on this set of documents."""
    verdicts = [d for d in decisions if d.subject == documents and d.verdict in (APPROVED, REFUSED)]
    return verdicts[-1] if verdicts else None


def _judge(recall: Recall, signed: Decision | None, review: str) -> tuple[Standing, str, str]:
    if signed is not None and signed.verdict == REFUSED:
        return Standing.NO_GO, f"{signed.who} refused this set of documents.", "Correct the rules and run again."
    if recall.standing is Standing.NO_GO:
        worst = [row for row in recall.rows if row.standing is Standing.NO_GO]
        return (
            Standing.NO_GO,
            f"Too many identifiers are missed: {_named(worst)}.",
            f"Add patterns under curate[0].patterns for what was missed, and read what the next run finds: {review}",
        )
    if recall.standing is Standing.INCONCLUSIVE:
        open_rows = [row for row in recall.rows if row.standing is Standing.INCONCLUSIVE]
        more = min(recall.documents_needed, recall.documents - recall.read)
        return (
            Standing.INCONCLUSIVE,
            f"{recall.read} of {recall.documents} documents were read; not shown yet: {_named(open_rows)}."
            if recall.read
            else f"0 of {recall.documents} documents were read; nothing is known of what was missed.",
            f"Read about {more} more: {review}",
        )
    if signed is None:
        return (
            Standing.INCONCLUSIVE,
            f"The bounds hold after {recall.read} documents; nobody has released this set yet.",
            f"Decide: {review.replace('--deidentified', '--release')}",
        )
    return Standing.GO, f"{recall.read} documents were read, every bound holds, {signed.who} released the set.", ""


def _named(rows: Sequence[Row]) -> str:
    named = [f"{r.label} at most {in_percent(r.bound)} missed (limit {100 * r.limit:.6g}%)" for r in rows]
    return first_of(named, 5)


def _recall(recall: Recall) -> dict[str, Any]:
    rows = [
        {
            "label": row.label, "classes": row.classes, "occurs": row.occurs, "reviewed": row.reviewed,
            "missed": row.missed, "recall": row.recall if row.reviewed else None, "missed_at_most": row.bound,
            "limit": row.limit, "standing": row.standing, "documents_needed": row.documents_needed,
        }
        for row in recall.rows
    ]  # fmt: skip
    return {
        "rows": rows,
        "read": recall.read,
        "documents": recall.documents,
        "with_a_miss": recall.with_a_miss,
        "documents_missed_at_most": recall.documents_bound,
        "confidence": recall.confidence,
        "wrong": recall.wrong,
        "standing": recall.standing,
    }
