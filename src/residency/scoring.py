"""Any model's outputs scored, file to file; a project is not needed.

In: cases ``{id, answer, text?, patient?, slices?, split?}`` and predictions ``{id, output, confidence?, probabilities?,
samples?, nats?, tokens?, cases_sha256?}``, one JSON object a line; perhaps the predictions of another system, a table
of critical errors, verdicts ``{id, flagged, wrong?}`` of a judge model and, where ``wrong`` stands, of a person.
Out: the assessment as plain data (evaluate/assessment.py), with the files' hashes.

Covers: reading and checking the lines, every problem by line number, none by content; predictions that were made for
another case file; claims held against the texts of the cases, where a pack says what claims mean; critical errors;
planning a study, with these cases as the pilot. Does not cover: asking a model.

An output is read like this. classify: a label, letter case and a final full stop aside. extract: a list of findings
``{concept or label, status?, start?, end?, experiencer?}``, the same list as JSON text, or lines such as
``present: Ataxia; Dysarthria``. generate: a text. What cannot be read so is unscored: wrong, and counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from residency.curate.extract import find, load_reader
from residency.errors import EvaluationError, first_of
from residency.evaluate.assessment import Assess, assess, entry
from residency.evaluate.calibration.agreement import agreement
from residency.evaluate.claims.judge import JudgedOutput, rate_of_verdicts
from residency.evaluate.claims.means import Means, means_of
from residency.evaluate.critical.table import read_table_file
from residency.evaluate.intervals import cluster_codes, effective_n
from residency.evaluate.metrics import align
from residency.evaluate.metrics.own import load_own, own_name
from residency.evaluate.power import Assumptions, Plan, plan_study
from residency.evaluate.report.view import plain
from residency.evaluate.safety import safety
from residency.evaluate.slices import in_bins, own_slices
from residency.packs import Pack, load_pack
from residency.packs.terminology import load_terminology
from residency.records import Example, Prediction, Split, Status, TaskKind
from residency.store.files import file_sha256
from residency.store.jsonl import read_objects
from residency.tasks import NameToConcept, read_finding_lines

CASE = '{"id": ..., "answer": ...} and perhaps "text", "patient", "slices"'
VERDICT = '{"id": ..., "flagged": true or false} and, where a person judged the output, "wrong": true or false'
PREDICTION = '{"id": ..., "output": ...} and perhaps "confidence", "probabilities"'
SUM_OFF = 0.02  # how far rounded probabilities may be from summing to 1
SHOWN = 5  # ids named in an error
OURS, OTHERS = "predictions", "against"  # the systems of the two prediction files


@dataclass(frozen=True, kw_only=True, slots=True)
class Scoring:
    """What is scored, and how."""

    cases: Path
    predictions: Path
    kind: TaskKind
    against: Path | None = None
    pack: str | None = None  # its terminology reads the facts of texts, and knows findings by name
    own: Sequence[str] = ()  # the team's own metrics, FILE.py:FUNCTION
    critical: Path | None = None  # table of critical errors
    judge: Path | None = None  # verdicts of a judge model, some of them beside a person's
    how: Assess = field(default_factory=Assess)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One line of the case file."""

    example: Example
    text: str | None
    slices: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One line of a prediction file, not yet read as an answer."""

    id: str
    output: Any
    confidence: float | None
    probabilities: Mapping[str, float]
    nats: float | None
    tokens: int | None
    cases_sha256: str | None


def score_files(asked: Scoring) -> dict[str, Any]:
    """The assessment of the prediction file, as plain data."""
    cases, predictions, others, how = _read(asked)
    examples = [case.example for case in cases]
    found = assess(examples, predictions, how=how, slices=_slices(cases), against=others)
    _add_harm(found, asked, cases, {OURS: predictions} | ({OTHERS: others} if others is not None else {}), how)
    if asked.judge is not None:
        found["metrics"]["judged_wrong_rate"] = _judged(asked.judge, cases)
    files = {
        "cases": asked.cases, "predictions": asked.predictions, "against": asked.against, "critical": asked.critical,
        "judge": asked.judge,
    }  # fmt: skip
    named = {name: {"file": str(path), "sha256": file_sha256(path)} for name, path in files.items() if path is not None}
    return {**found, "files": named}


def _add_harm(
    found: dict[str, Any],
    asked: Scoring,
    cases: Sequence[Case],
    answers: Mapping[str, Sequence[Prediction]],
    how: Assess,
) -> None:
    """Claims without a source and critical errors, into ``found``; texts stay out of it."""
    scored = [case for case in cases if case.example.split is not Split.CALIBRATION]
    ids = {case.example.id for case in scored}
    pack = load_pack(asked.pack) if asked.pack else None
    table = read_table_file(asked.critical, load_terminology(pack) if pack else None) if asked.critical else None
    of_scored = {
        system: [replace(one, system=system) for one in of if one.example in ids] for system, of in answers.items()
    }
    said = {str(one.value) for of in of_scored.values() for one in of} if asked.kind is TaskKind.CLASSIFY else set()
    missing = sum(case.text is None for case in scored)
    if pack and missing and asked.kind is not TaskKind.CLASSIFY:
        found["notes"].append(f"Claims are not checked: {missing} cases come without their text.")
    scores, shown = safety(
        [case.example for case in scored],
        of_scored,
        {case.example.id: case.text or "" for case in scored},
        means=_means(asked, pack, how, missing),
        table=table,
        labels={*how.labels, *said},
        draws=how.draws,
        seed=how.seed,
    )
    for one in scores:
        side = found if one.system == OURS else found["against"]
        side["metrics"][one.metric] = plain(entry(one))
    counted = {
        part: {name: value for name, value in of.items() if name != "examples"}
        for part, of in shown.get(OURS, {}).items()
    }
    found["harm"] = plain(counted) or None


def _means(asked: Scoring, pack: Pack | None, how: Assess, missing: int) -> Means | None:
    """What claims are checked with; ``missing``: cases without a text. None where no claims can be checked."""
    if asked.kind is TaskKind.CLASSIFY:
        return None
    if asked.critical is not None and (pack is None or missing):
        raise EvaluationError(
            f"{asked.critical}: critical errors of what is written are found by its claims, and these need a pack and "
            f"the texts; {missing} cases come without.",
            fix='Give --pack, and "text" with every case.',
        )
    return means_of(pack, how.find) if pack and how.find and not missing else None


def _judged(path: Path, cases: Sequence[Case]) -> dict[str, Any]:
    """The rate of wrong outputs behind a judge's verdicts; what the judge flagged is told nowhere."""
    patient_of = {case.example.id: case.example.patient for case in cases if case.example.split is Split.TEST}
    known = {case.example.id for case in cases}
    given = dict(read_objects(path, _verdict, shape=VERDICT))
    for ids, problem in (
        (given.keys() - known, "verdicts are of no case"),
        (patient_of.keys() - given.keys(), "cases have no verdict"),
    ):
        if ids:
            raise EvaluationError(
                f"{path}: {len(ids)} {problem}: {first_of(sorted(ids), SHOWN)}.", fix="Give one verdict for every case."
            )
    outputs = [JudgedOutput(patient, *given[name]) for name, patient in patient_of.items()]
    rate = rate_of_verdicts(outputs)
    people = sum(one.wrong is not None for one in outputs)
    return {
        "value": rate.value,
        "low": rate.low,
        "high": rate.high,
        "n": len(outputs),
        "patients": len(set(patient_of.values())),
        "title": "outputs that are wrong, by a judge, corrected",
        "lower_is_better": True,
        "surface_similarity": False,
        "note": f"corrected by {people} outputs that people judged: sensitivity {rate.sensitivity:.2f}, "
        f"specificity {rate.specificity:.2f}",
    }


