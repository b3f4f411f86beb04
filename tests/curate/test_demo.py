"""The demo project: what ships reads back whole, and says nothing it should not."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from residency.curate.cleanse import Cleanse
from residency.curate.ingest import SourceSettings, ingest
from residency.curate.labels import LabelSettings
from residency.curate.split import SplitSettings, split_patients
from residency.curate.step import Tools
from residency.packs import load_pack
from residency.records import Document, Dropped, Split
from residency.tasks import read_findings

ANSWERS = {"diagnosis", "findings", "summary", "critical"}


@pytest.fixture(scope="module")
def demo() -> Path:
    pack = load_pack("neurology")
    return pack.path(pack.settings.demo)


@pytest.fixture(scope="module")
def records(demo):
    return list(ingest((SourceSettings(path="inbox"),), LabelSettings(path="labels.csv", group="group"), demo))


@pytest.fixture(scope="module")
def documents(records):
    return [record for record in records if isinstance(record, Document)]


def test_the_inbox_is_mixed_and_only_the_empty_file_gives_nothing(records, documents):
    assert {d.meta["format"] for d in documents} == {"text", "csv", "jsonl", "html", "docx", "fhir"}
    assert [r.reason for r in records if isinstance(r, Dropped)] == ["no_text"]


def test_nearly_every_document_is_labeled_and_every_label_can_be_read(documents):
    labeled = [d for d in documents if d.answers]
    assert len(labeled) > 0.95 * len(documents)
    for document in labeled:
        assert set(document.answers) == ANSWERS
        assert document.group.startswith("PMID:")
        known = {f.concept for f in read_findings(document.answers["findings"], place=document.key)}
        assert set(document.answers["critical"].split()) <= known


def test_ids_and_file_names_tell_no_diagnosis_and_no_identifier(documents):
    for document in documents:
        assert re.fullmatch(
            r"[A-Z]\d+|(?:note|print_run|letter|print|doc|rep)_?\d+(?:-\d)?|README_from_it", document.key
        )
    by_class = defaultdict(list)
    for number, document in enumerate(sorted(documents, key=lambda d: d.key)):
        by_class[document.answers.get("diagnosis", "")].append(number)
    spreads = [max(numbers) - min(numbers) for numbers in by_class.values() if len(numbers) > 10]
    assert min(spreads) > len(documents) / 2  # no class lies in one stretch of ids


def test_every_diagnosis_can_be_trained_and_tested(documents):
    report = split_patients(documents, SplitSettings(stratify="diagnosis"), seed=1)
    assert not report.warnings
    assert all(counts[Split.TEST] >= 2 and counts[Split.TRAIN] >= 8 for name, counts in report.patients.items() if name)


def test_cleansing_keeps_the_reports_and_drops_the_planted_trash(documents):
    tools = Tools(key=bytes(32), seed=1, pack=load_pack("neurology"))
    results = list(Cleanse()(documents, tools))
    dropped = [r for r in results if isinstance(r, Dropped)]
    assert len(results) == len(documents)
    assert {"other_language", "garbled"} <= {r.reason for r in dropped}
    assert len(dropped) < 0.05 * len(documents)
