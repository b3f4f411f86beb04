"""Words in a form in which different spellings of one thing are equal.

In: a word or a name. Out: its ``light`` form (spelling and number folded), its ``strong`` form (part of speech
folded too), and the order-free key of a whole name.

Covers: letter case, accents, ligatures, British and American spelling, prefixes with and without a hyphen, English
and Latin plurals; in the strong form noun, adjective and participle ("ataxia", "ataxic"). Does not cover: synonyms;
those are data of a pack.

Not a published stemmer: Porter's cuts "ataxia" to "ataxia" and "ataxic" to "atax", and medical words differ
mostly in their Greek and Latin endings. Both forms are only keys; nobody reads them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache


def word_set(text: str) -> frozenset[str]:
    """The words of a text; word lists are easier to read as prose."""
    return frozenset(text.split())


WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[↑↓°]+")

# Words that carry no meaning inside a name: "atrophy of the cerebellum" and "cerebellum atrophy" are one name.
STOP_WORDS = word_set(
    """a an the of in on to with by for at as from is are was were be been being has have had having his her their
    its some both also very quite rather mildly moderately severely markedly slightly somewhat always still
    often patient child this these that any"""
)
# Coordinators count as one content word, so that "speech/language" and "speech and language" are equal.
AND_WORDS = frozenset({"and", "or", "&", "/", "+"})
AND = "&"

# Written with a hyphen or without: "pre-auricular" and "preauricular" are one word.
PREFIXES = word_set(
    """pre post peri para supra infra sub inter intra extra retro micro macro hyper hypo hemi non anti poly oligo
    brachy mega neo pseudo"""
)
_PREFIX = re.compile(rf"\b({'|'.join(sorted(PREFIXES))})[-–](?=[^\W\d_])", re.IGNORECASE)

_IRREGULAR = {
    "teeth": "tooth", "feet": "foot", "testes": "testis", "phalanges": "phalanx", "nares": "naris", "nuclei": "nucleus",
    "children": "child", "grey": "gray", "nuclear": "nucleus", "indices": "index", "vertebrae": "vertebra", "diabetes":
    "diabetes", "caries": "caries", "scabies": "scabies", "menses": "menses", "herpes": "herpes", "series": "series",
    "centre": "center", "fibre": "fiber", "fibres": "fiber", "litre": "liter", "5th": "fifth", "4th": "fourth",
    "3rd": "third", "2nd": "second", "1st": "first",
}  # fmt: skip
_SPELLING = (
    (re.compile(r"ae$"), "a"),
    (re.compile(r"[ao]e"), "e"),
    (re.compile(r"our"), "or"),
    (re.compile(r"ys(e[ds]?|ing)$"), r"yz\1"),
    (re.compile(r"is(e[ds]?|ing|ation)$"), r"iz\1"),
    (re.compile(r"ll"), "l"),
    (re.compile(r"sulph"), "sulf"),
)
_PLURALS = (
    (re.compile(r"([oy])ses$"), r"\1sis"),
    (re.compile(r"([^aeiou])ies$"), r"\1y"),
    (re.compile(r"(s|x|z|ch|sh)es$"), r"\1"),
    (re.compile(r"([^sui])s$"), r"\1"),
)
# Their stems are other words.
_NO_STEM = word_set("progression limbic genital general station rational analysis spinning involved involving affected")
# Longest first; what is left keeps at least four letters.
_ENDINGS = tuple(
    sorted(
        word_set(
            """icity icities icality ically ization ational ement ements ening ened istic ities ation ition ional iness
    icaly ical ness ance ence ency ancy ment ious eous tic sia tia ied ity ism ist ing ion ive ous ial osis otic ysis
    ytic esis etic ed al ar ic ia um us is en y e a o"""
        ),
        key=lambda ending: (-len(ending), ending),
    )
)


@lru_cache(maxsize=200_000)
def light(word: str) -> str:
    """The word with case, accents, spelling and number folded."""
    folded = unicodedata.normalize("NFKD", word).casefold()
    folded = "".join(c for c in folded if not unicodedata.combining(c)).replace("’", "'")
    folded = folded.removesuffix("'s").replace("'", "")
    if folded in _IRREGULAR:
        return _IRREGULAR[folded]
    if len(folded) < 4:
        return folded
    for pattern, replacement in _SPELLING:
        folded = pattern.sub(replacement, folded)
    for pattern, replacement in _PLURALS:
        changed = pattern.sub(replacement, folded)
        if changed != folded:
            return changed
    return folded


@lru_cache(maxsize=200_000)
def strong(word: str) -> str:
    """The stem of a ``light`` word: noun, adjective and participle are equal."""
    if word in _NO_STEM:
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            stem = word[: -len(ending)]
            if ending in ("en", "ing", "ed") and stem[-1] == stem[-2]:
                stem = stem[:-1]
            return stem[:-2] + "ps" if stem.endswith("pt") else stem
    return word


def join_prefixes(text: str) -> str:
    """The text with prefixes written without a hyphen."""
    return _PREFIX.sub(r"\1", text) if "-" in text or "–" in text else text


def content(text: str) -> list[str]:
    """The light forms of the words that carry meaning, in order."""
    text = re.sub(r"[/&+]", " and ", join_prefixes(text))
    words = (light(match.group()) for match in WORD.finditer(text))
    return [AND if word in AND_WORDS else word for word in words if word not in STOP_WORDS]


def name_key(name: str) -> str:
    """The order-free key of a name; equal for spellings, plurals and word orders of one name."""
    return " ".join(sorted(content(name)))
