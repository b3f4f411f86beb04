"""The leak audit: a second look at de-identified documents, by other means than the first.

In: de-identified documents; for each, the raw identifiers of its patient; the vocabulary of the pack. Out: suspects,
places where something may have been left. They hold offsets and classes, never text.

The first pass finds what its rules describe. This one denies by default: a word or number that nothing explains is a
suspect. It shares the word lists with the first pass, not the rules.

    known        an identifier of the same patient that was replaced elsewhere still stands here
    vocabulary   a word that no list of ordinary, medical or abbreviated words explains, or a capital that nothing does
    digits       a number that no clinical context explains: long, or in the shape of a date, phone number or code
    presidio     Presidio with its own recognizers and spaCy's model, if asked for (slow; give it a sample)

Covers: what stands outside replaced places; there surrogates or tags stand, and nothing is suspected. What the policy
lets stay is left alone wherever it stands. Words hold together over line breaks, spaces, punctuation and accents.
Does not cover: names that are ordinary words, in a line without case or at the start of a sentence; initials and
names of one or two letters; scores and dates that look alike ("3/4"); misspelled identifiers that look like ordinary
words; answers and metadata; anything that identifies without being an identifier (anonymity.py). Few suspects are no
proof that nothing was missed: that is measured on reviewed documents (evaluation.py).
"""

from __future__ import annotations

import csv
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from residency.curate.deidentify.anonymity import STATES
from residency.curate.deidentify.detector import PRESIDIO_NAMES
from residency.curate.deidentify.labels import Identifier as Id
from residency.curate.deidentify.lexicon import Lexicon, lexicon_for, spacy_model_folder
from residency.curate.deidentify.organizations import is_generic
from residency.curate.deidentify.places import is_street_word
from residency.curate.deidentify.tokens import Word, Words
from residency.packs import Pack
from residency.records import Document, Span

# Scores say how much speaks for a leak, 0 to 1; an order, no probabilities. Chosen by us on the development reports of
# bench/deidentify.py with a tenth of their identifiers left in, November 2026.
KNOWN_WHOLE = 1.0
KNOWN_PART = 0.9
KNOWN_WORD = 0.5  # a part of a name that is an ordinary word, with a capital that nothing explains
NAME = 0.8  # known as a name and as nothing else, with a capital
NAME_WITHOUT_CASE = 0.6  # the same in a line of capitals or of small letters
NAME_SMALL = 0.4  # the same in small letters where names have capitals
UNKNOWN_CAPITAL = 0.6  # in no list, with a capital
UNKNOWN_START = 0.5  # the same where a sentence begins
NOUN_CAPITAL = 0.5  # a noun (the list of nouns holds towns and famous people) with a capital inside a sentence
NOUN_START = 0.4  # a noun that is a name, with a capital where a sentence begins
WORD_CAPITAL = 0.4  # a name that is also a word, with a capital inside a sentence
UNKNOWN_LETTERS = 0.2  # capitals in no list: mostly abbreviations
BESIDE = 0.2  # added for a neighbour that is suspect itself, or a replaced place
SHAPE = 0.9  # an electronic address, a full date
LONG_NUMBER = 0.8
CODE = 0.6  # letters and digits in the form of a code
SHORT_NUMBER = 0.4  # day and month alone, four digits that are no year, an age over 89
LOWEST_SCORE = 0.4  # suspects below are not told

_SHORTEST_PART = 4  # letters; parts of names shorter than this are also too many other things
_SHORTEST_WHOLE = 3  # letters and digits of an identifier
_FEWEST_DIGITS = 5  # of a code, to be searched by its digits alone
_ANYWHERE_DIGITS = 7  # so many digits in a row are found inside longer numbers too
_PHONE_TAIL = 7  # digits; a phone number is known by its end, whatever its country code
_WINDOW = 64  # characters; how far around an @ an address is looked for
_HIDDEN = "\ufffc"  # stands for each character of a replaced place

Known = Callable[[Document], Sequence[tuple[str, str]]]
Stays = Callable[[str, str], bool]
Second = Callable[[str], Sequence[Span]]


