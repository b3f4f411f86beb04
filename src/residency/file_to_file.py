"""File to file: one step on a JSON lines file, no project needed.

In: a file with one object a line, ``id`` and ``text``, perhaps ``patient``. Out: the same objects, in the same order,
changed; keys that the step does not know pass through untouched. Or, from a file with known answers, scores.

Covers: de-identification, finding extraction, and the evaluation of both, on all cores, with flat memory whatever the
size of the file. Does not cover: review, the vault, the gate: those need a project.

Workers are sent places in the file, never its text.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from residency.curate.deidentify import Deidentify, Evaluation, Policy, load_policy, read_policy
from residency.curate.deidentify.evaluation import ALL
from residency.curate.deidentify.evaluation import Tally as Identifiers
from residency.curate.deidentify.policy import NAMES
from residency.curate.deidentify.surrogates import derived_pseudonym
from residency.curate.extract import find, load_reader
from residency.curate.extract.evaluation import Scores, scores
from residency.curate.extract.evaluation import Tally as Findings
from residency.curate.step import Tools
from residency.errors import ProjectError
from residency.packs import load_pack
from residency.packs.terminology import load_terminology
from residency.records import Document, Finding, Source, Status
from residency.run.pool import spread
from residency.run.progress import Progress
from residency.settings import explain
from residency.store.files import refuse_input, why_no_file
from residency.store.jsonl import Index, check_spans, index_lines, ordered_lines, read_at, refuse_problems
from residency.store.keys import key_path, project_key

KEY = "deidentify"  # name of the key of files that belong to no project
DOCUMENTS_AT_ONCE = 32  # handed to a worker; more save nothing, fewer cost messages
PHI = "phi"  # key of the known identifiers in a file to evaluate against
EACH_ALONE = ""  # no key: records that are not read together
LONGEST_POLICY = 100_000  # characters of a policy's file; what is longer is another file
LONGEST_SHOWN = 80  # characters of a policy's name in an error

Group = tuple[tuple[int, ...], tuple[int, ...]]  # one patient: numbers of the lines, and where they begin in the file


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a file is treated, whatever the step."""

    pack: str
    workers: int
    skip_bad: bool = False


@dataclass(frozen=True, slots=True)
class Deidentified:
    """What became of a file."""

    records: int
    skipped: Sequence[str]  # lines that could not be read, and why
    replaced: Mapping[str, int]  # identifiers found, by class
    untouched_keys: Sequence[str]  # keys that passed through as they were
    key_file: Path


def deidentify_file(
    source: Path, target: Path, settings: Deidentify, options: Options, progress: Progress
) -> Deidentified:
    """Every record with its new ``text`` and with ``spans`` on the old one; ``patient`` becomes a pseudonym."""
    index = open_lines(source, options, target=target)
    key = project_key(KEY, known_fingerprint=None)
    work = _DeidentifyGroups(index.path, settings, options.pack, key, secrets.token_bytes(len(key)))
    replaced: Counter[str] = Counter()
    for record in _transform(index, target, work, options, "deidentify", progress):
        replaced.update(span["label"] for span in record["spans"])
    return Deidentified(
        len(index), index.problems, dict(replaced.most_common()), sorted(index.other_keys - {"spans"}), key_path(KEY)
    )


def evaluate_deidentified(
    source: Path, settings: Deidentify, options: Options, progress: Progress, *, target: Path | None = None
) -> Evaluation:
    """Recall and precision on records with known identifiers (``phi``: start, end, label). ``target``: where the
    caller will write them; refused before the work where that cannot be."""
    index = open_lines(source, options, target=target, check=_check_identifiers)
    whole = Identifiers()
    for tally in _measure(index, _EvaluateGroups(index.path, settings, options.pack), options, progress):
        whole.merge(tally)
    return whole.evaluation()


@dataclass(frozen=True, slots=True)
class Extracted:
    """What became of a file."""

    records: int
    skipped: Sequence[str]
    findings: Mapping[str, int]  # by status


