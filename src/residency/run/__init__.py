"""How work is spread and followed, never what it does.

In: work, and items. Out: the same work done, with a person able to see where it is.

    pool.py       over the cores of this machine
    progress.py   what a person sees meanwhile

Covers: one machine. Does not cover: what the work is (the stages).
"""