class Method(StrEnum):
    """How a suspect was found."""

    KNOWN = "known"
    VOCABULARY = "vocabulary"
    DIGITS = "digits"
    PRESIDIO = "presidio"


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """``[start, end)`` of a de-identified text where something may have been left."""

    document: str  # id
    start: int
    end: int
    label: str  # the class that it may be
    methods: tuple[Method, ...]  # the one with the highest score first
    score: float


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What explains a word: the lexicon, and further words in small letters."""

    lexicon: Lexicon
    terms: frozenset[str]  # of the pack's tables (names among them as written there), irregular forms, abbreviations
    nouns: frozenset[str]  # common nouns; names of famous people and towns among them


def audit(
    documents: Iterable[Document],
    *,
    known: Known,
    vocabulary: Vocabulary,
    stays: Stays = lambda label, text: False,
    second: Second | None = None,
    sampled: Callable[[Document], bool] = lambda document: True,
) -> Iterator[Suspect]:
    """Suspects, document by document, in the order of the text.

    ``known`` gives the raw identifiers (class, text) of the document's patient. ``stays`` says which of them the policy
    lets stay: they are no suspects for any method. ``second`` reads the documents that ``sampled`` picks; it gets the
    text with the replaced places in it.
    """
    searched: tuple[frozenset[tuple[str, str]], _Dictionary] | None = None
    for document in documents:
        identifiers = frozenset(known(document))
        if searched is None or searched[0] != identifiers:  # documents of a patient mostly follow each other
            searched = identifiers, _Dictionary.of(identifiers, vocabulary.lexicon, stays)
        spans = second(document.text) if second and sampled(document) else ()
        yield from _audit_one(document, searched[1], vocabulary, spans)


def vocabulary_for(pack: Pack | None) -> Vocabulary:
    """The vocabulary of ``pack``; without a pack, general English and the abbreviations below only."""
    tables = [pack.settings.abbreviations, pack.settings.synonyms, pack.settings.status_cues] if pack else []
    return _vocabulary(lexicon_for(pack), tuple(path for name in tables if pack and (path := pack.path(name))))


def summary(suspects: Iterable[Suspect], documents: int) -> dict[str, Any]:
    """Plain data for a report. ``documents``: how many were audited. A suspect found by two methods counts for both."""
    listed = list(suspects)
    with_suspects = len({suspect.document for suspect in listed})
    by_method = Counter(str(method) for suspect in listed for method in suspect.methods)
    by_label = Counter(str(suspect.label) for suspect in listed)
    return {
        "documents": documents,
        "documents_with_suspects": with_suspects,
        "share_with_suspects": with_suspects / documents if documents else None,
        "suspects": len(listed),
        "suspects_per_document": len(listed) / documents if documents else None,
        "by_method": dict(by_method.most_common()),
        "by_label": dict(by_label.most_common()),
        "lowest_score": LOWEST_SCORE,
    }


def presidio_as_shipped() -> Second:
    """Presidio's default recognizers for English over the embedded spaCy model, as a second reader.

    ``audit`` does not tell all that it finds, see ``_worth_telling``: the small model takes headings, abbreviations and
    findings for organizations and people, and any duration for a date.
    """
    import tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)  # it tells of each language that it leaves out
    # Its e-mail recognizer would fetch the list of public suffixes; the list in the package serves as well.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    model = {"lang_code": "en", "model_name": str(spacy_model_folder())}
    provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [model]})
    analyzer = AnalyzerEngine(nlp_engine=provider.create_engine())

    def read(text: str) -> list[Span]:
        return [
            Span(start=r.start, end=r.end, label=PRESIDIO_NAMES.get(r.entity_type, r.entity_type), score=r.score)
            for r in analyzer.analyze(text=text, language="en")
        ]

    return read


# --- one document


@dataclass(frozen=True, slots=True)
class _Found:
    start: int
    end: int
    label: str
    method: Method
    score: float


def _audit_one(
    document: Document, dictionary: _Dictionary, vocabulary: Vocabulary, second: Sequence[Span]
) -> Iterator[Suspect]:
    hidden = _hide(document.text, ((span.start, span.end) for span in document.spans))
    words = Words(hidden, vocabulary.lexicon)
    matches = dictionary.search(hidden, words)
    hidden = _hide(hidden, ((match.start, match.end) for match in matches if match.needle.stays))
    if any(match.needle.stays for match in matches):
        words = Words(hidden, vocabulary.lexicon)
    found = [
        _Found(match.start, match.end, match.needle.label, Method.KNOWN, match.needle.score)
        for match in matches
        if not match.needle.stays
    ]
    names_end = frozenset(span.end for span in document.spans if span.label == Id.NAME)
    found += _unexplained_words(words, vocabulary, names_end)
    found += _unexplained_numbers(hidden)
    found += [piece for span in second for piece in _outside(span, hidden, vocabulary)]
    yield from _merged(document.id, found)


def _hide(text: str, places: Iterable[tuple[int, int]]) -> str:
    """``text`` of the same length, with these places made unreadable."""
    parts: list[str] = []
    position = 0
    for start, end in sorted(places):
        if end > position:
            start = max(start, position)
            parts += [text[position:start], _HIDDEN * (end - start)]
            position = end
    return "".join(parts) + text[position:]


def _merged(document: str, found: Iterable[_Found]) -> Iterator[Suspect]:
    """Overlapping finds as one suspect: all of their extent, label and score of the strongest."""
    told = sorted((f for f in found if f.score >= LOWEST_SCORE), key=lambda f: (f.start, f.end))
    groups: list[list[_Found]] = []
    end = -1
    for one in told:
        if one.start < end:
            groups[-1].append(one)
        else:
            groups.append([one])
        end = max(end, one.end)
    for group in groups:
        strongest = sorted(group, key=lambda f: (-f.score, f.start, f.end, f.label, f.method))
        yield Suspect(
            document=document,
            start=min(f.start for f in group),
            end=max(f.end for f in group),
            label=str(strongest[0].label),
            methods=tuple(dict.fromkeys(f.method for f in strongest)),
            score=min(1.0, round(strongest[0].score, 2)),
        )


# --- known: identifiers of the patient


@dataclass(frozen=True, slots=True)
class _Needle:
    """What is searched for, and under what conditions a place counts."""

    label: str
    score: float
    stays: bool = False
    needs_capital: bool = False  # an ordinary word: only a capital that no sentence start explains counts


@dataclass(frozen=True, slots=True)
class _Match:
    start: int
    end: int
    needle: _Needle


_END = ""  # the key of a needle in a node of the tree; no character is the empty string
_FOLLOWED_AS_WORDS = frozenset((Id.NAME, Id.LOCATION, Id.ORGANIZATION))
_NOT_CODES = _FOLLOWED_AS_WORDS | {Id.DATE, Id.AGE_OVER_89}
_PART = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_RUN = re.compile(rf"[^\W\d_]+|\d+|{_HIDDEN}+")
_NUMBER_CHAIN = re.compile(r"\d+(?:[ ()./+_-]{1,3}\d+)*")
_YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass(slots=True)
class _Dictionary:
    """The identifiers of one patient as two trees of characters: one walk from each word, none for each identifier.

    ``wholes`` holds letters and digits without what stands between them, found from word to word; ``digits`` the digits
    of codes, found inside longer tokens too.
    """

    wholes: dict[str, Any] = field(default_factory=dict)
    digits: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, identifiers: Iterable[tuple[str, str]], lexicon: Lexicon, stays: Stays) -> _Dictionary:
        dictionary = cls()
        for label, text in sorted(identifiers):
            may_stay = stays(label, text)
            dictionary._add_whole(label, text, lexicon, may_stay)
            if label in _FOLLOWED_AS_WORDS and not may_stay:
                dictionary._add_parts(label, text, lexicon)
            if label not in _NOT_CODES:
                dictionary._add_digits(label, text, may_stay)
        return dictionary

    def _add_whole(self, label: str, text: str, lexicon: Lexicon, stays: bool) -> None:
        plain = _plain(text)
        if len(plain) < _SHORTEST_WHOLE or label == Id.AGE_OVER_89 or _YEAR.fullmatch(plain):
            return
        if len(plain) < len(text.strip()) and lexicon.is_word(plain):  # "A. Long" is not "along"
            return
        ordinary = len(_PART.findall(text)) == 1 and plain.isalpha() and _is_ordinary(text.strip(), lexicon)
        score = KNOWN_WORD if ordinary else KNOWN_WHOLE
        _plant(self.wholes, plain, _Needle(label, score, stays, needs_capital=ordinary))

    def _add_parts(self, label: str, text: str, lexicon: Lexicon) -> None:
        for word in _PART.findall(text.replace("^", " ").replace("\u2019", "'")):
            part = word.removesuffix("'s").removesuffix("'S")
            if len(part) < _SHORTEST_PART or lexicon.is_particle(part) or part.casefold() in lexicon.safe:
                continue
            ordinary = _is_ordinary(part, lexicon)
            if label != Id.NAME and (ordinary or is_generic(part) or is_street_word(part) or part.title() in STATES):
                continue
            score = KNOWN_WORD if ordinary else KNOWN_PART
            _plant(self.wholes, _plain(part), _Needle(label, score, needs_capital=ordinary))

    def _add_digits(self, label: str, text: str, stays: bool) -> None:
        digits = "".join(ch for ch in text if ch in "0123456789")
        if len(digits) >= _FEWEST_DIGITS:
            _plant(self.digits, digits, _Needle(label, KNOWN_PART, stays))
        if label in (Id.PHONE, Id.FAX) and len(digits) > _PHONE_TAIL:
            _plant(self.digits, digits[-_PHONE_TAIL:], _Needle(label, KNOWN_PART, stays))

    def search(self, text: str, words: Words) -> list[_Match]:
        """Where identifiers stand; of those that begin at one place, the longest."""
        folded, places = _folded(text)
        matches = list(self._wholes(folded, places))
        matches += self._digits(folded, places)
        return [match for match in matches if not match.needle.needs_capital or _capital_says(words, match.start)]

    def _wholes(self, folded: str, places: Sequence[int]) -> Iterator[_Match]:
        if not self.wholes:
            return
        runs = [(m.start(), m.end()) for m in _RUN.finditer(folded)]
        for number, (start, _) in enumerate(runs):
            if folded[start] in self.wholes:
                last = self._longest(folded, runs, number)
                if last is not None:
                    yield _Match(places[start], places[last[0] - 1] + 1, last[1])

    def _longest(self, folded: str, runs: Sequence[tuple[int, int]], number: int) -> tuple[int, _Needle] | None:
        """Where the longest identifier ends that begins with a run and ends with one; at most as long as the tree."""
        node: dict[str, Any] | None = self.wholes
        last: tuple[int, _Needle] | None = None
        while number < len(runs):
            for ch in folded[slice(*runs[number])]:
                node = node.get(ch) if node is not None else None
                if node is None:
                    return last
            if node is not None and _END in node:
                last = runs[number][1], node[_END]
            number += 1
        return last

    def _digits(self, folded: str, places: Sequence[int]) -> Iterator[_Match]:
        if not self.digits:
            return
        for chain in _NUMBER_CHAIN.finditer(folded):
            at = [i for i in range(*chain.span()) if folded[i].isdigit()]
            for first in range(len(at) - _FEWEST_DIGITS + 1):
                for last, needle in self._digits_from(folded, at, first):
                    yield _Match(places[at[first]], places[at[last]] + 1, needle)

    def _digits_from(self, folded: str, at: Sequence[int], first: int) -> Iterator[tuple[int, _Needle]]:
        """Codes that begin with the digit number ``first``, and the number of their last digit."""
        node: dict[str, Any] = self.digits
        for last in range(first, len(at)):
            if folded[at[last]] not in node:
                return
            node = node[folded[at[last]]]
            if _END in node:
                whole = not _digit_at(folded, at[first] - 1) and not _digit_at(folded, at[last] + 1)
                if whole or last + 1 - first >= _ANYWHERE_DIGITS:
                    yield last, node[_END]


def _plant(tree: dict[str, Any], plain: str, needle: _Needle) -> None:
    for ch in plain:
        tree = tree.setdefault(ch, {})
    kept = tree.get(_END)
    # What may stay comes first; else what is surer.
    if kept is None or (needle.stays, needle.score) > (kept.stays, kept.score):
        tree[_END] = needle


def _digit_at(text: str, position: int) -> bool:
    return 0 <= position < len(text) and text[position].isdigit()


def _capital_says(words: Words, start: int) -> bool:
    """A capital at ``start`` that neither the case of the line nor the start of a sentence explains."""
    index = words.at(start)
    if index >= len(words.all) or words.all[index].start != start:
        return False
    return _inner_capital(words, index)


_INSIDE = frozenset(("", " ", ", ", " (", "(", "/", " & ", "&", "-", "'"))  # what stands before a word in a sentence
_ABBREVIATED = frozenset(("dr", "mr", "mrs", "ms", "prof", "st"))
_FULL_STOPS = frozenset(("period", "stop", "colon", "comma", "paragraph", "line"))  # as a dictation system writes them


def _inner_capital(words: Words, index: int) -> bool:
    """A capital that neither the case of the line explains nor the place: it stands inside a sentence."""
    word = words.all[index]
    if not word.cased or not word.capital or word.text.isupper() or index in words.sentence_starts:
        return False
    before = words.all[index - 1]
    gap = words.text[before.end : word.start]
    after_hidden = gap.rpartition(_HIDDEN)[2]
    if gap in (". ", ".") and (before.text.casefold() in _ABBREVIATED or (len(before.text) == 1 and before.capital)):
        return True
    if len(after_hidden) == len(gap) and before.text.casefold() in _FULL_STOPS:
        return False
    return after_hidden in _INSIDE


def _is_ordinary(word: str, lexicon: Lexicon) -> bool:
    return lexicon.is_word(word) or word.casefold() in lexicon.safe


def _plain(text: str) -> str:
    """Small letters and digits without accents, marks and blanks."""
    return "".join(ch for ch in _folded(text)[0] if ch.isalnum())


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """``text`` in small letters without accents, and where each character of it stands in ``text``."""
    if text.isascii():
        return text.lower(), range(len(text))
    parts: list[str] = []
    places: list[int] = []
    for place, ch in enumerate(text):
        folded = _folded_character(ch)
        parts.append(folded)
        places += [place] * len(folded)
    return "".join(parts), places


# Letters that Unicode does not take apart, as people write them without the letter.
_WITHOUT_ACCENT = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "ı": "i", "þ": "th", "ħ": "h", "ŋ": "n"}
)


@lru_cache(maxsize=4096)
def _folded_character(ch: str) -> str:
    decomposed = unicodedata.normalize("NFKD", ch.casefold()).translate(_WITHOUT_ACCENT)
    return "".join(part for part in decomposed if not unicodedata.combining(part))


# --- vocabulary: words


class _Kind(StrEnum):
    ORDINARY = "ordinary"
    NOUN = "noun"
    NAME = "name"
    NAME_AND_NOUN = "name and noun"  # the nouns are famous people's names as often as common nouns
    BOTH = "both"  # a name and an ordinary word
    UNKNOWN = "unknown"


# General abbreviations of clinical notes and forms, written for this project from general medical knowledge.
_ABBREVIATIONS_TEXT = """
abx acc accn addr approx appt apgars asap attn bd beh behav bid bmi bp bpm bsa bun cbc cc ccu cn cns cont cp cpr
crp csf ct cv cvs cxr dept diff disab dna dnr dob dtr dtrs dx ecg echo ed eeg ehr ekg emg emr ent er esr etoh exam
ext feat fen ffp fhx fh fio fu fup gcs gi gp gu hb hct heent hpi hr hx icd icp icu im imp incl info inpt iq iu iv
ivig kcal lbs lft lfts lmp loc lp lvn mane mdt med meds mgr mmhg mmol mrc mri mrn msg msk msu na nad nbm neg neuro
neurodev nhs nicu nil nka nkda nos npo nsaid nsr ob obs occ od om op opd ophtho osa oob ot pcp pe peds perl perla
perrl perrla picu piv pmh pmhx pn po pos poss prev prn prob probs psych pt pulm qds qid rec recs ref reg rehab
resp rn ros rpt rr rta rtc rvw rx saline sats sbar sc se sh shx sl slp snf sob soc spo ssn std subcut supp surg sw
sx tbc tds temp tfts tid tpn tto tx uas uds uk unk us usa utd uti utis vehicle veeg vit vs vss wbc wnl wt xr yo yr
yrs apt aka bsc cnc md msc mbbs phd frcp frcpch mrcp dr mr mrs ms prof pdf jpg png url http https www com org net
ncv ncs emgs eegs mris ecgs cts telehealth physiotherapy microarray exome nocte multivitamin checklist conference
paperwork medicaid medicare tricare
"""
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())
# Endings of medical and abstract words; a word of this length that ends so is hardly a name.
_LEARNED = re.compile(
    r".{3,}(?:itis|oses|osis|otic|emia|aemia|uria|pathy|pathic|plasia|plastic|plegia|plegic|paresis|trophy|trophic|"
    r"algia|ectomy|ostomy|otomy|oscopy|graphy|graphic|grams?|ology|ologic|ological|ologists?|megaly|cephaly|cephalic|"
    r"phagia|phasia|arthria|tonia|tonic|kinesia|praxia|genic|genesis|metric|metria|oidal|ations?|nesses|ness|ments?|"
    r"ilities|ility|ically|ables?|ibles?|lateral|sciences?|racetam|azepam|barbital|zepine|idine|amide|mycin|cillin|"
    r"prazole|olol|mab)"
)
_SHORTEST_LEARNED = 7  # letters
_SHORTEST_WORD = 2  # letters; one letter is no word
_SHORTEST_UNKNOWN = 3  # letters
_STATE_CODES = frozenset(STATES.values())
_NEIGHBOUR_GAPS = frozenset((" ", ", ", "-", " - ", "'", ". "))


def _unexplained_words(words: Words, vocabulary: Vocabulary, names_end: frozenset[int]) -> Iterator[_Found]:
    """Words in doubt, neighbours in doubt as one. ``names_end``: where replaced names end."""
    safe = _safe_places(words.text, vocabulary.lexicon)
    scores = [
        0.0 if word.start in safe else _doubt(words, index, vocabulary, names_end)
        for index, word in enumerate(words.all)
    ]
    doubtful = [index for index, score in enumerate(scores) if score > 0]
    runs: list[list[int]] = []
    for index in doubtful:
        if runs and runs[-1][-1] == index - 1 and words.gap(index - 1) in _NEIGHBOUR_GAPS:
            runs[-1].append(index)
        else:
            runs.append([index])
    for run in runs:
        first, last = words.all[run[0]], words.all[run[-1]]
        beside = len(run) > 1 or _touches_hidden(words.text, first.start, last.end)
        score = max(scores[index] for index in run) + (BESIDE if beside else 0.0)
        label = Id.NAME if any(vocabulary.lexicon.is_name(words.all[i].text) for i in run) else Id.OTHER_ID
        yield _Found(first.start, last.end, label, Method.VOCABULARY, score)


def _doubt(words: Words, index: int, vocabulary: Vocabulary, names_end: frozenset[int]) -> float:
    """How little explains a word; 0 where something does."""
    word = words.all[index]
    if len(word.text) < _SHORTEST_WORD:
        return 0.0
    kind = _kind(word.text.removesuffix("'s").removesuffix("'S"), vocabulary)
    if kind in (_Kind.ORDINARY, _Kind.BOTH) and (
        _acts(words, index) or _is_called(words, index) or _goes_on_name(words, index, names_end)
    ):
        return WORD_CAPITAL
    if (
        kind is _Kind.ORDINARY
        or word.text in vocabulary.terms
        or (word.text in _STATE_CODES and _after_comma_or_hidden(words.text, word))
    ):
        return 0.0
    if kind is _Kind.NAME and not (word.cased and word.text.isupper() and len(word.text) < _SHORTEST_UNKNOWN):
        return NAME_WITHOUT_CASE if not word.cased else NAME if word.capital else NAME_SMALL
    if kind in (_Kind.BOTH, _Kind.NOUN, _Kind.NAME_AND_NOUN):
        if _inner_capital(words, index) or (kind is not _Kind.NOUN and _after_initial(words, index)):
            return WORD_CAPITAL if kind is _Kind.BOTH else NOUN_CAPITAL
        started = kind is _Kind.NAME_AND_NOUN and word.cased and word.capital and not word.text.isupper()
        return NOUN_START if started else 0.0
    if not word.capital or len(word.text) < _SHORTEST_UNKNOWN:
        return 0.0
    if word.text.isupper() or not word.cased:
        return UNKNOWN_LETTERS
    return UNKNOWN_START if index in words.sentence_starts else UNKNOWN_CAPITAL


_PERSONAL_TEXT = """
is was has had attends attended does did lives lived sleeps slept eats walks walked wakes woke feels says said
remains goes went came comes loves likes enjoys started began developed weighs can cannot
"""
_PERSONAL = frozenset(_PERSONAL_TEXT.split())


# Given names that begin sentences of reports as words far more often.
_NO_PERSON = frozenset(("case", "gene", "son", "sun", "tone"))


def _acts(words: Words, index: int) -> bool:
    """A word that is also a given name begins a sentence and does at once what people do: "Faith is doing fine"."""
    if (
        index not in words.sentence_starts
        or words.gap(index) != " "
        or not (words.all[index].capital or not words.all[index].cased)
    ):
        return False
    word = words.all[index].text.casefold()
    if word in _NO_PERSON:
        return False
    return word in words.lexicon.given and len(word) > 2 and words.all[index + 1].text.casefold() in _PERSONAL


def _is_called(words: Words, index: int) -> bool:
    """An ordinary word that is also a given name, with a capital inside a sentence: "You can ring Will"."""
    word = words.all[index].text
    folded = word.casefold()
    return (
        len(word) > 2
        and folded in words.lexicon.given
        and folded not in words.lexicon.safe
        and not is_generic(folded)
        and _inner_capital(words, index)
    )


def _goes_on_name(words: Words, index: int, names_end: frozenset[int]) -> bool:
    """A capitalized word that is also a name stands right behind a replaced name: perhaps its second half."""
    word = words.all[index]
    return (
        word.start - 1 in names_end
        and words.text[word.start - 1] == " "
        and _inner_capital(words, index)
        and words.lexicon.is_name(word.text)
        and not is_generic(word.text)
    )


def _after_initial(words: Words, index: int) -> bool:
    """A single capital stands before, as in "W. Price"; "A" and "I" are words."""
    before = words.all[index - 1] if index else None
    return (
        before is not None
        and len(before.text) == 1
        and before.capital
        and before.text not in ("A", "I")
        and words.all[index].capital
        and words.gap(index - 1) in (" ", ". ", ".")
        and words.text[max(0, before.start - 1) : before.start] not in ("/", "&", "-", ".")
    )


def _kind(word: str, vocabulary: Vocabulary) -> _Kind:
    parts = word.casefold().split("-")
    lexicon = vocabulary.lexicon
    if len(parts) == 1:
        return _kind_of_one(parts[0], vocabulary)
    if any(part in lexicon.safe for part in parts) or (
        lexicon.safe_phrases is not None and lexicon.safe_phrases.fullmatch(" ".join(parts))
    ):
        return _Kind.ORDINARY
    kinds = {_kind_of_one(part, vocabulary) for part in parts if len(part) > 1}
    order = (_Kind.NAME, _Kind.NAME_AND_NOUN, _Kind.UNKNOWN, _Kind.NOUN, _Kind.BOTH)
    if _Kind.ORDINARY in kinds and _Kind.NAME not in kinds:
        return _Kind.UNKNOWN if _Kind.UNKNOWN in kinds else _Kind.ORDINARY
    return next((kind for kind in order if kind in kinds), _Kind.ORDINARY)


def _kind_of_one(word: str, vocabulary: Vocabulary) -> _Kind:
    lexicon = vocabulary.lexicon
    if word in lexicon.safe or lexicon.never_name(word) or is_generic(word):
        return _Kind.ORDINARY
    if lexicon.is_name(word):
        if lexicon.is_word(word):
            return _Kind.BOTH
        return _Kind.NAME_AND_NOUN if word in vocabulary.nouns else _Kind.NAME
    noun = _is_noun(word, vocabulary)
    if (
        word in vocabulary.terms
        or lexicon.is_word(word)
        or (len(word) >= _SHORTEST_LEARNED and _LEARNED.fullmatch(word))
    ):
        return _Kind.ORDINARY
    return _Kind.NOUN if noun else _Kind.UNKNOWN


def _is_noun(word: str, vocabulary: Vocabulary) -> bool:
    nouns = vocabulary.nouns
    return (
        word in nouns
        or (word.endswith("s") and word[:-1] in nouns)
        or (word.endswith("ies") and word[:-3] + "y" in nouns)
    )


def _safe_places(text: str, lexicon: Lexicon) -> frozenset[int]:
    """Where words of safe phrases begin."""
    if lexicon.safe_phrases is None:
        return frozenset()
    return frozenset(
        match.start() + word.start()
        for match in lexicon.safe_phrases.finditer(text)
        for word in _PART.finditer(match.group())
    )


def _after_comma_or_hidden(text: str, word: Word) -> bool:
    """In the place where an address names its state."""
    return text[max(0, word.start - 3) : word.start].rstrip(" \n")[-1:] in (",", _HIDDEN)


def _touches_hidden(text: str, start: int, end: int) -> bool:
    """A replaced place stands beside, with at most one blank or hyphen between."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return bool(re.search(rf"{_HIDDEN}[ -]?$", before) or re.match(rf"[ -]?{_HIDDEN}", after))


