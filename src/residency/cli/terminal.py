"""The terminal: how every command writes what a person reads.

In: nothing. Out: consoles.

Covers: what a text may do to a terminal: nothing. Names, paths and texts come from outside, and Rich's markup and emoji
codes in them ("[/x]", ":x:") are printed as they stand; what is colored is colored by ``style``, never by the text.
Does not cover: what is said.
"""

from __future__ import annotations

from rich.console import Console


def terminal(*, stderr: bool = False, soft_wrap: bool = True) -> Console:
    """A console that takes every text literally. Titles of panels are not texts to it: they must be ``Text``."""
    return Console(stderr=stderr, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)
