"""How well findings are read, beside two peers: reports held out by patient and by genre, and published abstracts.

    python bench/extract.py --reports REPORTS.jsonl --leave-out DEMO.jsonl [--abstracts HPO_GSC] [--demo DEMO.jsonl]

In: paths; nothing of the data is in this repository. Out: tables on standard output.

Covers: concept F1 of a report's set of (concept, status), of its set of concepts, of its mentions (same concept,
spans overlap), status accuracy on mentions found, reports a second of one core; always once without the pack's
synonyms and once with synonyms built from the training side only. Two peers read the same terminology in the same
run, both know present and excluded: fenominal (Rust) and negspaCy over a spaCy phrase matcher. They are needed here
only: ``pip install fenominal negspacy``; what is absent is said and left out.
``--demo`` adds the shipped synonyms on the demo's reports: report it, never choose by it. Does not cover: text of
real hospitals.

The abstracts (GSC+) are annotated with concepts whatever is said of them, so all mentions count there and no status.
They are halved by a hash of their names: the development half was looked at, of the other only totals were seen.

The development reports are written by one generator, so a held-out patient shares its phrases with the training
side. The row "new genres" and the abstracts say more about text of other making.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from residency.curate.extract import Reader, find, load_reader
from residency.curate.extract.matcher import find_mentions
from residency.curate.extract.tokens import tokenize
from residency.packs import Pack, load_pack
from residency.packs.terminology import Terminology, load_terminology
from residency.records import Finding, Status

FOLDS = 5  # one is held out
GENRE_PARTS = 3  # one third of the genres is held out
ABSTRACT_PARTS = 2
Report = Mapping[str, Any]
Read = Callable[[str], Sequence[Finding]]


@dataclass(slots=True)
class Tally:
    """Counts for precision, recall and F1."""

    right: int = 0
    given: int = 0
    gold: int = 0

    def add(self, right: int, given: int, gold: int) -> None:
        self.right += right
        self.given += given
        self.gold += gold

    def __str__(self) -> str:
        precision = self.right / max(self.given, 1)
        recall = self.right / max(self.gold, 1)
        return f"{precision:.3f} {recall:.3f} {2 * self.right / max(self.given + self.gold, 1):.3f}"


@dataclass(slots=True)
class Result:
    """What one reader did on one set of reports."""

    reports: int
    keys: Tally
    concepts: Tally
    mentions: Tally
    status_right: int
    status_of: int
    seconds: float

    def row(self, name: str) -> str:
        status = f"{self.status_right / self.status_of:.3f}" if self.status_of else "    -"
        speed = self.reports / self.seconds
        return f"{name:<34} {self.reports:>5}  {self.keys}  {self.concepts}  {self.mentions}  {status}  {speed:>6.0f}"


HEAD = (
    f"{'':<34} {'n':>5}  {'concept + status':<17}  {'concept':<17}  {'mention':<17}  status  per s\n"
    f"{'':<34} {'':>5}  {'P     R     F1':<17}  {'P     R     F1':<17}  {'P     R     F1':<17}"
)


def measure(reports: Sequence[Report], read: Read) -> Result:
    """Read all reports and compare."""
    started = time.process_time()
    found = [read(report["text"]) for report in reports]
    result = Result(len(reports), Tally(), Tally(), Tally(), 0, 0, time.process_time() - started)
    for report, findings in zip(reports, found, strict=True):
        gold = report["findings"]
        _count_sets(result.keys, {f.key for f in findings}, {(g["hpo_id"], g["status"]) for g in gold})
        _count_sets(result.concepts, {f.concept for f in findings}, {g["hpo_id"] for g in gold})
        pairs = [
            (f, g)
            for f in findings
            for g in gold
            if f.concept == g["hpo_id"] and f.start is not None and f.end is not None
            if f.start < g["end"] and g["start"] < f.end
        ]
        result.mentions.add(len({(f.start, f.end) for f, _ in pairs}), len(findings), len(gold))
        result.status_of += len(pairs)
        result.status_right += sum(f.status.value == g["status"] for f, g in pairs)
    return result


def _count_sets(tally: Tally, given: set[Any], gold: set[Any]) -> None:
    tally.add(len(given & gold), len(given), len(gold))


def held_out(reports: Iterable[Report], salt: str, key: Callable[[Report], str], parts: int) -> list[bool]:
    """Whether each report's patient (or genre) falls in the held-out part; by hash, so it never changes."""
    digests = (hashlib.sha256(f"{salt}:{key(report)}".encode()).hexdigest() for report in reports)
    return [int(digest, 16) % parts == 0 for digest in digests]


