"""Names of people: patients, relatives, clinicians, staff; and initials that stand for them.

In: a reading copy. Out: NAME spans without titles and without a possessive 's.

Covers: names after a title, a field label, a word for a relative or a role, a verb of meeting;
"SURNAME^GIVEN", "Surname, Given" beside a number; names before a degree; initials after "typed by", "signed",
"--"; known given names in running text. Does not cover: names that are ordinary words, stand alone, and are
announced by nothing ("Rose came back"); the patient's own such names are found by propagation.

The case of a line decides how much a capital says: in capitals or small letters throughout, only known names
are believed.
"""

from __future__ import annotations

import re

from residency.curate.deidentify.eponyms import outside_knowledge
from residency.curate.deidentify.labels import Identifier
from residency.curate.deidentify.lexicon import Lexicon
from residency.curate.deidentify.name_cues import (
    BY_INITIALS,
    CUES,
    HL7,
    INITIALS_AS_NAME,
    MONTHS,
    NEEDED,
    OTHER_SCRIPTS,
    STATES,
    SURNAME_FIRST,
)
from residency.curate.deidentify.places import is_region, is_street_word
from residency.curate.deidentify.tokens import Words
from residency.curate.deidentify.words import words as word_list
from residency.records import Span

_LONGEST = 5  # words in one name
_MOST_LISTED = 40  # names behind one cue; so that a list in which every name is a cue too is not read from each
_NUMBERED = re.compile(r"(?<![\w/-])\d{1,6}[a-zA-Z]? (?:[^\W\d_]+ ){1,3}$")
_VERBS, _BEHIND_VERBS = word_list("verbs_behind_names"), word_list("behind_verbs")
_CODE_FOLLOWS = re.compile(r"\s*\d{5}")
# What people do is done by drugs and services too; what only the verb shows is not followed elsewhere.
_SCORES = {"acts": 0.65}
_BY_STORY = ("acts", "opens")  # cues that name nobody, so that only a likely name before them counts


def find_names(text: str, lexicon: Lexicon) -> list[Span]:
    """Names with a score: 0.85 and more where the surroundings leave no doubt, less where the word itself is all
    there is."""
    words = Words(text, lexicon)
    spans = _hl7(text) + _initials(text) + _other_scripts(text)
    lowered = text.lower()
    for name, pattern, kind in CUES:
        if not any(word in lowered for word in NEEDED.get(name, ("",))):
            continue
        for match in pattern.finditer(text):
            if kind == "before":
                spans += _before(words, match.start(), name, _SCORES.get(name, 0.86))
            else:
                spans += _after(words, match.end(), name, kind)
    weak = _surname_first(words) + _known_names(words) + _ambiguous_given_names(words)
    return spans + outside_knowledge(text, _outside_safe_phrases(text, weak, lexicon))


def _span(start: int, end: int, score: float, name: str) -> Span:
    return Span(start=start, end=end, label=Identifier.NAME, score=score, found_by=f"name:{name}")


def _hl7(text: str) -> list[Span]:
    return [_span(m.start("v"), m.end("v"), 0.97, "hl7") for m in HL7.finditer(text)]


def _other_scripts(text: str) -> list[Span]:
    """What a field holds in letters other than Latin, to the end of these letters."""
    if text.isascii():
        return []
    return [_span(m.start("v"), m.end("v"), 0.9, "other_script") for m in OTHER_SCRIPTS.finditer(text)]


def _initials(text: str) -> list[Span]:
    as_name = [
        _span(m.end() - len(m.group("v") or m.group("w")), m.end(), 0.85, "initials")
        for m in INITIALS_AS_NAME.finditer(text)
    ]
    return as_name + [
        _span(m.start("v"), m.end("v"), 0.85, "initials") for m in BY_INITIALS.finditer(text) if _initials_like(text, m)
    ]


def _initials_like(text: str, match: re.Match[str]) -> bool:
    """In capitals; small letters only in a line that has no capital at all."""
    value = match.group("v")
    if value.casefold() in ("the", "us", "md", "rn", "dr") or value in (
        "by",
        "of",
        "and",
        "as",
        "to",
        "for",
        "in",
        "at",
        "on",
    ):
        return False
    line = text[text.rfind("\n", 0, match.start("v")) + 1 : (text.find("\n", match.end()) + 1 or len(text) + 1) - 1]
    return value.isupper() or (value.islower() and line.islower() and len(value) <= 3)


