"""Builds a pack's synonyms.tsv from reports whose findings are marked.

In: reports (JSON lines with text, patient and findings), the pack, and files of reports whose patients stay out.
Out: a TSV: name, hpo_id, status, origin, uses, right. A row without hpo_id says that a name is no finding here.

Covers: surface forms that the terminology does not know, or knows as another concept; statements of normality;
names of the terminology that in these reports mean something else. Does not cover: abbreviations (a table of
their own), misspellings.

A form is taken only where it is consistent: nearly all its marked uses name one concept, and nearly all its
occurrences are marked. Run it as

    python scripts/build_synonyms.py REPORTS.jsonl --leave-out DEMO.jsonl -o src/residency/packs/neurology/synonyms.tsv
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from residency.curate.extract import Reader, find, load_reader
from residency.curate.extract.lexicon import Lexicon, build_lexicon, forms
from residency.curate.extract.tokens import tokenize
from residency.packs import Pack, load_pack
from residency.packs.terminology import load_terminology
from residency.packs.words import STOP_WORDS, light, word_set

SAME = 0.8  # share of a form's marked uses that must name one concept
RIGHT = 0.5  # share of a name's occurrences that must be marked for it to stay a finding
NEVER = 0.1  # share below which a name of the terminology is no finding in these reports
SEEN = 3  # occurrences from which the share of a name counts
LONGEST = 80  # characters of a form
NOT_ENGLISH = "foreign"
NEGATIONS = word_set("no not never without nor neither cannot none denied")
NORMAL = "normo"  # normotensive, normocephalic
SAYS = word_set("is are was were has have had been does do well normal normally remained")
ORIGIN = "development reports"


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    hpo_id: str
    status: str
    uses: int
    right: int


Reports = Sequence[Mapping[str, Any]]


def build(reports: Reports, pack: Pack) -> list[Row]:
    """The rows for a pack without synonyms of its own, from these reports only."""
    bare = _with_synonyms(pack, None)
    reader = load_reader(bare)
    rows = _new_names(reports, reader.lexicon)
    return sorted(_checked(reports, rows, bare), key=lambda row: (row.hpo_id, row.name))


def _with_synonyms(pack: Pack, path: str | None) -> Pack:
    return replace(pack, settings=pack.settings.model_copy(update={"synonyms": path}))


def _new_names(reports: Reports, lexicon: Lexicon) -> list[Row]:
    concepts: dict[str, Counter[str]] = defaultdict(Counter)
    statuses: dict[str, Counter[str]] = defaultdict(Counter)
    written: dict[str, Counter[str]] = defaultdict(Counter)
    known = Counter(word for report in reports for word in set(tokenize(report["text"]).light))
    for report in reports:
        for finding in report["findings"]:
            name = _trimmed(report["text"][finding["start"] : finding["end"]])
            key = _key(name, lexicon)
            if key and len(name) <= LONGEST and _is_spelled(name, known, lexicon):
                concepts[key][finding["hpo_id"]] += 1
                statuses[key][finding["status"]] += 1
                written[key][name] += 1
    rows = []
    for key, counts in concepts.items():
        concept, uses = counts.most_common(1)[0]
        name = min(written[key], key=lambda n: (-written[key][n], n))
        status = _said(name, statuses[key], concept, lexicon)
        if uses < SAME * counts.total() or status is None or concept not in lexicon.labels:
            continue
        if _known_as(name, lexicon) != concept or status:
            rows.append(Row(name, concept, status, uses, uses))
    return rows


def _trimmed(surface: str) -> str:
    """The form in lower case without the words around it that mean nothing."""
    words = surface.split()
    while words and light(words[0]) in STOP_WORDS:
        words = words[1:]
    text = " ".join(words)
    return text.lower() if any(c.islower() for c in text) or len(words) > 1 else text


def _key(name: str, lexicon: Lexicon) -> str:
    tokens = tokenize(name)
    words = [raw for raw in tokens.raw if raw[0].isalnum() or raw in "&/+" or raw[0] in "↑↓"]
    if len(words) == 1 and (len(words[0]) < 4 or words[0].isupper() or words[0] in lexicon.expansions):
        return ""  # an abbreviation
    return " ".join(sorted(forms(words, lexicon.expansions)))


def _is_spelled(name: str, known: Counter[str], lexicon: Lexicon) -> bool:
    """Whether every word is a word: the terminology has it, or many reports do."""
    words = [form for form in tokenize(name).light if form.isalpha() and len(form) > 3]
    return all(form in lexicon.known_words or known[form] > SEEN for form in words)


def _said(name: str, statuses: Counter[str], concept: str, lexicon: Lexicon) -> str | None:
    """The status that the name itself says, "" for none; None where the name should not be taken."""
    words = set(name.lower().split())
    negated = bool(words & NEGATIONS) or any(word.endswith("n't") for word in words)
    if set(statuses) != {"absent"}:
        return None if negated and statuses["absent"] else ""
    if any(word.startswith(NORMAL) for word in words):
        return "absent"  # also where so few reports say it that _checked could not tell
    if not negated:
        return ""  # _checked finds out whether the name itself says it
    rest = " ".join(word for word in name.split() if word.lower() not in NEGATIONS | SAYS)
    return None if _known_as(rest, lexicon) == concept else "absent"


def _known_as(name: str, lexicon: Lexicon) -> str:
    """The concept that the lexicon already reads in the whole name."""
    words = _key(name, lexicon).split()
    entry = lexicon.read(words, [lexicon.stem(word) for word in words]) if words else None
    return entry.concept if entry else ""


def _checked(reports: Reports, rows: Sequence[Row], bare: Pack) -> Iterator[Row]:
    """The rows whose occurrences are mostly marked, and a row for each name that mostly is no finding."""
    lexicon = _extended(rows, bare)
    reader = Reader(lexicon=lexicon, cues=load_reader(bare).cues)
    seen: dict[str, _Seen] = defaultdict(_Seen)
    for report in reports:
        for finding in find(report["text"], reader):
            assert finding.start is not None and finding.end is not None
            surface = " ".join(report["text"][finding.start : finding.end].split())
            marks = [f for f in report["findings"] if f["start"] < finding.end and finding.start < f["end"]]
            seen[_key(surface, lexicon) or surface].add(surface, finding.status.value, [m["status"] for m in marks])
    for row in rows:
        what = seen[_key(row.name, lexicon)]
        if what.shown < SEEN or what.right >= RIGHT * what.shown:
            says = row.status or ("absent" if what.normal > SAME * max(what.right, 1) else "")
            yield replace(row, status=says, uses=max(what.shown, row.uses), right=max(what.right, row.uses))
    own = {_key(row.name, lexicon) for row in rows}
    for key, what in seen.items():
        if key not in own and what.shown >= SEEN and what.right < NEVER * what.shown:
            name = min(what.written, key=lambda n: (-what.written[n], n))
            yield Row(name if name.isupper() else name.lower(), "", "", what.shown, what.right)


@dataclass(slots=True)
class _Seen:
    """How a name occurs: how often, how often marked, and how often marked absent without any cue that says so."""

    shown: int = 0
    right: int = 0
    normal: int = 0
    written: Counter[str] = field(default_factory=Counter)

    def add(self, surface: str, read: str, marked: Sequence[str]) -> None:
        self.shown += 1
        self.right += bool(marked)
        self.normal += bool(marked) and read == "present" and set(marked) == {"absent"}
        self.written[surface] += 1


def _extended(rows: Iterable[Row], bare: Pack) -> Lexicon:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synonyms.tsv"
        write(rows, path, remarks=())
        return build_lexicon(_with_synonyms(bare, str(path)), load_terminology(bare))


def write(rows: Iterable[Row], path: Path, *, remarks: Sequence[str]) -> None:
    """Write the table."""
    lines = [f"# {remark}" for remark in remarks]
    lines.append("name\thpo_id\tstatus\torigin\tuses\tright")
    lines += [f"{r.name}\t{r.hpo_id}\t{r.status}\t{ORIGIN}\t{r.uses}\t{r.right}" for r in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_reports(path: Path) -> list[dict[str, Any]]:
    """The reports of a JSON-lines file that are in English."""
    with path.open(encoding="utf-8") as file:
        reports = [json.loads(line) for line in file]
    return [report for report in reports if not report.get("genre", "").startswith(NOT_ENGLISH)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path)
    parser.add_argument("--leave-out", type=Path, nargs="*", default=[], help="reports whose patients stay out")
    parser.add_argument("--pack", default="neurology")
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    held = {report["patient"] for path in chosen.leave_out for report in map(json.loads, path.open(encoding="utf-8"))}
    reports = [report for report in read_reports(chosen.reports) if report["patient"] not in held]
    rows = build(reports, load_pack(chosen.pack))
    patients = len({report["patient"] for report in reports})
    write(
        rows,
        chosen.output,
        remarks=(
            f"Surface forms of findings, read from the marked spans of {len(reports)} invented development reports of",
            f"{patients} patients (none of the demo's). Built by scripts/build_synonyms.py; concepts: the HPO.",
            "They are of the same making as the demo's reports: expect less from other texts (see bench/extract.py).",
            "No hpo_id: no finding in these reports. status: what the name itself says. uses, right: occurrences, and",
            "those that are marked.",
        ),
    )
    print(f"{chosen.output}: {len(rows)} names from {len(reports)} reports of {patients} patients")


if __name__ == "__main__":
    main()