def findings_of(reader: Reader) -> Read:
    """Findings with their status."""
    return lambda text: find(text, reader)


def mentions_of(reader: Reader) -> Read:
    """Every mention, whatever the text says of it."""

    def read(text: str) -> list[Finding]:
        tokens = tokenize(text)
        return [
            Finding(
                concept=mention.entry.concept,
                label=reader.lexicon.labels[mention.entry.concept],
                status=Status.PRESENT,
                start=tokens.starts[mention.first],
                end=tokens.ends[mention.last],
            )
            for mention in find_mentions(tokens, reader.lexicon)
        ]

    return read


def fenominal(terminology: Terminology) -> Read | None:
    """The peer over the same names; None where it is not installed."""
    try:
        from fenominal import Fenominal  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hp.json"
        path.write_text(json.dumps(_obographs(terminology)), encoding="utf-8")
        peer = Fenominal(str(path))

    def read(text: str) -> list[Finding]:
        data = text.encode()  # the peer counts bytes
        return [
            Finding(
                concept=hit["termId"],
                label=hit["label"],
                status=Status.ABSENT if hit["excluded"] else Status.PRESENT,
                start=_code_points(data, hit["span"]["start"]),
                end=_code_points(data, hit["span"]["end"]),
            )
            for hit in json.loads(peer.map_text(text))
            if hit["termId"] in terminology.labels
        ]

    return read


def negspacy(terminology: Terminology) -> Read | None:
    """The names in a spaCy phrase matcher, negation by negspaCy; None where they are not installed."""
    try:
        import spacy
        from negspacy.negation import Negex  # noqa: F401 - registers the component
        from spacy.language import Language
        from spacy.matcher import PhraseMatcher
        from spacy.tokens import Span
        from spacy.util import filter_spans
    except ImportError:
        return None
    nlp = spacy.blank("en")
    matcher = PhraseMatcher(nlp.vocab, attr="LOWER")
    for concept, names in terminology.synonyms.items():
        if terminology.parents[concept]:
            matcher.add(concept, [nlp.make_doc(name) for name, scope in names if scope != "BROAD"])

    @Language.component("concepts")
    def concepts(doc: Any) -> Any:
        doc.ents = filter_spans([Span(doc, start, end, label=label) for label, start, end in matcher(doc)])
        return doc

    nlp.add_pipe("sentencizer")
    nlp.add_pipe("concepts")
    nlp.add_pipe("negex")

    def read(text: str) -> list[Finding]:
        return [
            Finding(
                concept=entity.label_,
                label=terminology.labels[entity.label_],
                status=Status.ABSENT if entity._.negex else Status.PRESENT,
                start=entity.start_char,
                end=entity.end_char,
            )
            for entity in nlp(text).ents
        ]

    return read


def _code_points(data: bytes, offset: int) -> int:
    return len(data[:offset].decode(errors="ignore"))


def _obographs(terminology: Terminology) -> Mapping[str, Any]:
    """The terminology in the JSON form that the peer reads; it wants the release's name and HPO's own root."""
    base, top = "http://purl.obolibrary.org/obo/", "HP:0000001"

    def iri(concept: str) -> str:
        return base + concept.replace(":", "_")

    def node(concept: str) -> Mapping[str, Any]:
        names = terminology.synonyms[concept]
        synonyms = [{"pred": f"has{s.capitalize()}Synonym", "val": name} for name, s in names if s != "LABEL"]
        return {"id": iri(concept), "lbl": terminology.labels[concept], "type": "CLASS", "meta": {"synonyms": synonyms}}

    edges = [(c, parent) for c in terminology for parent in terminology.parents[c] or (top,)]
    graph = {
        "id": base + "hp.json",
        "meta": {"version": base + "hp/releases/2025-01-16/hp.json"},
        "nodes": [*map(node, terminology), {"id": iri(top), "lbl": "All", "type": "CLASS"}],
        "edges": [{"sub": iri(c), "pred": "is_a", "obj": iri(parent)} for c, parent in edges],
    }
    return {"graphs": [graph]}


def reader_with(pack: Pack, training: Sequence[Report] | None) -> Reader:
    """The pack's reader with synonyms built from these reports only; None: without synonyms."""
    bare = replace(pack, settings=pack.settings.model_copy(update={"synonyms": None}))
    if training is None:
        return load_reader(bare)
    build = _synonym_builder()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "synonyms.tsv"
        build.write(build.build(training, pack), table, remarks=())
        return load_reader(replace(pack, settings=pack.settings.model_copy(update={"synonyms": str(table)})))


