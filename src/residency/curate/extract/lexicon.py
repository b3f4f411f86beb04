"""Everything that a finding may be called, ready for look-up.

In: a pack: its terminology, its own synonyms, abbreviations and word classes.
Out: a ``Lexicon``.

Covers: which names of the terminology are used (not the broad ones: they name a wider concept); names that occur
only in the pack's tables; abbreviations, which keep their letter case; statements of normality, which are
findings with the status absent; labels without what only a terminology says ("Abnormal heart morphology").
Does not cover: look-up in a text (matcher).

A name is kept under two order-free keys. The exact key folds spelling and number; the loose key also part of
speech and the pack's word classes. Where concepts share a key, the better kind of name decides, then the wider
concept; a loose key of unrelated concepts is dropped: it decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

from residency.packs import Pack
from residency.packs.terminology import Terminology, load_terminology
from residency.packs.typos import deletion_index
from residency.packs.words import AND, AND_WORDS, STOP_WORDS, WORD, join_prefixes, light, strong, word_set
from residency.records import Status

USED_SCOPES = frozenset({"LABEL", "EXACT", "NARROW", "RELATED"})
# Longer names are rare and are found through their shorter synonyms; the search is linear in this.
LONGEST_NAME = 12
# A name of fewer letters, or written in capitals, is an abbreviation: it keeps its letter case.
SHORTEST_NAME = 4
SHORTEST_ADJECTIVE = 5
# Shorter abbreviations mean too many things; they count only where a pack lists them.
SHORTEST_ABBREVIATION = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """What a name stands for. ``status`` is set where the name itself says it ("hearing is normal")."""

    concept: str  # empty: the pack says that the name is no finding ("RA" for room air)
    status: Status | None = None
    predicate: bool = False  # one everyday word: a finding only where no noun follows it ("was premature")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Look-up tables of one pack."""

    labels: Mapping[str, str]
    exact: Mapping[str, Entry]  # exact key -> entry
    loose: Mapping[str, Entry]  # loose key -> entry
    commas: frozenset[str]  # exact keys of names that hold a comma
    abbreviations: Mapping[str, Entry]  # as written -> entry
    expansions: Mapping[str, tuple[str, ...]]  # abbreviated word as written -> light forms
    folded_abbreviations: Mapping[str, Entry]  # lower case -> entry, for texts without letter case
    folded_expansions: Mapping[str, tuple[str, ...]]
    classes: Mapping[str, str]  # stem -> stem of its word class
    general: frozenset[str]  # stems of the words that only say that something is wrong
    vocabulary: frozenset[str]  # light forms that occur in exact keys
    stems: frozenset[str]  # stems that occur in loose keys
    known_words: frozenset[str]  # never taken for a typo
    neighbors: Mapping[str, tuple[str, ...]]  # a long word with one letter left out -> vocabulary words
    longest: int  # content words of the longest name
    memo: dict[str, tuple[str, str, bool] | None] = field(default_factory=dict, repr=False)  # look-ups of words (units)

    def stem(self, word: str) -> str:
        """The stem under which a light form stands in loose keys."""
        stem = strong(word)
        return self.classes.get(stem, stem)

    def read(self, words: Sequence[str], stems: Sequence[str]) -> Entry | None:
        """What a name with these light forms and stems stands for, in any order."""
        entry = self.exact.get(" ".join(sorted(words)))
        if entry is not None or (len(words) == 1 and not is_adjective(words[0])):
            return entry
        return self.loose.get(" ".join(sorted(stems)))


@lru_cache(maxsize=4)
def load_lexicon(pack: Pack) -> Lexicon:
    """The lexicon of a pack; built once a process."""
    return build_lexicon(pack, load_terminology(pack))