def _surname_first(words: Words) -> list[Span]:
    spans = []
    lexicon = words.lexicon
    for match in SURNAME_FIRST.finditer(words.text):
        surname, _, given = match.group("v").partition(",")
        given_word = given.split()[0]
        cased = words.all[words.at(match.start("v"))].cased
        if cased and not (given_word[0].isupper() and surname.split()[-1][0].isupper()):
            continue
        if (
            cased
            and not tight_name(given)
            and any(_acronym(word) and (len(word) < 3 or not lexicon.is_name(word)) for word in (given_word, surname))
        ):
            continue
        if _is_address(words.text, match.start(), surname, given, lexicon):
            continue  # "Dunmore, Ohio"; "12 Harrow Lane, Dunmore"
        if given_word.upper() in STATES and _CODE_FOLLOWS.match(words.text, match.end()):
            continue  # a town and its state
        if lexicon.never_name(given_word) or any(lexicon.never_name(w) for w in re.split("[ -]", surname)):
            continue
        likely = lexicon.is_name(given_word) or (
            not lexicon.is_word(given_word) and lexicon.is_name(surname.split()[-1])
        )
        if likely and (
            tight_name(given) or lexicon.is_name(surname.split()[-1]) or not lexicon.is_word(surname.split()[-1])
        ):
            spans.append(_span(match.start("v"), match.end("v"), 0.9, "surname_first"))
    return spans


def _is_address(text: str, start: int, surname: str, given: str, lexicon: Lexicon) -> bool:
    """A town before its state, unless both are names ("Halloway, Virginia"); a street before its town."""
    if is_region(given.strip()) and not (given.strip().casefold() in lexicon.given and lexicon.is_name(surname)):
        return True
    before = text[max(0, start - 40) : start]
    return is_street_word(surname) and not tight_name(given) and bool(_NUMBERED.search(before))


def tight_name(given: str) -> bool:
    """``Surname,Given``: prose puts a blank after a comma."""
    return not given.startswith(" ")


def _after(words: Words, position: int, name: str, kind: str) -> list[Span]:
    """The name, or the list of names, that starts at ``position``."""
    index = words.at(position)
    spans: list[Span] = []
    while index < len(words.all) and len(spans) < _MOST_LISTED:
        between = words.text[position : words.all[index].start]
        if (not spans and between.strip(" (")) or "\n\n" in between:
            break
        end = _read_name(words, index, kind)
        if end == index:
            break
        end = _with_given_name(words, index, end) if kind == "header" or name == "field_bare" else end
        spans.append(_span(words.all[index].start, _end(words, end - 1), 0.9 if kind != "narrative" else 0.86, name))
        # "Attendees: A, B and C", "mother Anna and father Jan": the rest of the list is of the same kind.
        gap = words.gap(end - 1)
        following = words.all[end].text.casefold() if end < len(words.all) else ""
        if (gap.strip() in (",", "&", "/", ";") and kind == "header") or gap.strip() == "&":
            index, position = end, words.all[end].start if end < len(words.all) else len(words.text)
        elif gap.strip() == "" and "\n" not in gap and following == "and":
            index = end + 1
            position = words.all[index].start if index < len(words.all) else len(words.text)
        else:
            break
        kind = "narrative"
    return spans


def _with_given_name(words: Words, index: int, end: int) -> int:
    """``Surname, Given`` in a header is one name."""
    if end >= len(words.all) or words.gap(end - 1).strip() != "," or "\n" in words.gap(end - 1):
        return end
    if end - index > 3 or any(len(words.all[i].text) == 1 for i in range(index, end)):
        return end
    word = words.all[end]
    lexicon = words.lexicon
    # "Hill, Anna and ..." may be two people, but then the first would not be a surname alone.
    if (
        lexicon.never_name(word.text)
        or (word.cased and not word.capital)
        or not (lexicon.is_name(word.text) or not lexicon.is_word(word.text))
    ):
        return end
    end += 1
    if (
        end < len(words.all)
        and len(words.all[end].text) == 1
        and words.gap(end - 1) == " "
        and words.all[end].text.casefold() not in ("a", "i")
    ):
        end += 1
    return end


