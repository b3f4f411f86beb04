"""Confidence: is it honest, how to make it so, and what to do where it is low.

In: predictions with confidences, gold answers. Out: reliability, maps, thresholds, label sets.

Covers: one question a module. Does not cover: where a confidence comes from (run.py: share of the label over the closed
set, geometric mean of the token probabilities), but for the agreement of samples (agreement.py).
"""
