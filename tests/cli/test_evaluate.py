"""`residency evaluate` as its user sees it: any model's outputs in, one JSON object out."""

from __future__ import annotations

import hashlib
import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from typer.testing import CliRunner

from residency.cli import app
from residency.errors import ResidencyError
from residency.evaluate.assessment import CONFIDENCE
from residency.evaluate.metrics import METRICS
from residency.scoring import Scoring, score_files

LABELS = ["ALS", "Huntington disease", "MS", "Wilson disease"]
SECRET = "SECRET"


def write(path: Path, records: list) -> Path:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def classified(n=120, seed=0, skill=0.7, calibration=0):
    """Cases and the predictions of a system that gives probabilities."""
    rng = random.Random(seed)
    cases, predictions = [], []
    for i in range(n):
        gold = rng.choice(LABELS)
        case = {
            "id": i, "answer": gold, "text": "word " * rng.randint(5, 60), "patient": f"p{i // 2}",
            "slices": {"site": rng.choice("AB"), "age": rng.choice([10, 20])},
        }  # fmt: skip
        if i < calibration:
            case["split"] = "calibration"
        cases.append(case)
        weights = {label: rng.random() + (2.5 if label == gold and rng.random() < skill else 0) for label in LABELS}
        shares = {label: round(weight / sum(weights.values()), 3) for label, weight in weights.items()}
        predictions.append({"id": i, "output": max(shares, key=shares.get), "probabilities": shares})
    return cases, predictions


def overconfident(n, calibration):
    """As ``classified``, but the gold label is drawn from chances that the system claims too sharply."""
    rng = np.random.default_rng(1)
    cases, predictions = classified(n, calibration=calibration)
    for case, prediction in zip(cases, predictions, strict=True):
        odds = rng.normal(size=len(LABELS)) * 1.5
        case["answer"] = LABELS[int(np.argmax(odds + rng.gumbel(size=len(LABELS))))]
        said = np.exp(2.5 * odds) / np.exp(2.5 * odds).sum()
        prediction |= {
            "output": LABELS[int(said.argmax())],
            "probabilities": dict(zip(LABELS, np.round(said, 5).tolist(), strict=True)),
        }
    return cases, predictions


def evaluate(tmp_path, cases, predictions, *more, task="classify", against=None):
    command = ["evaluate", "--cases", str(write(tmp_path / "cases.jsonl", cases))]
    command += ["--predictions", str(write(tmp_path / "out.jsonl", predictions)), "--task", task, "--draws", "300"]
    command += ["--against", str(write(tmp_path / "other.jsonl", against))] if against else []
    result = CliRunner().invoke(app, [*command, "--json", *more])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.output, parse_constant=lambda name: pytest.fail(name))


def refused(tmp_path, cases, predictions, **more) -> str:
    with pytest.raises(ResidencyError) as caught:
        evaluate(tmp_path, cases, predictions, **more)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_one_object_with_every_metric_its_interval_and_n(tmp_path):
    cases, predictions = classified()
    found = evaluate(tmp_path, cases, predictions)
    gold, said = [c["answer"] for c in cases], [p["output"] for p in predictions]
    metrics = found["metrics"]
    assert metrics["accuracy"]["value"] == pytest.approx(accuracy_score(gold, said))
    assert metrics["macro_f1"]["value"] == pytest.approx(f1_score(gold, said, average="macro"))
    assert {"top3_accuracy", "mrr", "ece", "brier", "log_loss", "auroc", "unscored_rate"} <= set(metrics)
    for one in metrics.values():
        assert {"value", "low", "high", "n"} <= set(one)
        assert one["low"] <= one["value"] <= one["high"]
        assert (one["n"], one["patients"]) == (120, 60)
    assert (found["task"], found["n"], found["patients"], found["unscored"]) == ("classify", 120, 60, 0)
    assert found["headline"] == "accuracy"
    assert found["chance"]["value"] == max(gold.count(label) for label in LABELS) / 120
    assert found["files"]["cases"]["sha256"] == hashlib.sha256((tmp_path / "cases.jsonl").read_bytes()).hexdigest()
    assert evaluate(tmp_path, cases[::-1], predictions)["metrics"] == metrics  # the order does not matter