def build_lexicon(pack: Pack, terminology: Terminology) -> Lexicon:
    """The lexicon of a pack over a terminology."""
    settings = pack.settings
    short_forms = tuple(pack.rows(settings.abbreviations, "abbreviation", "expansion", "context", "hpo_id"))
    expansions = _expansions(short_forms)
    names = _Names(terminology, expansions)
    names.add_terminology()
    for row in short_forms:
        if row["hpo_id"]:
            names.add_own(row["abbreviation"], row["hpo_id"], short=True)
    for row in pack.rows(settings.synonyms, "name", "hpo_id", "status", words={"status": ("", *Status)}):
        names.add_own(row["name"], row["hpo_id"].strip(), status=row["status"] or None)
    equal = pack.rows(settings.word_classes, "word", "stands_for")
    classes = {strong(light(row["word"])): strong(light(row["stands_for"])) for row in equal}
    loose = _loose(names.exact, classes, terminology)
    vocabulary = frozenset(word for key in names.exact for word in key.split())
    return Lexicon(
        labels=terminology.labels,
        exact={key: entry for key, (_, entry) in names.exact.items()},
        loose=loose,
        commas=frozenset(names.commas),
        abbreviations={short: entry for short, (_, entry) in names.abbreviations.items()},
        expansions=expansions,
        folded_abbreviations=_folded({short: entry for short, (_, entry) in names.abbreviations.items()}),
        folded_expansions=_folded(expansions),
        classes=classes,
        general=frozenset(map(strong, ("abnormality", "difficulty"))),
        vocabulary=vocabulary,
        stems=frozenset(stem for key in loose for stem in key.split()),
        known_words=terminology.known_words,
        neighbors=deletion_index(vocabulary),
        longest=min(max(len(key.split()) for key in names.exact), LONGEST_NAME),
    )


