"""Tuning: from examples and a base model to an adapter that says what it is."""
