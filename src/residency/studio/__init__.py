"""The studio's work: what people are asked, what they may see of it, and what becomes of their answers.

In: a project that has run, people's answers. Out: items in queues, views of them, decisions in the ledger, agreement.

Covers: checking de-identification, annotating, judging answers, one module each; the room that ties them to the queues.
Does not cover: how queues keep what they keep (store/queues.py), pages (web/), who may do what (store/people.py).
"""
