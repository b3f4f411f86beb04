"""Evaluation: how good each system is, how sure we are, and whether that is good enough.

In: examples with gold answers, models. Out: predictions, scores with intervals, verdicts, the report.

Covers: asking, scoring, comparing in pairs, calibration, baselines, the gate, the report.
Does not cover: people's review of outputs; it comes in as decisions.
"""
