"""The only place that knows SQL and files.

In: records of the stages, settings, decisions. Out: the same again, later, unharmed.

Covers: the ledger (what ran, with what, and what came out), artifacts (Parquet files named by their content),
runs that resume, and the project's secret key.
Does not cover: raw text; it stays in the inbox and is read again from there.
"""
