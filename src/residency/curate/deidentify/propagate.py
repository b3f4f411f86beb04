"""Propagation: what is surely an identifier in one place is one everywhere in the same patient's documents.

In: the documents of one patient (reading copies) and the spans found so far. Out: further spans.

Covers: whole names and their parts in the forms of name_forms.py, in any case, with a possessive 's, over a line
break, cut by a hyphen at a line's end, with letters spaced out, with digits for letters, inside user names and file
names; initials with stops, and without where what follows is what people do; keyed numbers, e-mail addresses,
towns and organizations. Does not cover: misspellings by more than one edit, of short parts, or that make a word.

A part of a name that is also an ordinary word ("Long", "Head") is followed only where a capital inside a
sentence marks it; so is a nickname ("Rob"), which may also begin a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from residency.curate.deidentify.labels import Identifier as Id
from residency.curate.deidentify.lexicon import Lexicon
from residency.curate.deidentify.name_forms import Form, KnownNames, fold, known_names, without_lookalikes
from residency.curate.deidentify.resolve import CERTAIN  # what is found so is searched for everywhere
from residency.curate.deidentify.tokens import Words
from residency.curate.deidentify.words import words
from residency.records import Span

_ANY_WORD = re.compile(r"\w+")
_WORD_GOES_ON = re.compile(r"\w|-\w")
_SHORTEST_CODE = 5
_SHORTEST_INSIDE = 5  # letters of a part that is looked for inside longer tokens
_MOST_INSIDE = 200  # parts; a book of one patient holds thousands, and most of them are clinicians
_PERSONAL_VERBS = words("personal_verbs")
_CUT = re.compile(r"(?<![^\W\d_])([^\W\d_]{2,})-[ \n]\s*([^\W\d_]{2,})")
_SPACED = re.compile(r"(?<!\w)(?:[^\W\d_] ){3,40}[^\W\d_](?!\w)")
_WITH_DIGITS = re.compile(r"(?<!\w)(?=\w*\d)(?=(?:\d?[^\W\d_]){3})[^\W_]{4,20}(?!\w)")
_DOTTED = re.compile(r"(?<![\w.])(?:[A-Z]\.[ -]?){1,4}[A-Z]\b\.?")
_BARE_INITIALS = re.compile(r"(?<![\w.-])[A-Z]{2,4}(?='s\b| (?:was|is|has|had|attended|attends|reports|reported|denies|"
                            r"came|lives|says|said|presented|continues|feels)\b)")  # fmt: skip
_INITIAL_ENDS = re.compile(r"\.?(?:$|[\n,;|)])|\.\s")
_SCORES = {Form.PART: 0.84, Form.NICKNAME: 0.8, Form.MISSPELLED: 0.7}
_CODES = frozenset(
    (
        Id.MRN,
        Id.SSN,
        Id.HEALTH_PLAN_ID,
        Id.ACCOUNT,
        Id.LICENSE,
        Id.VEHICLE_ID,
        Id.DEVICE_ID,
        Id.OTHER_ID,
        Id.BIOMETRIC,
        Id.EMAIL,
        Id.PHONE,
        Id.FAX,
    )
)


def propagate(texts: Sequence[str], found: Sequence[Sequence[Span]], lexicon: Lexicon) -> list[list[Span]]:
    """For each text, the further places of what was found with certainty in any of them."""
    certain = _certain(texts, found)
    known = known_names(sorted(certain.get(Id.NAME, set())), lexicon)
    wholes = _by_first_word(certain, lexicon)
    return [_names(text, known, lexicon) + _hidden(text, known) + _wholes(text, wholes) for text in texts]


def _certain(texts: Sequence[str], found: Sequence[Sequence[Span]]) -> dict[str, set[str]]:
    certain: dict[str, set[str]] = {}
    for text, spans in zip(texts, found, strict=True):
        for span in spans:
            if span.score >= CERTAIN and span.found_by != "name:initials":
                certain.setdefault(span.label, set()).add(" ".join(text[span.start : span.end].split()).lower())
    return certain


def _worth_searching(value: str, label: str, lexicon: Lexicon) -> bool:
    if label in _CODES:
        return len(value) >= _SHORTEST_CODE
    if label == Id.LOCATION:
        return len(value) >= 4 and not (value.isalpha() and lexicon.is_word(value))
    return label == Id.ORGANIZATION and " " in value


def _by_first_word(certain: dict[str, set[str]], lexicon: Lexicon) -> dict[str, list[tuple[str, str]]]:
    """What to search for, as (value, label), longest first, under the first word of the value.

    One pattern of all values was rejected: a book of one patient holds thousands of them.
    """
    wholes: dict[str, list[tuple[str, str]]] = {}
    for label, values in sorted(certain.items()):
        for value in values:
            first = _ANY_WORD.match(value)
            if first and _worth_searching(value, label, lexicon):
                wholes.setdefault(first.group(), []).append((value, label))
    for found in wholes.values():
        found.sort(key=lambda whole: (-len(whole[0]), whole))
    return wholes


def _wholes(text: str, wholes: dict[str, list[tuple[str, str]]]) -> list[Span]:
    if not wholes:
        return []
    flat = _lowered(text).replace("\n", " ")
    spans = []
    position = 0
    for word in _ANY_WORD.finditer(flat):
        if word.start() < position or flat[word.start() - 1 : word.start()] == "-":
            continue
        for value, label in wholes.get(word.group(), ()):
            end = word.start() + len(value)
            if flat.startswith(value, word.start()) and not _WORD_GOES_ON.match(flat, end):
                spans.append(Span(start=word.start(), end=end, label=label, score=0.8, found_by="propagated"))
                position = end
                break
    return spans


def _lowered(text: str) -> str:
    # Lower case of a few letters is longer than the letter; offsets matter more than those.
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text


def _span(start: int, end: int, score: float, form: str = "") -> Span:
    return Span(
        start=start, end=end, label=Id.NAME, score=score, found_by=f"propagated:{form}" if form else "propagated"
    )


def _names(text: str, known: KnownNames, lexicon: Lexicon) -> list[Span]:
    """Words that are known names, beside each other taken as one."""
    if not known.parts:
        return []
    words = Words(text, lexicon)
    spans: list[Span] = []
    index = 0
    while index < len(words.all):
        form = _form(words, index, known)
        if form is None:
            index += 1
            continue
        end = index + 1
        while _joined(words, end - 1) and _continues(words, end, known):
            end += 1
        kind, ordinary = form
        sure = end - index > 1 or not ordinary
        first, last = _with_initials(words, index, end, known)
        stop = words.all[last - 1].end - (2 if words.all[last - 1].text.endswith(("'s", "'S")) else 0)
        if kind is Form.PART and sure:
            spans.append(_span(words.all[first].start, stop, _SCORES[kind]))
        elif sure or _marked(words, index, end, may_begin=kind is Form.NICKNAME):
            score = _SCORES[kind] if sure else 0.6
            spans.append(_span(words.all[first].start, stop, score, "" if kind is Form.PART else kind))
        index = end
    return spans


def _form(words: Words, index: int, known: KnownNames) -> tuple[Form, bool] | None:
    word = words.all[index]
    bare = _bare(words, index)
    form = known.form(bare)
    if form is not None:
        return form
    if "-" in bare:
        forms = [known.form(half) for half in bare.split("-") if half]
        return forms[0] if all(forms) else None
    if (word.capital if word.cased else len(bare) > 5) and known.one_edit_away(bare):
        lexicon = words.lexicon
        if not (lexicon.is_noun(bare) or lexicon.is_word(bare) or lexicon.is_name(bare) or bare in lexicon.safe):
            return Form.MISSPELLED, False
    return None


def _bare(words: Words, index: int) -> str:
    return fold(words.all[index].text).removesuffix("'s")


def _joined(words: Words, index: int) -> bool:
    gap = words.gap(index)
    return gap.strip(" ,") in ("", "_", ".", "-") and "\n" not in gap and not (gap.startswith(".") and len(gap) > 1)


def _continues(words: Words, index: int, known: KnownNames) -> bool:
    if index >= len(words.all):
        return False
    word = words.all[index]
    return known.form(_bare(words, index)) is not None and (
        not word.cased or word.capital or words.gap(index - 1) in ("_", ".")
    )


def _with_initials(words: Words, index: int, end: int, known: KnownNames) -> tuple[int, int]:
    """The name with a known initial before or behind it: "R. Gruenwald", "GRUENWALD, R"."""
    if index and _is_initial(words, index - 1, known) and words.gap(index - 1) in (" ", ". ", "."):
        before = words.all[index - 1].start
        index -= not words.text[before - 1 : before].isalnum()
    if end < len(words.all) and _is_initial(words, end, known) and words.gap(end - 1) in (", ", " ", ","):
        end += bool(_INITIAL_ENDS.match(words.text, words.all[end].end))
    return index, end


def _is_initial(words: Words, index: int, known: KnownNames) -> bool:
    word = words.all[index].text
    return len(word) == 1 and word.isupper() and fold(word) in known.first_letters


def _marked(words: Words, index: int, end: int, *, may_begin: bool) -> bool:
    """A capital that no sentence start explains; or a given name that does what only people do. A nickname that is
    a rare word may begin a sentence."""
    word = words.all[index]
    following = words.all[end].text.casefold() if end < len(words.all) and words.gap(end - 1) == " " else ""
    acts = following in _PERSONAL_VERBS and (
        _bare(words, index) in words.lexicon.given or word.text.endswith(("'s", "'S"))
    )
    if not word.cased:
        return acts
    begins = index in words.sentence_starts
    if begins and may_begin and not words.lexicon.is_common(_bare(words, index)):
        begins = False
    return word.capital and not (word.text.isupper() and len(word.text) > 1) and (not begins or acts)


def _hidden(text: str, known: KnownNames) -> list[Span]:
    """Known names where no word boundary shows them: cut, spaced out, disguised, inside tokens; and initials."""
    if not known.parts:
        return []
    spans = [_span(start, end, 0.8, "inside") for start, end in _inside_tokens(text, known)]
    if "-\n" in text or "- " in text:
        spans += [_span(m.start(), m.end(), 0.8, "cut") for m in _CUT.finditer(text) if _cut_name(m, known)]
    for match in _SPACED.finditer(text):
        if _of_parts(fold(match.group().replace(" ", "")), known):
            spans.append(_span(match.start(), match.end(), 0.8, "spaced"))
    for match in _WITH_DIGITS.finditer(text):
        if known.parts.get(without_lookalikes(match.group())) is False:
            spans.append(_span(match.start(), match.end(), 0.8, "disguised"))
    for match in _DOTTED.finditer(text):
        if re.sub(r"[. -]", "", match.group()).casefold() in known.initials:
            spans.append(_span(match.start(), match.end(), 0.75, "initials"))
    for match in _BARE_INITIALS.finditer(text):
        if match.group().casefold() in known.initials:
            spans.append(_span(match.start(), match.end(), 0.7, "initials"))
    return spans


def _cut_name(match: re.Match[str], known: KnownNames) -> bool:
    return known.parts.get(fold(match.group(1) + match.group(2))) is False


def _of_parts(letters: str, known: KnownNames) -> bool:
    """Whether ``letters`` are one known part, or two without a blank."""
    return letters in known.parts or any(
        letters[:cut] in known.parts and letters[cut:] in known.parts for cut in range(3, len(letters) - 2)
    )


def _inside_tokens(text: str, known: KnownNames) -> Iterator[tuple[int, int]]:
    """Runs of letters that hold a known part and nothing else but other parts or initials: "rgruenwald"."""
    lowered = _lowered(text)
    long = sorted((p for p, ordinary in known.parts.items() if len(p) >= _SHORTEST_INSIDE and not ordinary), key=len)
    for part in long[-_MOST_INSIDE:]:
        start = lowered.find(part)
        while start != -1:
            end = start + len(part)
            first, last = start, end
            while first and lowered[first - 1].isalpha():
                first -= 1
            while last < len(lowered) and lowered[last].isalpha():
                last += 1
            before, after = lowered[first:start], lowered[end:last]
            if (before or after) and _belongs(before, known) and _belongs(after, known):
                yield first, last
            start = lowered.find(part, max(last, end))


def _belongs(letters: str, known: KnownNames) -> bool:
    return (
        not letters
        or letters in known.parts
        or letters in known.nicknames
        or (len(letters) <= 2 and all(letter in known.first_letters for letter in letters) and letters != "s")
    )
