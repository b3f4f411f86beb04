"""The report says what the data says, in one file that asks nothing of anybody and runs nothing."""

from __future__ import annotations

import copy
import json
import math
import random
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import Page, at

from residency.evaluate import charts
from residency.evaluate.report import render, words, write_report
from residency.evaluate.report.view import page, plain
from residency.records import Score, Status

NOTE = """Outpatient neurology

Seen with his daughter on 14 March 2011. Over about six years he has become unsteady, first in the dark, then \
everywhere; he holds on to furniture at home. Speech has been slurred for two years. There is no ptosis and no \
double vision. His late mother walked with a stick from her forties.

Examination: gaze-evoked nystagmus, dysmetria of both arms, brisk knee jerks, plantars flexor. Vibration sense is \
reduced to the knees. Gait is broad-based and he cannot tandem.

Plan: trinucleotide repeat panel, MRI of the brain, physiotherapy."""

GOLD = [
    {"concept": "HP:0001251", "label": "Ataxia", "status": "present"},
    {"concept": "HP:0001260", "label": "Dysarthria", "status": "present"},
    {"concept": "HP:0000640", "label": "Gaze-evoked nystagmus", "status": "present"},
    {"concept": "HP:0000508", "label": "Ptosis", "status": "absent"},
    {"concept": "HP:0000651", "label": "Diplopia", "status": "absent"},
]


def score(task: str, system: str, metric: str, value: float, half: float, **more: Any) -> dict[str, Any]:
    return {
        "task": task, "system": system, "metric": metric, "value": value, "low": max(value - half, 0.0),
        "high": value + half * 0.85, "n": 145, "clusters": 112, "unscored": 0, "note": "",
    } | more  # fmt: skip


