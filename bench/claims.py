"""Planted hallucinations and omissions: how many the claim check finds, and how much it says that is wrong.

    python bench/claims.py REPORTS.jsonl --defects PLANTED.json [--half development]

In: paths; nothing of the data is in this repository. Out: tables on standard output; exit status 1 where a goal is
missed.

Every report has a reference summary. Each of the six kinds is planted once in a summary where it can be:

    fabrication   a finding that the report does not name, nor a wider or narrower one
    polarity      a present finding is written as absent, or the other way round
    experiencer   a finding of a relative is written as the patient's
    value, unit   an amount of the report is copied into the summary, then its number or unit is changed
    laterality    a sided finding, first written into the report, is given the other side
    omission      a fact of the reference is left out

Amounts and sides are copied truly into every second summary, so that calling all of them wrong would not pass. Reports
are repaired first, as curation repairs them. What is true by the report's own annotations is taken as true, never what
the check says. A reference that states an age of which the report holds no such number is left alone. Precision: of all
claims that are called hallucinated and facts that are called omitted, those that were planted; it rises with the number
of errors in a summary, so that the precision with one error a summary is printed beside it. Recall: of what was
planted, what was called so.

``held-out`` (half of the patients, by a hash) is for reporting. The pack's synonyms were collected from these reports,
so that a second row reads with synonyms of the development half only. Does not cover: summaries that people wrote.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from extract import reader_with

from residency.curate.cleanse import Cleanse
from residency.curate.extract import find, load_reader
from residency.curate.step import Tools
from residency.evaluate.claims.check import check_all
from residency.evaluate.claims.claim import Checked, Place, Problem
from residency.evaluate.claims.means import Means, means_of
from residency.evaluate.claims.omission import facts_in, omitted
from residency.evaluate.claims.read import claims_of
from residency.evaluate.claims.source import read_source
from residency.packs import Pack, load_pack
from residency.packs.terminology import Terminology
from residency.records import Document, Source

SUMMARIES = 1_000
GOALS = {"precision": 0.95, "recall": 0.90, "milliseconds": 5.0}
KINDS = ("fabrication", "polarity", "experiencer", "value or unit", "laterality", "omission")
REASONS = {
    "fabrication": {Problem.FABRICATION, Problem.OVER_SPECIFIED},
    "polarity": {Problem.POLARITY},
    "experiencer": {Problem.EXPERIENCER},
    "value or unit": {Problem.VALUE, Problem.UNIT},
    "laterality": {Problem.LATERALITY},
}
SIDED = ("hemiparesis", "foot drop", "facial palsy", "hemianopia", "hand tremor")  # written into reports with a side
Report = Mapping[str, Any]


@dataclass(slots=True)
class Case:
    """A report and its summary with what was planted in it."""

    text: str
    reference: str
    summary: str
    planted: dict[str, Place] = field(default_factory=dict)  # kind -> place in the summary
    left_out: tuple[tuple[str, str], ...] = ()  # facts (concept, status)

    def append(self, kind: str, sentence: str, wrong: str) -> None:
        """A sentence at the end of the summary; ``wrong`` is the part that was planted."""
        start = len(self.summary) + 1 + sentence.index(wrong)
        self.summary = f"{self.summary} {sentence}"
        self.planted[kind] = (start, start + len(wrong))


@dataclass(slots=True)
class Result:
    """Counts over all cases."""

    planted: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    called: int = 0  # hallucinated claims and omitted facts, right or wrong
    right: int = 0
    named: Counter[str] = field(default_factory=Counter)  # caught, and for the right reason
    true_claims: int = 0
    false_of_true: int = 0  # true claims that were called hallucinated, in references as they are
    claims: int = 0
    summaries: int = 0
    seconds: float = 0.0
    verdicts: Any = field(default_factory=hashlib.sha256)

    @property
    def precision(self) -> float:
        return self.right / max(self.called, 1)

    @property
    def precision_at_one(self) -> float:
        """Precision if every summary held one error."""
        wrong = (self.called - self.right) / max(self.summaries, 1)
        return self.recall / max(self.recall + wrong, 1e-9)

    @property
    def recall(self) -> float:
        return self.caught.total() / max(self.planted.total(), 1)

    @property
    def milliseconds(self) -> float:
        return 1_000 * self.seconds / max(self.claims, 1)


def halves(reports: Sequence[Report], half: str) -> list[Report]:
    """The reports of one half of the patients, in an order that a hash gives."""
    wanted = 0 if half == "development" else 1

    def digest(text: str) -> int:
        return int(hashlib.sha256(f"claims:{text}".encode()).hexdigest(), 16)

    chosen = [report for report in reports if digest(report["patient"]) % 2 == wanted]
    return sorted(chosen, key=lambda report: digest(report["id"]))


def plant(report: Report, means: Means, rng: random.Random, names: Sequence[str]) -> Case:
    """One error of every kind that the report allows."""
    case = Case(text=report["text"], reference=report["summary"], summary=report["summary"])
    gold = [(g["hpo_id"], g["status"]) for g in report["findings"]]
    _polarity(case, report, gold, means.terminology)
    _omission(case, report, gold)
    _fabrication(case, gold, means.terminology, rng, names)
    _experiencer(case, report, gold, means.terminology)
    _amount(case, means, rng)
    _laterality(case, gold, rng, means)
    return case


def _labels(report: Report, status: str) -> dict[str, str]:
    """Concepts of the reference with this status, and their labels as the reference writes them."""
    found = {}
    for finding in report["findings"]:
        if finding["status"] == status and finding["label"].lower() in report["summary"].lower():
            found[finding["hpo_id"]] = finding["label"]
    return found


def _polarity(case: Case, report: Report, gold: Sequence[tuple[str, str]], known: Terminology) -> None:
    """A finding that the report only affirms is denied. The first one, so that every run plants the same."""
    for concept, label in sorted(_labels(report, "present").items()):
        related = {s for c, s in gold if known.is_a(c, concept) or known.is_a(concept, c)}
        if related == {"present"}:
            case.append("polarity", f"There is no {label.lower()}.", label.lower())
            return
    for concept, label in sorted(_labels(report, "absent").items()):
        related = {s for c, s in gold if known.is_a(c, concept) or known.is_a(concept, c)}
        if related == {"absent"}:
            case.append("polarity", f"There is {label.lower()}.", label.lower())
            return


def _omission(case: Case, report: Report, gold: Sequence[tuple[str, str]]) -> None:
    """The last item of the list of present findings is left out."""
    head, mark, tail = case.summary.partition(". ")
    match = re.search(r"(?:,|;| and) (?!.*(?:,|;| and) )(?P<item>.+?)\.?$", head)
    if match is None or head.count("(") != head.count(")"):
        return
    item = match["item"].strip().lower()
    concept = next((c for c, label in _labels(report, "present").items() if label.lower() == item), None)
    if concept is None or any(label.lower() == item for c, label in _labels(report, "absent").items()):
        return
    shorter = head[: match.start()] + ("." if not mark else "")
    if item in (shorter + tail).lower():  # said elsewhere, too
        return
    moved = len(case.summary)
    case.summary = shorter + mark + tail
    case.left_out = ((concept, "present"),)
    cut = moved - len(case.summary)
    case.planted = {kind: (start - cut, end - cut) for kind, (start, end) in case.planted.items()}


def _fabrication(
    case: Case, gold: Sequence[tuple[str, str]], known: Terminology, rng: random.Random, names: Sequence[str]
) -> None:
    """A finding of some other report that this one does not speak of."""
    for _ in range(50):
        concept = rng.choice(names)
        related = any(known.is_a(c, concept) or known.is_a(concept, c) for c, _ in gold)
        siblings = any(
            set(known.parents.get(concept, ())) & set(known.parents.get(known.current(c), ())) for c, _ in gold
        )
        label = known.label(concept).lower()
        if not related and not siblings and label not in case.text.lower():
            case.append("fabrication", f"Examination also showed {label}.", label)
            return


def _experiencer(case: Case, report: Report, gold: Sequence[tuple[str, str]], known: Terminology) -> None:
    for finding in report["findings"]:
        concept = finding["hpo_id"]
        others = {s for c, s in gold if s != "family" and (known.is_a(c, concept) or known.is_a(concept, c))}
        if finding["status"] == "family" and not others:
            case.append("experiencer", f"The patient has {finding['label'].lower()}.", finding["label"].lower())
            return


def _amount(case: Case, means: Means, rng: random.Random) -> None:
    """A drug with its dose, or a measurement, as the report writes it; then another number or unit.

    Not a dose by weight: 2 mg, copied out of 2 mg/kg/day, is a wrong dose.
    """
    found = re.search(
        r"(?P<name>[A-Za-z]{4,}) (?P<number>\d+(?:\.\d+)?) ?(?P<unit>mg|mm|cm|kg|IU|ml)\b(?!/)", case.text
    )
    if found is None:
        return
    number, unit = found["number"], found["unit"]
    if rng.random() < 0.5:
        case.summary = f"{case.summary} Noted: {found['name']} {number} {unit}."
        return
    if rng.random() < 0.5 and unit in ("mg", "mm"):
        wrong = f"{number} {'g' if unit == 'mg' else 'cm'}"
    else:
        wrong = f"{float(number) * rng.choice((1.5, 2, 10)):g} {unit}"
    case.append("value or unit", f"Noted: {found['name']} {wrong}.", wrong)


def _laterality(case: Case, gold: Sequence[tuple[str, str]], rng: random.Random, means: Means) -> None:
    """A finding with its side goes into the report, with the other side into the summary."""
    known = means.terminology
    fresh = []
    for name in SIDED:
        concepts = [f.concept for f in means.find(f"There is {name}.")]
        if concepts and not any(known.is_a(c, concepts[0]) or known.is_a(concepts[0], c) for c, _ in gold):
            fresh.append(name)
    if not fresh:
        return
    name, (side, other) = rng.choice(fresh), rng.choice((("left", "right"), ("right", "left")))
    written = rng.choice((f"{side}-sided {name}", f"{name} on the {side}", f"{side} {name}"))
    case.text = f"{case.text}\n\nAddendum: there is {written}."
    if rng.random() < 0.5:
        case.summary = f"{case.summary} There is {side}-sided {name}."
    else:
        case.append("laterality", f"There is {other}-sided {name}.", name)


def judge(case: Case, means: Means) -> tuple[list[Checked], list[tuple[str, str]], int, float]:
    """The claims called hallucinated, the facts called omitted, how many claims there were, seconds."""
    begun = time.process_time()
    claims = claims_of(case.summary, means)
    checked = check_all(claims, read_source(case.text, means))
    missing = omitted(facts_in(means.find(case.reference)), claims, means.terminology)
    seconds = time.process_time() - begun
    unstated = _ages_not_in(case)
    called = [one for one in checked if one.is_hallucination and one.claim.place not in unstated]
    return called, [(fact.concept, fact.status.value) for fact in missing], len(checked), seconds


def _ages_not_in(case: Case) -> set[Place]:
    """Places of the summary's ages whose number the report does not hold."""
    match = re.match(r"(\d+)-(?:year|month|week|day)-old", case.summary)
    return {match.span()} if match and not re.search(rf"(?<!\d){match[1]}(?!\d)", case.text) else set()


