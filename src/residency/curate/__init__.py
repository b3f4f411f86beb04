"""Curation: from files to examples.

In: files of a project's inbox, the experts' label file. Out: de-identified, cleansed, standardized documents,
and the examples made of them.

Covers: ingest, de-identification, cleansing, deduplication, finding extraction, the split, examples.
Does not cover: order and composition of the steps; story.py and the project file say that.
"""