def _read_name(words: Words, index: int, kind: str) -> int:
    """End (exclusive) of the name that starts at word ``index``; ``index`` itself where there is none."""
    end = index
    while end < len(words.all) and end - index < _LONGEST:
        if end > index and not _same_name(words, end - 1):
            break
        if not _is_part(words, index, end, kind):
            break
        end += 1
    while (
        words.lexicon.is_particle(words.all[end - 1].text)
        and end - index > 1
        and not words.lexicon.is_name(words.all[end - 1].text)
    ):
        end -= 1
    if end - index == 1 and len(words.all[index].text) == 1:
        return index  # a lone letter is no name
    return end


def _same_name(words: Words, index: int) -> bool:
    gap = words.gap(index)
    if gap.strip(" ") == "":
        return True
    return gap.strip(" ") == "." and len(words.all[index].text) <= 2


def _is_part(words: Words, first: int, index: int, kind: str) -> bool:
    word = words.all[index]
    text, lexicon = word.text, words.lexicon
    bare = _without_possessive(text)
    if index > first and words.all[index - 1].text.endswith("'s"):
        return False
    if len(text) == 1:
        return _is_initial(words, first, index, kind)
    if lexicon.is_particle(bare) and index + 1 < len(words.all) and words.gap(index) == " ":
        following = words.all[index + 1].text
        return (not word.cased or following[0].isupper() or lexicon.is_particle(following)) and not lexicon.never_name(
            following
        )
    if word.cased:
        return word.capital and _capitalized_part(words, first, index, kind)
    if lexicon.never_name(bare) and not _ambiguous_never(bare, kind, first == index):
        return False
    if index > first and _is_verb(words, index):
        return False
    if index == first:
        return _uncased_start(words, index, kind)
    return (lexicon.is_name(bare) and (not lexicon.is_word(bare) or _after_given(words, index))) or (
        not lexicon.is_word(bare) and not _safe(lexicon, bare) and _after_given(words, index)
    )


def _is_verb(words: Words, index: int) -> bool:
    """Of "TURNER FELL AT HOME": a verb that may be a surname, before what verbs stand before."""
    return (
        words.all[index].text.casefold() in _VERBS
        and len(words.all[index - 1].text) > 1
        and words.gap(index) == " "
        and words.all[index + 1].text.casefold() in _BEHIND_VERBS
    )


def _ambiguous_never(word: str, kind: str, first: bool) -> bool:
    return kind == "strong" and first and word.casefold() in ("will", "map", "hand", "west", "key", "still", "home")


def _capitalized_part(words: Words, first: int, index: int, kind: str) -> bool:
    word, lexicon = words.all[index].text, words.lexicon
    bare = _without_possessive(word)
    if index == first:
        if kind == "strong":
            if lexicon.is_particle(bare):
                return True
            return not lexicon.never_name(bare) or _ambiguous_never(bare, kind, True)
        if _before_a_name(words, index) and (not lexicon.never_name(bare) or _ambiguous_never(bare, "strong", True)):
            return True
        if lexicon.never_name(bare):
            return False
        return lexicon.is_name(bare) or (not lexicon.is_word(bare) and not _safe(lexicon, bare) and not _acronym(bare))
    if lexicon.never_name(bare):
        return False
    if _acronym(bare) and not lexicon.is_name(bare):
        return False
    return lexicon.is_name(bare) or not lexicon.is_word(bare) or (_after_given(words, index) and len(bare) > 2)


def _before_a_name(words: Words, index: int) -> bool:
    """The next word is a capitalized name and nothing else."""
    if index + 1 >= len(words.all) or words.gap(index) != " ":
        return False
    following = _without_possessive(words.all[index + 1].text)
    return (
        following[0].isupper()
        and words.lexicon.is_name(following)
        and not words.lexicon.never_name(following)
        and not _acronym(following)
    )


