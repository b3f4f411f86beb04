"""Detection: from the texts of one patient to the spans of their identifiers.

In: raw texts of one patient. Out: for each, spans on that very text, sorted, without overlap.

Covers: our rules and spaCy's entities, run as recognizers of Presidio's analyzer, so that a team's own
recognizers plug in beside them; propagation over the patient's texts; overlaps; texts of any length (read in
blocks). Does not cover: replacing (surrogates.py).

What spaCy's entities are worth was measured on the development reports (bench/deidentify.py, ``--ablate``):
the small model takes findings, headings and eponyms for people and places, so an entity counts only where the
lexicon has nothing against it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from residency.curate.deidentify.ages import find_ages
from residency.curate.deidentify.contacts import find_contacts
from residency.curate.deidentify.dates import find_dates
from residency.curate.deidentify.eponyms import outside_knowledge
from residency.curate.deidentify.keyed import find_fields
from residency.curate.deidentify.labels import Identifier as Id
from residency.curate.deidentify.lexicon import Lexicon, lexicon_for, spacy_model_folder
from residency.curate.deidentify.names import find_names
from residency.curate.deidentify.organizations import find_organizations
from residency.curate.deidentify.places import find_places, is_region
from residency.curate.deidentify.propagate import propagate
from residency.curate.deidentify.reading import Reading, read
from residency.curate.deidentify.resolve import resolve
from residency.curate.deidentify.shapes import find_shapes
from residency.curate.deidentify.tables import find_cells
from residency.packs import Pack
from residency.records import Span

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerResult
    from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
    from presidio_analyzer.nlp_engine import NlpEngine

LOWEST_SCORE = 0.5  # findings below are left alone; chosen by us on the development reports
_BLOCK = 20_000  # characters read at once; keeps rules and spaCy linear on a book in one line
_ENDLESS = re.compile(r"\S{300,}")  # no word of any language
_LANGUAGE = "en"
PRESIDIO_NAMES = {
    "PERSON": Id.NAME,
    "GPE": Id.LOCATION,
    "LOC": Id.LOCATION,
    "ORG": Id.ORGANIZATION,
    "DATE_TIME": Id.DATE,
    "EMAIL_ADDRESS": Id.EMAIL,
    "PHONE_NUMBER": Id.PHONE,
    "US_SSN": Id.SSN,
    "IP_ADDRESS": Id.IP,
    "MEDICAL_LICENSE": Id.LICENSE,
    "US_DRIVER_LICENSE": Id.LICENSE,
    "US_BANK_NUMBER": Id.ACCOUNT,
    "IBAN_CODE": Id.ACCOUNT,
    "CREDIT_CARD": Id.ACCOUNT,
    "UK_NHS": Id.HEALTH_PLAN_ID,
    "US_PASSPORT": Id.OTHER_ID,
    "US_ITIN": Id.OTHER_ID,
    "UK_NINO": Id.OTHER_ID,
    "CRYPTO": Id.OTHER_ID,
    "MAC_ADDRESS": Id.DEVICE_ID,
}
_ENTITY_SCORE = 0.55

Rule = Callable[[str], list[Span]]


class Detector:
    """Finds identifiers. Build it once: loading spaCy and the word lists takes some seconds.

    ``recognizers`` are further Presidio recognizers; they see the reading copy of a text.
    """

    def __init__(
        self, pack: Pack | None = None, *, recognizers: Sequence[EntityRecognizer] = (), entities: bool = True
    ) -> None:
        self.lexicon = lexicon_for(pack)
        self._analyzer = _analyzer(self.lexicon, tuple(recognizers), entities=entities)

    def __call__(self, texts: Sequence[str]) -> list[list[Span]]:
        """The spans of each of one patient's texts."""
        readings = [read(text) for text in texts]
        blocks = [
            _Block(number, start, text)
            for number, reading in enumerate(readings)
            for start, text in _blocks(reading.text)
        ]
        copies = [block.text for block in blocks]
        found = [resolve(copy, spans) for copy, spans in zip(copies, self._analyze(copies), strict=True)]
        further = propagate(copies, found, self.lexicon)
        spans: list[list[Span]] = [[] for _ in texts]
        for block, first, second in zip(blocks, found, further, strict=True):
            resolved = resolve(block.text, [*first, *second])
            spans[block.number] += [_raw(span, block.start, readings[block.number]) for span in resolved]
        return spans

    def _analyze(self, texts: Sequence[str]) -> Iterator[list[Span]]:
        # spaCy's tokenizer takes the square of the length of a run without blanks, so it does not see such runs.
        shown = [_ENDLESS.sub(lambda match: " " * len(match.group()), text) for text in texts]
        artifacts = self._analyzer.nlp_engine.process_batch(shown, language=_LANGUAGE, batch_size=64)
        for text, (_, of_text) in zip(texts, artifacts, strict=True):
            results = self._analyzer.analyze(text=text, language=_LANGUAGE, nlp_artifacts=of_text)
            yield [
                Span(
                    start=result.start,
                    end=result.end,
                    label=PRESIDIO_NAMES.get(result.entity_type, result.entity_type),
                    score=result.score,
                    found_by=(result.recognition_metadata or {}).get("found_by")
                    or (result.recognition_metadata or {}).get("recognizer_name", ""),
                )
                for result in results
                if result.score >= LOWEST_SCORE
            ]


