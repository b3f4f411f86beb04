"""Surrogates: invented identifiers of the same form, the same for the same identifier of the same patient.

In: an identifier's text and class, the patient, the project key. Out: what is written in its place.

Covers: every class; the form (case, digits, separators), the gender of given names, the parts of a name (so
that "Turner, Hope", "Mrs. Turner", "H.T." and "hope.turner@..." stay one person), intervals between dates. A
surrogate is drawn with HMAC-SHA256 of key, patient and the identifier's normal form, so it depends on nothing
else: not on the order of documents, nor on other patients, and without the key it cannot be linked. Does not
cover: nicknames and misspellings (they get surrogates of their own); a place of birth agreeing with a postal
code.

A table kept from run to run was rejected: it would have to be stored, and results would depend on what came
first.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from residency.curate.deidentify.dates import like_case, prefers_day_first, read_date, shifted
from residency.curate.deidentify.invented import InventedNames, invented_names
from residency.curate.deidentify.labels import Identifier as Id
from residency.curate.deidentify.lexicon import Lexicon
from residency.curate.deidentify.organizations import is_generic
from residency.curate.deidentify.places import is_street_word
from residency.curate.deidentify.policy import CodeRule, DateRule, Mode, PlaceRule, Policy, general_zip
from residency.curate.deidentify.words import words

_LONGEST_SHIFT = 365  # days, either way
_OLDEST = 89  # years; 45 CFR 164.514(b)(2)(i)(C)
_STREET_ENDING = re.compile(r"(?:straße|strasse|str\b|weg\b|platz|gasse|allee)", re.IGNORECASE)
_STREET_NAME = re.compile(
    r"street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|crescent|terrace|court|ct|close|way|place|pl|"
    r"\w*(?:straße|strasse|gasse|platz|weg|allee)",
    re.IGNORECASE,
)
# United States; United Kingdom, whose inward code ends in two letters after a digit; four or five digits elsewhere.
_POSTCODE = re.compile(
    r"\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2}|\d{4}(?: [A-Z]{2})?", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_TOWN_STEMS = tuple(sorted(words("town_stems")))
_TOWN_ENDINGS = tuple(sorted(words("town_endings")))
_MAIL_PROVIDERS = frozenset(
    [
        "gmail.com",
        "yahoo.com",
        "yahoo.co.uk",
        "hotmail.com",
        "outlook.com",
        "icloud.com",
        "proton.me",
        "aol.com",
        "live.com",
        "msn.com",
    ]
)
# Classes whose letters name a system or a make, not a person; they stay.
_LETTERS_STAY = frozenset(
    (Id.MRN, Id.ACCOUNT, Id.OTHER_ID, Id.DEVICE_ID, Id.PHOTO_ID, Id.BIOMETRIC, Id.PHONE, Id.FAX, Id.SSN)
)
# What a policy without derived codes replaces by its class: everything that is a number or a key, not a word.
_CODES = frozenset(Id) - {Id.NAME, Id.LOCATION, Id.DATE, Id.AGE_OVER_89, Id.ORGANIZATION, Id.EMAIL}


def derived_pseudonym(key: bytes, patient: str) -> str:
    """A name for a patient where no vault keeps one: ``p-`` and ten hex digits; the same for the same key."""
    return "p-" + _digest(key, patient, "patient", "").hex()[:10]


def shift_of(key: bytes, patient: str) -> int:
    """The patient's secret offset of dates in days, never zero."""
    number = int.from_bytes(_digest(key, patient, "shift", "")[:8], "big") % (2 * _LONGEST_SHIFT)
    return number - _LONGEST_SHIFT + (number >= _LONGEST_SHIFT)


