"""Claims: what an output says, held against the text that it is about, without a judge model.

    claim.py     the nouns: kinds of claims, verdicts, problems        means.py    what claims are read and checked with
    read.py      the claims of an output                               source.py   a source text, read once
    sides.py, times.py, amounts.py    left and right; ages and onset; numbers with units
    check.py     supported, contradicted or not found                  omission.py what was left out
    rates.py     hallucination and omission as rates with intervals    judge.py    a judge model's rate, corrected

In: outputs, gold answers and the texts they are about. Out: checked claims and what was left out, as rates.

Covers: claims that a terminology, units and word lists can read. Does not cover: reasoning; a claim that follows from
the source and is not in it is not found, and a person decides.
"""