class _Block:
    """A stretch of one reading copy."""

    __slots__ = ("number", "start", "text")

    def __init__(self, number: int, start: int, text: str) -> None:
        self.number, self.start, self.text = number, start, text


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """``text`` cut at line ends, or at spaces, or anywhere if it has neither."""
    start = 0
    while len(text) - start > _BLOCK:
        cut = max(text.rfind("\n", start, start + _BLOCK), 0) or max(text.rfind(" ", start, start + _BLOCK), 0)
        cut = cut + 1 if cut > start else start + _BLOCK
        yield start, text[start:cut]
        start = cut
    if start < len(text):
        yield start, text[start:]


def _raw(span: Span, offset: int, reading: Reading) -> Span:
    start, end = reading.back(span.start + offset, span.end + offset)
    return replace(span, start=start, end=end)


def detect(texts: Sequence[str], pack: Pack | None = None) -> list[list[Span]]:
    """The spans of each of one patient's texts, with the default detector of ``pack``."""
    return default_detector(pack)(texts)


@lru_cache(maxsize=4)
def default_detector(pack: Pack | None) -> Detector:
    """The detector without a team's own recognizers; built once for each pack and process."""
    return Detector(pack)


def _analyzer(lexicon: Lexicon, recognizers: Iterable[EntityRecognizer], *, entities: bool) -> AnalyzerEngine:
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    rules: dict[str, tuple[tuple[Id, ...], Rule]] = {
        "fields": (tuple(Id), find_fields),
        "shapes": (tuple(Id), find_shapes),
        "contacts": ((Id.PHONE, Id.FAX, Id.EMAIL, Id.URL, Id.IP), find_contacts),
        "tables": (tuple(Id), find_cells),
        "ages": ((Id.AGE_OVER_89,), find_ages),
        "dates": ((Id.DATE,), find_dates),
        "names": ((Id.NAME,), lambda text: find_names(text, lexicon)),
        "places": ((Id.LOCATION,), lambda text: find_places(text, lexicon)),
        "organizations": ((Id.ORGANIZATION,), lambda text: find_organizations(text, lexicon)),
    }
    ours = [_rule_recognizer(name, labels, rule) for name, (labels, rule) in rules.items()]
    if entities:
        ours.append(_entity_recognizer(lexicon))
    registry = RecognizerRegistry(recognizers=[*ours, *recognizers], supported_languages=[_LANGUAGE])
    # Only a team's recognizers name context words; without them, nobody reads the tokens.
    with_context = bool(recognizers)
    return AnalyzerEngine(
        registry=registry,
        nlp_engine=_spacy_engine(entities=entities, tokens=with_context) if entities or with_context else _no_engine(),
        supported_languages=[_LANGUAGE],
        context_aware_enhancer=None if with_context else _no_context(),
    )


def _no_context() -> ContextAwareEnhancer:
    from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer

    class NoContext(ContextAwareEnhancer):
        """Our rules read their surroundings themselves; copying every finding to raise no score takes time."""

        def enhance_using_context(
            self, text: str, raw_results: list[RecognizerResult], *_: Any, **__: Any
        ) -> list[RecognizerResult]:
            return raw_results

    return NoContext(0, 0, 0, 0)