def _verdict(record: Mapping[str, Any]) -> tuple[str, tuple[bool, bool | None]]:
    flagged, wrong = record.get("flagged"), record.get("wrong")
    if not isinstance(flagged, bool) or not isinstance(wrong, bool | None):
        name = "wrong" if isinstance(flagged, bool) else "flagged"
        raise ValueError(f"{name} is neither true nor false")
    return str(record["id"]), (flagged, wrong)


def plan_from(asked: Scoring, given: Mapping[str, float]) -> Plan:
    """A plan with these files as the pilot: what ``given`` leaves open is measured."""
    cases, predictions, others, _ = _read(asked)
    examples = [case.example for case in cases]
    right = _right(examples, predictions)
    patients = [example.patient for example in examples]
    codes, count = cluster_codes(patients)
    n, size = len(examples), len(examples) / count
    pilot: dict[str, float] = {
        "accuracy": float(np.clip(right.mean(), 0.5 / n, 1 - 0.5 / n)),  # never certain
        "cases_per_patient": size,
    }
    if size > 1:
        excess = n / effective_n(right, codes, count) - 1
        pilot["correlation"] = float(np.clip(excess / (size - 1), 0.0, 1.0))
    if others is not None:
        gaps = right - _right(examples, others)
        pilot["discordant"] = max(float(np.mean(gaps != 0)), 1 / n)
        if gaps.mean() > 0:
            pilot["difference"] = float(gaps.mean())
    return plan_study(Assumptions(**{**pilot, **given}))