@lru_cache(maxsize=4)
def _vocabulary(lexicon: Lexicon, tables: tuple[Path, ...]) -> Vocabulary:
    nouns, irregular = _english()
    table_words = {word for path in tables for word in _table_words(path)}
    # What is also a name ("BAER") is explained in the very form of the tables only.
    terms = {word if lexicon.is_name(word) else word.casefold() for word in table_words}
    return Vocabulary(lexicon, frozenset(terms | irregular | _ABBREVIATIONS), nouns)


def _table_words(path: Path) -> set[str]:
    """The words of the first two columns: a term and what it stands for."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row and row[0][:1] != "#"]
    return {word for row in rows for cell in row[:2] for word in re.findall(r"[^\W\d_]+", cell)}


@cache
def _english() -> tuple[frozenset[str], frozenset[str]]:
    """Nouns, and irregular forms of all words ("took"), of WordNet as the spaCy model carries it."""
    import srsly
    from spacy.strings import get_string_id

    tables = srsly.msgpack_loads((spacy_model_folder() / "lemmatizer" / "lookups" / "lookups.bin").read_bytes())
    nouns = frozenset(tables["lemma_index"].get(get_string_id("noun"), ()))
    return nouns, frozenset(form for forms in tables["lemma_exc"].values() for form in forms)


# --- digits: numbers and codes

# English, and the long forms of Spanish, French and German.
_MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    "nov(?:ember)?|dec(?:ember)?|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|"
    "diciembre|janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre|januar|februar|"
    "märz|juni|juli|oktober|dezember"
)
_FULL_DATE = re.compile(
    r"(?<!\d)(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}(?P<s>[-/.]) ?\d{1,2}(?P=s) ?(?:\d{4}|\d{2}))(?!\d)"
    rf"|(?<![^\W_])(?:\d{{1,2}}(?:st|nd|rd|th)?[\s./-]?(?:of |de )?(?:{_MONTHS})(?![^\W\d_])"
    rf"(?:[\s,.'\u2019/-]{{0,3}}(?:de )?\d{{2,4}})?"
    rf"|(?:{_MONTHS})[.,]?[\s'\u2019/-]{{1,2}}\d{{1,4}}(?:st|nd|rd|th)?(?:,? \d{{4}})?)(?![^\W_])",
    re.IGNORECASE,
)
_MONTH = re.compile(
    r"(?<![^\W_])(?:January|February|April|June|July|August|September|October|November|December|"
    r"JANUARY|FEBRUARY|APRIL|JUNE|JULY|AUGUST|SEPTEMBER|OCTOBER|NOVEMBER|DECEMBER)(?![^\W_])"
    r"|(?<=[a-z,] )(?:March|May)(?![^\W_])"
)
_DAY_MONTH = re.compile(r"(?<![\w./+-])(\d{1,2})/(\d{1,2})(?![\w/]|[.]\d)")
_SCALES = frozenset((2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 20, 24, 25, 28, 30))  # what n is told out of, in n/m
_WEB = re.compile(r"[a-z]{2,8}://|(?<!\w)www\.", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
_UNIT = (
    r"(?:%|‰|°|x ?10|/ ?(?:[mdµu]?l\b|mm|hpf)|"
    r"[µumnkc]?g(?:\b|/)|kg|lbs?|oz|[mcdµu]?l\b|m?[lL]/|mm|cm|mmol|mol|[mkµ]?u\b|iu|units?|copies|cells|"
    r"bpm|/min|hz|khz|ms(?:ec)?\b|m/s|[mµ]v\b|kcal|cal\b|hrs?|hours?|h\b|mins?\b|minutes?|secs?\b|seconds?|days?|weeks?|"
    r"months?|years?|yrs?|y/o|bp\b|kb\b|mb\b|base|reads|kpa|pg|ng|fl\b|mosm)"
)
_UNIT_AFTER = re.compile(rf"[ -]?{_UNIT}", re.IGNORECASE)
_KNOWLEDGE_BEFORE = re.compile(
    r"(?:HP|OMIM|MIM|MONDO|ORPHA(?:NET)?|ICD(?:-1[01])?(?:-CM)?|SNOMED(?: ?CT)?|LOINC|UMLS|PMID|DOI|NCT|ISRCTN|"
    r"N[MPCGR]_|ENS[GTP]|rs|[cgpmn]\.[\w*+()-]*|chr[\dxym]{1,2}|GRCh|hg)[:#_ .*-]{0,3}$",
    re.IGNORECASE,
)
_VARIANT = re.compile(r"[cgpmn]\.[\w*>+()=-]*|(?:chr)?[\dxy]{1,2}[pq]\d[\d.]*", re.IGNORECASE)
_GENE_OR_GRADE = re.compile(r"[A-Z]{1,7}\d{1,3}[A-Z]{0,2}|[A-Z]\d{1,2}-[A-Z]?\d{1,2}|\d{1,2}[A-Z]{1,3}\d?")
_NUMBER_GROUP = re.compile(r"(?<![\w.])[+(]{0,2}\d{2,5}(?:[ ()-]{1,3}\d{2,5}){1,5}(?![\w]|[.]\d)")
_DOTTED = re.compile(r"(?<![\w.])\d{1,5}(?:\.\d{1,5}){2,4}(?![\w]|\.\d)")
_MIXED = re.compile(r"(?<![\w/.-])(?=[A-Z/-]*\d)(?=[\d/-]*[A-Z])[A-Z\d]+(?:[-/][A-Z\d]+)*(?![\w.]\w)")
_PLATE_OR_POSTCODE = re.compile(
    r"(?<!\w)(?:[A-Z]{2}\d{2} [A-Z]{3}|[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})(?!\w)", re.IGNORECASE
)
_ELDERLY = re.compile(
    r"(?<![\w./-])(?:9\d|1[01]\d)(?=[ -]?(?:years?|yrs?|y/?o)\b)|\bninety\b"
    r"|(?<=[a-z] )(?:9\d|1[01]\d)(?=(?:[.,;]?$|[.,;]?\s))(?![.,;]?\s*(?:%|to\b|-|x\b|degrees|centile|beats))",
    re.IGNORECASE | re.MULTILINE,
)
# Before a number from 90 to 119 they make it a measurement.
_MEASURED = re.compile(
    r"\b(?:hr|rr|bp|pulse|rate|sats?|spo|o2|weight|wt|height|ht|ofc|hc|score|iq|dose|room|bed|ward|case|page|level|glucose|"
    r"sodium|chloride|platelets|alp|alt|ast|ck|hb|day|no|number|about|over|under|above|below|map|mcv|egfr)\W*(?:is|of|was|at)?\W*$",
    re.IGNORECASE,
)
_YEARS_AFTER = re.compile(r"[ -]?(?:years?|yrs?|y/?o)\b", re.IGNORECASE)
_CUE = 20  # characters before a number in which its explanation is looked for
_LONGEST_PLAIN = 4  # digits in a row that may be a value; more need an explanation
_FEWEST_IN_GROUPS = 7  # digits of a number in groups, like a phone's
_GROUPS_OF_IP = 4
_FEWEST_IN_CODE = 3  # digits of a code with letters


def _unexplained_numbers(text: str) -> Iterator[_Found]:
    yield from _addresses(text)
    yield from _dates(text)
    yield from _numbers(text)
    yield from _codes(text)
    for match in _ELDERLY.finditer(text):
        measured = _MEASURED.search(text, max(0, match.start() - _CUE), match.start()) or _UNIT_AFTER.match(
            text, match.end()
        )
        if not measured or match.group().isalpha() or _YEARS_AFTER.match(text, match.end()):
            yield _digits(match.start(), match.end(), Id.AGE_OVER_89, SHORT_NUMBER)


def _digits(start: int, end: int, label: Id, score: float) -> _Found:
    return _Found(start, end, label, Method.DIGITS, score)


def _addresses(text: str) -> Iterator[_Found]:
    at = text.find("@")
    while at >= 0:
        start, end = _token_around(text, at)
        if text[at - 1 : at].isalnum() and text[at + 1 : at + 2].isalnum():
            yield _digits(start, end, Id.EMAIL, SHAPE)
        at = text.find("@", max(end, at + 1))
    for match in _WEB.finditer(text):
        yield _digits(match.start(), _token_around(text, match.end() - 1)[1], Id.URL, SHAPE)


def _token_around(text: str, at: int) -> tuple[int, int]:
    start = end = at
    while start > max(0, at - _WINDOW) and not (text[start - 1].isspace() or text[start - 1] == _HIDDEN):
        start -= 1
    while end < min(len(text), at + _WINDOW) and not (text[end].isspace() or text[end] == _HIDDEN):
        end += 1
    while end > at + 1 and text[end - 1] in ".,;:!?)":
        end -= 1
    return start, end


def _dates(text: str) -> Iterator[_Found]:
    for match in _FULL_DATE.finditer(text):
        yield _digits(match.start(), match.end(), Id.DATE, SHAPE)
    for match in _MONTH.finditer(text):
        yield _digits(match.start(), match.end(), Id.DATE, SHORT_NUMBER)
    for match in _DAY_MONTH.finditer(text):
        first, second = int(match.group(1)), int(match.group(2))
        # A score's first number is never the larger one, and few numbers are the highest of a scale; a blood pressure
        # has no number below 13.
        if (second < first <= 31 and 1 <= second <= 12) or (first <= 12 and second <= 31 and second not in _SCALES):
            yield _digits(match.start(), match.end(), Id.DATE, SHORT_NUMBER)


def _numbers(text: str) -> Iterator[_Found]:
    """Digits in a row, and in groups."""
    for match in _DIGITS.finditer(text):
        digits = match.group()
        if len(digits) < _LONGEST_PLAIN or _YEAR.fullmatch(digits) or _is_explained(text, match.start(), match.end()):
            continue
        if len(digits) > _LONGEST_PLAIN:
            yield _digits(match.start(), match.end(), Id.OTHER_ID, LONG_NUMBER)
        elif text[match.start() - 1 : match.start()] not in (".", ","):
            yield _digits(match.start(), match.end(), Id.OTHER_ID, SHORT_NUMBER)
    for match in _NUMBER_GROUP.finditer(text):
        groups = _DIGITS.findall(match.group())
        if sum(map(len, groups)) >= _FEWEST_IN_GROUPS and not all(map(_YEAR.fullmatch, groups)):
            yield _digits(match.start(), match.end(), Id.PHONE, LONG_NUMBER)
    for match in _DOTTED.finditer(text):
        groups = _DIGITS.findall(match.group())
        if len(groups) == _GROUPS_OF_IP or sum(map(len, groups)) >= _FEWEST_IN_GROUPS:
            label = Id.IP if len(groups) == _GROUPS_OF_IP else Id.PHONE
            yield _digits(match.start(), match.end(), label, LONG_NUMBER)


def _is_explained(text: str, start: int, end: int) -> bool:
    return bool(_UNIT_AFTER.match(text, end) or _KNOWLEDGE_BEFORE.search(text, max(0, start - _CUE), start))


def _codes(text: str) -> Iterator[_Found]:
    for match in _PLATE_OR_POSTCODE.finditer(text):
        yield _digits(match.start(), match.end(), Id.OTHER_ID, CODE)
    for match in _MIXED.finditer(text):
        code = match.group()
        if (
            sum(map(str.isdigit, code)) >= _FEWEST_IN_CODE
            and not _GENE_OR_GRADE.fullmatch(code)
            and not _VARIANT.fullmatch(code)
            and not _is_explained(text, match.start(), match.end())
        ):
            yield _digits(match.start(), match.end(), Id.OTHER_ID, CODE)


# --- presidio


_NAMES = frozenset((Id.NAME, Id.LOCATION, Id.ORGANIZATION, "NRP"))
_NEVER_ORDINARY = frozenset((_Kind.NAME, _Kind.NAME_AND_NOUN, _Kind.UNKNOWN))


def _outside(span: Span, hidden: str, vocabulary: Vocabulary) -> Iterator[_Found]:
    """The pieces of a second reader's span that stand outside replaced places and are worth a person's look."""
    for piece in re.finditer(rf"[^{_HIDDEN}]+", hidden[span.start : span.end]):
        stripped = piece.group().strip(" \n,.;:-'")
        if sum(map(str.isalnum, stripped)) >= _SHORTEST_WHOLE and _worth_telling(span.label, stripped, vocabulary):
            start = span.start + piece.start() + piece.group().index(stripped)
            yield _Found(start, start + len(stripped), span.label, Method.PRESIDIO, span.score)


def _worth_telling(label: str, text: str, vocabulary: Vocabulary) -> bool:
    """Dates need a date's shape. Of names, places, organizations and nationalities at least one word must not be an
    ordinary one; a name may also be a word that is a name."""
    if label == Id.DATE:
        return bool(_FULL_DATE.search(text) or _MONTH.search(text))
    if label not in _NAMES:
        return True
    kinds = {_kind(word, vocabulary) for word in _PART.findall(text) if len(word) > 1 and word not in vocabulary.terms}
    return bool(kinds & _NEVER_ORDINARY) or (label == Id.NAME and _Kind.BOTH in kinds)