def _rule_recognizer(name: str, labels: Sequence[Id], rule: Rule) -> EntityRecognizer:
    """A rule in the shape of a Presidio recognizer."""
    from presidio_analyzer import EntityRecognizer, RecognizerResult

    recognizer_name = f"residency.{name}"

    class RuleRecognizer(EntityRecognizer):
        def load(self) -> None:
            """Nothing to load: the lexicon is there."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
            return [
                RecognizerResult(
                    span.label,
                    span.start,
                    span.end,
                    span.score,
                    recognition_metadata={
                        RecognizerResult.RECOGNIZER_NAME_KEY: recognizer_name,
                        RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
                        "found_by": span.found_by,
                    },
                )
                for span in rule(text)
                if span.label in entities
            ]

    return RuleRecognizer(
        supported_entities=[str(label) for label in labels], name=recognizer_name, supported_language=_LANGUAGE
    )


def _entity_recognizer(lexicon: Lexicon) -> EntityRecognizer:
    """spaCy's people and places, where the lexicon has nothing against them."""
    from presidio_analyzer import EntityRecognizer, RecognizerResult

    recognizer_name = "residency.spacy"

    class EntityWithLexicon(EntityRecognizer):
        def load(self) -> None:
            """The model is loaded by the engine."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
            credible = [
                Span(start=entity.start_char, end=entity.end_char, label=entity.label_, score=_ENTITY_SCORE)
                for entity in nlp_artifacts.entities
                if entity.label_ in self.supported_entities
                and _credible(entity.text, lexicon)
                and not is_region(entity.text)
            ]
            return [
                RecognizerResult(
                    entity.label,
                    entity.start,
                    entity.end,
                    entity.score,
                    recognition_metadata={
                        RecognizerResult.RECOGNIZER_NAME_KEY: recognizer_name,
                        RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
                        "found_by": "spacy",
                    },
                )
                for entity in outside_knowledge(text, credible)
            ]

    return EntityWithLexicon(supported_entities=["PERSON", "GPE"], name=recognizer_name, supported_language=_LANGUAGE)


def _credible(entity: str, lexicon: Lexicon) -> bool:
    """Capitalized words, none of them ordinary, medical or an acronym, at least one a known name."""
    words = entity.split()
    return all(
        word.isalpha()
        and word[0].isupper()
        and not word.isupper()
        and not lexicon.is_word(word)
        and word.casefold() not in lexicon.safe
        for word in words
    ) and any(map(lexicon.is_name, words))


def _no_engine() -> NlpEngine:
    from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine

    class NoEngine(NlpEngine):
        """Our rules read the text alone: a model that nobody asks for would take half a second and time for each
        text."""

        def load(self) -> None:
            """Nothing to load."""

        def is_loaded(self) -> bool:
            return True

        def process_text(self, text: str, language: str) -> NlpArtifacts:
            no_tokens: Any = None
            return NlpArtifacts([], no_tokens, [], [], self, language)

        def process_batch(
            self, texts: Iterable[str], language: str, *_: Any, **__: Any
        ) -> Iterator[tuple[str, NlpArtifacts]]:
            return ((text, self.process_text(text, language)) for text in texts)

        def is_stopword(self, word: str, language: str) -> bool:
            return False

        def is_punct(self, word: str, language: str) -> bool:
            return False

        def get_supported_entities(self) -> list[str]:
            return []

        def get_supported_languages(self) -> list[str]:
            return [_LANGUAGE]

    return NoEngine()


def _spacy_engine(*, entities: bool, tokens: bool) -> NlpEngine:
    import spacy
    from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpArtifacts, SpacyNlpEngine

    class LeanSpacyEngine(SpacyNlpEngine):
        """The model without tagger, parser and lemmatizer; lower-case forms serve as lemmas for context words."""

        def load(self) -> None:
            unused = ["tagger", "parser", "attribute_ruler", "lemmatizer", "senter"] + (
                [] if entities else ["ner", "tok2vec"]
            )
            model = spacy.load(spacy_model_folder(), exclude=unused)
            model.max_length = max(model.max_length, 2 * _BLOCK)
            self.nlp: Any = {_LANGUAGE: model}

        def _doc_to_nlp_artifact(self, doc: Any, language: str) -> NlpArtifacts:
            return NlpArtifacts(
                entities=list(doc.ents),
                tokens=doc,
                tokens_indices=[token.idx for token in doc] if tokens else [],
                lemmas=[token.lower_ for token in doc] if tokens else [],
                nlp_engine=self,
                language=language,
                scores=[_ENTITY_SCORE] * len(doc.ents),
            )

    engine = LeanSpacyEngine(
        models=[{"lang_code": _LANGUAGE, "model_name": "en_core_web_sm"}],
        ner_model_configuration=NerModelConfiguration(),
    )
    engine.load()
    return engine