def full_report() -> dict[str, Any]:
    """A report with every key of the contract, like that of the neurology demo. The figures are invented."""
    rng = random.Random(4)
    systems = [
        {"name": "zero_shot", "title": "Base model, best prompt we could write", "kind": "prompt",
         "about": "SmolLM2-360M-Instruct with the task's prompt and no examples."},
        {"name": "few_shot", "title": "Base model, four solved examples", "kind": "prompt",
         "about": "The same model; four training examples stand in front of the question."},
        {"name": "specialist", "title": "Specialist (tuned)", "kind": "tuned",
         "about": "The base model with the adapter of this iteration."},
        {"name": "tfidf", "title": "TF-IDF and logistic regression", "kind": "baseline",
         "about": "Words and word pairs, trained on the same examples."},
        {"name": "majority", "title": "Always the most frequent answer", "kind": "baseline",
         "about": "What can be had without reading."},
    ]  # fmt: skip
    table = {
        "diagnosis": {"accuracy": (0.09, 0.11, 0.779, 0.742, 0.062), "macro_f1": (0.05, 0.06, 0.71, 0.69, 0.01),
                      "top3_accuracy": (0.2, 0.24, 0.91, 0.88, 0.15), "mrr": (0.21, 0.23, 0.843, 0.81, 0.14),
                      "perplexity": (38.2, 31.1, 1.42, None, None), "unscored_rate": (0.0, 0.0, 0.0, 0.0, 0.0)},
        "findings": {"f1": (0.12, 0.21, 0.684, 0.52, None), "precision": (0.2, 0.31, 0.72, 0.44, None),
                     "recall": (0.09, 0.17, 0.65, 0.63, None), "polarity_flip_rate": (0.06, 0.05, 0.021, 0.094, None),
                     "exact_match": (0.0, 0.01, 0.19, 0.03, None), "unscored_rate": (0.37, 0.11, 0.014, 0.0, None)},
        "summary": {"fact_f1": (0.44, 0.46, 0.59, 0.41, None), "rougeL": (0.19, 0.22, 0.37, 0.3, None),
                    "bleu": (3.1, 4.0, 12.8, 7.7, None), "length_ratio": (2.2, 1.9, 1.04, 1.5, None)},
    }  # fmt: skip
    unread = {("findings", "zero_shot"): 54, ("findings", "few_shot"): 16, ("findings", "specialist"): 2}
    scores = [
        score(task, system["name"], metric, value, 0.07 if value <= 1 else value * 0.1,
              unscored=unread.get((task, system["name"]), 0))
        for task, metrics in table.items() for metric, values in metrics.items()
        for system, value in zip(systems, values, strict=True) if value is not None
    ]  # fmt: skip
    labels = ["Spinocerebellar ataxia type 3", "CADASIL", "Friedreich ataxia", "Hereditary spastic paraplegia 4",
              "Dravet syndrome", "Charcot-Marie-Tooth disease type 1A", "Rett syndrome",
              "Neurodegeneration with brain iron accumulation 5 (beta-propeller protein-associated)"]  # fmt: skip
    case = {
        "id": "p-3f0c9ab1d27e44aa", "task": "findings", "text": NOTE, "gold": GOLD,
        "output": "present: Ataxia; Dysarthria; Ptosis\nabsent: Diplopia", "score": 0.667, "confidence": 0.83,
        "document": "d-81be0277c1f94e10",
        "others": [{"system": "Base model, four solved examples", "output": "present: unsteady gait"},
                   {"system": "TF-IDF and logistic regression", "output": ""}],
    }  # fmt: skip
    wrong = case | {
        "id": "p-77aa09e1b5c2d3f4",
        "task": "diagnosis",
        "gold": labels[0],
        "output": labels[2],
        "score": 0.0,
        "confidence": 0.94,
        "others": [{"system": "TF-IDF", "output": labels[0]}],
    }
    written = case | {
        "id": "p-19d0c7b3aa55e021",
        "task": "summary",
        "score": 0.21,
        "confidence": 0.61,
        "gold": "Six years of progressive ataxia with dysarthria and nystagmus; no ptosis.",
        "output": "A patient with ptosis and double vision for two years.",
        "others": [],
    }
    right = wrong | {"id": "p-0b9e3d77c2fa4410", "output": labels[0], "score": 1.0, "confidence": 0.97}
    steps = [("deidentify", 630, 630, 0, 611, 48.2), ("cleanse", 630, 617, 13, 402, 3.1),
             ("deduplicate", 617, 598, 19, 0, 5.7), ("extract_findings", 598, 598, 0, 590, 31.0)]  # fmt: skip
    loss = [2.6 * math.exp(-step / 60) + 0.42 + rng.uniform(-0.12, 0.12) for step in range(1, 241)]
    return {
        "project": "Rare neurology, demo", "created": "2026-03-04T14:05:00+00:00", "residency": "0.1.0",
        "iteration": "i-5c21b90e",
        "reasons": ["The specialist is not shown to be better than TF-IDF and logistic regression at naming the "
                    "diagnosis: +3.7 points (−3.1 to +10.4).",
                    "No person has reviewed the de-identification of 570 documents."],
        "next_step": "Run: residency review findings --count 60 --side test",
        "verdict": "INCONCLUSIVE",
        "about": "630 reports of 476 patients with 28 rare neurological conditions. The reports were written by a "
                 "program from published case descriptions; the names, dates and numbers in them are invented. They "
                 "are not hospital records, so these figures say how the method behaves, not how it will do in a "
                 "clinic.",
        "gate": [
            {"name": "better than the base model", "verdict": "GO", "reason": "diagnosis: +69 points (61 to 76).",
             "next_step": ""},
            {"name": "better than the simplest baseline", "verdict": "INCONCLUSIVE",
             "reason": "diagnosis: +3.7 points (−3.1 to +10.4) against TF-IDF and logistic regression; about 610 cases "
                       "would settle it.", "next_step": "Add held-out documents, then run: `residency run`"},
            {"name": "findings turned into their opposite", "verdict": "INCONCLUSIVE",
             "reason": "2.1 % (upper bound 4.0 %); at most 2.0 % is allowed.", "next_step": "residency review --flips"},
        ],
        "data": {
            "files": 212, "formats": {"txt": 180, "docx": 20, "csv": 12}, "read": 630, "kept": 598, "patients": 471,
            "steps": [dict(zip(("step", "in", "out", "dropped", "changed", "seconds"), s, strict=True)) for s in steps],
            "dropped": [
                {"step": "cleanse", "reason": "too_short", "count": 9, "documents": ["d-1a", "d-2b", "d-3c"]},
                {"step": "cleanse", "reason": "not_english", "count": 4, "documents": ["d-4d"]},
                {"step": "deduplicate", "reason": "near_duplicate", "count": 19,
                 "documents": [f"d-{n:016x}" for n in range(5)]},
            ],
            "split": [{"split": "train", "documents": 312, "patients": 245},
                      {"split": "validation", "documents": 71, "patients": 58},
                      {"split": "calibration", "documents": 70, "patients": 56},
                      {"split": "test", "documents": 145, "patients": 112}],
            "classes": [{"label": label, "train": 20 + n, "validation": 4, "calibration": 4, "test": 9 - n}
                        for n, label in enumerate(labels)],
            "warnings": ["5 classes have fewer than 5 held-out documents; their figures say little."],
        },
        "deidentification": {
            "policy": "safe_harbor", "mode": "surrogates", "documents": 630, "documents_with_identifiers": 611,
            "by_class": [{"label": "NAME", "count": 2811}, {"label": "DATE", "count": 2204},
                         {"label": "PHONE", "count": 803}, {"label": "ADDRESS", "count": 640},
                         {"label": "ID", "count": 588}, {"label": "EMAIL", "count": 210}, {"label": "IP", "count": 3}],
            "reviewed": 60,
        },
        "findings": {"documents": 598, "mentions": 5210, "by_status": {
            "present": 3980, "absent": 871, "family": 204, "uncertain": 109, "resolved": 46}},
        "training": {
            "base": "SmolLM2-360M-Instruct", "licence": "Apache-2.0", "method": "LoRA, rank 16, all linear layers",
            "trainable": 8_683_520, "total": 370_504_640, "examples": 936, "tokens": 421_020, "steps": 240, "epochs": 3,
            "recipe": [{"name": "learning_rate", "value": 2e-4, "source": "catalogue (measured for this base)"},
                       {"name": "batch_size", "value": 8, "source": "source document"},
                       {"name": "epochs", "value": 3, "source": "source document"},
                       {"name": "rank", "value": 16, "source": "project file"}],
            "curve": [{"step": n, "loss": value} for n, value in enumerate(loss, 1)],
            "validation": [{"step": n, "loss": 2.4 * math.exp(-n / 60) + 0.5 + n / 4000} for n in range(30, 241, 30)],
            "seconds": 1811.4, "tokens_per_second": 232.0, "adapter": "a-90c1d2e3f4a5b6c7", "adapter_bytes": 34_800_112,
            "notes": ["The checkpoint with the lowest validation loss was kept (step 180)."],
        },
        "systems": systems,
        "tasks": [
            {"name": "diagnosis", "kind": "classify", "headline_metric": "accuracy", "n": 145, "patients": 112,
             "sentence": "On 145 held-out reports of 112 patients the specialist names the right diagnosis in 78 % "
                         "(71 to 84 %); the base model with the best prompt we could write in 9 %; TF-IDF and logistic "
                         "regression in 74 %: too close to call on these cases."},
            {"name": "findings", "kind": "extract", "headline_metric": "f1", "n": 145, "patients": 112},
            {"name": "summary", "kind": "generate", "headline_metric": "fact_f1", "n": 145, "patients": 112},
        ],
        "scores": scores,
        "comparisons": [
            {"task": "diagnosis", "metric": "accuracy", "system": "specialist", "against": "zero_shot",
             "difference": 0.689, "low": 0.61, "high": 0.76, "p": 0.00002, "verdict": "BETTER", "required_n": None,
             "note": ""},
            {"task": "diagnosis", "metric": "accuracy", "system": "specialist", "against": "tfidf",
             "difference": 0.037, "low": -0.031, "high": 0.104, "p": 0.281, "verdict": "INCONCLUSIVE",
             "required_n": 610, "note": ""},
            {"task": "findings", "metric": "f1", "system": "specialist", "against": "tfidf",
             "difference": 0.164, "low": 0.121, "high": 0.207, "p": 0.0004, "verdict": "BETTER", "required_n": None,
             "note": ""},
            {"task": "findings", "metric": "recall", "system": "specialist", "against": "tfidf",
             "difference": 0.02, "low": -0.04, "high": 0.08, "p": 0.51, "verdict": "INCONCLUSIVE", "required_n": 2400,
             "note": ""},
        ],
        "calibration": {"diagnosis": {
            "system": "specialist", "map": "platt", "fitted_on": 70,
            "slope": {"value": 0.9, "low": 0.7, "high": 1.2}, "in_the_large": {"value": 0.1, "low": None, "high": None},
            "auroc": {"value": 0.8, "low": 0.7, "high": 0.9}, "sets": {"note": ""},
            "abstention": {"threshold": 0.81, "risk": 0.05, "doubt": 0.05, "coverage": 0.6, "n": 70, "note": ""},
            "covered": {"coverage": {"value": 0.91, "low": 0.8, "high": 0.95}, "stated": 0.9, "band": [0.82, 0.96],
                        "inside": True, "size": 1.8},
            "ece": 0.061, "ece_null_low": 0.021, "ece_null_high": 0.074,
            "verdict": "calibrated", "brier": 0.144,
            "bins": [{"confidence": c, "accuracy": a, "low": max(a - 0.16, 0), "high": min(a + 0.13, 1), "n": 29}
                     for c, a in ((0.31, 0.34), (0.58, 0.48), (0.79, 0.83), (0.92, 0.95), (0.99, 0.97))],
            "risk_coverage": [{"coverage": n / 145, "risk": 0.22 * (n / 145) ** 1.8} for n in range(1, 146)],
        }},
        "slices": {"diagnosis": {"metric": "accuracy", "matrix": {
            "genre": {genre: {"accuracy": {"value": 0.7, "low": 0.6, "high": 0.8, "n": 60, "patients": 50},
                              "macro_f1": {"value": 0.6, "low": None, "high": None, "n": 60, "patients": 50}}
                      for genre in ("letter", "note <b>")},
            "length": {"short": {name: {"value": 0.5, "low": 0.3, "high": 0.7, "n": 40, "patients": 33}
                                 for name in ("accuracy", "macro_f1")}},
        }, "worst": {"slice": "length", "value": "short", "metric": "accuracy", "measured": 0.5, "low": 0.2,
                     "high": 0.8, "n": 40, "clusters": 33, "of": 3, "note": ""}}},
        "safety": {"findings": {"specialist": {
            "critical": {"documents": 3, "n": 145, "table": "40 of its 40 rows not yet agreed on by 2 people",
                         "counted": [{"error": "missed", "what": "HP:0001250", "than": "*", "why": "driving & safety",
                                      "severity": 2.0, "count": 3}],
                         "cases": [{"example": "e-1", "severity": 2.0}], "not_counted": ["Some <label>"]},
            "claims": {"claims": 812, "verdicts": {"supported": 790, "contradicted": 12, "not found": 10},
                       "problems": {"fabrication": 10, "polarity": 12}, "facts": 700, "omitted": 20,
                       "examples": [{"example": "e-1", "claim": "ataxia <b>", "status": "present",
                                     "verdict": "contradicted", "problem": "polarity", "evidence": "no ataxia <i>"}]},
        }}},
        "forgetting": {"before": 1.02, "after": 1.05, "difference": 0.03, "low": 0.02, "high": 0.04, "passages": 24,
                       "size": 9471, "margin": 0.01, "verdict": "forgotten", "note": "in pairs"},
        "cases": {"best": [right], "worst": [wrong, case, written]},
        "stages": [{"stage": "deidentify", "seconds": 48.2, "peak_bytes": 912_000_000, "reused": True},
                   {"stage": "tune", "seconds": 1811.4, "peak_bytes": 5_812_000_000, "reused": False},
                   {"stage": "evaluate", "seconds": 744.0, "peak_bytes": 2_120_000_000, "reused": False},
                   {"stage": "report", "seconds": 0.3, "peak_bytes": 310_000_000, "reused": False}],
        "settings": {"name": "demo", "seed": 1, "base": "embedded", "recipe": {"rank": 16, "learning_rate": None},
                     "curate": [{"step": "deidentify", "policy": "safe_harbor"}, {"step": "cleanse"}],
                     "labels": {"columns": ["diagnosis", "findings"]}},
        "machine": {"cpu": "Intel Xeon, 2.8 GHz", "cores": 2, "memory_bytes": 25_200_000_000, "python": "3.11.9",
                    "versions": {"torch": "2.13.0+cpu", "transformers": "5.23.0", "peft": "0.21.0"}},
    }  # fmt: skip


