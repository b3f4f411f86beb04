"""Before and after: what an edit did to a text, word by word.

In: two texts. Out: stretches in order, each the same in both, or what stood there before and what stands there now.

Covers: texts of some thousand words. Does not cover: which rule made a change; the settings say which rules ran.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

_PIECE = re.compile(r"\s+|\w+|[^\w\s]")


def changes(before: str, after: str) -> list[dict[str, str]]:
    """Stretches as {same} or {gone, new}; joined, they give both texts."""
    old, new = _PIECE.findall(before), _PIECE.findall(after)
    stretches = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = "".join(old[a:b]), "".join(new[c:d])
        stretches.append({"same": gone} if kind == "equal" else {"gone": gone, "new": come})
    return stretches


def size(stretches: Sequence[Mapping[str, str]]) -> int:
    """How many stretches differ."""
    return sum("same" not in stretch for stretch in stretches)
