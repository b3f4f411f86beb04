"""Cleanse: repair texts, remove what repeats, and drop what is no report. The step is in step.py."""

from residency.curate.cleanse.step import Cleanse

__all__ = ["Cleanse"]