def test_the_same_is_written_to_a_file_and_shown_as_a_table(tmp_path):
    cases, predictions = classified(calibration=40)
    found = evaluate(tmp_path, cases, predictions, "-o", str(tmp_path / "scores.json"))
    assert json.loads((tmp_path / "scores.json").read_text()) == found
    command = ["evaluate", "--cases", str(tmp_path / "cases.jsonl"), "--predictions", str(tmp_path / "out.jsonl")]
    shown = CliRunner().invoke(app, [*command, "--task", "classify", "--against", str(tmp_path / "out.jsonl")]).output
    assert "INCONCLUSIVE" in shown or "EQUIVALENT" in shown
    assert "Worst slice" in shown and "80 cases of 40 patients" in shown


def test_calibration_cases_fit_and_the_others_are_scored(tmp_path):
    found = evaluate(tmp_path, *overconfident(600, calibration=300))
    confidence = found["confidence"]
    assert found["n"] == 300
    assert confidence["map"]["n"] == 300
    assert confidence["before"]["n"] == confidence["after"]["n"] == 300
    assert confidence["before"]["honesty"] == "overconfident"
    assert confidence["after"]["ece"] <= confidence["after"]["null_band"][1]
    sets = confidence["label_sets"]
    assert sets["fitted"]["n"] == 150  # patients
    assert sets["on_test"]["band"][0] <= sets["on_test"]["coverage"]["value"] <= sets["on_test"]["band"][1]
    assert confidence["abstention"]["chosen"]["risk"] == 0.05
    assert found["metrics"]["ece"]["value"] == confidence["after"]["ece"]
    without = evaluate(tmp_path, *classified(100))["confidence"]
    assert (without["after"], without["map"]["kind"]) == (None, "none")
    assert "label_sets" not in without


def test_a_better_system_is_called_so_and_too_few_cases_say_how_many_more(tmp_path):
    cases, good = classified(400, skill=0.9)
    _, bad = classified(400, skill=0.4)
    against = evaluate(tmp_path, cases, good, against=bad)["against"]
    assert against["verdict"] == against["comparisons"]["accuracy"]["verdict"] == "BETTER"
    assert against["comparisons"]["macro_f1"]["p_adjusted"] >= against["comparisons"]["macro_f1"]["p"]
    assert against["metrics"]["accuracy"]["value"] < 0.7
    assert evaluate(tmp_path, cases, bad, against=good)["against"]["verdict"] == "WORSE"
    few = evaluate(tmp_path, cases[:30], classified(400, skill=0.75)[1][:30], against=good[:30])["against"]
    assert few["verdict"] == "INCONCLUSIVE"
    assert few["comparisons"]["accuracy"]["required_n"] > 30 and "more cases" in few["sentence"]
    same = evaluate(tmp_path, cases, good, "--margin", "0.05", against=good)["against"]
    assert same["verdict"] == "EQUIVALENT"


def test_slices_have_a_matrix_and_a_worst_one_with_a_wider_interval(tmp_path):
    cases, predictions = classified(200, skill=0.95)
    for case, prediction in zip(cases, predictions, strict=True):
        if case["slices"]["site"] == "B" and int(case["id"]) % 3:
            prediction["output"] = next(label for label in LABELS if label != case["answer"])
            prediction.pop("probabilities")
        prediction.pop("probabilities", None)
    del cases[0]["slices"]
    found = evaluate(tmp_path, cases, predictions)["slices"]
    assert set(found["matrix"]) == {"site", "age", "length", "label_frequency"}
    assert set(found["matrix"]["site"]) == {"A", "B", "(not given)"}
    assert set(found["matrix"]["age"]) == {"10", "20", "(not given)"}
    of_b = found["matrix"]["site"]["B"]["accuracy"]
    worst = found["worst"]
    assert (worst["slice"], worst["value"], worst["measured"]) == ("site", "B", of_b["value"])
    assert worst["low"] < of_b["low"] and worst["high"] > of_b["high"]
    assert sum(one["accuracy"]["n"] for one in found["matrix"]["length"].values()) == 200