# --- tools ------------------------------------------------------------------------------------------------------------


def read(report: dict[str, Any]) -> Page:
    return Page(render(report))


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in the data; of a list only its first and its last item."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list) and value:
        for position in {0, len(value) - 1}:
            yield from paths(value[position], (*path, position))


def with_strings(value: Any, text: str) -> Any:
    """The data with every string but verdicts and kinds replaced."""
    if isinstance(value, dict):
        return {k: v if k in {"kind", "verdict"} else with_strings(v, text) for k, v in value.items()}
    if isinstance(value, list):
        return [with_strings(item, text) for item in value]
    return text if isinstance(value, str) else value


# --- the two files ----------------------------------------------------------------------------------------------------


def test_the_verdict_is_the_first_key_of_the_json(tmp_path: Path) -> None:
    as_json, as_html = write_report(full_report(), tmp_path / "new" / "folder")
    assert next(iter(json.loads(as_json.read_text()))) == "verdict"
    assert (as_json.name, as_html.name) == ("report.json", "report.html")
    assert json.loads(as_json.read_text()) == full_report()


def test_a_number_that_is_not_finite_is_null_in_the_json_and_not_measured_on_the_page(tmp_path: Path) -> None:
    report = full_report()
    report["scores"][2]["value"] = float("nan")
    report["calibration"]["diagnosis"]["ece"] = np.float64("inf")
    as_json, as_html = write_report(report, tmp_path)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    assert json.loads(as_json.read_text(), parse_constant=refuse)["scores"][2]["value"] is None
    page = Page(as_html.read_text())
    assert "expected calibration error is not measured" in page.text
    assert not re.search(r"\b(nan|inf)\b", page.text)


