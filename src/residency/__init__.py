"""Residency: from messy, private domain text to a specialist language model that a team can trust.

Read story.py first: it tells the whole, top to bottom.
"""

__version__ = "0.1.0"
