"""Similarity of wording: ROUGE, BLEU, chrF.

In: gold texts and written ones. Out: scores of single pairs; tallies over all.

Covers: ROUGE-1, 2, L, Lsum with and without stemming; corpus BLEU and chrF with sacreBLEU's signature. Does not cover:
whether a text is right: "No ataxia" shares most of its words with "Ataxia", so that none of these can be gated on.

Rejected: own implementations; figures must be comparable with the packages everybody uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from residency.evaluate.intervals import Array, Shape, Statistic, Tally


@lru_cache(maxsize=1 << 14)  # the score and the table of cases ask for the same pairs
def _rouge_values(gold: str, written: str) -> tuple[tuple[str, float], ...]:
    values = []
    for stem, scorer in _rouge_scorers().items():
        values += [(f"{kind}{stem}", float(s.fmeasure)) for kind, s in scorer.score(gold, written).items()]
    return tuple(values)


def rouge(gold: str, written: str) -> dict[str, float]:
    """ROUGE F1 with and without Porter stemming; sentences for Lsum are lines (Lin 2004, rouge_score)."""
    return dict(_rouge_values(gold, written))


@lru_cache(maxsize=1)
def _rouge_scorers() -> dict[str, Any]:
    from rouge_score.rouge_scorer import RougeScorer

    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    return {"": RougeScorer(kinds), "_stem": RougeScorer(kinds, use_stemmer=True)}


def sacrebleu_tally(name: str, gold: Sequence[str], written: Sequence[str]) -> Tally:
    """Corpus BLEU or chrF (0 to 100) with sacreBLEU's defaults and its signature as the note.

    The counts behind a sentence's score, and the score of summed counts, are sacreBLEU's own paired bootstrap's; they
    have no public name. The parity test holds them to ``corpus_score``.
    """
    import sacrebleu

    metric = getattr(sacrebleu, name)(force=True) if name == "BLEU" else getattr(sacrebleu, name)()
    parts = np.array(metric._extract_corpus_statistics(written, [gold]), dtype=np.float64)

    def corpus(sums: Array) -> Array:
        rows = sums.reshape(-1, sums.shape[-1])
        values = [metric._compute_score_from_stats(np.rint(row).astype(int).tolist()).score for row in rows]
        return np.array(values, dtype=np.float64).reshape(sums.shape[:-1])

    statistic: Statistic = corpus
    return Tally(parts, statistic, Shape.RATIO, note=f"surface similarity; {metric.get_signature()}")