def test_records_and_numpy_numbers_become_plain_data() -> None:
    score = Score(
        task="t",
        system="s",
        metric="accuracy",
        value=np.float32(0.5),
        low=None,
        high=math.inf,
        n=np.int64(3),
        clusters=2,
    )
    data = {"score": score, Status.PRESENT: {Status.ABSENT}, "path": Path("a/b"), "array": np.array([1.0, np.nan])}
    assert plain(data) == {
        "score": {"task": "t", "system": "s", "metric": "accuracy", "value": 0.5, "low": None, "high": None, "n": 3,
                  "clusters": 2, "unscored": 0, "note": ""},
        "present": ["absent"], "path": "a/b", "array": [1.0, None],
    }  # fmt: skip


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in write_report(full_report(), tmp_path)} == {0o600}


def test_a_report_that_cannot_be_written_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()  # cannot be replaced by a file
    with pytest.raises(OSError):
        write_report(full_report(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.html"}


# --- the page is safe -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("report", [full_report(), {}, {"verdict": "GO"}], ids=["full", "empty", "verdict"])
def test_the_page_is_well_formed_and_asks_for_nothing(report: dict[str, Any]) -> None:
    text = render(report)
    page = Page(text)
    allowed = {("a", "href")}
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"href", "src", "srcset", "action", "xlink:href", "data", "poster"}:
                assert (tag, name) in allowed and str(value).startswith("#")
    assert not re.search(r"https?:|url\(|@import|@font-face|javascript:", text)
    [policy] = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy and policy.startswith("default-src 'none'; style-src 'unsafe-inline'")


def test_every_link_of_the_contents_leads_to_a_heading() -> None:
    page = read(full_report())
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for tag, a in page.tags if tag == "a"} <= set(ids)