def measure(cases: Sequence[Case], means: Means) -> Result:
    """All cases, counted."""
    result = Result()
    result.summaries = len(cases)
    for case in cases:
        called, missing, count, seconds = judge(case, means)
        result.claims += count
        result.seconds += seconds
        result.called += len(called) + len(missing)
        for kind, place in case.planted.items():
            hits = [one for one in called if one.claim.place and _overlap(one.claim.place, place)]
            result.planted[kind] += 1
            result.caught[kind] += bool(hits)
            result.named[kind] += any(one.problem in REASONS[kind] for one in hits)
            result.right += len(hits)
        for fact in case.left_out:
            result.planted["omission"] += 1
            result.caught["omission"] += fact in missing
            result.right += fact in missing
        result.verdicts.update(repr((called, missing)).encode())
        _references_as_they_are(case, means, result)
    return result


def _references_as_they_are(case: Case, means: Means, result: Result) -> None:
    clean = replace(case, summary=case.reference, planted={}, left_out=())
    called, _, count, _ = judge(clean, means)
    result.true_claims += count
    result.false_of_true += len(called)


def _overlap(one: Place, other: Place) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def show(name: str, result: Result) -> None:
    print(f"\n{name}: {result.planted.total()} planted, {result.called} called")
    for kind in KINDS:
        if result.planted[kind]:
            found, of = result.caught[kind], result.planted[kind]
            reason = f", {result.named[kind] / of:.3f} for the right reason" if kind in REASONS else ""
            print(f"  {kind:<14} {found:>4} of {of:>4} found: {found / of:.3f}{reason}")
    print(f"  precision {result.precision:.3f}, with one error a summary {result.precision_at_one:.3f}")
    print(f"  recall {result.recall:.3f}   {result.milliseconds:.2f} ms a claim")
    alone = result.false_of_true / max(result.true_claims, 1)
    print(f"  references as they are: {result.false_of_true} of {result.true_claims} claims called ({alone:.4f})")


