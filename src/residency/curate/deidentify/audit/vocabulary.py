"""Vocabulary: a word that nothing explains, or a capital that nothing does.

In: the words of a text whose replaced places are hidden; the lexicon with the pack's tables. Out: finds.

Covers: names and unknown words, alone and beside others, in lines with and without case. Does not cover: ordinary words
that are names, where a sentence begins or the line has no case.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path

from residency.curate.deidentify.anonymity import STATES
from residency.curate.deidentify.audit.found import HIDDEN, PART, Found, Method
from residency.curate.deidentify.labels import Identifier as Id
from residency.curate.deidentify.lexicon import Lexicon, lexicon_for, spacy_model_folder
from residency.curate.deidentify.organizations import is_generic
from residency.curate.deidentify.tokens import Word, Words
from residency.packs import Pack

# Scores say how much speaks for a leak, 0 to 1; an order, no probabilities. Chosen by us on the development reports of
# bench/deidentify.py with a tenth of their identifiers left in, November 2026.
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


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What explains a word: the lexicon, and further words in small letters."""

    lexicon: Lexicon
    terms: frozenset[str]  # of the pack's tables (names among them as written there), irregular forms, abbreviations
    nouns: frozenset[str]  # common nouns; names of famous people and towns among them


def vocabulary_for(pack: Pack | None) -> Vocabulary:
    """The vocabulary of ``pack``; without a pack, general English and the abbreviations below only."""
    tables = [pack.settings.abbreviations, pack.settings.synonyms, pack.settings.status_cues] if pack else []
    return _vocabulary(lexicon_for(pack), tuple(path for name in tables if pack and (path := pack.path(name))))


_INSIDE = frozenset(("", " ", ", ", " (", "(", "/", " & ", "&", "-", "'"))  # what stands before a word in a sentence
_ABBREVIATED = frozenset(("dr", "mr", "mrs", "ms", "prof", "st"))
_FULL_STOPS = frozenset(("period", "stop", "colon", "comma", "paragraph", "line"))  # as a dictation system writes them


def inner_capital(words: Words, index: int) -> bool:
    """A capital that neither the case of the line explains nor the place: it stands inside a sentence."""
    word = words.all[index]
    if not word.cased or not word.capital or word.text.isupper() or index in words.sentence_starts:
        return False
    before = words.all[index - 1]
    gap = words.text[before.end : word.start]
    after_hidden = gap.rpartition(HIDDEN)[2]
    if gap in (". ", ".") and (before.text.casefold() in _ABBREVIATED or (len(before.text) == 1 and before.capital)):
        return True
    if len(after_hidden) == len(gap) and before.text.casefold() in _FULL_STOPS:
        return False
    return after_hidden in _INSIDE


class Kind(StrEnum):
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


def unexplained_words(words: Words, vocabulary: Vocabulary, names_end: frozenset[int]) -> Iterator[Found]:
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
        yield Found(first.start, last.end, label, Method.VOCABULARY, score)


def _doubt(words: Words, index: int, vocabulary: Vocabulary, names_end: frozenset[int]) -> float:
    """How little explains a word; 0 where something does."""
    word = words.all[index]
    if len(word.text) < _SHORTEST_WORD:
        return 0.0
    kind = kind_of(word.text.removesuffix("'s").removesuffix("'S"), vocabulary)
    if kind in (Kind.ORDINARY, Kind.BOTH) and (
        _acts(words, index) or _is_called(words, index) or _goes_on_name(words, index, names_end)
    ):
        return WORD_CAPITAL
    if (
        kind is Kind.ORDINARY
        or word.text in vocabulary.terms
        or (word.text in _STATE_CODES and _after_comma_or_hidden(words.text, word))
    ):
        return 0.0
    if kind is Kind.NAME and not (word.cased and word.text.isupper() and len(word.text) < _SHORTEST_UNKNOWN):
        return NAME_WITHOUT_CASE if not word.cased else NAME if word.capital else NAME_SMALL
    if kind in (Kind.BOTH, Kind.NOUN, Kind.NAME_AND_NOUN):
        if inner_capital(words, index) or (kind is not Kind.NOUN and _after_initial(words, index)):
            return WORD_CAPITAL if kind is Kind.BOTH else NOUN_CAPITAL
        started = kind is Kind.NAME_AND_NOUN and word.cased and word.capital and not word.text.isupper()
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
        and inner_capital(words, index)
    )


def _goes_on_name(words: Words, index: int, names_end: frozenset[int]) -> bool:
    """A capitalized word that is also a name stands right behind a replaced name: perhaps its second half."""
    word = words.all[index]
    return (
        word.start - 1 in names_end
        and words.text[word.start - 1] == " "
        and inner_capital(words, index)
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


def kind_of(word: str, vocabulary: Vocabulary) -> Kind:
    parts = word.casefold().split("-")
    lexicon = vocabulary.lexicon
    if len(parts) == 1:
        return _kind_of_one(parts[0], vocabulary)
    if any(part in lexicon.safe for part in parts) or (
        lexicon.safe_phrases is not None and lexicon.safe_phrases.fullmatch(" ".join(parts))
    ):
        return Kind.ORDINARY
    kinds = {_kind_of_one(part, vocabulary) for part in parts if len(part) > 1}
    order = (Kind.NAME, Kind.NAME_AND_NOUN, Kind.UNKNOWN, Kind.NOUN, Kind.BOTH)
    if Kind.ORDINARY in kinds and Kind.NAME not in kinds:
        return Kind.UNKNOWN if Kind.UNKNOWN in kinds else Kind.ORDINARY
    return next((kind for kind in order if kind in kinds), Kind.ORDINARY)


def _kind_of_one(word: str, vocabulary: Vocabulary) -> Kind:
    lexicon = vocabulary.lexicon
    if word in lexicon.safe or lexicon.never_name(word) or is_generic(word):
        return Kind.ORDINARY
    if lexicon.is_name(word):
        if lexicon.is_word(word):
            return Kind.BOTH
        return Kind.NAME_AND_NOUN if word in vocabulary.nouns else Kind.NAME
    noun = _is_noun(word, vocabulary)
    if (
        word in vocabulary.terms
        or lexicon.is_word(word)
        or (len(word) >= _SHORTEST_LEARNED and _LEARNED.fullmatch(word))
    ):
        return Kind.ORDINARY
    return Kind.NOUN if noun else Kind.UNKNOWN


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
        for word in PART.finditer(match.group())
    )


def _after_comma_or_hidden(text: str, word: Word) -> bool:
    """In the place where an address names its state."""
    return text[max(0, word.start - 3) : word.start].rstrip(" \n")[-1:] in (",", HIDDEN)


def _touches_hidden(text: str, start: int, end: int) -> bool:
    """A replaced place stands beside, with at most one blank or hyphen between."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return bool(re.search(rf"{HIDDEN}[ -]?$", before) or re.match(rf"[ -]?{HIDDEN}", after))


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