ATTACKS = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</title></style></svg><script>alert(1)</script>",
    "{{ 1234 * 4321 }}{% raw %}",
    "&lt;b&gt; & <b>",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_documents_stays_text(attack: str) -> None:
    page = read(with_strings(full_report(), attack))
    assert not {tag for tag, _ in page.tags} & {"script", "img", "b"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count(" ".join(attack.split())) > 50
    assert "5332114" not in page.text


# --- the page is complete, and honest about what it does not know -----------------------------------------------------


def test_with_full_data_nothing_is_missing_but_scores_that_do_not_exist() -> None:
    absent = [text for text in re.findall(r'<span class="missing"[^>]*>([^<]*)</span>', render(full_report()))]
    assert absent == ["–", "–"]  # perplexity of systems without a likelihood
    assert '<p class="missing">' not in render(full_report())


IDENTITY = {"name", "task", "system", "metric", "step", "stage", "label", "split", "id"}


def small_report() -> dict[str, Any]:
    """The full report with short curves and two systems, for tests that render it often."""
    report = full_report()
    for points in (report["training"]["curve"], report["calibration"]["diagnosis"]["risk_coverage"]):
        del points[3:]
    report["scores"] = [score for score in report["scores"] if score["system"] in {"specialist", "tfidf"}]
    return report


def test_any_other_key_may_be_missing() -> None:
    report = small_report()
    optional = [p for p in paths(report) if p[-1] not in IDENTITY and not isinstance(p[-1], int)]
    assert len(optional) > 100
    for path in optional:
        changed = copy.deepcopy(report)
        del at(changed, path[:-1])[path[-1]]
        try:
            assert "None" not in read(changed).text
        except Exception as error:
            raise AssertionError(f"without {path}: {error!r}") from error


@pytest.mark.parametrize(
    "path", [("verdict",), ("data",), ("data", "dropped"), ("training", "curve"), ("scores", 0, "low")]
)
def test_null_is_as_good_as_missing(path: tuple[Any, ...]) -> None:
    null, missing = small_report(), small_report()
    at(null, path[:-1])[path[-1]] = None
    del at(missing, path[:-1])[path[-1]]
    assert render(null) == render(missing)


@pytest.mark.parametrize("verdict", ["GO", "NO-GO", "INCONCLUSIVE"])
def test_the_verdict_stands_in_words_with_its_reasons_and_the_next_command(verdict: str) -> None:
    report = full_report() | {"verdict": verdict}
    text = render(report)
    assert f'<p class="word">{verdict}</p>' in text
    assert '<code class="command">residency review findings --count 60 --side test</code>' in text
    assert all(reason in Page(text).text for reason in report["reasons"])


def test_an_iteration_that_was_not_judged_is_not_given_a_verdict(tmp_path: Path) -> None:
    as_json, as_html = write_report({"project": "p"}, tmp_path)
    assert json.loads(as_json.read_text()) == {"verdict": None, "project": "p"}
    assert "NOT JUDGED" in as_html.read_text()


def test_a_task_without_a_sentence_gets_one_from_its_scores() -> None:
    report = {
        "tasks": [{"name": "findings", "kind": "extract", "headline_metric": "f1", "n": 1, "patients": 1}],
        "systems": [
            {"name": "a", "title": "Rules", "kind": "baseline"},
            {"name": "b", "title": "Tuned", "kind": "tuned"},
        ],
        "scores": [score("findings", "a", "f1", 0.5, 0.1), score("findings", "b", "f1", 0.7, 0.1)],
    }
    [task] = page(report)["tasks"]
    assert task["sentence"].replace("\N{NO-BREAK SPACE}", " ") == (
        "On 1 held-out case of 1 patient, F1 of findings is 70 % (60 to 78 %) for Tuned; 50 % (40 to 58 %) for Rules."
    )


def test_scores_of_systems_and_tasks_without_an_entry_are_shown_under_their_names() -> None:
    text = read({"scores": [score("triage", "mystery", "accuracy", 0.5, 0.1)]}).text
    assert "triage" in text and "mystery" in text and "50 %" in text


def test_surface_similarity_is_labelled_and_comes_last() -> None:
    report = full_report()
    report["scores"].reverse()
    names = [metric.name for metric in page(report)["tasks"][2]["table"]["metrics"]]
    assert names[0] == "fact_f1" and set(names[-2:]) == {"rougeL", "bleu"}
    assert render(report).count("<small>surface similarity</small>") == 2


def test_what_nobody_reviewed_is_counted() -> None:
    assert "570 documents were read by nobody" in read(full_report()).text.replace("\N{NO-BREAK SPACE}", " ")


def test_every_case_names_the_command_that_traces_it() -> None:
    report = full_report()
    for case in [*report["cases"]["best"], *report["cases"]["worst"]]:
        assert f"residency why {case['id']}" in render(report)


def test_findings_are_compared_with_gold_one_by_one() -> None:
    worst = page(full_report())["cases"]["worst"][1]
    assert worst["compared"] == {
        "found": [("present", "Ataxia"), ("present", "Dysarthria"), ("absent", "Diplopia")],
        "turned": [("Ptosis", "absent", "present")],
        "missed": [("present", "Gaze-evoked nystagmus")],
        "extra": [],
        "total": 5,
    }


@pytest.mark.parametrize("output", ["The patient has ataxia.", "maybe: Ataxia", ""])
def test_an_output_that_is_no_list_of_findings_is_shown_as_it_is(output: str) -> None:
    report = full_report()
    report["cases"]["worst"][1]["output"] = output
    assert page(report)["cases"]["worst"][1]["compared"] is None
    assert output in read(report).text


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.percent(0.779), "78 %"),
        (words.percent(0.0213), "2.1 %"),
        (words.percent(0.997), "99.7 %"),
        (words.percent(1.0), "100 %"),
        (words.percent(0), "0 %"),
        (words.percent(None), None),
        (words.measured(0.843, "mrr"), "0.843"),
        (words.measured(12.34, "bleu"), "12.3"),
        (words.measured(0.5, "a_metric_of_tomorrow"), "0.500"),
        (words.measured_range(0.7, 0.843, "accuracy"), "70 to 84 %"),
        (words.measured_range(0.0, 0.031, "accuracy"), "0.0 to 3.1 %"),
        (words.measured_range(0.991, 1.0, "accuracy"), "99.1 to 100.0 %"),
        (words.measured_range(None, 1.0, "accuracy"), ""),
        (words.measured_difference(-0.031, "accuracy"), "−3.1 points"),
        (words.measured_difference(0.25, "bits_per_byte"), "+0.25"),
        (words.number(0.07), "0.070"),
        (words.number(12345), "12,345"),
        (words.number(0.0002), "0.0002"),
        (words.duration(0.04), "0.0 s"),
        (words.duration(59.6), "1 min 00 s"),
        (words.duration(192), "3 min 12 s"),
        (words.duration(7500), "2 h 05 min"),
        (words.size(999), "999 bytes"),
        (words.size(34_800_112), "34.8 MB"),
        (words.size(25_200_000_000), "25.2 GB"),
        (words.moment("2026-03-04T14:05:00+00:00"), "4 March 2026, 14:05 UTC"),
        (words.moment("yesterday"), "yesterday"),
        (words.of_things(1, "document"), "1 document"),
        (words.of_things(1200, "document"), "1,200 documents"),
        (words.tone("NO-GO"), "bad"),
        (words.tone("NON-INFERIOR"), "good"),
        (words.tone("EQUIVALENT"), "open"),
        (words.tone(None), "open"),
    ],
)
def test_numbers_and_verdicts_in_words(shown: str | None, expected: str | None) -> None:
    assert (shown.replace("\N{NO-BREAK SPACE}", " ") if shown else shown) == expected


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("residency review findings --count 60", ["residency review findings --count 60"]),
        ("Run: residency run --until tune.", ["residency run --until tune"]),
        ("Add cases, then run `residency run` and `residency gate`.", ["residency run", "residency gate"]),
        ("Ask a neurologist; residency cannot help here.", []),
        (None, []),
    ],
)
def test_commands_are_found_in_a_sentence(text: str | None, commands: list[str]) -> None:
    parts = words.command_parts(text)
    assert [part for is_command, part in parts if is_command] == commands
    if text:
        assert "".join(part for _, part in parts).strip(".") == text.replace("`", "").strip(".")