def _right(examples: Sequence[Example], predictions: Sequence[Prediction]) -> Any:
    """(n,) 1 where the answer is right as a whole."""
    from residency.evaluate.calibration.event import EVENTS, is_right

    if examples[0].kind not in EVENTS:
        raise EvaluationError(
            "A generate task has no right or wrong answers to plan with.",
            fix="Plan with classify or extract, or without files.",
        )
    aligned = align(examples, predictions)
    return np.array([float(is_right(e, p)) for e, p in zip(examples, aligned, strict=True)])


def _read(asked: Scoring) -> tuple[list[Case], list[Prediction], list[Prediction] | None, Assess]:
    pack = load_pack(asked.pack) if asked.pack else None
    terminology = load_terminology(pack) if pack else None
    concept_of: NameToConcept = terminology.concept_of if terminology else lambda name: None
    cases = _with_patients(
        read_objects(asked.cases, partial(_case, kind=asked.kind, concept_of=concept_of), shape=CASE), asked.cases
    )
    if all(case.example.split is Split.CALIBRATION for case in cases):
        raise EvaluationError(
            f"{asked.cases}: all cases are of the split calibration.", fix="Leave the split out of the cases to score."
        )
    expected = file_sha256(asked.cases)
    answers = {path: _answers(path, expected) for path in (asked.predictions, asked.against) if path is not None}
    labels = _labels(cases, answers.values()) if asked.kind is TaskKind.CLASSIFY else {}
    read = {
        path: [_prediction(one, asked.kind, path.stem, labels, concept_of) for one in of]
        for path, of in answers.items()
    }
    how = replace(
        asked.how,
        labels=sorted(labels.values()),
        find=partial(find, reader=load_reader(pack)) if pack else None,
        own={own_name(one): load_own(one, Path.cwd()) for one in asked.own},
    )
    return cases, read[asked.predictions], read[asked.against] if asked.against else None, how


def _labels(cases: Sequence[Case], answers: Iterable[Sequence[Answer]]) -> dict[str, str]:
    """The closed set as far as the files show it, each label by its folded form."""
    named = {str(case.example.gold) for case in cases}
    named |= {label for of in answers for one in of for label in one.probabilities}
    return {label.casefold(): label for label in sorted(named)}


# --- cases -----------------------------------------------------------------------------------------------------------


