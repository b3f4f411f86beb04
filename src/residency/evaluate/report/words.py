"""Numbers and verdicts as people read them.

In: plain values. Out: short text such as ``78 %``, ``70 to 84 %``, ``3 min 12 s``; the tone of a verdict.

Covers: shares, bounds, intervals, counts, durations, sizes, dates, classes of identifiers, parts of a sentence that are
commands.
Does not cover: layout. Every function passes a missing value on, so that the page can say that it is missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from jinja2 import Undefined

from residency.evaluate.metrics import metric_of

NARROW = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
RATIO_METRICS = frozenset({"mrr"})  # from 0 to 1, but no share of anything

CLASSES: Mapping[str, str] = {
    "NAME": "name", "LOCATION": "street, town or postal code", "DATE": "date", "AGE_OVER_89": "age over 89",
    "PHONE": "phone number", "FAX": "fax number", "EMAIL": "e-mail address", "SSN": "social security number",
    "MRN": "medical record number", "HEALTH_PLAN_ID": "health plan number", "ACCOUNT": "account number",
    "LICENSE": "license number", "VEHICLE_ID": "vehicle number", "DEVICE_ID": "device number", "URL": "web address",
    "IP": "IP address", "BIOMETRIC": "biometric number", "PHOTO_ID": "photo number", "OTHER_ID": "other number",
    "ORGANIZATION": "organization", "RARE": "rare classes",
}  # fmt: skip
"""Classes of identifiers; RARE are those that are judged together."""

GOOD = frozenset(
    {"go", "pass", "passed", "ok", "better", "superior", "not worse", "non-inferior", "calibrated", "kept"}
)
BAD = frozenset({"no-go", "fail", "failed", "worse", "inferior", "overconfident", "underconfident", "forgotten"})


def is_missing(value: Any) -> bool:
    return value is None or isinstance(value, Undefined)


def is_share(metric: str) -> bool:
    """Whether the metric is a share, shown in percent."""
    return metric_of(metric).ceiling == 1.0 and metric not in RATIO_METRICS


def measured(value: float | None, metric: str) -> str | None:
    """A metric's value: ``78 %``, ``0.71`` or ``12.3``."""
    if is_missing(value):
        return None
    return percent(value) if is_share(metric) else number(value)


def measured_range(low: float | None, high: float | None, metric: str) -> str:
    """A metric's interval: ``70 to 84 %``; empty where there is none."""
    if low is None or high is None or is_missing(low) or is_missing(high):
        return ""
    if not is_share(metric):
        return f"{number(low)} to {number(high)}"
    decimals = int(high < 0.095 or low > 0.99)
    ends = [f"{100 * end:.{decimals}f}" for end in (low, high)]
    return f"{ends[0]} to {ends[1]}{NARROW}%"


def measured_difference(value: float | None, metric: str) -> str | None:
    """A difference with its sign: ``+4.1 points`` for shares, ``−0.12`` for others."""
    if value is None or is_missing(value):
        return None
    text = f"{100 * value:+.1f}{NARROW}points" if is_share(metric) else f"{value:+.3g}"
    return text.replace("-", MINUS)


def difference_range(low: float | None, high: float | None, metric: str) -> str:
    if low is None or high is None or is_missing(low) or is_missing(high):
        return ""
    ends = [f"{100 * end:+.1f}" if is_share(metric) else f"{end:+.3g}" for end in (low, high)]
    return " to ".join(ends).replace("-", MINUS)


def percent(value: float | None) -> str | None:
    """A share as ``78 %``; one decimal near both ends, where rounding would say "none" or "all"."""
    if value is None or is_missing(value):
        return None
    decimals = int(0 < value < 0.095 or 0.99 < value < 1)
    return f"{100 * value:.{decimals}f}{NARROW}%".replace("-", MINUS)


def at_most(value: float | None) -> str | None:
    """An upper bound in percent, rounded up: what is shown is never less than what was measured."""
    return None if value is None or is_missing(value) else f"{math.ceil(1000 * value - 1e-6) / 10:.1f}{NARROW}%"


def at_least(value: float | None) -> str | None:
    """A share in percent, rounded down: all is said of all only."""
    if value is None or is_missing(value):
        return None
    return f"{100:.0f}{NARROW}%" if value == 1 else f"{math.floor(1000 * value + 1e-6) / 10:.1f}{NARROW}%"


