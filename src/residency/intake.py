"""Intake: private files go into the vault, and come out as de-identified documents.

In: what ingest reads; the vault; the settings of de-identification; people's verdicts. Out: de-identified documents,
suspects that an independent second look names, and in the vault, for every document, what was found and replaced.

Covers: raw text is written to the vault and nowhere else; a report whose name holds an identifier of its patient goes
by its id; one patient's documents are treated together, patients one after another on all cores, so that memory stays
flat; a killed run loses the patients in flight. Does not cover: how identifiers are found (curate/deidentify), what a
person must look at (review.py), whether it was good enough (release.py).

Workers are sent pseudonyms and open the vault themselves: no text of a patient passes between processes before it is
de-identified.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from residency.curate.deidentify import Deidentify, Treated
from residency.curate.deidentify.anonymity import small_cells
from residency.curate.deidentify.audit import (
    Second,
    Suspect,
    audit,
    presidio_as_shipped,
    summary,
    vocabulary_for,
)
from residency.curate.deidentify.feedback import DOUBTFUL, Feedback
from residency.curate.deidentify.labels import Identifier
from residency.curate.ingest import MENDED
from residency.curate.step import Tools
from residency.packs import load_pack
from residency.records import Document, Dropped, Span
from residency.run.pool import spread
from residency.settings import plain_data
from residency.store.journal import Journal
from residency.store.keys import LocalWrapper
from residency.store.runs import ActiveRun
from residency.store.vault import Vault

RAW, TREATMENT = "document", "treatment"  # kinds of records in the vault
RECORDS_AT_ONCE = 500  # put into the vault in one transaction; some MB of text
PATIENTS_AT_ONCE = 8  # handed to a worker
DOCUMENTS_A_WORKER = 200  # a process takes seconds to load: it must have work for longer
CELLS_KEPT = 1_000  # small cells of quasi-identifiers that are listed; all are counted
SHORTEST_IN_A_NAME = 4  # letters and digits; shorter identifiers are in too many names by chance
HIDDEN_PATH = "(named by an identifier; the vault knows the file)"
FORGOTTEN = "forgotten"  # why a document of a forgotten patient is dropped

_DOCUMENT: TypeAdapter[Document] = TypeAdapter(Document)
_SPANS: TypeAdapter[tuple[Span, ...]] = TypeAdapter(tuple[Span, ...])


@dataclass(frozen=True, kw_only=True, slots=True)
class PatientDone:
    """One patient's documents, de-identified, and what the second look suspects in them. Holds no private text."""

    patient: str  # pseudonym
    documents: tuple[Document, ...]
    suspects: tuple[Suspect, ...]
    found: dict[str, int]  # identifiers by class, before people's verdicts
    doubtful: int


@dataclass(frozen=True, slots=True)
class Treatment:
    """What the vault knows of one document's de-identification; spans are on the raw text."""

    found: tuple[Span, ...]  # before people's verdicts
    spans: tuple[Span, ...]  # after
    replacements: tuple[str, ...]