def test_findings_are_read_from_lists_json_text_and_lines(tmp_path):
    gold = [{"concept": "HP:1", "label": "Ataxia", "start": 0, "end": 6}, {"label": "Seizure", "status": "absent"}]
    cases = [{"id": i, "answer": gold} for i in range(6)]
    outputs = [
        gold,
        json.dumps(gold),
        {"findings": gold},
        [{"hpo_id": "HP:1"}, {"label": "seizure", "status": "absent"}],
        "present: Ataxia\nabsent: Seizure",  # by name only: the concept is another one
        "I think that there is ataxia.",
    ]
    found = evaluate(tmp_path, cases, [{"id": i, "output": o} for i, o in enumerate(outputs)], task="extract")
    assert found["metrics"]["exact_match"]["value"] == pytest.approx(4 / 6)
    assert (found["unscored"], found["metrics"]["recall"]["value"]) == (1, pytest.approx(9 / 12))
    assert "span_f1" not in found["metrics"]  # not all gold findings have places


def test_places_give_span_metrics_and_flips_are_critical(tmp_path):
    cases = [{"id": i, "answer": [{"label": "Ataxia", "start": 3, "end": 9}], "text": "no ataxia"} for i in range(20)]
    flipped = [{"label": "ataxia", "start": 3, "end": 8, "status": "absent"}]
    relative = [{"label": "ataxia", "experiencer": "mother"}]
    outputs = [{"id": i, "output": flipped if i < 5 else relative if i < 10 else c["answer"], "confidence": 0.5}
               for i, c in enumerate(cases)]  # fmt: skip
    found = evaluate(tmp_path, cases, outputs, task="extract")
    metrics = found["metrics"]
    assert metrics["critical_error_rate"]["value"] == 0.25
    assert metrics["f1"]["value"] == pytest.approx(0.5)
    assert metrics["span_f1"]["value"] == pytest.approx(10 / 20)
    assert found["confidence"]["before"]["accuracy"] == 0.5  # the event: no error in the document


def test_texts_are_compared_by_wording_without_a_verdict_and_by_facts_with_one(tmp_path):
    cases = [{"id": i, "answer": f"Woman of {20 + i} with ataxia and dysarthria."} for i in range(30)]
    good = [{"id": i, "output": c["answer"]} for i, c in enumerate(cases)]
    bad = [{"id": i, "output": c["answer"].replace("with", "without")} for i, c in enumerate(cases)]
    found = evaluate(tmp_path, cases, bad, task="generate", against=good)
    assert found["metrics"]["rougeL"]["surface_similarity"] is True
    assert found["metrics"]["rougeL"]["value"] > 0.8
    assert "nrefs:1" in found["metrics"]["bleu"]["note"]
    assert found["against"]["comparisons"]["rougeL"]["verdict"] is None
    assert (found["headline"], found["against"]["verdict"], found["confidence"]) == (None, None, None)
    facts = evaluate(tmp_path, cases, bad, "--pack", "neurology", task="generate", against=good)
    assert (facts["headline"], facts["against"]["verdict"]) == ("fact_f1", "WORSE")
    assert facts["metrics"]["fact_flip_rate"]["value"] > 0.4


def test_a_metric_of_the_teams_own_becomes_the_headline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checks.py").write_text("def long_enough(gold, output):\n    return len(output) > 3\n")
    found = evaluate(tmp_path, *classified(40), "--metric", "checks.py:long_enough")
    assert found["headline"] == "own:long_enough"
    assert 0 < found["metrics"]["own:long_enough"]["value"] < 1


