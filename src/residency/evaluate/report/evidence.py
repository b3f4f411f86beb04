"""What the page of evidence shows of its data: the page on which a privacy officer releases de-identified documents.

In: the evidence as plain data, as release.py gathers it. Out: the same data, plus what a template should not have to
compute: the policy in sentences, what a row of recall says in words, readings with and without a finding.

Covers: arranging and wording. Does not cover: measuring and judging; no number is made here that is not in the data or
a count of it. A rule whose words are not known here is shown by its own name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from residency.evaluate.report import words
from residency.evaluate.report.view import without_null

Plain = Mapping[str, Any]

BAR, BAR_LIMIT = 120, 60  # px: a bar of recall, and where on it every limit stands
SHOWN_AT_ONCE = 12  # rows of a long table; where there are more, a reader asks for them

MODES = {
    "surrogate": "An invented one of the same form takes its place, a name for a name, unless a rule below differs.",
    "tag": "Its class takes its place, such as [NAME].",
    "generalize": "What is left when the identifying part goes takes its place: a year, an age of 90+, a postal area. "
    "Where nothing is left, its class does, such as [NAME].",
}
DATES = {
    "year": "Only the year stays, and no year that would show an age over 89.",
    "shift": "Every date of a patient is moved by the same secret number of days, so that intervals stay true.",
}
PLACES = {
    "zip3": "Streets and towns are replaced. The first three digits of a ZIP code stay where enough people live.",
    "replace": "Streets, towns and postal codes are replaced.",
    "keep": "Towns and postal codes stay as they are. Streets are replaced.",
}
CODES = {
    "surrogate": "Replaced by invented ones of the same form, drawn with a secret key; without the key they lead to "
    "nobody.",
    "tag": "Replaced by their class. Nothing is derived from the original.",
}
METHODS = {
    "known": ("known identifier", "was replaced elsewhere in this patient's documents and still stands here"),
    "vocabulary": ("unexplained word", "no list of ordinary or medical words explains it"),
    "digits": ("unexplained number", "no clinical context explains it"),
    "presidio": ("second reader", "Presidio as shipped, on a sample of the documents"),
}
RECORDS = {"document": ("raw document", ""), "treatment": ("list of what was replaced", "lists of what was replaced")}


def evidence_page(evidence: Plain) -> dict[str, Any]:
    """Everything that the template reads, by name. A key whose value is null is as good as missing."""
    evidence = without_null(evidence)
    recall = evidence.get("recall") or {}
    audit = evidence.get("audit") or {}
    rows = [_row(row, recall.get("confidence")) for row in recall.get("rows") or []]
    return {
        "e": evidence,
        "reason": _with_classes_in_words(evidence.get("reason"), rows),
        "policy": _policy(evidence.get("policy") or {}),
        "review": _review((evidence.get("policy") or {}).get("review") or {}),
        "rows": rows,
        "more": _more_to_read(recall, rows),
        "hopeless": any(words.tone(row.get("standing")) == "bad" for row in rows),
        "methods": [(*_method(name), count) for name, count in (audit.get("by_method") or {}).items()],
        "suspected": list((audit.get("by_label") or {}).items()),
        "anonymity": _anonymity(evidence.get("anonymity") or {}),
        "readings": _readings(evidence["readings"]) if "readings" in evidence else None,
        "records": [
            words.of_things(count, *RECORDS.get(kind, (words.spaced(kind) or "", words.spaced(kind) or "")))
            for kind, count in ((evidence.get("vault") or {}).get("records") or {}).items()
        ],
        "shown_at_once": SHOWN_AT_ONCE,
    }


# --- the policy


def _policy(policy: Plain) -> list[tuple[str, str | None]]:
    """What happens to every kind of identifier. The mode goes before the rule, as it does when text is written."""
    mode = policy.get("mode")
    dates, places, codes = (policy.get(key) for key in ("dates", "places", "codes"))
    if mode == "generalize":
        dates, places, codes = "year", places if places == "keep" else "zip3", "tag"
    tagged = "Replaced by their class." if mode == "tag" else None
    return [
        ("What is written instead", _in_words(MODES, mode)),
        ("Dates", tagged or _in_words(DATES, dates)),
        ("Places", (tagged if places != "keep" else None) or _in_words(PLACES, places)),
        ("Ages over 89", _ages(policy.get("ages_over_89"), tagged)),
        ("Numbers and codes", tagged or _in_words(CODES, codes)),
        ("Hospitals, schools, employers", _organizations(policy.get("organizations"))),
    ]


def _in_words(sentences: Mapping[str, str], rule: str | None) -> str | None:
    return None if rule is None else sentences.get(rule) or words.spaced(rule)


def _ages(stay: bool | None, tagged: str | None) -> str | None:
    if stay is None:
        return None
    return "They stay as they are." if stay else tagged or "They become 90+."


def _organizations(replaced: bool | None) -> str | None:
    if replaced is None:
        return None
    return "Replaced, because they place the patient." if replaced else "They stay as they are."


def _review(rule: Plain) -> list[str]:
    """What people must have found, in sentences; nothing of what is not known."""
    said = []
    if "before_training" in rule:
        must = "Training is refused until the limits hold and a person has released the set."
        said.append(must if rule["before_training"] else "Training is not refused, whatever stands on this page.")
    if "missed_at_most" in rule:
        sure = f", with {words.as_set(rule['confidence'])} confidence" if "confidence" in rule else ""
        said.append(f"In each class, at most {words.as_set(rule['missed_at_most'])} may have been missed{sure}.")
    if rule.get("missed_by_class"):
        limits = ", ".join(
            f"{words.identifier_class(label)} {words.as_set(limit)}" for label, limit in rule["missed_by_class"].items()
        )
        said.append(f"Limits of their own: {limits}.")
    if "pool_below" in rule:
        times = words.of_things(rule["pool_below"], "time")
        said.append(f"Classes that were found fewer than {times} are judged together.")
    if "second_reader" in rule:
        said.append(f"A second reader looks at {words.as_set(rule['second_reader'])} of the documents.")
    if "smallest_cell" in rule:
        columns = [words.spaced(name) or "" for name in rule.get("quasi_identifiers") or []]
        beside = f" and the label columns ({', '.join(columns)})" if columns else ""
        patients = words.of_things(rule["smallest_cell"], "patient")
        said.append(f"Facts from the texts{beside} are listed where fewer than {patients} share all of them.")
    return said


# --- recall


def _row(row: Plain, confidence: float | None) -> dict[str, Any]:
    label, classes = row.get("label"), row.get("classes") or []
    bound, limit, reviewed, missed = (row.get(key) for key in ("missed_at_most", "limit", "reviewed", "missed"))
    return {
        **row,
        "title": words.capital(words.identifier_class(label)),
        "members": [words.identifier_class(member) for member in classes] if len(classes) > 1 else [],
        "sentence": _sentence(missed, reviewed, bound, confidence),
        "bar": _bar(missed / reviewed if reviewed and missed is not None else None, bound if reviewed else None, limit),
        "more": _more(row),
    }


def _sentence(missed: int | None, reviewed: int | None, bound: float | None, confidence: float | None) -> str | None:
    """``0 misses in 600: at most 0.5 % at 95 %``."""
    if reviewed == 0:
        return "none of them in the documents that were read"
    if missed is None or reviewed is None or bound is None:
        return None
    sure = f" at {words.as_set(confidence)}" if confidence is not None else ""
    misses = words.of_things(missed, "miss", "misses")
    return f"{misses} in {words.count(reviewed)}: at most {words.at_most(bound)}{sure}"


def _bar(seen: float | None, bound: float | None, limit: float | None) -> dict[str, Any] | None:
    """Ends in px. The limit stands at the same place in every row; what goes beyond the bar is cut, and marked so."""
    if bound is None or not limit:
        return None
    ends = [min(max(share, 0.0) / limit * BAR_LIMIT, BAR) for share in (bound, seen or 0.0)]
    return {"bound": f"{ends[0]:.1f}", "seen": f"{ends[1]:.1f}", "cut": bound / limit * BAR_LIMIT > BAR}


def _more(row: Plain) -> str | None:
    """What more reading would do for one class."""
    standing, needed = row.get("standing"), row.get("documents_needed")
    if words.tone(standing) == "good" or standing is None:
        return None
    if words.tone(standing) == "bad":
        return "more reading does not help"
    return "more than anybody reads" if needed is None else f"about {words.count(needed)} more to read"


def _more_to_read(recall: Plain, rows: Sequence[Plain]) -> int | None:
    """Documents more until every class can be settled, no more than there are; None where nothing is known of that."""
    if not rows:
        return None
    more = max(row.get("documents_needed") or 0 for row in rows)
    documents, read = recall.get("documents"), recall.get("read")
    return more if documents is None or read is None else min(more, documents - read)


def _with_classes_in_words(reason: str | None, rows: Iterable[Plain]) -> str | None:
    """The reason, with classes as people call them."""
    if reason is None:
        return None
    labels = {str(row.get("label")) for row in rows}
    parts = str(reason).split(" ")
    return " ".join((words.identifier_class(part) or "") if part in labels else part for part in parts)


# --- the second look, small cells


def _method(name: str) -> tuple[str | None, str]:
    return METHODS.get(name) or (words.spaced(name), "")


def _anonymity(found: Plain) -> dict[str, Any] | None:
    if not found:
        return None
    below, without = found.get("below"), found.get("without") or []
    first = without[0] if without else {}
    fewer = first.get("patients_below")
    helps = bool(below) and fewer is not None and fewer < (found.get("patients_below") or 0)
    names = found.get("quasi_identifiers") or list(dict.fromkeys(n for c in below or [] for n in c.get("values") or {}))
    return {
        **found,
        "names": names,
        "reached": None if below is None or found.get("patients") == 0 else not below,
        "first": first if helps else None,
        "unknown": found.get("unknown") or {},
    }


# --- readings


def _readings(readings: Sequence[Plain]) -> dict[str, Any]:
    """Readings in the order of time: those in which a person found something, and the others."""
    ordered = sorted(readings, key=lambda one: str(one.get("when", "")))
    told = [
        {**one, "missed": _by_class(one.get("missed") or []), "wrong": _by_class(one.get("wrong") or [])}
        for one in ordered
    ]
    return {
        "count": len(told),
        "readers": Counter(str(one.get("who") or "somebody") for one in told).most_common(),
        "first": ordered[0].get("when") if ordered else None,
        "last": ordered[-1].get("when") if ordered else None,
        "found": [one for one in told if one["missed"] or one["wrong"]],
        "nothing": [one for one in told if not one["missed"] and not one["wrong"]],
    }


def _by_class(places: Sequence[Plain]) -> list[tuple[str | None, str]]:
    """Each class with its offsets: ``("name", "120–134, 301–309")``."""
    by_class: dict[str | None, list[str]] = {}
    for place in places:
        offsets = f"{place.get('start', '?')}–{place.get('end', '?')}"
        by_class.setdefault(words.identifier_class(place.get("label")), []).append(offsets)
    return [(label, ", ".join(offsets)) for label, offsets in by_class.items()]
