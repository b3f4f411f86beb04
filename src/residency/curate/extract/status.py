"""What a text says about each finding it names: present, absent, family, uncertain or resolved.

In: tokens, mentions, and the pack's cues. Out: one status a mention; None where the mention is no finding
("should a seizure ever occur", "no family history of epilepsy").

Covers: cues before and after a mention, their scope over lists, false cues ("no change in"), check boxes and
form cells, form fields left blank, "Family history" headings, who has the finding and who only reports it.
Does not cover: statements that span several sentences; a patient's children ("her son" is mostly the patient, whose
mother tells); two diagnoses weighed against each other ("migraine versus epilepsy"); languages other than the cues'.

Scopes are read from cue words and list connectors in the manner of NegEx (Chapman et al. 2001) and ConText
(Harkema et al. 2009), and not from a parse tree: clinical text is rarely a sentence that a parser knows.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from residency.curate.extract.matcher import Mention
from residency.curate.extract.runs import MEMO_WORDS
from residency.curate.extract.tokens import SENTENCE_END, Tokens, tokenize
from residency.errors import ProjectError
from residency.packs.typos import SHORTEST_TYPO, deletion_index, nearest
from residency.packs.words import word_set
from residency.records import Status

DIRECTIONS = ("forward", "backward")  # of a cue: it speaks of what follows, or of what stands before

# Words that may stand between a cue and its first finding, and between the findings of one list. Chosen by us
# on the development reports, 2026-11-24; ConText uses six.
REACH = 6
LIST_REACH = 2
OWNER_REACH = 9  # "the great-aunt, aged ninety-six, has ..."
STATEMENT = 40  # tokens and mentions that one condition ("if ...") may govern


class CueKind(StrEnum):
    """What a cue does to the findings in its scope."""

    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    RESOLVED = "resolved"
    HYPOTHETICAL = "hypothetical"  # no finding at all
    NONE = "none"  # looks like a cue and is none
    STOP = "stop"  # ends every scope
    RELATIVE = "relative"  # a person of the family
    HAS = "has"  # gives a finding to the relative before it
    REPORTS = "reports"  # the relative only tells of it
    FAMILY = "family"  # speaks of the family history


# Which statement wins where several reach one mention.
_STRENGTH = {CueKind.ABSENT: 1, CueKind.RESOLVED: 2, CueKind.UNCERTAIN: 3, CueKind.HYPOTHETICAL: 4}
_JOIN = word_set(
    """, ; & / + and or nor - – ' a an any the of his her their its other further either both evidence sign signs
    history obvious clear definite known significant overt new"""
)
_PERSON = word_set("he she patient child pt boy girl him i we")
_REPORTED_IN = word_set(
    """is was are were also reported noted seen found diagnosed described known present documented has have been
    had in a an the his her one both affecting of maternal paternal younger older elder half great twin first
    second degree and on runs run"""
)
_LISTS_NEGATIVES = word_set("neg negative negatives r/o'd o'd denies absent")
_RUNS = frozenset({"run", "runs", "running"})
_CONTRASTS = word_set("but however although whereas while though")
_BULLETS = word_set("- – * # >")
_ADDS = frozenset({":", "-", "–"})
_IS = frozenset({"is", "was", "are", "were", "with"})  # right before a finding: "the brother is ataxic"
_HAVE = frozenset({"have", "has", "had"})
_CHECK_BEFORE = re.compile(r"(?:(\[ ?\]|☐|\(-\)|∅|-ve)|(\[[xX✓✗]\]|☑|\(\+\)))[ \t]*$")
_QUESTION_BEFORE = re.compile(r"(?:^|[\s(\[:,;/-])\?\s?$")
_CELL_AFTER = re.compile(
    r"[ \t]*(?:[:|=][ \t]*|\(|[ \t][-–][ \t]+)(?P<word>absent|no|n|neg|negative|nil|none|denied|denies"
    r"|not present|never|present|yes|y|pos|positive|uncertain|unsure|not sure|possible|resolved|outgrown|\+|-|–)"
    r"\)?[ \t]*(?=[\r\n|;,.)]|$)"
    r"|[ \t]+(?P<sign>[-–+])[ \t]*(?=[\r\n.;]|$)",
    re.IGNORECASE,
)
_FIELD_AFTER = re.compile(r"[ \t]*:[ \t]*_{2,}")  # "Allergies: ____" was never filled in
_ALONE_BEFORE = re.compile(r"(?:^|[\n,;:•*-])[ \t]*$")
_CELL_STATUS = {
    **dict.fromkeys(word_set("absent no n neg negative nil none denied denies never - –"), Status.ABSENT),
    "not present": Status.ABSENT,
    **dict.fromkeys(word_set("present yes y pos positive +"), Status.PRESENT),
    **dict.fromkeys(("uncertain", "unsure", "not sure", "possible"), Status.UNCERTAIN),
    **dict.fromkeys(("resolved", "outgrown"), Status.RESOLVED),
}
_FAMILY_HEADING = re.compile(
    r"^[^\w\n]*(?:family(?: (?:history|hx|and social(?: history)?|tree))?|fhx?|f/h|(?:three-generation )?pedigree)"
    r"[^\w\n]*(?:$|:|[-–] )",
    re.IGNORECASE | re.MULTILINE,
)
_NEGATIVE_HEADING = re.compile(
    r"^[^\w\n]*[\w ,/]{0,30}\b(?:absent|negatives?|not present|denied|not found|not seen)"
    r"(?: \(all absent\))?[^\w\n]*\n(?:[-=~]{3,}\s*\n)?\s*?(?P<body>(?:[ \t]*[-*•·>.+–][ \t].*(?:\n|$))*)",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = re.compile(r"^[^\w\n]*[A-Z][\w &/'-]{1,40}(?::|[^\w\n.]*$| [-–] )", re.MULTILINE)
_SPACE = re.compile(r"\s*")
_BLANK = re.compile(r"\n[ \t\r]*\n")


@dataclass(frozen=True, slots=True)
class Cues:
    """Cue phrases as token tuples, by their first token, longest first."""

    phrases: Mapping[str, tuple[tuple[tuple[str, ...], frozenset[tuple[CueKind, str]]], ...]]
    words: frozenset[str]
    neighbors: Mapping[str, tuple[str, ...]]  # a long word with one letter left out -> words
    memo: dict[str, str] = field(default_factory=dict, repr=False)  # look-ups of unknown words

    def at(
        self, words: Sequence[str], index: int, end: int, taken: Container[int]
    ) -> tuple[int, frozenset[tuple[CueKind, str]]]:
        """Tokens of the longest cue at ``index`` and what it does; 0 where none is. ``taken`` tokens open mentions."""
        for phrase, meanings in self.phrases.get(words[index], ()):
            last = index + len(phrase)
            fits = last <= end and tuple(words[index:last]) == phrase
            if fits and not any(place in taken for place in range(index + 1, last)):
                return (0, frozenset()) if self._gives_way(words, index, last, end, taken) else (len(phrase), meanings)
        return 0, frozenset()

    def _gives_way(self, words: Sequence[str], index: int, last: int, end: int, taken: Container[int]) -> bool:
        """Whether a false cue begins inside this one and goes beyond it: "is not" in "is not controlled"."""
        for start in range(index + 1, last):
            size, meanings = self.at(words, start, end, taken)
            if start + size > last and any(kind is CueKind.NONE for kind, _ in meanings):
                return True
        return False


def read_cues(table: Iterable[Mapping[str, str]]) -> Cues:
    """Cues from the rows of a table with the columns cue, kind and direction."""
    meanings: dict[tuple[str, ...], set[tuple[CueKind, str]]] = {}
    for row in table:
        phrase = tuple(word.lower() for word in tokenize(row["cue"]).raw)
        if not phrase:
            raise ProjectError(
                f"pack: the cue {row['cue']!r} of the table of status cues has no word.", fix="Take the row out."
            )
        meanings.setdefault(phrase, set()).add((CueKind(row["kind"]), row["direction"]))
    phrases: dict[str, list[tuple[tuple[str, ...], frozenset[tuple[CueKind, str]]]]] = {}
    for phrase in sorted(meanings, key=lambda p: (-len(p), p)):
        phrases.setdefault(phrase[0], []).append((phrase, frozenset(meanings[phrase])))
    vocabulary = frozenset(word for phrase in meanings for word in phrase)
    return Cues({first: tuple(e) for first, e in phrases.items()}, vocabulary, deletion_index(vocabulary))


@dataclass(slots=True)
class _Item:
    """A mention, a cue, or one other token of a segment."""

    first: int
    last: int
    mention: int | None = None
    meanings: frozenset[tuple[CueKind, str]] = frozenset()
    word: str = ""  # empty for a cue
    words: tuple[str, ...] = ()

    def has(self, kind: CueKind) -> bool:
        return any(known is kind for known, _ in self.meanings)

    @property
    def is_join(self) -> bool:
        return self.word in _JOIN

    @property
    def gives(self) -> bool:
        """Whether this gives a finding to the relative before it."""
        return bool(_HAVE & set(self.words)) or self.has(CueKind.HAS) or self.word in _ADDS

    @property
    def is_person(self) -> bool:
        return any(word in _PERSON for word in self.words)


def statuses(
    tokens: Tokens, mentions: Sequence[Mention], cues: Cues, known_words: Container[str]
) -> list[Status | None]:
    """The status of each mention; None where it is no finding. ``known_words`` are never read as mistyped cues."""
    if not mentions:
        return []
    words = [_cue_word(raw.lower(), cues, known_words) for raw in tokens.raw]
    families = _family_sections(tokens.text)
    negatives = _negative_lists(tokens, mentions)
    found: list[Status | None] = [Status.PRESENT] * len(mentions)
    by_first = {mention.first: number for number, mention in enumerate(mentions)}
    firsts = [mention.first for mention in mentions]
    for start, end in _segments(tokens, mentions):
        inside = range(bisect_left(firsts, start), bisect_left(firsts, end))
        if not inside:
            continue
        items = _items(words, start, end, by_first, mentions, cues)
        marks = _marks(items)
        title = _title(items)
        relatives = _of_relatives(items, _within(families, tokens.starts[start]))
        for number in inside:
            mention = mentions[number]
            below = _within(negatives, tokens.starts[mention.first])
            cell = _cell(tokens, mention) or (Status.ABSENT if below else None)
            found[number] = _decide(mention.entry.status, cell, marks.get(number), number in relatives)
            if (number == title and cell is None) or _FIELD_AFTER.match(tokens.text, tokens.ends[mention.last]):
                found[number] = None
    return found


def _cue_word(word: str, cues: Cues, known_words: Container[str]) -> str:
    """The word, or the one cue word that it mistypes."""
    if len(word) < SHORTEST_TYPO or word in cues.words or word in known_words or not word.isalpha():
        return word
    if word not in cues.memo and len(cues.memo) < MEMO_WORDS:
        cues.memo[word] = nearest(word, cues.words, cues.neighbors) or word
    return cues.memo.get(word, word)


def _decide(said: Status | None, cell: Status | None, mark: CueKind | None, relative: bool) -> Status | None:
    if mark is CueKind.HYPOTHETICAL:
        return None
    if relative:
        return None if mark is CueKind.ABSENT or said is Status.ABSENT else Status.FAMILY
    if said is not None:
        return said
    if cell is not None:
        return cell
    return Status.PRESENT if mark is None else Status(mark.value)


def _segments(tokens: Tokens, mentions: Sequence[Mention]) -> list[tuple[int, int]]:
    """Token ranges that hold one statement each."""
    inside = {index for mention in mentions for index in range(mention.first, mention.last + 1)}
    borders: list[int] = []
    negative_list = False  # "neg: seizures; ataxia" goes on after a semicolon
    for index, raw in enumerate(tokens.raw):
        if raw == ":":
            negative_list = index > 0 and tokens.raw[index - 1].lower() in _LISTS_NEGATIVES
        elif raw == ";" and negative_list:
            continue
        elif raw in SENTENCE_END and index not in inside and _ends_sentence(tokens, index):
            borders.append(index)
            negative_list = False
    starts = [0, *(index + 1 for index in borders)]
    return [(a, b) for a, b in zip(starts, [*borders, len(tokens)], strict=True) if a < b]


def _ends_sentence(tokens: Tokens, index: int) -> bool:
    raw = tokens.raw[index]
    if raw == "." or raw == ">" or raw == "*":
        return (
            index + 1 == len(tokens) or tokens.starts[index + 1] > tokens.ends[index] or "\n" in tokens.raw[index + 1]
        )
    if raw == "?":  # "?seizures" doubts; "seizures?" asks
        return index > 0 and tokens.starts[index] == tokens.ends[index - 1] and tokens.raw[index - 1][0].isalnum()
    return True


def _items(
    words: Sequence[str], start: int, end: int, by_first: Mapping[int, int], mentions: Sequence[Mention], cues: Cues
) -> list[_Item]:
    items: list[_Item] = []
    index = start
    while index < end:
        number = by_first.get(index)
        if number is not None:
            items.append(_Item(index, mentions[number].last, mention=number))
            index = mentions[number].last + 1
            continue
        size, meanings = cues.at(words, index, end, by_first)
        last = index + max(size, 1) - 1
        covered = tuple(words[index : last + 1])
        items.append(_Item(index, last, meanings=meanings, word="" if size else words[index], words=covered))
        index = last + 1
    return items


def _marks(items: Sequence[_Item]) -> dict[int, CueKind]:
    """The strongest cue that reaches each mention."""
    marks: dict[int, CueKind] = {}
    last = max(place for place, item in enumerate(items) if item.mention is not None)
    for place, item in enumerate(items):
        if item.word == "should" and place < last and items[place + 1].mention is not None:
            marks.update(dict.fromkeys(_forward(items, place, CueKind.HYPOTHETICAL), CueKind.HYPOTHETICAL))
        directions = {direction for _, direction in item.meanings}
        looks_back = place > last or (place > 0 and items[place - 1].mention is not None)
        for kind, direction in sorted(item.meanings):
            if kind not in _STRENGTH:
                continue
            # A cue that may look both ways looks back where a mention stands right before it, or none after it.
            if len(directions) == 2 and (direction == "backward") != looks_back:
                continue
            reach = _forward(items, place, kind) if direction == "forward" else _backward(items, place)
            for number in reach:
                if _STRENGTH[kind] > _STRENGTH.get(marks.get(number, CueKind.NONE), 0):
                    marks[number] = kind
    return marks


def _title(items: Sequence[_Item]) -> int | None:
    """The mention that only heads a list of others: "Seizures: febrile, absence"."""
    named = [place for place, item in enumerate(items) if item.mention is not None]
    if len(named) < 2 or items[named[0] + 1].word != ":":
        return None
    return items[named[0]].mention if all(i.word in _BULLETS for i in items[: named[0]]) else None


def _forward(items: Sequence[_Item], place: int, kind: CueKind) -> list[int]:
    """The mentions after a cue that it speaks of."""
    if kind is CueKind.HYPOTHETICAL:  # to the end of the statement
        return [i.mention for i in items[place + 1 : place + 1 + STATEMENT] if i.mention is not None]
    reached: list[int] = []
    gap = brackets = 0
    for item in items[place + 1 :]:
        brackets += (item.word == "(") - (item.word == ")")
        if brackets < 0:  # "cough (resolved), fever"
            break
        if item.mention is not None:
            reached.append(item.mention)
            gap = 0
        elif _ends_scope(item, kind, after_mention=bool(reached)):
            break
        elif not item.is_join:
            gap += 1
        if gap > (LIST_REACH if reached else REACH):
            break
    return reached


def _ends_scope(item: _Item, kind: CueKind, *, after_mention: bool) -> bool:
    # "unclear whether she has dystonia": a doubt reaches across the next subject, a negation does not.
    if item.has(CueKind.STOP) and (after_mention or kind is CueKind.ABSENT):
        return True
    return _opens_scope(item) or (item.word == ":" and after_mention)


def _opens_scope(item: _Item) -> bool:
    return any(kind in _STRENGTH and direction == "forward" for kind, direction in item.meanings)


_PLURAL = frozenset({"were", "are", "have"})
_SINGULAR = frozenset({"was", "is", "has"})


def _backward(items: Sequence[_Item], place: int) -> list[int]:
    reached: list[int] = []
    gap = 0
    joins: set[str] = set()
    verb = items[place].words[0]
    for item in reversed(items[:place]):
        if item.mention is not None:
            if reached and not _chains(joins, verb):
                break
            reached.append(item.mention)
            joins = set()
        elif item.is_join:
            joins.add(item.word)
        elif reached or item.has(CueKind.STOP) or item.word in (":", "("):
            if reached or item.word != "(":
                break
        else:
            gap += 1
            if gap > REACH:
                break
    return reached


def _chains(joins: set[str], verb: str) -> bool:
    """Whether a statement about the last finding of a list is one about the finding before it too."""
    return bool(joins & {"or", "/", "nor"}) or bool(joins & {"and", "&", ","} and verb not in _SINGULAR)


def _of_relatives(items: Sequence[_Item], in_section: bool) -> set[int]:
    """The mentions that a relative has, and not the patient."""
    found = _owned_by_relatives(items)
    spoken_of = any(item.is_person for item in items)
    if in_section and not spoken_of and not found and not any(i.has(CueKind.REPORTS) for i in items):
        found.update(item.mention for item in items if item.mention is not None)
    return found


def _owned_by_relatives(items: Sequence[_Item]) -> set[int]:
    found: set[int] = set()
    history = contrast = False  # speaking of the family; after "but"
    owner = False  # a relative who has what follows
    relative: int | None = None  # place of a relative who may turn out to be the owner
    for place, item in enumerate(items):
        if relative is not None and not owner and place - relative > 2 * REACH:
            relative = None
        if item.mention is not None:
            if owner or history or (relative is not None and _stands_beside(items[relative + 1 : place])):
                found.add(item.mention)
        elif item.has(CueKind.FAMILY):
            history = True
            if item.words[0] in _RUNS:
                found.update(_backward(items, place))
        elif item.has(CueKind.RELATIVE):
            relative, owner = place, False
            found.update(_reported_in(items, place))
        elif relative is not None and item.has(CueKind.REPORTS):
            relative, owner = None, False
        elif relative is not None and item.gives:
            owner = not any(i.is_person for i in items[relative : place + 1]) and place - relative <= OWNER_REACH
        elif item.words[0] in _CONTRASTS:
            contrast = True
        elif item.is_person and (contrast or not history):
            relative, owner, history = None, False, False
    return found


def _stands_beside(between: Sequence[_Item]) -> bool:
    """Whether nothing else stands between a relative and a finding: "mother: migraine", "the brother is ataxic"."""
    return all((i.is_join or i.word in _ADDS | _IS) and not i.is_person for i in between)


def _reported_in(items: Sequence[_Item], place: int) -> list[int]:
    """The list of findings that is said to be "reported in" the relative at ``place``."""
    reached: list[int] = []
    through = False
    for item in reversed(items[:place]):
        if item.mention is not None:
            if not through:
                break
            reached.append(item.mention)
        elif reached and not item.is_join:
            break
        elif item.word in ("in", "affecting"):
            through = True
        elif not (item.is_join or item.word in _REPORTED_IN or item.has(CueKind.HAS) or item.has(CueKind.REPORTS)):
            break
    return reached


def _cell(tokens: Tokens, mention: Mention) -> Status | None:
    """What a check box, a table cell or a question mark beside the mention says."""
    start, end = tokens.starts[mention.first], tokens.ends[mention.last]
    before = tokens.text[max(0, start - 8) : start]
    if box := _CHECK_BEFORE.search(before):
        return Status.ABSENT if box[1] else Status.PRESENT
    if _QUESTION_BEFORE.search(before):
        return Status.UNCERTAIN
    if tokens.text.startswith("?", end) and _ALONE_BEFORE.search(before if start > len(before) else "\n" + before):
        return Status.UNCERTAIN
    if cell := _CELL_AFTER.match(tokens.text, end):
        return _CELL_STATUS[(cell["word"] or cell["sign"]).lower()]
    return None


def _negative_lists(tokens: Tokens, mentions: Sequence[Mention]) -> list[tuple[int, int]]:
    """Bullets below a heading such as "Pertinent negatives". A line that names a finding is no heading."""
    starts = [tokens.starts[mention.first] for mention in mentions]
    headings = _NEGATIVE_HEADING.finditer(tokens.text)
    return [
        heading.span("body")
        for heading in headings
        if bisect_left(starts, heading.start()) == bisect_left(starts, heading.start("body"))
    ]


def _family_sections(text: str) -> list[tuple[int, int]]:
    """Headings such as "Family history" with the lines below, up to the next heading or empty line."""
    titles = list(_FAMILY_HEADING.finditer(text))
    if not titles:
        return []
    borders = sorted({m.start() for m in _HEADING.finditer(text)} | {m.start() for m in _BLANK.finditer(text)})
    found = []
    for title in titles:
        line_end = text.find("\n", title.end())
        body = _SPACE.match(text, line_end).end() if line_end >= 0 else len(text)  # type: ignore[union-attr]
        place = bisect_left(borders, body)
        found.append((title.start(), borders[place] if place < len(borders) else len(text)))
    return found


def _within(ranges: Sequence[tuple[int, int]], position: int) -> bool:
    """Whether a position lies in one of the ranges, which are in order and apart."""
    place = bisect_right(ranges, (position, position + 1)) - 1
    return place >= 0 and ranges[place][0] <= position < ranges[place][1]
