"""Names that stand for knowledge, not for somebody: eponyms, instruments, citations.

In: a reading copy. Out: the stretches whose names nobody needs to hide.

Covers: names before the noun that makes a term of them ("Miller Fisher syndrome", "Hoffmann and Romberg signs",
"Boston Naming Test"), authors ("Smith et al.", "(Jones and Patel, 2011)", numbered references). Does not cover:
eponyms that stand alone; those come from the pack's safe terms.

It speaks only against names that nothing announces. A possessive counts only before the nouns that patients do
not own: "Todd's paresis" is a term, "Emma's gait" is Emma's.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

from residency.curate.deidentify.words import words
from residency.records import Span

_CAPITAL = r"[A-ZÀ-ÖØ-Þ][^\W\d_]+(?:-[^\W\d_]+){0,4}"
# A hyphen before a capital is a link, before a small letter part of the word: one way to read it, not many.
_LINKED = r"[A-ZÀ-ÖØ-Þ][^\W\d_]+(?:-[a-zß-öø-ÿ][^\W\d_]*){0,4}"
_TERMS = "|".join(sorted(words("eponym_nouns") | {t.title() for t in words("eponym_titles")}, key=len, reverse=True))
_OWNED_BY_NOBODY = "|".join(sorted(words("eponym_nouns_possessive"), key=len, reverse=True))
_LINK = r"(?:[ -]|, ?| and | or |/)"
_AUTHOR = rf"(?:(?:van|von|de|der|den|la|le|di) ){{0,3}}{_CAPITAL}"
_STRETCHES = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        (rf"\b(?:{_LINKED}{_LINK}){{1,9}}?(?:[a-z]+ |[A-Z] )?(?:{_TERMS})s?\b", 0),
        (rf"\b(?:{_LINKED}(?:'s|')?{_LINK}){{0,5}}?{_LINKED}(?:'s|') (?:{_OWNED_BY_NOBODY})s?\b", 0),
        (rf"\b{_AUTHOR}(?: [A-Z]{{1,3}})?,? (?:et al\b|and (?:colleagues|co-?workers)\b)", 0),
        (rf"\b{_AUTHOR}(?:(?:, | and | & |, and ){_AUTHOR}){{0,4}}(?: et al\.?)?,? \(?(?:19|20)\d\d[a-z]?(?=[;,)])", 0),
        (rf"^ *\[?\d{{1,3}}[.)\]] *{_AUTHOR} [A-Z]{{1,3}}(?:, *{_AUTHOR} [A-Z]{{1,3}})*+[^\n]*(?:19|20)\d\d", re.M),
        (rf"^ *{_AUTHOR} [A-Z]{{1,3}}(?:, *{_AUTHOR} [A-Z]{{1,3}})++[^\n]*(?:19|20)\d\d[;:]", re.M),
    )
)


def outside_knowledge(text: str, spans: Iterable[Span]) -> list[Span]:
    """``spans`` less those inside an eponym, an instrument's name or a citation."""
    spans = list(spans)
    if not spans:
        return []
    stretches = sorted(match.span() for pattern in _STRETCHES for match in pattern.finditer(text))
    starts = [start for start, _ in stretches]
    kept = []
    for span in spans:
        last = bisect_right(starts, span.start)
        if not any(span.end <= end for _, end in stretches[max(0, last - len(_STRETCHES)) : last]):
            kept.append(span)
    return kept