def deidentify_inbox(
    run: ActiveRun,
    vault: Vault,
    records: Iterable[Document | Dropped],
    work: TreatPatients,
    *,
    workers: int,
    advance: Callable[[int], None],
) -> None:
    """All of it, as the run of one stage: outputs ``documents``, ``dropped``, ``suspects``, and the facts of both."""
    facts: Counter[str] = Counter()
    found: Counter[str] = Counter()
    journal = run.journal("patients", PatientDone)
    with run.writer("dropped", Dropped) as dropped:
        for lost in fill_vault(vault, records, derive=work.settings.policy.derives_codes):
            dropped.add(lost)
            facts["dropped" if lost.reason == FORGOTTEN else "unreadable"] += 1
    workers = max(1, min(workers, vault.count(RAW) // DOCUMENTS_A_WORKER))
    with run.writer("documents", Document) as documents, run.writer("suspects", Suspect) as suspects:
        for one in treat_patients(vault, work, journal, workers=workers):
            for document in one.documents:
                documents.add(document)
                facts["changed"] += bool(document.spans)
                facts["mended"] += MENDED in document.meta
            for suspect in one.suspects:
                suspects.add(suspect)
            facts["doubtful"] += one.doubtful
            found.update(one.found)
            advance(len(one.documents))
    rule = work.settings.policy.review
    made = run.workspace.artifacts.read(documents.ref, Document)
    suspected = run.workspace.artifacts.read(suspects.ref, Suspect)
    cells = small_cells(made, columns=rule.quasi_identifiers, k=rule.smallest_cell)
    run.facts.update(
        came=documents.count + facts["dropped"],
        kept=documents.count,
        dropped=facts["dropped"],
        changed=facts["changed"],
        unreadable=facts["unreadable"],
        mended=facts["mended"],
        doubtful=facts["doubtful"],
        found=dict(found.most_common()),
        audit=summary(suspected, documents.count),
        anonymity={**cells.plain(), "below": plain_data([asdict(cell) for cell in cells.below[:CELLS_KEPT]])},
    )


def fill_vault(vault: Vault, records: Iterable[Document | Dropped], *, derive: bool) -> Iterator[Dropped]:
    """Puts every raw document into the vault, in place of all that were there; gives back what was dropped.

    ``derive``: pseudonyms may be computed from the patient's id with the secret key.
    """
    vault.remove(RAW)
    batch: list[Document] = []
    for record in records:
        if isinstance(record, Dropped):
            yield record
            continue
        batch.append(record)
        if len(batch) >= RECORDS_AT_ONCE:
            yield from _put(vault, batch, derive=derive)
            batch = []
    yield from _put(vault, batch, derive=derive)


def _put(vault: Vault, documents: Sequence[Document], *, derive: bool) -> Iterator[Dropped]:
    forgotten = vault.forgotten({document.patient for document in documents})
    kept = [document for document in documents if document.patient not in forgotten]
    # In their order, not as a set: patients are treated in the order in which the vault first sees them.
    pseudonyms = vault.pseudonyms(dict.fromkeys(document.patient for document in kept), derive=derive)
    vault.put(
        RAW,
        (
            (name, document.id, _DOCUMENT.dump_json(replace(document, patient=name)))
            for document, name in ((document, pseudonyms[document.patient]) for document in kept)
        ),
    )
    for document in documents:
        if document.patient in forgotten:
            yield Dropped(id=document.id, key=document.key, source=document.source, step="deidentify", reason=FORGOTTEN)


def treat_patients(
    vault: Vault, work: TreatPatients, journal: Journal[PatientDone], *, workers: int
) -> Iterator[PatientDone]:
    """Every patient of the vault, de-identified. The journal holds those that an earlier attempt had finished."""
    done: set[str] = set()
    for one in journal.records():
        done.add(one.patient)
        yield one
    if not done:
        vault.remove(TREATMENT)
    left = [patient for patient in vault.patients(RAW) if patient not in done]
    batches = [left[i : i + PATIENTS_AT_ONCE] for i in range(0, len(left), PATIENTS_AT_ONCE)]
    for results in spread(work, batches, workers=min(workers, len(batches))):
        vault.put(TREATMENT, (record for _, records in results for record in records))
        journal.append(one for one, _ in results)
        yield from (one for one, _ in results)


@dataclass(frozen=True, slots=True)
class TreatPatients:
    """De-identifies the documents of some patients; travels to the workers, with the key in memory only."""

    vault: Path
    vault_id: str
    key: bytes
    settings: Deidentify
    pack: str
    told: Feedback

    def __call__(self, patients: Sequence[str]) -> list[tuple[PatientDone, list[tuple[str, str, bytes]]]]:
        vault = _opened(self.vault, self.key, self.vault_id)
        tools = Tools(key=vault.surrogate_key, seed=0, pack=load_pack(self.pack))
        return [self._patient(vault, patient, tools) for patient in patients]

    def _patient(self, vault: Vault, patient: str, tools: Tools) -> tuple[PatientDone, list[tuple[str, str, bytes]]]:
        raw = raw_documents_of(vault, patient)
        treated = self.settings.treat(patient, raw, tools, self.told)
        private = _identifying(vault.identity(patient), raw, treated)
        done = PatientDone(
            patient=patient,
            documents=tuple(_named_safely(one.document, private) for one in treated),
            suspects=tuple(self._suspects(raw, treated, tools)),
            found=dict(Counter(span.label for one in treated for span in one.found)),
            doubtful=sum(span.score < DOUBTFUL for one in treated for span in one.spans),
        )
        return done, [(patient, document.id, _treatment(one)) for document, one in zip(raw, treated, strict=True)]

    def _suspects(self, raw: Sequence[Document], treated: Sequence[Treated], tools: Tools) -> Iterator[Suspect]:
        """What the second look suspects, as places of the raw texts."""
        identifiers = dict.fromkeys(
            ((span.label, document.text[span.start : span.end]), new == document.text[span.start : span.end])
            for document, one in zip(raw, treated, strict=True)
            for span, new in zip(one.spans, one.replacements, strict=True)
        )
        staying = {identifier for identifier, stays in identifiers if stays}
        of_document = {one.document.id: one for one in treated}
        share = self.settings.policy.review.second_reader
        suspects = audit(
            (one.document for one in treated),
            known=lambda _: [identifier for identifier, _ in identifiers],
            vocabulary=vocabulary_for(tools.pack),
            stays=lambda label, text: (label, text) in staying,
            second=_second_reader() if share else None,
            sampled=lambda document: int(document.id[-4:], 16) < share * 0x10000,
        )
        for suspect in suspects:
            one = of_document[suspect.document]
            start, end = one.offsets.backward(suspect.start, suspect.end)
            yield replace(suspect, document=one.document.parents[0], start=start, end=end)


def _identifying(patient: str, raw: Sequence[Document], treated: Sequence[Treated]) -> frozenset[str]:
    """What must not stand in the name of a file or report of this patient: identifiers, as bare letters and digits."""
    texts = [patient]
    for document, one in zip(raw, treated, strict=True):
        for span in one.spans:
            identifier = document.text[span.start : span.end]
            texts += identifier.split() if span.label == Identifier.NAME else [identifier]
    return frozenset(bare for text in texts if len(bare := _bare(text)) >= SHORTEST_IN_A_NAME)


def _named_safely(document: Document, private: frozenset[str]) -> Document:
    """The document, named by its id where its own name tells who the patient is. The vault keeps the real one."""
    name = _bare(f"{document.key} {document.source.path}")
    if not any(identifier in name for identifier in private):
        return document
    return replace(document, key=document.parents[0], source=replace(document.source, path=HIDDEN_PATH, locator=""))


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


@lru_cache(maxsize=1)
def _second_reader() -> Second:
    return presidio_as_shipped()


def raw_documents_of(vault: Vault, pseudonym: str) -> list[Document]:
    """All raw documents of a patient, in the order of the inbox."""
    return [_DOCUMENT.validate_json(content) for _, content in vault.read(RAW, pseudonym)]


def raw_document(vault: Vault, document: str) -> Document:
    """A raw document from the vault."""
    return _DOCUMENT.validate_json(vault.get(RAW, document))


def treatment(vault: Vault, document: str) -> Treatment:
    """What was found in a raw document and what was written instead."""
    plain = json.loads(vault.get(TREATMENT, document))
    return Treatment(
        _SPANS.validate_python(plain["found"]), _SPANS.validate_python(plain["spans"]), tuple(plain["replacements"])
    )


def _treatment(one: Treated) -> bytes:
    plain: dict[str, Any] = {
        "found": [asdict(span) for span in one.found],
        "spans": [asdict(span) for span in one.spans],
        "replacements": one.replacements,
    }
    return json.dumps(plain).encode()


@lru_cache(maxsize=1)
def _opened(folder: Path, key: bytes, vault_id: str) -> Vault:
    return Vault.open(folder, LocalWrapper(key), known=vault_id)