def extract_file(source: Path, target: Path, options: Options, progress: Progress) -> Extracted:
    """Every record with ``findings``: start, end, concept, label, status."""
    index = open_lines(source, options, target=target, group=EACH_ALONE)
    found: Counter[str] = Counter()
    for record in _transform(index, target, _ExtractRecords(index.path, options.pack), options, "extract", progress):
        found.update(finding["status"] for finding in record["findings"])
    return Extracted(len(index), index.problems, dict(found.most_common()))


def evaluate_extracted(source: Path, options: Options, progress: Progress, *, target: Path | None = None) -> Scores:
    """F1 and status accuracy on records with known ``findings`` (concept or hpo_id, status, start, end). ``target``
    as for ``evaluate_deidentified``."""
    index = open_lines(source, options, target=target, group=EACH_ALONE, check=_check_findings)
    whole = Findings()
    for tally in _measure(index, _EvaluateRecords(index.path, options.pack), options, progress):
        whole.merge(tally)
    return scores(whole)


def policy_from(written: str) -> Policy:
    """A policy from its name or from a file; a ProjectError lists what is wrong with it. A wrong file may be a record:
    no value that stands in it is repeated."""
    if written in NAMES:
        return load_policy(written)
    file = Path(written)
    problem = why_no_file(file)
    if problem:
        raise ProjectError(
            f"--policy {written[:LONGEST_SHOWN]}: no policy has this name, and as a file it cannot be read: {problem}.",
            fix=f"Use {', '.join(NAMES)}, or name a YAML file.",
        )
    try:
        text = _beginning(file)
        return read_policy(text)
    except ValidationError as error:
        problems = explain(error, values=False)
        raise ProjectError(f"{file}: {'; '.join(problems)}.", fix="Correct it.", problems=problems) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"{file}: cannot be read ({type(error).__name__}).", fix="Name a YAML file.") from None
    except ValueError as error:
        raise ProjectError(f"{file}: {error}.", fix="Use a named policy, or settings based_on one.") from None


def _beginning(file: Path) -> str:
    with file.open(encoding="utf-8") as stream:
        text = stream.read(LONGEST_POLICY + 1)
    if len(text) > LONGEST_POLICY:
        raise ValueError("too long for a policy")
    return text


@dataclass(frozen=True, slots=True)
class _DeidentifyGroups:
    """De-identifies the records of some patients; travels to the workers."""

    source: Path
    settings: Deidentify
    pack: str
    key: bytes
    of_this_run: bytes  # keys pseudonyms where the policy permits none that is derived from the patient

    def __call__(self, groups: Sequence[Group]) -> list[tuple[int, dict[str, Any]]]:
        tools = Tools(key=self.key, seed=0, pack=load_pack(self.pack))
        results = []
        for numbers, starts in groups:
            records = read_at(self.source, starts)
            patient = patient_of(records[0])
            documents = [document_of(record, self.source, patient) for record in records]
            treated = self.settings.treat(patient or f"document:{records[0]['id']}", documents, tools)
            for number, record, its in zip(numbers, records, treated, strict=True):
                spans = [asdict(span) for span in its.spans]
                results.append((number, {**record, **self._named(patient), "text": its.document.text, "spans": spans}))
        return results

    def _named(self, patient: str) -> dict[str, str]:
        if not patient:
            return {}
        key = self.key if self.settings.policy.derives_codes else self.of_this_run
        return {"patient": derived_pseudonym(key, patient)}


@dataclass(frozen=True, slots=True)
class _EvaluateGroups:
    """Counts what is found in the records of some patients; travels to the workers."""

    source: Path
    settings: Deidentify
    pack: str

    def __call__(self, groups: Sequence[Group]) -> Identifiers:
        tally = Identifiers()
        for _, starts in groups:
            records = read_at(self.source, starts)
            found = self.settings.find([record["text"] for record in records], load_pack(self.pack))
            for record, spans in zip(records, found, strict=True):
                tally.add(record, spans)
        return tally


@dataclass(frozen=True, slots=True)
class _ExtractRecords:
    """Reads findings; travels to the workers."""

    source: Path
    pack: str

    def __call__(self, groups: Sequence[Group]) -> list[tuple[int, dict[str, Any]]]:
        reader = load_reader(load_pack(self.pack))
        results = []
        for numbers, starts in groups:
            for number, record in zip(numbers, read_at(self.source, starts), strict=True):
                findings = [_plain_finding(finding) for finding in find(record["text"], reader)]
                results.append((number, {**record, "findings": findings}))
        return results