def _uncased_start(words: Words, index: int, kind: str) -> bool:
    bare, lexicon = _without_possessive(words.all[index].text), words.lexicon
    if kind == "strong":
        return lexicon.is_name(bare) or not lexicon.is_word(bare)
    if kind == "header":
        return not _safe(lexicon, bare)
    if not lexicon.is_name(bare):
        following = words.all[index + 1].text if index + 1 < len(words.all) and words.gap(index) == " " else ""
        return (
            not lexicon.is_word(bare)
            and not _safe(lexicon, bare)
            and lexicon.is_name(following)
            and not lexicon.never_name(following)
        )
    if not lexicon.is_word(bare):
        return True
    following = words.all[index + 1].text if index + 1 < len(words.all) else ""
    goes_on = words.gap(index).strip(" ") in (",", ")", "") and (
        following.casefold() in ("is", "was", "attends", "goes", "and", "has", "at", "can", "last")
        or (lexicon.is_name(following) and not lexicon.is_word(following))
    )
    return goes_on or words.gap(index).strip(" ").startswith(")")


def _is_initial(words: Words, first: int, index: int, kind: str) -> bool:
    word = words.all[index]
    if word.cased and not word.capital:
        return False
    if index + 1 >= len(words.all):
        return index > first and words.gap(index - 1) == " "
    if _more_initials(words, index):
        return True
    if words.gap(index).strip(" ") in ("", "."):
        following = words.all[index + 1]
        if (
            len(following.text) > 1
            and (not following.cased or following.capital or words.lexicon.is_particle(following.text))
            and not words.lexicon.never_name(following.text)
            and "\n" not in words.gap(index)
        ):
            return (
                index > first
                or kind == "strong"
                or words.lexicon.is_name(following.text)
                or not words.lexicon.is_word(following.text)
            )
    return index > first and words.gap(index - 1) == " " and word.text.casefold() not in ("a", "i", "s") and word.cased


def _more_initials(words: Words, index: int) -> bool:
    """Of "A. B. Halloway": an initial with a stop, then another, then a name."""
    if index + 2 >= len(words.all):
        return False
    second, name = words.all[index + 1], words.all[index + 2]
    return (
        words.gap(index) in (". ", ".")
        and len(second.text) == 1
        and second.capital
        and words.gap(index + 1) in (". ", " ")
        and len(name.text) > 1
        and name.capital
        and not words.lexicon.never_name(name.text)
    )


def _after_given(words: Words, index: int) -> bool:
    before = words.all[index - 1].text
    lexicon = words.lexicon
    return (
        len(before) == 1
        or lexicon.is_particle(before)
        or (before.casefold() in lexicon.given and not lexicon.never_name(before))
        or not lexicon.is_word(before)
    )


def _safe(lexicon: Lexicon, word: str) -> bool:
    return word.casefold() in lexicon.safe


def _acronym(word: str) -> bool:
    return word.isupper() and len(word) <= 4


def _end(words: Words, index: int) -> int:
    """Where word ``index`` ends, less a possessive 's."""
    return words.all[index].start + len(_without_possessive(words.all[index].text))


def _without_possessive(word: str) -> str:
    return word[:-2] if word.endswith(("'s", "'S")) else word


def _before(words: Words, position: int, name: str, score: float) -> list[Span]:
    """The name that ends at ``position``: back over at most four words of the same line."""
    last = words.at(position) - 1
    if last < 0 or words.text[words.all[last].end : position].strip(" "):
        return []
    first = last
    while first > 0 and last - first < 3:
        gap = words.gap(first - 1)
        previous = words.all[first - 1]
        if gap.strip(" ") not in ("", ".") or ("." in gap and len(previous.text) > 2):
            break
        if not _backward_part(words, first - 1):
            break
        first -= 1
    if not _backward_part(words, last):
        return []
    if last == first and len(words.all[first].text) == 1:
        return []
    if name in _BY_STORY:
        if _acronym(words.all[last].text) and words.all[last].cased:
            return []
        while first < last and words.lexicon.is_word(words.all[first].text) and not words.all[first].cased:
            first += 1
    return [_span(words.all[first].start, _end(words, last), score, name)]