# --- charts -----------------------------------------------------------------------------------------------------------

ANY = st.one_of(st.none(), st.floats(), st.floats(0, 1))
LABELS = st.text(max_size=120)
ESTIMATES = st.builds(
    charts.Estimate,
    label=LABELS, value=ANY, low=ANY, high=ANY, kind=st.sampled_from(["tuned", "prompt", "baseline", "other", '"><x']),
    shown=st.text(max_size=6), range_shown=st.text(max_size=12),
)  # fmt: skip
SIZES = st.sampled_from([328, 728])


def check_svg(svg: str) -> ElementTree.Element:
    """Well-formed, with a title, and every number of it finite."""
    root = ElementTree.fromstring(re.sub(r"[^\x09\x0a\x0d\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", svg))
    assert root[0].tag == "title"
    for element in root.iter():
        for name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height"):
            assert math.isfinite(float(element.get(name, "0")))
        for number in re.split(r"[ ,]", element.get("points", "0")):
            assert math.isfinite(float(number))
    return root


@given(st.lists(ESTIMATES, max_size=6), SIZES, st.sampled_from([1.0, 100.0, None]))
@settings(max_examples=60, deadline=None)
def test_a_forest_is_finite_whatever_was_measured(
    estimates: list[charts.Estimate], width: int, ceiling: float | None
) -> None:
    check_svg(charts.forest(estimates, title="t", description="<d>", width=width, ceiling=ceiling))