def _case(record: Mapping[str, Any], *, kind: TaskKind, concept_of: NameToConcept) -> Case:
    text, slices, split = record.get("text"), record.get("slices") or {}, record.get("split", Split.TEST.value)
    if text is not None and not isinstance(text, str):
        raise ValueError("text is no text")
    if not isinstance(slices, dict) or not all(isinstance(v, str | int | float | None) for v in slices.values()):
        raise ValueError("slices is not an object of texts and numbers")
    if split not in (Split.TEST.value, Split.CALIBRATION.value):
        raise ValueError("split is neither test nor calibration")
    gold = _gold(record, kind, concept_of, len(text) if text is not None else None)
    example = Example(
        id=str(record["id"]),
        task=kind.value,
        kind=kind,
        messages=(),
        answer=gold if isinstance(gold, str) else json.dumps(gold),
        gold=gold,
        patient="" if record.get("patient") is None else str(record["patient"]),
        split=Split(split),
    )
    return Case(example=example, text=text, slices={n: str(v) for n, v in slices.items() if v is not None})


def _gold(record: Mapping[str, Any], kind: TaskKind, concept_of: NameToConcept, length: int | None) -> Any:
    answer = record.get("answer")
    if kind is TaskKind.EXTRACT:
        if not isinstance(answer, list):
            raise ValueError("answer is not a list of findings")
        return [_gold_finding(number, item, concept_of, length) for number, item in enumerate(answer)]
    if not isinstance(answer, str | int | float) or (isinstance(answer, float) and not answer.is_integer()):
        raise ValueError(f"answer is no {'label' if kind is TaskKind.CLASSIFY else 'text'}")
    if not str(answer).strip():
        raise ValueError("answer is empty")
    return str(answer).strip() if kind is TaskKind.CLASSIFY else str(answer)


def _gold_finding(number: int, item: Any, concept_of: NameToConcept, length: int | None) -> dict[str, Any]:
    found = _finding(item, concept_of)
    if found is None:
        raise ValueError(f"answer[{number}] has no concept or label")
    if found["status"] not in set(Status):
        raise ValueError(f"answer[{number}] has no status of {', '.join(Status)}")
    start, end = found.get("start"), found.get("end")
    named = isinstance(item, dict) and (item.get("start") is not None or item.get("end") is not None)
    if named and (start is None or end is None or (length is not None and end > length)):
        raise ValueError(f"answer[{number}] does not lie within the text")
    return found


def _with_patients(cases: list[Case], path: Path) -> list[Case]:
    """Every case with a patient (its own, where the file names none at all), in the order of their ids, so that not
    even rounding knows the order of the file."""
    without = [case.example.id for case in cases if not case.example.patient]
    if without and len(without) < len(cases):
        raise EvaluationError(
            f"{path}: some cases name their patient, and {len(without)} do not: {first_of(without, SHOWN)}.",
            fix="Name the patient of every case, or of none; intervals depend on it.",
        )
    return [
        replace(case, example=replace(case.example, patient=case.example.patient or f"case {case.example.id}"))
        for case in sorted(cases, key=lambda case: case.example.id)
    ]


def _slices(cases: Sequence[Case]) -> dict[str, list[str]]:
    scored = [case for case in cases if case.example.split is not Split.CALIBRATION]
    names = dict.fromkeys(name for case in scored for name in case.slices)
    given = {name: in_bins([case.slices.get(name, "") for case in scored]) for name in names}
    return own_slices([case.example for case in scored], [case.text for case in scored]) | given


# --- predictions -----------------------------------------------------------------------------------------------------


def _answers(path: Path, cases_sha256: str) -> list[Answer]:
    answers = read_objects(path, _answer, shape=PREDICTION)
    strangers = {one.cases_sha256 for one in answers} - {None, cases_sha256}
    if strangers:
        other = sorted(str(one)[:12] for one in strangers)[0]
        raise EvaluationError(
            f"{path}: made for another case file (its SHA-256 begins {other}, that of this one {cases_sha256[:12]}).",
            fix="Score them with the cases that they were made for, or ask the model again.",
        )
    return answers


