"""How work is spread and followed, never what it does.

In: work that reports its progress. Out: the same work, with a person able to see where it is.

Covers: progress on one machine. Does not cover: what the work is (the stages).
"""
