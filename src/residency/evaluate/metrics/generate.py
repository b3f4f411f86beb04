"""Metrics of a generate task: free text.

In: examples with a gold text; aligned predictions; perhaps a terminology that reads findings. Out: tallies; scores of
one case.

Covers: facts kept, invented and turned into their opposite; similarity of wording (surface.py), which must not decide
anything; length; repetition. Does not cover: facts that the terminology does not know.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from residency.evaluate.intervals import Shape, Tally
from residency.evaluate.metrics.catalogue import REPEATED_WORDS
from residency.evaluate.metrics.facts import (
    Find,
    flip_tally,
    named_facts,
    overlap,
    overlap_tallies,
    polarity_flips,
    share_of_sums,
)
from residency.evaluate.metrics.surface import rouge, sacrebleu_tally
from residency.records import Example, Prediction


def generate_tallies(
    examples: Sequence[Example], predictions: Sequence[Prediction], find: Find | None
) -> dict[str, Tally]:
    gold = [str(example.gold) for example in examples]
    written = [_text(prediction) for prediction in predictions]
    found: dict[str, Tally] = {}
    if find is not None:
        pairs = [(named_facts(find(g)), named_facts(find(w))) for g, w in zip(gold, written, strict=True)]
        found |= overlap_tallies([overlap(*pair) for pair in pairs], prefix="fact_")
        found["fact_flip_rate"] = flip_tally(pairs)
    shared = [rouge(g, w) for g, w in zip(gold, written, strict=True)]
    found |= {name: Tally.of_scores([case[name] for case in shared], note="surface similarity") for name in shared[0]}
    found["bleu"] = sacrebleu_tally("BLEU", gold, written)
    found["chrf"] = sacrebleu_tally("CHRF", gold, written)
    lengths = np.array([(len(w.split()), len(g.split())) for g, w in zip(gold, written, strict=True)], dtype=np.float64)
    found["length_ratio"] = Tally(lengths, share_of_sums, Shape.RATIO)
    repeats = np.array([_repeated_sequences(text) for text in written], dtype=np.float64)
    found["repetition"] = Tally(repeats, share_of_sums, Shape.RATIO)
    return found


def generate_case(example: Example, prediction: Prediction, find: Find | None) -> dict[str, float]:
    gold, written = str(example.gold), _text(prediction)
    scores: dict[str, float] = {}
    if find is not None:
        gold_facts, facts = named_facts(find(gold)), named_facts(find(written))
        hits, gold_count, count = overlap(gold_facts, facts)
        both_empty = not gold_facts and not facts
        scores["fact_f1"] = float(prediction.scored and (both_empty or 2 * hits / (gold_count + count)))
        scores["fact_flips"] = float(polarity_flips(gold_facts, facts))
    scores |= rouge(gold, written)
    repeated, sequences = _repeated_sequences(written)
    scores["repetition"] = repeated / sequences if sequences else 0.0
    return scores


def _text(prediction: Prediction) -> str:
    return "" if prediction.value is None else str(prediction.value)


def _repeated_sequences(text: str) -> tuple[int, int]:
    """How many word sequences of a text were there before in it, of how many."""
    words = text.casefold().split()
    sequences = [tuple(words[i : i + REPEATED_WORDS]) for i in range(len(words) - REPEATED_WORDS + 1)]
    return len(sequences) - len(set(sequences)), len(sequences)