def _synonym_builder() -> Any:
    path = Path(__file__).parent.parent / "scripts" / "build_synonyms.py"
    spec = importlib.util.spec_from_file_location("build_synonyms", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_synonyms"] = module
    spec.loader.exec_module(module)
    return module


def read_abstracts(folder: Path, terminology: Terminology) -> list[Report]:
    """GSC+ as reports; annotations outside the pack's concepts (mode of inheritance) are left out."""
    line = re.compile(r"\[(\d+)::(\d+)\]\s+(HP_\d+)")
    abstracts: list[Report] = []
    for path in sorted((folder / "corpus").iterdir()):
        gold = []
        for start, end, concept in line.findall((folder / "ann" / path.name).read_text(encoding="utf-8")):
            current = terminology.current(concept.replace("_", ":"))
            if current in terminology.labels:
                gold.append({"start": int(start), "end": int(end), "hpo_id": current, "status": "present"})
        abstracts.append({"name": path.name, "text": path.read_text(encoding="utf-8"), "findings": gold})
    return abstracts


def _print_peers(reports: Sequence[Report], peers: Mapping[str, Read | None]) -> None:
    for name, read in peers.items():
        print(measure(reports, read).row(name) if read else f"{name}: not installed; pip install {name}")


def _print_abstracts(
    abstracts: Sequence[Report], bare: Reader, shipped: Reader, peers: Mapping[str, Read | None]
) -> None:
    print("\nGSC+ abstracts (no status annotated: read the concept columns)")
    looked_at = held_out(abstracts, "gsc", lambda r: r["name"], ABSTRACT_PARTS)
    halves = {
        "development half": [r for r, seen in zip(abstracts, looked_at, strict=True) if seen],
        "held-out half": [r for r, seen in zip(abstracts, looked_at, strict=True) if not seen],
        "all": abstracts,
    }
    for name, reports in halves.items():
        print(measure(reports, mentions_of(bare)).row(f"{name}, no synonyms"))
        print(measure(reports, mentions_of(shipped)).row(name))
        _print_peers(reports, peers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=Path, required=True)
    parser.add_argument("--leave-out", type=Path, nargs="*", default=[], help="reports whose patients stay out")
    parser.add_argument("--abstracts", type=Path, help="folder of GSC+ with corpus/ and ann/")
    parser.add_argument("--demo", type=Path, help="reports for the final figure of the shipped synonyms")
    parser.add_argument("--pack", default="neurology")
    chosen = parser.parse_args()
    pack = load_pack(chosen.pack)
    out = {report["patient"] for path in chosen.leave_out for report in map(json.loads, path.open(encoding="utf-8"))}
    reports = [r for r in _synonym_builder().read_reports(chosen.reports) if r["patient"] not in out]
    by_patient = held_out(reports, "extract", lambda r: r["patient"], FOLDS)
    by_genre = held_out(reports, "genre", lambda r: r["genre"], GENRE_PARTS)
    test = [r for r, held in zip(reports, by_patient, strict=True) if held]
    train = [r for r, held in zip(reports, by_patient, strict=True) if not held]
    new = [r for r, p, g in zip(reports, by_patient, by_genre, strict=True) if p and g]
    known = [r for r, p, g in zip(reports, by_patient, by_genre, strict=True) if not p and not g]
    bare, own = reader_with(pack, None), reader_with(pack, train)
    terminology = load_terminology(pack)
    peers = {"fenominal": fenominal(terminology), "negspacy": negspacy(terminology)}
    print(HEAD)
    print(measure(test, findings_of(bare)).row("new patients, no synonyms"))
    print(measure(test, findings_of(own)).row("new patients"))
    _print_peers(test, peers)
    print(measure(new, findings_of(bare)).row("new patients + genres, no synonyms"))
    print(measure(new, findings_of(reader_with(pack, known))).row("new patients + genres"))
    _print_peers(new, peers)
    if chosen.abstracts:
        _print_abstracts(read_abstracts(chosen.abstracts, terminology), bare, load_reader(pack), peers)
    if chosen.demo:
        print("\nThe demo's reports, shipped synonyms (never used for choosing)")
        print(measure(_synonym_builder().read_reports(chosen.demo), findings_of(load_reader(pack))).row("demo"))
    print("\nheld-out genres:", ", ".join(sorted({r["genre"] for r, g in zip(reports, by_genre, strict=True) if g})))


if __name__ == "__main__":
    main()