def test_an_answer_may_be_the_one_that_most_samples_give(tmp_path):
    cases, _ = classified(30)
    sampled = [{"id": c["id"], "samples": [c["answer"], c["answer"], "MS"]} for c in cases]
    found = evaluate(tmp_path, cases, sampled)
    assert found["metrics"]["accuracy"]["value"] == 1.0
    assert 2 / 3 <= found["confidence"]["before"]["confidence"] < 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c, p: (c, p[:-2]), "cases without a prediction: 118, 119"),
        (lambda c, p: (c[:-1], p), "predictions for cases that are not there: 119"),
        (lambda c, p: (c, []), "no record in it"),
        (lambda c, p: ([], p), "no record in it"),
        (lambda c, p: (c, [*p, p[0]]), "line 121: an id that an earlier line has too"),
        (lambda c, p: ([*c, c[0]], p), "line 121: an id that an earlier line has too"),
        (lambda c, p: (c, ['{"id": 0, "output": "MS", "confidence": NaN}', *p[1:]]), "line 1: NaN where a number"),
        (lambda c, p: (c, [{**p[0], "confidence": 1.2}, *p[1:]]), "line 1: confidence is no number from 0 to 1"),
        (lambda c, p: (c, [{**p[0], "confidence": SECRET}, *p[1:]]), "line 1: confidence is no number from 0 to 1"),
        (lambda c, p: (c, [{**p[0], "probabilities": {"MS": 0.4}}, *p[1:]]), "line 1: probabilities sum to 0.4"),
        (lambda c, p: (c, [{"id": 0}, *p[1:]]), "line 1: no output"),
        (lambda c, p: (c, [{"id": 0, "output": SECRET}, *p[1:]]), "others have none"),
        (lambda c, p: (c, ["not json SECRET", *p[1:]]), "line 1: not JSON"),
        (lambda c, p: ([{"id": 0}, *c[1:]], p), "line 1: answer is no label"),
        (lambda c, p: ([{**c[0], "answer": " "}, *c[1:]], p), "line 1: answer is empty"),
        (lambda c, p: ([{**c[0], "patient": None}, *c[1:]], p), "1 do not: 0"),
        (lambda c, p: ([{**c[0], "split": "train"}, *c[1:]], p), "split is neither test nor calibration"),
        (lambda c, p: ([{**one, "split": "calibration"} for one in c], p), "all cases are of the split calibration"),
        (lambda c, p: (c, [{**one, "cases_sha256": "ab" * 32} for one in p]), "made for another case file"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_with_its_place_and_never_averaged_away(tmp_path, change, said):
    assert said in refused(tmp_path, *change(*classified()))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("ataxia", "not a list"),
        ([{"status": "present"}], "answer[0] has no concept or label"),
        ([{"label": SECRET, "status": "maybe"}], "answer[0] has no status"),
        ([{"label": SECRET, "start": 5, "end": 99}], "answer[0] does not lie within the text"),
        ([{"label": SECRET, "start": 5}], "answer[0] does not lie within the text"),
    ],
)
def test_gold_findings_that_cannot_be_read_are_named_by_line(tmp_path, answer, said):
    cases, predictions = [{"id": 1, "answer": answer, "text": "some text"}], [{"id": 1, "output": []}]
    assert said in refused(tmp_path, cases, predictions, task="extract")


def test_predictions_that_name_the_right_case_file_are_taken(tmp_path):
    cases, predictions = classified(20)
    digest = hashlib.sha256(write(tmp_path / "cases.jsonl", cases).read_bytes()).hexdigest()
    assert evaluate(tmp_path, cases, [{**one, "cases_sha256": digest} for one in predictions])["n"] == 20


def test_an_empty_output_is_wrong_and_counted(tmp_path):
    cases, predictions = classified(40)
    blank = [{"id": p["id"], "output": None if i % 2 else " "} for i, p in enumerate(predictions)]
    found = evaluate(tmp_path, cases, blank)
    assert (found["unscored"], found["metrics"]["accuracy"]["value"], found["confidence"]) == (40, 0.0, None)
    assert found["metrics"]["unscored_rate"]["value"] == 1.0


@pytest.mark.parametrize("n", [1, 2])
def test_one_patient_has_values_without_intervals_and_it_is_said(tmp_path, n):
    found = evaluate(tmp_path, *classified(n))
    assert all(one["low"] is None and one["high"] is None for one in found["metrics"].values())
    assert "one patient" in found["notes"][0]


def test_one_label_only_is_said(tmp_path):
    cases, predictions = classified(30)
    found = evaluate(tmp_path, [{**case, "answer": "MS"} for case in cases], predictions)
    assert any("same label" in note for note in found["notes"])
    assert found["chance"]["value"] == 1.0