def _backward_part(words: Words, index: int) -> bool:
    word, lexicon = words.all[index], words.lexicon
    if len(word.text) == 1:
        return not word.cased or word.capital
    if lexicon.never_name(word.text) or (_safe(lexicon, word.text) and not lexicon.is_name(word.text)):
        return False
    if lexicon.is_particle(word.text):
        return True
    if word.cased:
        return word.capital and (lexicon.is_name(word.text) or not lexicon.is_word(word.text))
    return lexicon.is_name(word.text) or not lexicon.is_word(word.text)


def _known_names(words: Words) -> list[Span]:
    """Runs of words that are names by themselves."""
    spans = []
    lexicon = words.lexicon
    index = 0
    while index < len(words.all):
        word = words.all[index]
        bare = _without_possessive(word.text)
        if (
            len(bare) < 3
            or not lexicon.is_name(bare)
            or lexicon.is_word(bare)
            or _safe(lexicon, bare)
            or (word.cased and not word.capital)
        ):
            index += 1
            continue
        if word.cased and _acronym(bare) and not _beside_name(words, index):
            index += 1
            continue
        end = max(_read_name(words, index, "narrative"), index + 1)
        first = index
        if (
            first
            and len(words.all[first - 1].text) == 1
            and words.gap(first - 1).strip(" ") in (".", "")
            and words.all[first - 1].capital
            and words.all[first - 1].text not in "AI"
            and not words.text[words.all[first - 1].start - 1 : words.all[first - 1].start].isdigit()
        ):
            first -= 1
        score = _trust(words, first, end)
        if score and not (end - first == 1 and is_region(bare) and _is_somewhere(words, first)):
            spans.append(_span(words.all[first].start, _end(words, end - 1), score, "known"))
        index = end
    return spans


def _is_somewhere(words: Words, index: int) -> bool:
    """Behind "in": the state, which may stay."""
    return index > 0 and words.all[index - 1].text.casefold() == "in" and words.gap(index - 1) == " "


def _outside_safe_phrases(text: str, spans: list[Span], lexicon: Lexicon) -> list[Span]:
    """Less what lies in a phrase of the pack ("Pierre Robin sequence")."""
    if lexicon.safe_phrases is None:
        return spans
    safe = [match.span() for match in lexicon.safe_phrases.finditer(text)]
    return [span for span in spans if not any(start <= span.start and span.end <= end for start, end in safe)]


def _ambiguous_given_names(words: Words) -> list[Span]:
    """Given names that are also words ("Hope", "Mark"), where a capital inside a sentence marks them."""
    spans = []
    lexicon = words.lexicon
    for index, word in enumerate(words.all):
        bare = _without_possessive(word.text)
        folded = bare.casefold()
        if not (
            word.cased and word.capital and bare[1:].islower() and folded in lexicon.given and lexicon.is_word(bare)
        ):
            continue
        if lexicon.never_name(bare) or _safe(lexicon, bare) or folded in MONTHS or index in words.sentence_starts:
            continue
        before, after = words.all[index - 1].text, words.all[index + 1].text if index + 1 < len(words.all) else ""
        if (
            before.islower()
            and words.gap(index - 1) == " "
            and before not in ("the", "a", "an")
            and not (after[:1].isupper() and not lexicon.is_name(after))
        ):
            spans.append(_span(word.start, word.start + len(bare), 0.6, "capital"))
    return spans


def _beside_name(words: Words, index: int) -> bool:
    """A short word in capitals is a name beside a name ("Kim LEE"), an acronym elsewhere."""
    near = [words.all[i].text for i in (index - 1, index + 1) if 0 <= i < len(words.all)]
    return any(text[0].isupper() and not text.isupper() and words.lexicon.is_name(text) for text in near)


def _trust(words: Words, first: int, end: int) -> float:
    lexicon = words.lexicon
    bare = _without_possessive(words.all[end - 1].text).casefold()
    given = any(_without_possessive(words.all[i].text).casefold() in lexicon.given for i in range(first, end))
    if end - first > 1:
        return 0.8 if given else 0.65
    if not words.all[first].cased:
        return 0.55 if bare in lexicon.given and len(bare) > 3 else 0.0
    if first in words.sentence_starts:
        return 0.6 if bare in lexicon.given else 0.0
    return 0.7 if given else 0.6