@given(st.lists(st.tuples(st.floats(), st.floats())), st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 50))), SIZES)
@settings(max_examples=60, deadline=None)
def test_curves_are_finite_whatever_was_logged(
    wild: list[tuple[float, float]], tame: list[tuple[float, float]], width: int
) -> None:
    check_svg(charts.loss_curve(wild, tame, title="t", description="d", width=width))
    check_svg(charts.risk_coverage(tame, title="t", description="d", width=340))
    bins = [charts.Bin(confidence=x, accuracy=y, low=y, high=x, n=3) for x, y in [*wild, *tame]]
    check_svg(charts.reliability(bins, title="t", description="d", width=340))


@given(ANY, ANY, ANY)
@settings(max_examples=60, deadline=None)
def test_small_charts_are_finite(value: float | None, low: float | None, high: float | None) -> None:
    check_svg(charts.difference(value, low, high, limit=1.0, title="t"))
    check_svg(charts.null_band(value, low, high, title="t", description="d", width=340))


@pytest.mark.parametrize("width", [328, 728])
def test_long_labels_stay_inside_the_drawing_and_clear_of_the_numbers(width: int) -> None:
    label = "An exceedingly long name of a system that somebody thought was a good idea to write out in full"
    estimates = [
        charts.Estimate(label=text, value=0.5, low=0.4, high=0.6, kind="tuned", shown="50 %", range_shown="40 to 60 %")
        for text in (label, label.replace(" ", ""), "short")
    ]
    root = check_svg(charts.forest(estimates, title="t", description="d", width=width))
    labels = [e for e in root.iter("text") if "label" in str(e.get("class"))]
    numbers = [e for e in root.iter("text") if "value" in str(e.get("class"))]
    assert len(labels) == 5 and len(numbers) == 3
    grid = min(float(e.get("x1", "0")) for e in root.iter("line") if e.get("class") == "grid")
    room = width - 120 if grid < 20 else grid  # stacked: beside the numbers; else: beside the plot
    for element in labels:
        shown = (element.text or "") + "".join(child.tail or "" for child in element)
        ends = float(element.get("x", "0")) + len(shown) * charts.FONT * charts.LETTER * charts.BOLD
        assert ends <= room
        level = [n for n in numbers if abs(float(n.get("y", "0")) - float(element.get("y", "0"))) < charts.LINE]
        starts = [float(n.get("x", "0")) - (40 if "end-anchor" in str(n.get("class")) else 0) for n in level]
        assert all(ends <= start for start in starts)


