"""Ways to reach somebody: phones, pagers, faxes, e-mail, web and network addresses, handles.

In: a reading copy. Out: spans; an extension belongs to its phone.

Covers: numbers after a label; numbers in the forms of North America, the United Kingdom, France, Germany and
Spain, and any with a country code; numbers with letters; e-mail written to hide from robots; addresses with and
without a scheme; names on social networks after the network's name. Does not cover: numbers spelled in words.
"""

from __future__ import annotations

import re

from residency.curate.deidentify.labels import Identifier as Id
from residency.curate.deidentify.patterns import digits, keyed, matches, shaped
from residency.records import Span

_EXTENSION = r"(?:,? ?(?:ext(?:ension|n)?\.?|x)[ :#]{0,2}\d{1,6}(?!\w))?"
# Loosely; what it matches is judged by its number of digits.
_PHONE = r"(?:\+|00)?\d{0,3}[ .-]{0,2}(?:\(\d{1,5}\)|\d{2,5})(?:[ .-]{0,2}\d{2,5}){1,4}" + _EXTENSION
_FEWEST_DIGITS, _MOST_DIGITS = 7, 15
_DOMAINS = r"(?:com|org|net|edu|gov|info|health|io|app|cloud|example|(?:ac|co|nhs|org|gov)\.uk)"
_NATIONAL = r"(?:uk|us|ca|au|nz|ie|de|at|ch|fr|be|nl|es|it|pt|eu|me|co|dev|test)"
_PATH = r"[^\s<>()\[\]{}\"']*[^\s<>()\[\]{}\"'.,;:!?]"
_HEX = r"[\da-f]{1,4}"


def _phone_like(value: str) -> bool:
    """Short numbers as they are (a pager, an extension); longer ones within what phones have."""
    number = re.split(r"[ ,]*(?:ext|x)", value, maxsplit=1, flags=re.IGNORECASE)[0]
    if value.startswith("#"):
        return True
    return digits(number) >= 3 if len(number) <= 6 else _FEWEST_DIGITS <= digits(number) <= _MOST_DIGITS


def _long_enough(value: str) -> bool:
    return digits(value) >= _FEWEST_DIGITS + 2


def _vanity(value: str) -> bool:
    return _FEWEST_DIGITS <= sum(map(str.isalnum, value)) - 3 <= _MOST_DIGITS and digits(value) < len(value) - 3


def _handle_like(value: str) -> bool:
    return value.startswith("@") or any(character.isdigit() or character in "_:" for character in value)


def _v6_like(value: str) -> bool:
    return sum(map(str.isalnum, value)) >= 5 and value.count(":") >= 3