def _digest(key: bytes, patient: str, kind: str, value: str) -> bytes:
    about = "\x1f".join((kind, patient, value))
    return hmac.new(key, about.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


@dataclass(slots=True)
class Surrogates:
    """Writes the replacements for one patient. ``identifiers`` are all of the patient's, as (label, text)."""

    key: bytes
    patient: str
    lexicon: Lexicon
    rules: Policy
    mode: Mode
    identifiers: Sequence[tuple[str, str]] = ()
    _invented: InventedNames = field(init=False)
    _real_names: frozenset[str] = field(init=False)
    _given_by_surname: dict[str, set[str]] = field(init=False)
    _names_of_initials: dict[str, set[tuple[str, ...]]] = field(init=False)
    _day_first: bool = field(init=False)
    _latest_year: int = field(init=False)

    def __post_init__(self) -> None:
        self._invented = invented_names(self.lexicon)
        names = [text for label, text in self.identifiers if label == Id.NAME]
        dates = [text for label, text in self.identifiers if label == Id.DATE]
        parts = [[_plain(word) for word in _WORD.findall(name)] for name in names]
        self._real_names = frozenset(part for name in parts for part in name)
        self._given_by_surname = _given_names(parts)
        self._names_of_initials = _by_initials(names)
        told = prefers_day_first(dates)
        self._day_first = told if told is not None else any(re.match(r"\d{1,2}\.\d", text) for text in dates)
        years = [
            written.year for text in dates if (written := read_date(text, day_first=self._day_first)) and written.year
        ]
        self._latest_year = max(years, default=2000)

    def replace(self, label: str, text: str, *, abroad: bool = False) -> str:
        """What is written in place of ``text``; never ``text`` itself, unless the policy lets it stay. ``abroad``: a
        postal code that is no ZIP code, of which no digit may stay under the rule for ZIP codes."""
        if self._stays(label, text):
            return text
        if self.mode is Mode.TAG:
            return f"[{label}]"
        general = self._general(label, text, abroad=abroad)
        if general is not None:
            return general
        if self.mode is Mode.GENERALIZE or (self.rules.codes is CodeRule.TAG and label in _CODES):
            return f"[{label}]"
        writer = self._writers().get(label)
        surrogate = writer(text) if writer else self._code(text, label)
        return surrogate if surrogate != text else f"[{label}]"

    def _stays(self, label: str, text: str) -> bool:
        if label == Id.AGE_OVER_89:
            return self.rules.ages_over_89
        return label == Id.LOCATION and self.rules.places is PlaceRule.KEEP and _is_town_or_postcode(text)

    def _general(self, label: str, text: str, *, abroad: bool) -> str | None:
        """The form that a rule prescribes; None where the rule leaves it to the mode."""
        if label == Id.AGE_OVER_89:
            return "90+"
        if label == Id.DATE and (self.rules.dates is DateRule.YEAR or self.mode is Mode.GENERALIZE):
            return self._year_only(text)
        if label == Id.DATE and not self.rules.ages_over_89 and self._shows_great_age(text):
            return f"[{Id.DATE}]"
        zip3 = self.rules.places is PlaceRule.ZIP3 or self.mode is Mode.GENERALIZE
        if label == Id.LOCATION and zip3 and not abroad and re.fullmatch(r"\d{5}(?:-\d{4})?", text.strip()):
            return general_zip(text.strip())
        return None

    def _year_only(self, text: str) -> str:
        written = read_date(text, day_first=self._day_first)
        if written is None or written.year is None or self._shows_great_age(text):
            return f"[{Id.DATE}]"
        return str(written.year)

    def _shows_great_age(self, text: str) -> bool:
        """A date so long ago that, as a date of birth, it shows an age over 89."""
        written = read_date(text, day_first=self._day_first)
        return written is not None and written.year is not None and self._latest_year - written.year > _OLDEST

    def _writers(self) -> dict[str, Callable[[str], str]]:
        return {
            Id.NAME: self._name,
            Id.DATE: self._date,
            Id.LOCATION: self._place,
            Id.ORGANIZATION: self._organization,
            Id.EMAIL: self._email,
            Id.URL: self._url,
            Id.IP: self._ip,
        }

    # --- names

    def _name(self, text: str) -> str:
        words = _WORD.findall(text)
        if (words and all(len(word) == 1 for word in words)) or (
            len(words) == 1 and words[0].isupper() and len(words[0]) <= 3 and not self.lexicon.is_name(words[0])
        ):
            return self._initials_alone(text, words)
        surname = next((_plain(w) for w in reversed(words) if len(w) > 1 and _plain(w) in self._given_by_surname), "")
        return _WORD.sub(lambda match: self._name_word(match.group(), surname), text)

    def _name_word(self, word: str, surname: str) -> str:
        if self.lexicon.is_particle(word):
            return word
        if len(word) == 1:
            return like_case(word, self._initial(word, surname))
        return like_case(word, self.name_part(word))

    def name_part(self, word: str) -> str:
        """The surrogate of one part of a name, with a first capital."""
        plain = _plain(word)
        return self._choose(self._invented.pool_for(plain, self.lexicon), "name", plain)

    def _initial(self, letter: str, surname: str) -> str:
        """The initial of the surrogate of the one given name that it can stand for; else a letter of its own."""
        full = {given for given in self._given_by_surname.get(surname, ()) if given.startswith(letter.casefold())}
        if len(full) == 1:
            return self.name_part(full.pop())[0]
        return self._other_letter(letter.upper(), self._stream("initial", letter.casefold() + surname)[0])

    def _initials_alone(self, text: str, words: Sequence[str]) -> str:
        """The initials of the surrogate of the one name that they can stand for; else letters of their own."""
        names = self._names_of_initials.get("".join(map(_plain, words)), set())
        name = next(iter(names)) if len(names) == 1 else ()
        if len(name) != sum(map(str.isalpha, text)):
            return self._letters(text, Id.NAME)
        letters = iter([self.name_part(part)[0] for part in name])
        return "".join(like_case(ch, next(letters)) if ch.isalpha() else ch for ch in text)

    def _choose(self, pool: Sequence[str], kind: str, plain: str) -> str:
        """The first drawn candidate that is nobody's real name here."""
        start = int.from_bytes(self._stream(kind, plain)[:8], "big")
        for step in range(len(pool)):
            candidate = pool[(start + step) % len(pool)]
            if _plain(candidate) != plain and _plain(candidate) not in self._real_names:
                return candidate
        return pool[start % len(pool)]

    # --- dates, places, organizations

    def _date(self, text: str) -> str:
        written = read_date(text, day_first=self._day_first)
        if written is None:
            return f"[{Id.DATE}]"
        days = shift_of(self.key, self.patient)
        moved = shifted(written, days, year_if_unsaid=self._latest_year)
        # A month alone can come back to itself; then it moves on by one more.
        return moved if moved != text else shifted(written, days + 31, year_if_unsaid=self._latest_year)

    def _place(self, text: str) -> str:
        if not any(map(str.isdigit, text)):
            return like_case(text, self._town(text))
        if not _is_street(text):
            return self._letters(self._digits(text, Id.LOCATION), Id.LOCATION)
        numbered = self._digits(text, Id.LOCATION)
        words = list(re.finditer(r"[^\W\d_]{2,}(?:['\u2019-][^\W\d_]+)*", numbered))
        kinds = [word.start() for word in words if is_street_word(word.group())]
        # What a street is called may be a kind of street too (Mill Road): of several only the last is kept.
        kept = {start for start in kinds if start == kinds[-1] or _is_unit(numbered, start)}
        return re.sub(
            r"[^\W\d_]{2,}(?:['\u2019-][^\W\d_]+)*",
            lambda match: match.group() if match.start() in kept else self._street_word(match.group()),
            numbered,
        )

    def _town(self, text: str) -> str:
        stream = self._stream("town", _plain(text))
        stem, ending = _TOWN_STEMS[stream[0] % len(_TOWN_STEMS)], _TOWN_ENDINGS[stream[1] % len(_TOWN_ENDINGS)]
        return stem.capitalize() + ending

    def _street_word(self, word: str) -> str:
        """Another name; the end of a German street's (Hauptstraße) stays."""
        ending = _STREET_ENDING.search(word)
        kind = ending.group() if ending and ending.start() else ""
        return like_case(word, self._choose(self._invented.surnames, "street", _plain(word))) + kind

    def _organization(self, text: str) -> str:
        replaced = _WORD.sub(lambda match: self._organization_word(match.group()), text)
        if replaced != text:
            return replaced
        return _WORD.sub(
            lambda match: like_case(
                match.group(), self._choose(self._invented.surnames, "organization", _plain(match.group()))
            ),
            text,
            count=1,
        )

    def _organization_word(self, word: str) -> str:
        bare, possessive = (word[:-2], word[-2:]) if word[-2:] in ("'s", "'S", "\u2019s", "\u2019S") else (word, "")
        if is_generic(word) or is_generic(bare) or is_street_word(bare) or len(bare) < 2:
            return word
        return like_case(bare, self._choose(self._invented.surnames, "organization", _plain(bare))) + possessive

    # --- electronic addresses

    def _email(self, text: str) -> str:
        local, _, domain = text.partition("@")
        written = re.sub(r"[^\W\d_]+", lambda match: self._local_part(match.group()), self._digits(local, Id.EMAIL))
        return f"{written}@{domain if domain.casefold() in _MAIL_PROVIDERS else like_case(domain, 'example.org')}"

    def _local_part(self, word: str) -> str:
        plain = _plain(word)
        for split in (len(plain), *range(1, len(plain))):
            head, tail = plain[:split], plain[split:]
            if (head in self._real_names or (len(head) == 1 and tail)) and (not tail or tail in self._real_names):
                written = (self.name_part(head) if len(head) > 1 else self._initial(head, tail)) + (
                    self.name_part(tail) if tail else ""
                )
                return like_case(word, _plain(written))
        return like_case(word, _plain(self.name_part(word)))

    def _url(self, text: str) -> str:
        scheme, separator, rest = text.partition("://")
        if not separator:
            scheme, rest = "", text
        _, slash, path = rest.partition("/")
        # A path names people and their accounts as often as pages: nothing of it stays but its form.
        hidden = self._letters(self._digits(path, Id.URL), Id.URL, keyed_by=path)
        return f"{scheme}{separator}www.example.org{slash}{hidden}"

    def _ip(self, text: str) -> str:
        stream = self._stream(Id.IP, text.casefold())
        if ":" in text:
            return re.sub(
                r"[\da-f]", lambda match: f"{stream[match.start() % len(stream)] % 16:x}", text, flags=re.IGNORECASE
            )
        return ".".join(str(1 + byte % 254) for byte in stream[:4])

    # --- letters and digits

    def _code(self, text: str, label: str) -> str:
        numbered = self._digits(text, label)
        return numbered if label in _LETTERS_STAY else self._letters(numbered, label, keyed_by=text)

    def _digits(self, text: str, label: str) -> str:
        """Digits for digits; masks, separators, country codes and leading zeros stay."""
        digits = [m.start() for m in re.finditer(r"\d", text)]
        keep = _fixed_digits(text) if label in (Id.PHONE, Id.FAX) else set()
        places = [place for place in digits if place not in keep]
        stream = self._stream("digits", re.sub(r"\W|_", "", text).casefold(), length=len(places) + 1)
        written = list(text)
        for place, byte in zip(places, stream, strict=False):
            written[place] = str(byte % 10)
        if places and "".join(written) == text:
            written[places[-1]] = str((int(written[places[-1]]) + 1 + stream[-1] % 8) % 10)
        return "".join(written)

    def _letters(self, text: str, label: str, keyed_by: str | None = None) -> str:
        stream = self._stream(
            f"letters:{label}", re.sub(r"\W|_", "", keyed_by or text).casefold(), length=len(text) + 1
        )
        return "".join(
            like_case(ch, self._other_letter(ch.upper(), stream[i]).lower()) if ch.isalpha() else ch
            for i, ch in enumerate(text)
        )

    def _other_letter(self, letter: str, byte: int) -> str:
        alphabet = [ch for ch in "ABCDEFGHJKLMNPRSTVWY" if ch != letter]
        return alphabet[byte % len(alphabet)]

    def _stream(self, kind: str, value: str, length: int = 32) -> bytes:
        blocks = (_digest(self.key, self.patient, kind, f"{number}:{value}") for number in range(length // 32 + 1))
        return b"".join(blocks)


def _plain(word: str) -> str:
    """Normal form of a word: small letters without accents and marks."""
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(ch for ch in decomposed if ch.isalnum())


def _given_names(names: Iterable[Sequence[str]]) -> dict[str, set[str]]:
    """For every part of a name, the parts that stand beside it in full names."""
    beside: dict[str, set[str]] = {}
    for parts in names:
        full = [part for part in parts if len(part) > 1]
        for part in full:
            beside.setdefault(part, set()).update(other for other in full if other != part)
    return beside


def _by_initials(names: Iterable[str]) -> dict[str, set[tuple[str, ...]]]:
    """Under the initials of full names, and of their first and last part alone, the parts that they stand for."""
    initials: dict[str, set[tuple[str, ...]]] = {}
    for name in names:
        surname, comma, given = name.partition(",")
        words = _WORD.findall(f"{given} {surname}" if comma else name)
        parts = tuple(plain for word in words if len(plain := _plain(word)) > 1)
        if len(parts) > 1:
            for standing in {parts, (parts[0], parts[-1])}:
                initials.setdefault("".join(part[0] for part in standing), set()).add(standing)
    return initials


def _is_town_or_postcode(text: str) -> bool:
    """Neither a street nor a part of an address below the town: what a limited data set may keep."""
    if any(map(str.isdigit, text)):
        return bool(_POSTCODE.fullmatch(text.strip()))
    words = _WORD.findall(text)
    return bool(words) and not _STREET_NAME.fullmatch(words[-1])


def _is_unit(text: str, start: int) -> bool:
    """A word before a number or letter that counts doors: Flat 3, Suite B."""
    return bool(re.match(r"(?:flat|studio|apt|apartment|unit|suite|ste|room|rm|floor)\b", text[start:], re.IGNORECASE))


def _is_street(text: str) -> bool:
    if _STREET_ENDING.search(text):
        return True
    words = _WORD.findall(text)
    return any(map(str.isdigit, text)) and any(is_street_word(word) for word in words) and len("".join(words)) > 4


def _fixed_digits(text: str) -> set[int]:
    """Places of a telephone number's country code and leading zero."""
    match = re.match(r"\s*(?:\+\d{1,2}(?=\D)|\(?0)", text)
    return set(range(match.start(), match.end())) if match else set()