def test_a_forest_puts_values_where_the_axis_says() -> None:
    estimates = [charts.Estimate(label="a", value=v, kind="tuned") for v in (0.0, 0.5, 1.0)]
    root = check_svg(charts.forest(estimates, title="t", description="d", width=728))
    places = [float(e.get("cx", "0")) for e in root.iter("circle")]
    grid = sorted({float(e.get("x1", "0")) for e in root.iter("line") if e.get("class") == "grid"})
    assert places == [grid[0], grid[2], grid[4]]


def test_a_value_above_the_ceiling_widens_the_axis_instead_of_lying() -> None:
    root = check_svg(
        charts.forest([charts.Estimate(label="a", value=1.4)], title="t", description="d", width=728, ceiling=1.0)
    )
    [mark] = root.iter("circle")
    ends = max(float(e.get("x1", "0")) for e in root.iter("line") if e.get("class") == "grid")
    assert float(mark.get("cx", "0")) <= ends and "100 %" not in [e.text for e in root.iter("text")][-1:]


def test_thousands_of_logged_steps_make_a_small_chart() -> None:
    steps = [(float(n), 1 / n) for n in range(1, 20_001)]
    assert len(charts.loss_curve(steps, [], title="t", description="d", width=728)) < 20_000


def test_labels_at_the_end_of_lines_do_not_cover_each_other() -> None:
    flat = [(float(step), 0.5) for step in range(1, 6)]
    root = check_svg(charts.loss_curve(flat, flat, title="t", description="d", width=728))
    first, second = (float(e.get("y", "0")) for e in root.iter("text") if "end" in str(e.get("class")).split())
    assert abs(first - second) >= charts.LABEL_GAP


# --- colors -----------------------------------------------------------------------------------------------------------


def luminance(color: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", [0, 1, 2], ids=["light", "dark", "print"])
def test_text_has_the_contrast_of_wcag_aa(mode: int) -> None:
    css = (files("residency.evaluate") / "templates" / "report.css").read_text(encoding="utf-8")
    blocks = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})(?![0-9a-f])", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.S)
    ]
    colors = {
        name: color if len(color) == 7 else "#" + "".join(2 * c for c in color[1:])
        for name, color in blocks[mode].items()
    }
    pairs = [
        (text, ground)
        for text in ("ink", "soft")
        for ground in ("paper", "panel", "open-tint", "bad-tint", "good-tint")
    ]
    pairs += [(tone, f"{tone}-tint") for tone in ("good", "bad", "open")] + [("link", "paper"), ("bad", "paper")]
    too_low = {pair: contrast(colors[pair[0]], colors[pair[1]]) for pair in pairs}
    assert not {pair: ratio for pair, ratio in too_low.items() if ratio < 4.5}


def test_a_slice_of_too_few_patients_shows_its_size_and_no_score() -> None:
    report = full_report()
    few = {"value": None, "low": None, "high": None, "n": 4, "patients": 2}
    report["slices"]["diagnosis"]["matrix"]["site"] = {"small": {"accuracy": few, "macro_f1": few}}
    html = render(report)
    row = html[html.index("<td>small</td>") :].split("</tr>")[0]
    assert row.count("too few</span>") == 2 and ">4</td>" in row and ">2</td>" in row


def test_slices_the_worst_of_them_and_the_use_of_confidence_are_shown() -> None:
    text = read(full_report()).text
    assert "Worst slice: length = short" in text and "widened for being the worst of 3" in text
    assert "note <b>" in text  # shown, not interpreted
    assert "Answers from a confidence of 81" in text and "ask a person" in text
    assert "Label sets that promise to hold the right label 90" in text
    report = full_report()
    report["calibration"]["diagnosis"]["abstention"] |= {"threshold": None, "note": "70 cases do not show it"}
    assert "A person must read every answer" in read(report).text


def test_critical_errors_claims_and_forgetting_are_shown() -> None:
    text = read(full_report()).text
    assert "driving & safety" in text and "40 of its 40 rows not yet agreed on by 2 people" in text
    assert "Some <label>" in text  # a label of the table that the task does not have
    assert "ataxia <b> (present)" in text and "no ataxia <i>" in text
    assert "1.02 bits per byte before tuning and 1.05 after" in text and "forgotten" in text
