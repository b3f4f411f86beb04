"""The page that a privacy officer signs says what the evidence says, in words, and nothing that identifies anybody."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import Page, at

from residency.curate.deidentify import not_covered
from residency.curate.deidentify.audit import Method
from residency.curate.deidentify.labels import Identifier
from residency.curate.deidentify.policy import NAMES, CodeRule, DateRule, Mode, PlaceRule, load_policy
from residency.curate.deidentify.recall import POOLED, Standing, trials_needed, upper_bound
from residency.evaluate.report import evidence as wording
from residency.evaluate.report import render_evidence, words, write_evidence
from residency.evaluate.report.evidence import evidence_page

REVIEW = "residency review --deidentified --who NAME --project /srv/rare-neurology"
FOUND = {
    Identifier.NAME: 18_211, Identifier.DATE: 15_904, Identifier.ORGANIZATION: 4_120, Identifier.LOCATION: 2_903,
    Identifier.PHONE: 2_455, Identifier.MRN: 1_999, Identifier.AGE_OVER_89: 61, Identifier.EMAIL: 44, Identifier.SSN: 9,
}  # fmt: skip
SEEN: dict[str, dict[str, tuple[int, int]]] = {  # class -> reviewed, missed
    "GO": {"NAME": (2_640, 1), "DATE": (2_280, 0), "ORGANIZATION": (600, 12), "LOCATION": (418, 2), "PHONE": (351, 0),
           "MRN": (288, 0), POOLED: (64, 0)},
    "NO-GO": {"NAME": (1_320, 3), "DATE": (1_140, 0), "ORGANIZATION": (298, 41), "LOCATION": (206, 2),
              "PHONE": (176, 0), "MRN": (143, 1), POOLED: (8, 0)},
    "INCONCLUSIVE": {"NAME": (330, 0), "DATE": (285, 0), "ORGANIZATION": (74, 3), "LOCATION": (52, 0),
                     "PHONE": (41, 0), "MRN": (36, 0), POOLED: (0, 0)},
}  # fmt: skip
READ = {"GO": 288, "NO-GO": 144, "INCONCLUSIVE": 36}


def recall_row(label: str, reviewed: int, missed: int, read: int) -> dict[str, Any]:
    """A row as release.py gives it; the bound is the real one."""
    members = [label] if label != POOLED else ["AGE_OVER_89", "EMAIL", "SSN"]
    bound, limit = upper_bound(missed, reviewed, 0.95), 0.02 if label == "MRN" else 0.05
    settled = Standing.GO if bound <= limit else Standing.NO_GO if missed > 30 else Standing.INCONCLUSIVE
    trials = trials_needed(missed, limit, 0.95) if settled is Standing.INCONCLUSIVE else None
    needed = round((trials - reviewed) / (max(reviewed, 8) / read)) if trials else None
    return {
        "label": label, "classes": members, "occurs": sum(FOUND[Identifier(one)] for one in members),
        "reviewed": reviewed, "missed": missed, "recall": 1 - missed / reviewed if reviewed else None,
        "missed_at_most": bound, "limit": limit, "standing": settled, "documents_needed": needed,
    }  # fmt: skip


def reading(number: int, missed: list[dict[str, Any]], wrong: list[dict[str, Any]]) -> dict[str, Any]:
    when = f"2026-11-{18 + number // 60:02}T{9 + number // 8 % 8:02}:{number * 7 % 60:02}:21.481516+00:00"
    who = "Dr. Amara Osei" if number % 3 else "Prof. Jan Lindqvist"
    return {"document": f"d-{number * 7919 + 4096:016x}", "who": who, "when": when, "missed": missed, "wrong": wrong}


def full_evidence(verdict: str = "GO") -> dict[str, Any]:
    """Evidence with every key of the contract. The figures are invented; the bounds are right."""
    read = READ[verdict]
    rows = [recall_row(label, *counts, read) for label, counts in SEEN[verdict].items()]
    readings = [
        reading(
            number,
            [{"start": 1_120, "end": 1_134, "label": "ORGANIZATION"}, {"start": 88, "end": 93, "label": "NAME"}]
            if number % 40 == 5
            else [],
            [{"start": 401, "end": 409, "label": "NAME"}] if number % 90 == 7 else [],
        )
        for number in range(read)
    ]
    policy = load_policy("expert_determination")
    cell = {"age": "90+", "sex": "female", "state": "Vermont", "year": "2019", "diagnosis": "CADASIL"}
    return {
        "standing": verdict,
        "reason": {
            "GO": f"{read} documents were read, every bound holds, Dr. Ruth Weiss released the set.",
            "NO-GO": "Too many identifiers are missed: ORGANIZATION at most 17.5% missed (limit 5.0%).",
            "INCONCLUSIVE": f"{read} of 1984 documents were read; not shown yet: ORGANIZATION at most 10.2% missed "
            "(limit 5.0%), RARE at most 100.0% missed (limit 5.0%).",
        }[verdict],
        "next_step": {
            "GO": "",
            "NO-GO": "Add patterns under curate[0].patterns for what was missed, and run again.",
            "INCONCLUSIVE": f"Read about 266 more: {REVIEW}",
        }[verdict],
        "project": "Rare neurology",
        "created": "2026-11-24T14:05:00+00:00",
        "residency": "0.1.0",
        "policy": {
            "name": policy.name, "about": policy.about, "mode": "surrogate", "dates": "shift", "places": "replace",
            "ages_over_89": False, "codes": "surrogate", "organizations": True,
            "review": policy.review.model_dump(mode="json")
            | {"missed_by_class": {"MRN": 0.02}, "quasi_identifiers": ["diagnosis"]},
        },
        "documents": {"set": "5c21b90e7d44" * 5 + "a1f3", "count": 1_984, "with_identifiers": 1_961, "unreadable": 7,
                      "dropped": 3},
        "found": [{"label": label, "count": count} for label, count in FOUND.items()],
        "recall": {
            "rows": rows, "read": read, "documents": 1_984, "with_a_miss": sum(bool(one["missed"]) for one in readings),
            "documents_missed_at_most": upper_bound(sum(bool(one["missed"]) for one in readings), read, 0.95),
            "confidence": 0.95, "wrong": 4, "standing": verdict,
        },
        "readings": readings,
        "doubtful": {"spans": 212, "judged": 40},
        "audit": {
            "documents": 1_984, "documents_with_suspects": 131, "share_with_suspects": 131 / 1984, "suspects": 164,
            "suspects_per_document": 164 / 1984, "by_method": {"vocabulary": 98, "digits": 41, "presidio": 30,
            "known": 6}, "by_label": {"NAME": 90, "OTHER_ID": 31, "DATE": 24, "LOCATION": 19}, "lowest_score": 0.4,
        },
        "anonymity": {
            "k": 5, "quasi_identifiers": list(cell), "patients": 1_402, "cells": 188, "smallest": 1,
            "below": [
                {"values": cell, "patients": 1, "pseudonyms": ["p-81be0277c1"]},
                {"values": cell | {"age": "1-9", "sex": "male", "state": "unknown", "diagnosis": "Rett syndrome"},
                 "patients": 2, "pseudonyms": ["p-0b9e3d77c2", "p-77aa09e1b5"]},
                {"values": cell | {"age": "40-49", "state": "Ohio", "year": "unknown"}, "patients": 4,
                 "pseudonyms": ["p-19d0c7b3aa", "p-3f0c9ab1d2", "p-90c1d2e3f4", "p-b2c3d4e5f6"]},
            ],
            "patients_below": 7, "share_below": 7 / 1402,
            "unknown": {"age": 12, "sex": 4, "state": 803, "year": 31, "diagnosis": 0},
            "without": [
                {"quasi_identifier": name, "smallest": smallest, "patients_below": below, "share_below": below / 1402}
                for name, smallest, below in (("state", 4, 4), ("diagnosis", 2, 6), ("year", 1, 7), ("age", 1, 7),
                                              ("sex", 1, 7))
            ],
        },
        "vault": {
            "id": "v-90c1d2e3f4a5b6c7", "patients": 1_402, "forgotten": 2,
            "records": {"document": 1_984, "treatment": 1_984}, "fingerprint": "7d44a1f35c21b90e",
            "made": "2026-11-02T08:30:11+00:00", "rotated": "2026-11-16T17:02:40+00:00",
        },
        "signature": {"who": "Dr. Ruth Weiss", "when": "2026-11-24T13:58:02.114000+00:00", "verdict": "approved"}
        if verdict == "GO"
        else None,
        "not_covered": list(not_covered()),
    }  # fmt: skip


# --- tools ------------------------------------------------------------------------------------------------------------


def read(evidence: dict[str, Any]) -> Page:
    return Page(render_evidence(evidence))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key in the data; of a list only its first and its last item."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from places(item, (*path, key))
    elif isinstance(value, list) and value:
        for position in {0, len(value) - 1}:
            yield from places(value[position], (*path, position))


def hostile(value: Any, text: str, *, keys: bool) -> Any:
    """The data with every string but verdicts replaced, and where ``keys`` says so, the names of classes and kinds."""
    if isinstance(value, dict):
        return {
            (text if keys else key): item if key in {"standing", "verdict"} else hostile(item, text, keys=key in OPEN)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [hostile(item, text, keys=False) for item in value]
    return text if isinstance(value, str) else value


OPEN = {"by_method", "by_label", "records", "missed_by_class", "values", "unknown"}  # whose keys are data

# --- the two files ----------------------------------------------------------------------------------------------------


def test_both_files_are_written_for_their_owner_only_and_the_json_is_the_evidence(tmp_path: Path) -> None:
    as_html = write_evidence(full_evidence(), tmp_path / "new" / "folder")
    as_json = as_html.with_name("deidentification.json")
    assert as_html.name == "deidentification.html"
    assert json.loads(as_json.read_text()) == full_evidence()
    assert next(iter(json.loads(as_json.read_text()))) == "standing"
    assert as_html.read_text() == render_evidence(full_evidence())
    assert [stat.S_IMODE(path.stat().st_mode) for path in (as_html, as_json)] == [0o600, 0o600]
    assert sorted(path.name for path in as_html.parent.iterdir()) == [as_html.name, as_json.name]


def test_files_of_before_are_replaced(tmp_path: Path) -> None:
    write_evidence(full_evidence(), tmp_path)
    as_html = write_evidence(full_evidence("NO-GO"), tmp_path)
    assert "NO-GO" in as_html.read_text()
    assert json.loads((tmp_path / "deidentification.json").read_text())["standing"] == "NO-GO"


def test_a_number_that_is_not_finite_is_null_in_the_json_and_not_measured_on_the_page(tmp_path: Path) -> None:
    evidence = full_evidence()
    evidence["recall"]["rows"][0]["recall"] = np.float64("nan")
    evidence["recall"]["documents_missed_at_most"] = float("inf")
    as_html = write_evidence(evidence, tmp_path)
    data = json.loads((tmp_path / "deidentification.json").read_text(), parse_constant=pytest.fail)
    assert data["recall"]["documents_missed_at_most"] is None
    assert Page(as_html.read_text()).text.count("not measured") == 2


@pytest.mark.parametrize("verdict", ["GO", "NO-GO", "INCONCLUSIVE"])
def test_the_page_runs_nothing_and_asks_nobody(verdict: str) -> None:
    text = render_evidence(full_evidence(verdict))
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "form", "input", "base"}
    links = [value or "" for _, its in page.tags for name, value in its.items() if name in {"href", "src", "action"}]
    assert links and all(link.startswith("#") for link in links)
    assert "://" not in text and "url(" not in text and "@import" not in text
    assert "default-src 'none'" in text


def test_every_heading_of_the_contents_is_there() -> None:
    page = read({})
    wanted = {str(its["href"])[1:] for tag, its in page.tags if tag == "a"}
    assert len(wanted) == 9 and wanted <= {its.get("id") for tag, its in page.tags if tag == "h2"}


@pytest.mark.parametrize("attack", ["</style><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}"])
@pytest.mark.parametrize("verdict", ["GO", "NO-GO", "INCONCLUSIVE"])
def test_no_text_of_the_data_becomes_markup(attack: str, verdict: str) -> None:
    page = Page(render_evidence(hostile(full_evidence(verdict), attack, keys=False)))
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count(attack) > 30 and "49" not in {word.strip() for word in page.words}


# --- what stands on the page ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["GO", "NO-GO", "INCONCLUSIVE"])
def test_with_full_evidence_nothing_is_missing_and_no_word_is_a_programs(verdict: str) -> None:
    page = read(full_evidence(verdict))
    assert "not measured" not in page.text
    assert not re.findall(r"\b\w+_\w+\b", page.text)
    assert not re.search(r"\b(None|True|False|nan|inf)\b", page.text)


@pytest.mark.parametrize("verdict", ["GO", "NO-GO", "INCONCLUSIVE"])
def test_the_verdict_stands_in_words_with_its_reason(verdict: str) -> None:
    text = render_evidence(full_evidence(verdict))
    assert f'<p class="word">{verdict}</p>' in text
    assert {"GO": "Dr. Ruth Weiss released the set", "NO-GO": "organization at most 17.5% missed",
            "INCONCLUSIVE": "rare classes at most 100.0% missed"}[verdict] in Page(text).text  # fmt: skip


def test_the_next_step_is_a_command_to_copy() -> None:
    assert f'Read about 266 more: <code class="command">{REVIEW}</code>' in " ".join(
        render_evidence(full_evidence("INCONCLUSIVE")).split()
    )


def test_a_set_that_nobody_judged_is_given_no_verdict() -> None:
    assert "NOT JUDGED" in read({}).text


def test_whoever_released_the_set_is_named_and_nobody_is_asked_to_sign_again() -> None:
    text = read(full_evidence()).text
    assert "Released Dr. Ruth Weiss 24 November 2026, 13:58 UTC" in text
    assert "Nobody has released this set yet" not in text


def test_a_refusal_is_shown_as_one() -> None:
    evidence = full_evidence("NO-GO")
    evidence["signature"] = {"who": "Dr. Ruth Weiss", "when": "2026-11-24T13:58:02+00:00", "verdict": "refused"}
    assert "Refused Dr. Ruth Weiss" in read(evidence).text
    assert '<div class="signed bad">' in render_evidence(evidence)


def test_where_nobody_has_released_the_set_there_is_room_to_sign_for_exactly_this_set() -> None:
    evidence = full_evidence("INCONCLUSIVE")
    text = read(evidence).text
    assert all(word in text for word in ("Nobody has released this set yet", "Name", "Role", "Signature", "Date"))
    assert evidence["documents"]["set"] in text


def test_recall_is_shown_by_class_with_its_bound_in_words() -> None:
    rows = {row["label"]: row for row in evidence_page(full_evidence("INCONCLUSIVE"))["rows"]}
    assert plain_spaces(rows["DATE"]["sentence"]) == "0 misses in 285: at most 1.1 % at 95 %"
    assert plain_spaces(rows["ORGANIZATION"]["sentence"]) == "3 misses in 74: at most 10.2 % at 95 %"
    assert rows[POOLED]["sentence"] == "none of them in the documents that were read"
    assert rows[POOLED]["members"] == ["age over 89", "e-mail address", "social security number"]
    assert rows["DATE"]["more"] is None and "more to read" in rows["ORGANIZATION"]["more"]


def test_one_miss_is_one_miss() -> None:
    [row] = evidence_page({"recall": {"rows": [recall_row("NAME", 600, 1, 60)]}})["rows"]
    assert plain_spaces(row["sentence"]) == "1 miss in 600: at most 0.8 %"


def test_a_bar_ends_before_the_limit_exactly_where_the_bound_holds() -> None:
    for verdict in SEEN:
        for row in evidence_page(full_evidence(verdict))["rows"]:
            if row["bar"]:
                assert (float(row["bar"]["bound"]) <= wording.BAR_LIMIT) == (row["missed_at_most"] <= row["limit"])
                assert float(row["bar"]["seen"]) <= float(row["bar"]["bound"]) <= wording.BAR
                assert row["bar"]["cut"] == (row["missed_at_most"] > 2 * row["limit"])


def test_more_reading_is_asked_for_no_further_than_there_are_documents() -> None:
    evidence = full_evidence("INCONCLUSIVE")
    most = max(row["documents_needed"] or 0 for row in evidence["recall"]["rows"])
    assert evidence_page(evidence)["more"] == most
    evidence["recall"]["documents"] = evidence["recall"]["read"] + 2
    assert evidence_page(evidence)["more"] == 2
    evidence = full_evidence("INCONCLUSIVE")
    assert f"more to read, if nothing else is missed about {most}" in read(evidence).text
    assert "more to read 0" in read(full_evidence()).text


def test_where_more_reading_does_not_help_none_is_asked_for() -> None:
    text = read(full_evidence("NO-GO")).text
    assert "more reading does not help" in text and "more to read: it would not help –" in text
    assert "it would not help" not in read(full_evidence("INCONCLUSIVE")).text


def test_before_anybody_has_read_anything_no_bound_is_claimed() -> None:
    evidence = full_evidence("INCONCLUSIVE")
    evidence["readings"] = []
    evidence["recall"] |= {"read": 0, "with_a_miss": 0, "documents_missed_at_most": 1.0}
    for row in evidence["recall"]["rows"]:
        row |= {"reviewed": 0, "missed": 0, "recall": None, "missed_at_most": 1.0}
    text = plain_spaces(read(evidence).text)
    assert "Nobody has read a document yet" in text and "100.0 %" not in text
    assert text.count("– nothing read limit") == len(evidence["recall"]["rows"])
    assert not [row for row in evidence_page(evidence)["rows"] if row["bar"]]


def test_suspects_wait_for_a_person() -> None:
    text = read(full_evidence()).text
    assert "They wait for a person: residency review --doubtful --who NAME" in text
    for word in ("Unexplained word", "Second reader", "Other number"):
        assert word in text


def test_small_groups_are_listed_with_what_helps_most() -> None:
    text = plain_spaces(read(full_evidence()).text)
    assert "What helps most: give up the state. Then 4 patients are in small groups" in text
    assert all(word in text for word in ("CADASIL", "Rett syndrome", "p-77aa09e1b5", "not told"))


def test_no_patients_are_no_proof_of_anonymity() -> None:
    assert "Every group has" not in read({"anonymity": {"k": 5, "patients": 0, "below": []}}).text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"below": [], "patients_below": 0, "smallest": 5}, "Every group has 5 patients or more."),
        ({"without": []}, "No single fact helps when it is given up."),
        ({"patients_below": 4}, "No single fact helps when it is given up."),
    ],
)
def test_the_next_step_for_small_groups_follows_from_the_figures(changes: dict[str, Any], said: str) -> None:
    evidence = full_evidence()
    evidence["anonymity"] |= changes
    assert said in plain_spaces(read(evidence).text)


def test_readings_say_who_read_what_when_and_where_misses_stand() -> None:
    evidence = full_evidence()
    page = read(evidence)
    text = plain_spaces(page.text)
    assert "288 documents were read from beginning to end by Dr. Amara Osei (192), Prof. Jan Lindqvist (96)" in text
    assert "from 18 November 2026, 09:00 UTC to 22 November 2026" in text
    assert all(one["document"] in page.text for one in evidence["readings"])
    assert "organization 1120–1134" in text and "18 November 2026, 09:35 UTC" in text
    shown = evidence_page(evidence)["readings"]
    assert len(shown["found"]) + len(shown["nothing"]) == len(evidence["readings"])


def test_readings_stand_in_the_order_of_time() -> None:
    evidence = full_evidence()
    evidence["readings"].reverse()
    times = [one["when"] for one in evidence_page(evidence)["readings"]["nothing"]]
    assert times == sorted(times)


def test_the_vault_and_the_limits_of_the_program_are_told() -> None:
    evidence = full_evidence()
    text = plain_spaces(read(evidence).text)
    assert "Holds 1,984 raw documents, 1,984 lists of what was replaced" in text
    assert "Key last changed 16 November 2026, 17:02 UTC" in text
    assert evidence["not_covered"] and all(item in text for item in evidence["not_covered"])
    evidence["vault"]["rotated"] = None
    assert "Key last changed never" in read(evidence).text


# --- the policy in words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "title", "said"),
    [
        ({}, "Dates", "Every date of a patient is moved by the same secret number of days"),
        ({"dates": "year"}, "Dates", "Only the year stays"),
        ({"mode": "generalize"}, "Dates", "Only the year stays"),
        ({"mode": "tag"}, "Dates", "Replaced by their class."),
        ({"mode": "generalize"}, "Places", "Streets and towns are replaced. The first three digits"),
        ({"mode": "tag", "places": "keep"}, "Places", "Towns and postal codes stay as they are."),
        ({"mode": "generalize", "places": "keep"}, "Places", "Towns and postal codes stay as they are."),
        ({"mode": "tag"}, "Ages over 89", "Replaced by their class."),
        ({"mode": "tag", "ages_over_89": True}, "Ages over 89", "They stay as they are."),
        ({}, "Ages over 89", "They become 90+."),
        ({"codes": "tag"}, "Numbers and codes", "Nothing is derived from the original."),
        ({"mode": "generalize"}, "Numbers and codes", "Nothing is derived from the original."),
        ({"organizations": False}, "Hospitals, schools, employers", "They stay as they are."),
        ({"dates": "a_rule_of_tomorrow"}, "Dates", "a rule of tomorrow"),
    ],
)
def test_the_policy_is_told_as_it_is_carried_out(changes: dict[str, Any], title: str, said: str) -> None:
    policy = full_evidence()["policy"] | changes
    sentence = dict(evidence_page({"policy": policy})["policy"])[title]
    assert said in str(sentence)


def test_the_review_rule_is_told_with_every_number() -> None:
    said = plain_spaces(" ".join(evidence_page(full_evidence())["review"]))
    assert "at most 5 % may have been missed, with 95 % confidence" in said
    assert "Limits of their own: medical record number 2 %." in said
    assert "fewer than 100 times" in said and "10 % of the documents" in said
    assert "the label columns (diagnosis)" in said and "fewer than 5 patients" in said


def test_a_policy_that_does_not_ask_for_review_says_so() -> None:
    evidence = full_evidence()
    evidence["policy"]["review"]["before_training"] = False
    assert "Training is not refused" in read(evidence).text


def test_every_rule_method_and_class_of_the_program_has_words() -> None:
    assert set(wording.MODES) == set(Mode) and set(wording.DATES) == set(DateRule)
    assert set(wording.PLACES) == set(PlaceRule) and set(wording.CODES) == set(CodeRule)
    assert set(wording.METHODS) == set(Method)
    assert set(words.CLASSES) == {*Identifier, POOLED}
    assert all(words.spaced(name) for name in NAMES)


# --- what is missing --------------------------------------------------------------------------------------------------


def small_evidence() -> dict[str, Any]:
    evidence = full_evidence("INCONCLUSIVE")
    del evidence["readings"][12:]
    return evidence


def test_any_key_may_be_missing_or_null() -> None:
    paths = list(places(small_evidence()))
    assert len(paths) > 120
    for path in paths:
        without, null = small_evidence(), small_evidence()
        del at(without, path[:-1])[path[-1]]
        at(null, path[:-1])[path[-1]] = None
        try:
            shown = render_evidence(without)
            assert render_evidence(null) == shown
            assert not re.search(r"\bNone\b", Page(shown).text)
        except Exception as error:
            raise AssertionError(f"without {path}: {error!r}") from error


def test_without_evidence_every_section_says_that_nothing_was_measured() -> None:
    assert read({}).text.count("not measured") >= 9


def test_empty_findings_are_not_the_same_as_none_looked_for() -> None:
    assert "No identifier was found." in read({"found": []}).text
    assert "No identifier was found." not in read({}).text


# --- words ------------------------------------------------------------------------------------------------------------


def plain_spaces(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.at_most(0.00498), "0.5 %"),
        (words.at_most(0.00001), "0.1 %"),
        (words.at_most(0.05), "5.0 %"),
        (words.at_most(0.05001), "5.1 %"),
        (words.at_most(1.0), "100.0 %"),
        (words.at_most(0.0), "0.0 %"),
        (words.at_most(None), None),
        (words.at_least(1.0), "100 %"),
        (words.at_least(0.99996), "99.9 %"),
        (words.at_least(0.97), "97.0 %"),
        (words.at_least(None), None),
        (words.as_set(0.05), "5 %"),
        (words.as_set(0.005), "0.5 %"),
        (words.as_set(None), None),
        (words.identifier_class("MRN"), "medical record number"),
        (words.identifier_class("UK_NHS"), "uk nhs"),
        (words.identifier_class("Own_class"), "Own class"),
        (words.capital("e-mail address"), "E-mail address"),
    ],
)
def test_bounds_are_never_shown_better_than_they_are(shown: str | None, expected: str | None) -> None:
    assert (plain_spaces(shown) if shown else shown) == expected