def test_without_patients_every_case_stands_for_itself(tmp_path):
    cases, predictions = classified(40)
    found = evaluate(tmp_path, [{k: v for k, v in c.items() if k != "patient"} for c in cases], predictions)
    assert (found["n"], found["patients"]) == (40, 40)


def test_all_metrics_of_all_kinds_hold_their_value_and_are_known(tmp_path):
    cases, predictions = classified(50)
    for name in evaluate(tmp_path, cases, predictions)["metrics"]:
        assert name in METRICS or name in CONFIDENCE


# --- planning ---


def plan(*more):
    result = CliRunner().invoke(app, ["evaluate", "--plan", "--json", *more])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return json.loads(result.output)


def test_a_plan_needs_no_files(tmp_path):
    found = plan("--assume", "difference=0.1", "--assume", "discordant=0.3")
    assert found["needs"]["better"]["cases"] == 234
    assert found["needs"]["critical_0"]["cases"] == 299
    assert "show a gain of 0.1" in CliRunner().invoke(app, ["evaluate", "--plan", "--assume", "difference=0.1"]).output


def test_a_pilot_takes_the_place_of_guesses(tmp_path):
    cases, good = classified(200, skill=0.9)
    _, bad = classified(200, skill=0.6)
    files = ["--cases", write(tmp_path / "c.jsonl", cases), "--predictions", write(tmp_path / "g.jsonl", good)]
    files += ["--against", write(tmp_path / "b.jsonl", bad), "--task", "classify"]
    found = plan(*map(str, files), "--assume", "power=0.9")
    right = np.array([[p["output"] == c["answer"] for c, p in zip(cases, of, strict=True)] for of in (good, bad)])
    assumed = found["assumptions"]
    assert assumed["accuracy"] == pytest.approx(right[0].mean())
    assert assumed["discordant"] == pytest.approx((right[0] != right[1]).mean())
    assert assumed["difference"] == pytest.approx(right[0].mean() - right[1].mean())
    assert (assumed["cases_per_patient"], assumed["power"]) == (2.0, 0.9)


@pytest.mark.parametrize("assumed", ["difference", "nonsense=1", "power=2", "margin=x"])
def test_a_plan_that_cannot_be_made_is_said(assumed):
    with pytest.raises(ResidencyError, match="--assume"):
        plan("--assume", assumed)


def test_without_files_there_is_an_example(tmp_path):
    with pytest.raises(ResidencyError, match="For example: residency evaluate"):
        raise CliRunner().invoke(app, ["evaluate"]).exception
    missing = Scoring(cases=tmp_path / "no.jsonl", predictions=tmp_path / "no.jsonl", kind="classify")
    with pytest.raises(ResidencyError, match="there is no such file"):
        score_files(missing)


def summaries():
    """A case with its text, and a summary that denies what the text says; three that are true."""
    text = "She has ataxia and seizures. No tremor."
    cases = [{"id": i, "answer": "Ataxia. Seizures.", "text": text, "patient": f"p{i}"} for i in range(4)]
    outputs = ["Ataxia. Seizures.", "Ataxia. Seizures.", "Ataxia. Seizures.", "Ataxia. No seizures."]
    return cases, [{"id": i, "output": output} for i, output in enumerate(outputs)]


def critical_table(path: Path, *rows: str) -> str:
    path.write_text("\n".join(["error\twhat\tthan\tseverity\tagreed_by\twhy", *rows]) + "\n", encoding="utf-8")
    return str(path)


def test_claims_and_critical_errors_of_any_models_texts(tmp_path):
    table = critical_table(tmp_path / "critical.tsv", "flipped\tHP:0001250\t\t3\tDr A; Dr B\twhy")
    cases, predictions = summaries()
    more = ("--pack", "neurology", "--critical", table)
    found = evaluate(
        tmp_path, cases, predictions, *more, task="generate", against=[*predictions[:3], {**predictions[0], "id": 3}]
    )
    metrics, others = found["metrics"], found["against"]["metrics"]
    assert metrics["hallucination_rate"]["value"] == pytest.approx(1 / 8)
    assert metrics["critical_error_rate"]["value"] == 0.25
    assert metrics["critical_cost"]["value"] == 0.75
    assert all({"value", "low", "high", "n"} <= set(metrics[name]) for name in ("critical_error_rate", "omission_rate"))
    assert (others["critical_error_rate"]["value"], others["hallucination_rate"]["value"]) == (0, 0)
    assert found["harm"]["claims"]["problems"] == {"polarity": 1}
    assert (
        found["harm"]["critical"]["counted"][0] | {"count": 1, "severity": 3.0}
        == found["harm"]["critical"]["counted"][0]
    )
    assert "seizures" not in json.dumps(found["harm"]).lower()  # no text of a case
    assert found["files"]["critical"]["sha256"]