def usable(path: Path, defects: Path | None, pack: Pack) -> Iterator[Report]:
    """Reports with a summary, repaired, without those that were damaged on purpose."""
    damaged = {one["id"] for one in json.loads(defects.read_text(encoding="utf-8"))} if defects else set()
    lines = map(json.loads, path.open(encoding="utf-8"))
    reports = [report for report in lines if report["summary"] and report["id"] not in damaged]
    documents = [
        Document(id=r["id"], key=r["id"], text=r["text"], source=Source(path=path.name), patient=r["patient"])
        for r in reports
    ]
    tools = Tools(key=bytes(32), seed=1, pack=pack)
    repaired = {d.parents[0] if d.parents else d.id: d for d in Cleanse()(documents, tools) if isinstance(d, Document)}
    for report in reports:
        if report["id"] in repaired:
            yield {**report, "text": repaired[report["id"]].text}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path)
    parser.add_argument("--defects", type=Path, help="list of reports that were damaged on purpose; they are left out")
    parser.add_argument("--half", choices=("development", "held-out"), default="held-out")
    parser.add_argument("--pack", default="neurology")
    chosen = parser.parse_args()
    pack = load_pack(chosen.pack)
    reports = list(usable(chosen.reports, chosen.defects, pack))
    half = halves(reports, chosen.half)[:SUMMARIES]
    other = halves(reports, "development" if chosen.half == "held-out" else "held-out")
    shipped = means_of(pack, partial(find, reader=load_reader(pack)))
    names = sorted({f["hpo_id"] for r in other for f in r["findings"] if f["hpo_id"] in shipped.terminology})
    cases = [plant(report, shipped, random.Random(report["id"]), names) for report in half]
    print(f"{len(cases)} summaries of the {chosen.half} half, {len({r['patient'] for r in half})} patients")
    first = measure(cases, shipped)
    again = measure(cases, shipped)
    show("the pack as shipped", first)
    same = first.verdicts.digest() == again.verdicts.digest()
    print(f"  second run: {'the same verdicts' if same else 'OTHER VERDICTS'}")
    # Names from the other half only: what a report of other making may call by a name that no list has.
    bare = replace(pack, settings=pack.settings.model_copy(update={"synonyms": None}))
    own = means_of(bare, partial(find, reader=reader_with(pack, other)))
    show("synonyms collected from the other half only", measure(cases, own))
    met = (
        first.precision >= GOALS["precision"]
        and first.recall >= GOALS["recall"]
        and first.milliseconds <= GOALS["milliseconds"]
        and same
    )
    print(f"\ngoals {'met' if met else 'MISSED'}: {', '.join(f'{name} {goal:g}' for name, goal in GOALS.items())}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
