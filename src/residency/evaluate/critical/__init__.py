"""Critical errors: those that a table of the domain experts says could change a decision.

    table.py   what counts, how severe it is, who agreed        find.py    the critical errors of one answer
    rates.py   documents with a critical error, with the one-sided bound that is gated

In: the table, answers with their gold, audits of claims. Out: critical errors, and their rate.

Covers: classify, extract and generate tasks. Does not cover: what no table names; a new kind of harm is a new row.
"""