def test_critical_errors_of_labels_need_no_pack(tmp_path):
    table = critical_table(
        tmp_path / "critical.tsv", "confused\tALS\tMS\t2\tDr A; Dr B\twhy", "confused\tXYZ\tMS\t2\t\twhy"
    )
    cases = [{"id": i, "answer": "ALS"} for i in range(10)]
    found = evaluate(
        tmp_path, cases, [{"id": i, "output": "MS" if i < 2 else "ALS"} for i in range(10)], "--critical", table
    )
    assert found["metrics"]["critical_error_rate"]["value"] == 0.2
    assert found["harm"]["critical"]["not_counted"] == ["XYZ"]


def test_critical_errors_of_texts_ask_for_the_pack_and_the_texts(tmp_path):
    table = critical_table(tmp_path / "critical.tsv", "flipped\t*\t\t3\tDr A; Dr B\twhy")
    cases, predictions = summaries()
    for more in ((), ("--pack", "neurology")):
        given = [{name: value for name, value in case.items() if name != "text" or not more} for case in cases]
        with pytest.raises(ResidencyError, match="need a pack and the texts"):
            evaluate(tmp_path, given, predictions, "--critical", table, *more, task="generate")
    without = [{name: value for name, value in case.items() if name != "text"} for case in cases]
    assert (
        "Claims are not checked"
        in evaluate(tmp_path, without, predictions, "--pack", "neurology", task="generate")["notes"][0]
    )


def test_a_finding_with_a_status_that_there_is_none_of_is_a_claim_that_nothing_bears_out(tmp_path):
    cases = [{"id": 1, "answer": [{"label": "Seizure"}], "text": "She has seizures."}]
    said = [{"id": 1, "output": [{"label": "Seizure", "status": "maybe"}]}]
    found = evaluate(tmp_path, cases, said, "--pack", "neurology", task="extract")
    assert found["metrics"]["hallucination_rate"]["value"] == 1


def judged(n=400, checked=160, sensitivity=0.8, specificity=0.9, wrong=0.2):
    """Cases, outputs, and verdicts of a judge of known worth; the first ones are judged by people, too."""
    rng = random.Random(3)
    cases = [{"id": i, "answer": "Ataxia."} for i in range(n)]
    verdicts = []
    for i in range(n):
        bad = rng.random() < wrong
        verdict = {"id": i, "flagged": rng.random() < (sensitivity if bad else 1 - specificity)}
        verdicts.append({**verdict, "wrong": bad} if i < checked else verdict)
    return cases, [{"id": i, "output": "Ataxia."} for i in range(n)], verdicts