@dataclass(frozen=True, slots=True)
class _EvaluateRecords:
    """Counts findings that were read rightly; travels to the workers."""

    source: Path
    pack: str

    def __call__(self, groups: Sequence[Group]) -> Findings:
        pack = load_pack(self.pack)
        reader, terminology = load_reader(pack), load_terminology(pack)
        tally = Findings()
        for _, starts in groups:
            for record in read_at(self.source, starts):
                tally.add(record["findings"], find(record["text"], reader), terminology.current)
        return tally


def _plain_finding(finding: Finding) -> dict[str, Any]:
    place = {"start": finding.start, "end": finding.end}
    return {**place, "concept": finding.concept, "label": finding.label, "status": finding.status.value}


def _check_identifiers(record: dict[str, Any]) -> None:
    check_spans(record, PHI, names=("label", "type"))
    if any(ALL in (span.get("label"), span.get("type")) for span in record[PHI]):
        raise ValueError(f"{PHI} holds the class {ALL}, which stands for all of them together")
    if record.get("findings") is not None:
        check_spans(record, "findings", names=(), unplaced=True)


def _check_findings(record: dict[str, Any]) -> None:
    check_spans(record, "findings", names=("concept", "hpo_id"), unplaced=True)
    for number, finding in enumerate(record["findings"]):
        if finding.get("status") not in list(Status):
            raise ValueError(f"findings[{number}] has no status of {', '.join(Status)}")


def _transform(
    index: Index, target: Path, work: Callable[[Any], Any], options: Options, title: str, progress: Progress
) -> Iterator[dict[str, Any]]:
    """Writes what ``work`` makes of every record, in the order of the input, and gives each back in passing."""
    progress.begin(title, len(index))
    with ordered_lines(target, len(index)) as lines:
        for results in spread(work, batches(index), workers=_useful(options, index)):
            for number, record in results:
                lines.put(number, record)
                yield record
            progress.advance(len(results))
    progress.end(f"{len(index)} records")


def _measure(index: Index, work: Callable[[Any], Any], options: Options, progress: Progress) -> Iterator[Any]:
    """The tallies of all batches."""
    progress.begin("evaluate", len(index))
    for tally in spread(work, batches(index), workers=_useful(options, index)):
        yield tally
        progress.advance(DOCUMENTS_AT_ONCE)
    progress.end(f"{len(index)} records")


def open_lines(
    source: Path,
    options: Options,
    *,
    target: Path | None = None,
    group: str = "patient",
    check: Callable[[dict[str, Any]], None] | None = None,
) -> Index:
    if target is not None:
        refuse_input(target, [source])
    index = index_lines(source, group=group, check=check)
    if not options.skip_bad:
        refuse_problems(index)
    if not len(index):
        raise ProjectError(f"{source}: there is no record in it.", fix='Write one object a line: {"id", "text"}.')
    return index


def batches(index: Index, size_of_batch: int = DOCUMENTS_AT_ONCE) -> Iterator[list[Group]]:
    """All of a patient's records together, so that a name found in one is found in all."""
    batch: list[Group] = []
    size = 0
    for numbers in index.groups.values():
        batch.append((tuple(numbers), index.places(numbers)))
        size += len(numbers)
        if size >= size_of_batch:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _useful(options: Options, index: Index) -> int:
    """A worker takes seconds to load: no more of them than there are batches."""
    return max(1, min(options.workers, -(-len(index) // DOCUMENTS_AT_ONCE)))


def patient_of(record: Mapping[str, Any]) -> str:
    """The record's patient as text; empty where it names none. Zero is a patient."""
    patient = record.get("patient")
    return "" if patient is None else str(patient)


def document_of(record: Mapping[str, Any], source: Path, patient: str) -> Document:
    name = str(record["id"])
    return Document(id=name, key=name, text=record["text"], source=Source(path=source.name), patient=patient)
