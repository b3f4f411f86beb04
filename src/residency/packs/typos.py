"""Words that are one slip of the keyboard away from known ones.

In: an unknown word and an indexed vocabulary. Out: the one word it mistypes, or None.

Covers: one insertion, deletion, substitution or swap of neighbors. Does not cover: two slips in one word, and
words that are near to several known ones: those are left alone.

The index is the deletion neighborhood (Garbe's SymSpell at distance one): a look-up costs one probe a letter.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

# Shorter words have too many neighbors. Chosen by us on the development reports, 2026-11-24.
SHORTEST_TYPO = 5
LONGEST_TYPO = 40  # letters; the neighborhood of a word grows with its length


def deletion_index(vocabulary: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each long word with one letter left out -> the words that this may come from."""
    found: dict[str, list[str]] = {}
    for word in sorted(vocabulary):
        if len(word) >= SHORTEST_TYPO:
            for shorter in _deletions(word):
                found.setdefault(shorter, []).append(word)
    return {shorter: tuple(words) for shorter, words in found.items()}


def nearest(word: str, vocabulary: Container[str], index: Mapping[str, tuple[str, ...]]) -> str | None:
    """The one vocabulary word that is one edit away; None where none or several are."""
    near = neighbors(word, vocabulary, index)
    return near.pop() if len(near) == 1 else None


def neighbors(word: str, vocabulary: Container[str], index: Mapping[str, tuple[str, ...]]) -> set[str]:
    """All vocabulary words that are one edit away."""
    if not SHORTEST_TYPO <= len(word) <= LONGEST_TYPO:
        return set()
    shorter = _deletions(word)
    candidates = set(index.get(word, ()))
    candidates.update(piece for piece in shorter if len(piece) >= SHORTEST_TYPO and piece in vocabulary)
    for piece in shorter:
        candidates.update(index.get(piece, ()))
    return {candidate for candidate in candidates if one_edit(word, candidate)}


def one_edit(left: str, right: str) -> bool:
    """Whether one insertion, deletion, substitution or swap of neighbors turns one word into the other."""
    if left == right:
        return False
    short, long = sorted((left, right), key=len)
    same = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    rest_short, rest_long = short[same:], long[same:]
    if len(short) < len(long):
        return rest_short == rest_long[1:]
    swapped = len(rest_short) > 1 and rest_short[:2] == rest_long[1::-1] and rest_short[2:] == rest_long[2:]
    return len(short) == len(long) and (rest_short[1:] == rest_long[1:] or swapped)


def _deletions(word: str) -> set[str]:
    return {word[:i] + word[i + 1 :] for i in range(len(word))}