def forms(words: Sequence[str], expansions: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The light forms of the words of a name that carry meaning, abbreviated words written out."""
    found: list[str] = []
    for word, following in pairwise([*words, ""]):
        if word in expansions:
            found.extend(expansions[word])
        elif word.lower() in AND_WORDS:
            found.append(AND)
        elif (form := light(word)) not in STOP_WORDS:
            found.append(read_in_place(form, following))
    return found


def read_in_place(form: str, following: str) -> str:
    """The light form of a word before ``following``: "absence of reflexes" is no absence seizure."""
    return "absent" if form == "absence" and following.lower() == "of" else form


_NAME_TOKEN = re.compile(WORD.pattern + "|[&/+]")
_Ranked = tuple[int, Entry]  # rank (0 is best) and what the name stands for


class _Names:
    """Collects names; the better rank wins, among equals the wider concept, then the lower id."""

    def __init__(self, terminology: Terminology, expansions: Mapping[str, tuple[str, ...]]) -> None:
        self.terminology = terminology
        self.expansions = expansions
        self.exact: dict[str, _Ranked] = {}
        self.commas: set[str] = set()
        self.abbreviations: dict[str, _Ranked] = {}

    def add_terminology(self) -> None:
        for concept, names in self.terminology.synonyms.items():
            if not self.terminology.parents[concept]:
                continue  # the root names everything and nothing
            for name, scope in names:
                if scope in USED_SCOPES:
                    self._add(name, _RANK[scope], Entry(concept))
                    for variant in shorter(name):
                        self._add(variant, _RANK[scope] + 1, Entry(concept))

    def add_own(self, name: str, concept: str, *, status: str | None = None, short: bool = False) -> None:
        """A name from one of the pack's tables; it goes before the terminology's names. No concept: no finding."""
        concept = self.terminology.current(concept)
        if not concept or concept in self.terminology.labels:  # a pack may outlive a concept
            lone = not short and len(name.split()) == 1 and "-" not in name
            entry = Entry(concept, Status(status) if status else None, predicate=lone)
            self._add(name, 0, entry, short=short)

    def _add(self, name: str, rank: int, entry: Entry, *, short: bool = False) -> None:
        words = _NAME_TOKEN.findall(join_prefixes(name))
        if len(words) == 1 and _is_short(words[0], short):
            if rank and len(words[0]) < SHORTEST_ABBREVIATION:
                return
            _put(self.abbreviations, words[0], rank, entry, self.terminology)
            return
        if key := " ".join(sorted(forms(words, self.expansions))):
            _put(self.exact, key, rank, entry, self.terminology)
            if "," in name:
                self.commas.add(key)


# What a label says for the sake of order and a text leaves out: "Abnormal heart morphology", "Type A1 brachydactyly".
_ORDER_WORDS = re.compile(
    r"\s*\([^)]*\)|\s+(?:morphology|physiology)\b|\btype\s+(?=[a-z0-9]+\s)|\b(?:congenital|\w+(?:ous|ive|ed)ly)\s+",
    re.IGNORECASE,
)


_ORDER_HINTS = ("(", "orphology", "hysiology", "ype ", "ongenital", "ly ")


def shorter(name: str) -> Iterator[str]:
    """The name without what only a terminology says."""
    if not any(hint in name for hint in _ORDER_HINTS):
        return
    plain = _ORDER_WORDS.sub("", name).strip()
    if plain != name and " " in plain:
        yield plain


_RANK = {"LABEL": 1, "EXACT": 3, "NARROW": 5, "RELATED": 7}


def _put(table: dict[str, _Ranked], key: str, rank: int, entry: Entry, terminology: Terminology) -> None:
    known = table.get(key)
    if known is None or rank < known[0]:
        table[key] = (rank, entry)
    elif rank == known[0]:
        lower = min(entry, known[1], key=lambda e: e.concept)
        table[key] = (rank, _wider(entry, known[1], terminology) or lower)


def _wider(left: Entry, right: Entry, terminology: Terminology) -> Entry | None:
    """The entry whose concept includes the other's: a name of both is used for the wider one."""
    if not (left.concept and right.concept) or left.status is not right.status:
        return None
    if terminology.is_a(left.concept, right.concept):
        return right
    return left if terminology.is_a(right.concept, left.concept) else None


def _is_short(word: str, listed: bool) -> bool:
    """Whether a one-word name is an abbreviation, whose letter case counts."""
    if len(word) < SHORTEST_NAME:
        return True
    return not word.islower() and (listed or word.isupper())


def _expansions(short_forms: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Abbreviated words with their first reading as light forms."""
    found: dict[str, tuple[str, ...]] = {}
    for row in short_forms:
        if row["context"] != "word inside a telegraphic finding" or not WORD.fullmatch(row["abbreviation"]):
            continue
        first = re.split(r"[;(/]", row["expansion"])[0]
        words = tuple(forms(_NAME_TOKEN.findall(first), {}))
        if words and row["abbreviation"] not in _EVERYDAY:
            found[row["abbreviation"]] = words
    return found


# One word alone is read loosely only where it is an adjective ("ataxic"): "collected" is no collecting mania.
_ADJECTIVE = re.compile(r"..(?:ic|ous|ese|[^aeiou]y|ive|al|ar|less)$")


def is_adjective(word: str) -> bool:
    """Whether a light form looks like an adjective ("ataxic")."""
    return len(word) >= SHORTEST_ADJECTIVE and _ADJECTIVE.search(word) is not None


_MODIFIER = re.compile(r"..(?:ic|iac|ous|ese|ive|al|ar|less|ed)$|^absent$")


def is_modifier(word: str) -> bool:
    """Whether a light form looks like a word that needs a noun ("conductive"); unlike "microcephaly"."""
    return _MODIFIER.search(word) is not None


_T = TypeVar("_T")


def _folded(table: Mapping[str, _T]) -> dict[str, _T]:
    """The abbreviations that stay clear without letter case: long enough, and not two things."""
    found: dict[str, _T] = {}
    clash: set[str] = set()
    for short in sorted(table):
        folded = short.lower()
        if found.setdefault(folded, table[short]) != table[short]:
            clash.add(folded)
    return {f: v for f, v in found.items() if f not in clash and len(f) > 2 and f not in _EVERYDAY}


# Listed as abbreviations by packs, and everyday words of medical English as well.
_EVERYDAY = word_set("status poly gen typ abs V sx man mid fit hem ham")


def _loose(exact: Mapping[str, _Ranked], classes: Mapping[str, str], terminology: Terminology) -> dict[str, Entry]:
    """Loose keys that mean one concept, or one that includes the others; of unequal ranks the better decides."""
    found: dict[str, _Ranked] = {}
    shared: set[str] = set()
    for key, (rank, entry) in exact.items():
        stems = sorted(classes.get(stem, stem) for stem in map(strong, key.split()))
        loose = " ".join(stem for stem in stems if stem)
        known = found.get(loose)
        if known is None or rank < known[0]:
            found[loose] = (rank, entry)
            shared.discard(loose)
        elif rank == known[0] and entry != known[1]:
            wider = _wider(entry, known[1], terminology)
            found[loose] = (rank, wider or known[1])
            if wider is None:
                shared.add(loose)
    return {key: entry for key, (_, entry) in found.items() if key and key not in shared}