def _answer(record: Mapping[str, Any]) -> Answer:
    if "output" not in record and "samples" not in record:
        raise ValueError("no output")
    output, confidence = record.get("output"), _number(record, "confidence", 0, 1)
    samples = record.get("samples")
    if samples is not None:
        if not isinstance(samples, list) or not samples:
            raise ValueError("samples is not a list of outputs")
        chosen, share = agreement(samples)
        output = record.get("output", chosen)
        confidence = share if confidence is None else confidence
    tokens = _number(record, "tokens", 0, math.inf)
    if not isinstance(record.get("cases_sha256"), str | None):
        raise ValueError("cases_sha256 is no text")
    return Answer(
        id=str(record["id"]),
        output=output,
        confidence=confidence,
        probabilities=_probabilities(record.get("probabilities")),
        nats=_number(record, "nats", 0, math.inf),
        tokens=None if tokens is None else int(tokens),
        cases_sha256=record.get("cases_sha256"),
    )


def _number(record: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    value = record.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"{name} is no number from {least:g} to {most:g}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large a number") from None


def _probabilities(given: Any) -> dict[str, float]:
    """Probabilities that sum to 1; what rounding took from the sum is given back in proportion."""
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(
        isinstance(p, int | float) and not isinstance(p, bool) and 0 <= p <= 1 for p in given.values()
    ):
        raise ValueError("probabilities is not an object of numbers from 0 to 1")
    total = math.fsum(given.values())
    if abs(total - 1) > SUM_OFF:
        raise ValueError(f"probabilities sum to {total:.4g}, not to 1")
    return {str(label): float(p) / total for label, p in given.items()}


def _prediction(
    one: Answer, kind: TaskKind, system: str, labels: Mapping[str, str], concept_of: NameToConcept
) -> Prediction:
    value = _value(one.output, kind, labels, concept_of)
    confidence = one.confidence
    if confidence is None and isinstance(value, str):
        confidence = one.probabilities.get(value)
    return Prediction(
        id=one.id,
        example=one.id,
        task=kind.value,
        system=system,
        output=one.output if isinstance(one.output, str) else json.dumps(one.output),
        value=value,
        confidence=confidence,
        probabilities=one.probabilities,
        nats=one.nats,
        tokens=one.tokens,
    )


def _value(output: Any, kind: TaskKind, labels: Mapping[str, str], concept_of: NameToConcept) -> Any:
    """The output as data, None where it cannot be read."""
    if kind is TaskKind.EXTRACT:
        return _findings(output, concept_of)
    if isinstance(output, bool | float) or not isinstance(output, str | int):
        return None
    text = str(output).strip()
    if kind is TaskKind.GENERATE or not text:
        return text or None
    return labels.get(text.casefold()) or labels.get(text.casefold().rstrip(". ")) or text


def _findings(output: Any, concept_of: NameToConcept) -> list[dict[str, Any]] | None:
    if isinstance(output, str):
        try:
            output = json.loads(output)
        except (ValueError, RecursionError):
            return read_finding_lines(output.strip(), concept_of)
    if isinstance(output, dict) and set(output) == {"findings"}:
        output = output["findings"]
    if not isinstance(output, list):
        return None
    found = [_finding(item, concept_of) for item in output]
    return None if any(item is None for item in found) else [item for item in found if item is not None]


def _finding(item: Any, concept_of: NameToConcept) -> dict[str, Any] | None:
    """A finding as data; None where it has no name. A place that is none is left out."""
    if isinstance(item, str):
        item = {"label": item}
    if not isinstance(item, dict):
        return None
    concept, label = item.get("concept") or item.get("hpo_id") or "", item.get("label") or item.get("name") or ""
    if not isinstance(concept, str) or not isinstance(label, str) or not (concept or label.strip()):
        return None
    if not concept:
        concept, label = concept_of(label.strip()) or ("", label.strip())
    status = str(item.get("status", Status.PRESENT.value)).casefold()
    if str(item.get("experiencer") or "patient").casefold() not in ("patient", "self"):
        status = Status.FAMILY.value
    found: dict[str, Any] = {"concept": concept, "label": label, "status": status}
    start, end = item.get("start"), item.get("end")
    if type(start) is int and type(end) is int and 0 <= start < end:
        found |= {"start": start, "end": end}
    return found