def test_a_judges_rate_is_given_corrected_and_in_no_other_way(tmp_path):
    cases, predictions, verdicts = judged()
    file = write(tmp_path / "verdicts.jsonl", verdicts)
    found = evaluate(tmp_path, cases, predictions, "--judge", str(file), task="generate")
    rate = found["metrics"]["judged_wrong_rate"]
    raw = sum(one["flagged"] for one in verdicts) / len(verdicts)
    people = [one for one in verdicts if "wrong" in one]
    se = np.mean([one["flagged"] for one in people if one["wrong"]])
    sp = np.mean([not one["flagged"] for one in people if not one["wrong"]])
    assert rate["value"] == pytest.approx((raw + sp - 1) / (se + sp - 1))
    assert rate["low"] < 0.2 < rate["high"] and rate["n"] == 400
    assert "160 outputs that people judged" in rate["note"]
    assert f"{raw:.3f}"[1:] not in json.dumps(found) and not re.search("flagged", json.dumps(found))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [{"id": r["id"], "flagged": r["flagged"]} for r in rows], "was measured on 0 wrong and 0 right"),
        (lambda rows: rows[1:], "1 cases have no verdict: 0"),
        (lambda rows: [*rows, {"id": "x", "flagged": True}], "1 verdicts are of no case: x"),
        (lambda rows: [{**rows[0], "flagged": SECRET}, *rows[1:]], "line 1: flagged is neither true nor false"),
        (lambda rows: [{**rows[0], "wrong": SECRET}, *rows[1:]], "line 1: wrong is neither true nor false"),
    ],
)
def test_a_judge_whose_worth_is_not_known_is_refused(tmp_path, change, said):
    cases, predictions, verdicts = judged(n=50, checked=50)
    file = write(tmp_path / "verdicts.jsonl", change(verdicts))
    with pytest.raises(ResidencyError, match=said) as caught:
        evaluate(tmp_path, cases, predictions, "--judge", str(file), task="generate")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nats": 10**400}, "nats is too large a number"),
        ({"tokens": 10**400}, "tokens is too large a number"),
        ({"cases_sha256": ["x"]}, "cases_sha256 is no text"),
    ],
)
def test_numbers_and_hashes_that_are_none_are_named_by_line(tmp_path, change, said):
    cases, predictions = classified(20)
    assert f"line 1: {said}" in refused(tmp_path, cases, [predictions[0] | change, *predictions[1:]])


def test_an_output_that_is_nested_too_deeply_names_no_finding(tmp_path):
    cases = [{"id": n, "answer": [{"label": "Ataxia"}], "patient": n} for n in range(12)]
    found = evaluate(tmp_path, cases, [{"id": n, "output": "[" * 100_000} for n in range(12)], task="extract")
    assert found["unscored"] == 12


@pytest.mark.parametrize("name", ["cases.jsonl", "out.jsonl", "link.jsonl", "verdicts.jsonl", "table.tsv"])
def test_what_is_read_is_never_written_over(tmp_path, name):
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "cases.jsonl")
    files = {"--judge": tmp_path / "verdicts.jsonl", "--critical": tmp_path / "table.tsv"}
    for file in files.values():
        file.write_text("kept")
    more = [str(word) for option in files.items() for word in option]
    cases, predictions = classified(20)
    with pytest.raises(ResidencyError, match="would replace the input"):
        evaluate(tmp_path, cases, predictions, *more, "-o", str(tmp_path / name))
    if name not in ("verdicts.jsonl", "table.tsv"):
        with pytest.raises(ResidencyError, match="would replace the input"):
            evaluate(tmp_path, cases, predictions, "--plan", "-o", str(tmp_path / name))
    assert (tmp_path / "cases.jsonl").read_text().startswith(json.dumps(cases[0]))
    assert all(file.read_text() == "kept" for file in files.values())


@pytest.mark.parametrize("option", ["--critical", "--judge"])
@pytest.mark.parametrize("command", [["--adapter", "a"], ["--plan"]])
def test_an_option_that_would_change_nothing_is_refused(tmp_path, option, command):
    result = CliRunner().invoke(app, ["evaluate", *command, option, str(tmp_path / "x")])
    assert isinstance(result.exception, ResidencyError) and result.exception.message.startswith(option)


def test_a_table_that_is_no_table_is_said(tmp_path):
    cases, predictions = classified(20)
    long = tmp_path / "long.tsv"
    long.write_text("error\twhat\n" + "x" * 200_000)
    for file in (long, Path("z" * 5_000), tmp_path):
        with pytest.raises(ResidencyError, match=r"table of critical errors|cannot be read"):
            evaluate(tmp_path, cases, predictions, "--critical", str(file))


def test_a_seed_is_no_negative_number_and_no_count_is_without_end():
    assert CliRunner().invoke(app, ["evaluate", "--seed", "-1"]).exit_code == 2
    found = CliRunner().invoke(app, ["evaluate", "--plan", "--assume", "margin=1e-300"])
    assert isinstance(found.exception, ResidencyError)
