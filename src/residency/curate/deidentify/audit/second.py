"""A second reader: Presidio with its own recognizers and spaCy's model.

In: a text. Out: spans; of these, the pieces outside replaced places that are worth a person's look.

Covers: English. Does not cover: many documents: it reads a few dozen a second; give it a sample.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence

from residency.curate.deidentify.audit.found import HIDDEN, PART, SHORTEST_WHOLE, Found, Method
from residency.curate.deidentify.audit.numbers import FULL_DATE, MONTH
from residency.curate.deidentify.audit.vocabulary import Kind, Vocabulary, kind_of
from residency.curate.deidentify.detector import PRESIDIO_NAMES
from residency.curate.deidentify.labels import Identifier as Id
from residency.curate.deidentify.lexicon import spacy_model_folder
from residency.records import Span

Second = Callable[[str], Sequence[Span]]

_NAMES = frozenset((Id.NAME, Id.LOCATION, Id.ORGANIZATION, "NRP"))
_NEVER_ORDINARY = frozenset((Kind.NAME, Kind.NAME_AND_NOUN, Kind.UNKNOWN))


def presidio_as_shipped() -> Second:
    """Presidio's default recognizers for English over the embedded spaCy model, as a second reader.

    ``audit`` does not tell all that it finds, see ``_worth_telling``: the small model takes headings, abbreviations and
    findings for organizations and people, and any duration for a date.
    """
    import tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)  # it tells of each language that it leaves out
    # Its e-mail recognizer would fetch the list of public suffixes; the list in the package serves as well.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    model = {"lang_code": "en", "model_name": str(spacy_model_folder())}
    provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [model]})
    analyzer = AnalyzerEngine(nlp_engine=provider.create_engine())

    def read(text: str) -> list[Span]:
        return [
            Span(start=r.start, end=r.end, label=PRESIDIO_NAMES.get(r.entity_type, r.entity_type), score=r.score)
            for r in analyzer.analyze(text=text, language="en")
        ]

    return read


def outside(span: Span, hidden: str, vocabulary: Vocabulary) -> Iterator[Found]:
    """The pieces of a second reader's span that stand outside replaced places and are worth a person's look."""
    for piece in re.finditer(rf"[^{HIDDEN}]+", hidden[span.start : span.end]):
        stripped = piece.group().strip(" \n,.;:-'")
        if sum(map(str.isalnum, stripped)) >= SHORTEST_WHOLE and _worth_telling(span.label, stripped, vocabulary):
            start = span.start + piece.start() + piece.group().index(stripped)
            yield Found(start, start + len(stripped), span.label, Method.PRESIDIO, span.score)


def _worth_telling(label: str, text: str, vocabulary: Vocabulary) -> bool:
    """Dates need a date's shape. Of names, places, organizations and nationalities at least one word must not be an
    ordinary one; a name may also be a word that is a name."""
    if label == Id.DATE:
        return bool(FULL_DATE.search(text) or MONTH.search(text))
    if label not in _NAMES:
        return True
    kinds = {kind_of(word, vocabulary) for word in PART.findall(text) if len(word) > 1 and word not in vocabulary.terms}
    return bool(kinds & _NEVER_ORDINARY) or (label == Id.NAME and Kind.BOTH in kinds)