_LABELLED = (
    keyed(Id.FAX, r"\wax(?:\s(?:no|number))?\.?|facsimile|telefax", _PHONE, accepts=_phone_like),
    keyed(
        Id.PHONE,
        r"pa?g{1,2}\w{0,2}r\w?|p\w?a\w?er|psger|pagre|pgr|be+per\w*|bleep\w*|dect(?: phone)?|vocera|voalte",
        r"#?\d{3}-\d{4}(?![\d-])|#?\d{3,6}(?![\d-])",
        accepts=_phone_like,
    ),
    keyed(
        Id.PHONE,
        r"(?:tele)?phone|ph\.?|tel\.?|t[ée]l(?:[ée]fono)?\.?|mobile|mob\.?|cell|home|work|call|ring|text|"
        r"contact|handy|whatsapp|sms|landline|hotline|dial|reach (?:him|her|them|me|us) (?:at|on)",
        _PHONE,
        0.85,
        accepts=_phone_like,
    ),
)
_ONE_LETTER = tuple(
    shaped(label, rf"(?<=(?<!\w){letter}: )(?:\+|\()?\d[\d ().-]{{6,18}}\d{_EXTENSION}", 0.85, case=True, name="keyed",
           accepts=_long_enough)
    for label, letter in ((Id.PHONE, "[TMPCHW]"), (Id.FAX, "F"))
)  # fmt: skip
_NUMBERS_ALONE = tuple(
    shaped(Id.PHONE, value, score, case=case, accepts=check)
    for value, score, case, check in (
        (r"(?<![\w.])(?:ext(?:ension|n)?\.?[ :]?[ #]?|x ?)\d{3,5}(?![\w])", 0.85, False, None),
        (
            r"(?<![\w.,/+-])(?:"
            r"(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\)|\d{3})[ .-]?\d{3}[ .-]?\d{4}"  # North America
            r"|(?:\(0\d{2,4}\)|0\d{2,4})[ .-]?\d{3,4}[ .-]?\d{3,4}|(?:\+44|0044)[ .-]?\(?0?\)?\d{3,4}[ "
            r".-]?\d{3}[ .-]?\d{3}"  # United Kingdom
            r"|\+\d{1,3}[ .-]?(?:\(0\)[ .-]?)?(?:\d{1,4}[ .-]?){2,5}\d{2,4}"  # with a country code
            r"|\+\d{1,3}[ .-]?(?:\(0\)[ .-]?)?\d{2,5}[ ./-]?\d{4,8}"
            r"|0\d{2,4} ?/ ?\d{5,8}|0\d(?:[ .]\d{2}){4}|[69]\d{2} \d{2,3} \d{2,3} ?\d{2,3}"  # Germany, France, Spain
            rf"){_EXTENSION}(?!\d|[-/.]\d)",
            0.75,
            True,
            _long_enough,
        ),
        (
            r"(?<![\w.-])(?:1[- .])?\(?8(?:00|33|44|55|66|77|88)\)?[- .][A-Z0-9]{2,10}(?:-[A-Z0-9]{2,7}){0,2}(?![\w-])",
            0.85,
            True,
            _vanity,
        ),
    )
)
_EMAILS = tuple(
    shaped(Id.EMAIL, value, score)
    for value, score in (
        (r"[\w.+'-]{1,64}@(?:[\w-]+\.)+[a-z]{2,}", 0.99),
        (r"(?<![\w.+-])[\w.+-]{1,64} ?@ ?[\w-]{1,40}(?: ?\. ?[\w-]{1,40})? ?\. ?(?:com|org|net|edu|"
         r"co\.uk)(?!\w)", 0.95),
        (
            r"(?<![\w.+-])[\w.+-]{1,64} ?[\[({<] ?at ?[\])}>] ?[\w-]{1,40}"
            r"(?:(?: ?[\[({<] ?dot ?[\])}>] ?| dot |\.)[\w-]{2,40}){1,3}",
            0.95,
        ),
        (r"(?<![\w.+-])[\w.+-]{2,64} at (?!the\b|a\b|this\b|that\b)[\w-]{2,40}(?: dot [a-z]{2,12}){1,3}(?!\w)", 0.9),
    )
)  # fmt: skip
_ADDRESSES = (
    shaped(Id.URL, rf"(?:(?<![a-z])[a-z]{{2,10}}://|www\.){_PATH}", 0.99),
    shaped(Id.URL, rf"(?<![\w@.-])(?:[a-z0-9][a-z0-9-]{{0,40}}\.){{1,4}}{_DOMAINS}(?:(?:/|\?){_PATH}|/|"
                   rf"(?![\w@.-]*\w))", 0.9),
    shaped(Id.URL, rf"(?<![\w@.-])(?:[a-z0-9][a-z0-9-]{{1,40}}\.){{1,4}}{_NATIONAL}/{_PATH}", 0.85),
    shaped(Id.IP, r"(?<![\d.])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\d.]*\d)", 0.95),
    shaped(Id.IP, rf"(?<![\w:])(?:{_HEX}:){{4,7}}{_HEX}(?![\w:])", 0.9),
    shaped(
        Id.IP, rf"(?<![\w:])(?:{_HEX}(?::{_HEX}){{0,5}})?::(?:{_HEX}(?::{_HEX}){{0,5}})(?![\w:])", 0.9, accepts=_v6_like
    ),
    keyed(
        Id.URL,
        r"(?:twitter|instagram|insta|facebook|fb|snapchat|tiktok|threads|mastodon|bluesky|telegram|discord|skype|"
        r"youtube|reddit|linkedin|wechat|viber|handle|user ?name|screen ?name|login)"
        r"(?: (?:handle|account|user|username|id|name|as|is|at|under|profile)){0,3}",
        r"@?[a-z][\w.:]{2,39}(?<![.:])",
        0.86,
        accepts=_handle_like,
    ),
)  # fmt: skip


def find_contacts(text: str) -> list[Span]:
    """Every phone, fax, e-mail and network address; they may overlap."""
    spans = matches(text, _LABELLED + _ONE_LETTER + _NUMBERS_ALONE)
    if "@" in text or "dot" in text or "DOT" in text or "(at)" in text or "[at]" in text:
        spans += matches(text, _EMAILS)
    return spans + matches(text, _ADDRESSES)