def as_set(value: float | None) -> str | None:
    """A share that a person set, in percent as they would write it: ``5 %``, ``0.5 %``."""
    return None if value is None or is_missing(value) else f"{100 * value:.6g}{NARROW}%"


def number(value: float | None) -> str | None:
    """Three significant digits, at most three decimals; thousands with commas."""
    if value is None or is_missing(value):
        return None
    if isinstance(value, int) or abs(value) >= 100:
        text = f"{value:,.0f}"
    elif abs(value) >= 0.001 or value == 0:
        text = f"{value:.{1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}"
    else:
        text = f"{value:.2g}"
    return text.replace("-", MINUS)


def count(value: int | None) -> str | None:
    return None if value is None or is_missing(value) else f"{value:,.0f}"


def of_things(value: int | None, one: str, many: str = "") -> str | None:
    """``1 document``, ``12 documents``."""
    if value is None or is_missing(value):
        return None
    return f"{value:,.0f}{NARROW}{one if value == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str | None:
    """``0.4 s``, ``48 s``, ``3 min 12 s``, ``2 h 05 min``."""
    if seconds is None or is_missing(seconds):
        return None
    if seconds < 9.95:
        return f"{seconds:.1f}{NARROW}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NARROW}s"
    if whole < 3600:
        return f"{whole // 60}{NARROW}min {whole % 60:02}{NARROW}s"
    return f"{whole // 3600}{NARROW}h {whole % 3600 // 60:02}{NARROW}min"


def size(amount: float | None) -> str | None:
    """Bytes in powers of 1,000: ``4.2 MB``."""
    if amount is None or is_missing(amount):
        return None
    for unit in ("bytes", "kB", "MB"):
        if amount < 999.5:
            return f"{amount:.0f}{NARROW}{unit}" if unit == "bytes" or amount >= 99.5 else f"{amount:.3g}{NARROW}{unit}"
        amount /= 1000
    return f"{amount:,.3g}{NARROW}GB" if amount < 999.5 else f"{amount / 1000:,.3g}{NARROW}TB"


def moment(text: str | None) -> str | None:
    """An ISO 8601 time as ``4 March 2026, 14:05 UTC``; what is not one stays as it is."""
    if text is None or is_missing(text):
        return None
    try:
        when = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return str(text)
    zone = f" {when.tzname()}" if when.tzinfo else ""
    return f"{when.day} {when:%B %Y, %H:%M}{zone}"


def spaced(name: str | None) -> str | None:
    """A name of the code as words: ``near duplicate``."""
    return None if name is None or is_missing(name) else str(name).replace("_", " ")


def identifier_class(label: str | None) -> str | None:
    """A class of identifiers in words: ``medical record number``; a class that is not known speaks for itself."""
    if label is None or is_missing(label):
        return None
    return CLASSES.get(str(label)) or (str(spaced(label)).lower() if str(label).isupper() else spaced(label))


def capital(text: str | None) -> str | None:
    """The text with its first letter large."""
    return None if text is None or is_missing(text) else text[:1].upper() + text[1:]


def tone(word: str | None) -> str:
    """``good``, ``bad`` or ``open``, for the color of a verdict."""
    plain_word = "" if word is None or is_missing(word) else str(word).casefold().replace("_", "-").strip()
    return "good" if plain_word in GOOD else "bad" if plain_word in BAD else "open"


def command_parts(text: str | None) -> list[tuple[bool, str]]:
    """A sentence in parts, each with whether it is a command: in backticks, behind a colon, or all of it."""
    if text is None or is_missing(text):
        return []
    parts = re.split(r"`([^`]+)`|(?:^|(?<=: ))(residency .+?)(?=\.?$)", str(text).strip())
    # re.split gives plain text, then one of two groups, and so on; the group that did not match is None.
    return [(index % 3 != 0, part) for index, part in enumerate(parts) if part and not (index % 3 == 0 and part == ".")]


FILTERS: Mapping[str, Callable[..., Any]] = {
    "measured": measured,
    "measured_range": measured_range,
    "measured_difference": measured_difference,
    "difference_range": difference_range,
    "percent": percent,
    "at_most": at_most,
    "at_least": at_least,
    "as_set": as_set,
    "number": number,
    "count": count,
    "of_things": of_things,
    "duration": duration,
    "size": size,
    "moment": moment,
    "spaced": spaced,
    "identifier_class": identifier_class,
    "capital": capital,
    "tone": tone,
    "command_parts": command_parts,
}
"""What the template may call on a value."""
