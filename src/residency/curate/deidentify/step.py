"""The step: documents in, de-identified documents out.

In: documents with raw text. Out: the same documents with identifiers replaced; ``spans`` marks the replaced
places on the new text.

Covers: texts, and the answer columns that hold free text. Does not cover: ids, keys, file names, groups and
metadata (ingest decides what goes in there), and the ``patient`` field, which the story replaces by
``pseudonym``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from residency.curate.deidentify.detector import Detector, default_detector
from residency.curate.deidentify.labels import Identifier
from residency.curate.deidentify.policy import RULES, Mode, Policy
from residency.curate.deidentify.surrogates import Surrogates
from residency.curate.step import Step, Tools
from residency.records import Document, Dropped, Span, record_id
from residency.settings import Settings
from residency.text import Edit, apply_edits


class OwnPattern(Settings):
    """A team's own pattern, run as a Presidio ``PatternRecognizer``."""

    label: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$", description="class of the identifier, e.g. MRN or STUDY_ID")
    regex: str = Field(min_length=1, description="regular expression of the identifier itself")
    score: float = Field(default=0.85, gt=0, le=1, description="how sure a match is, 0 to 1")
    context: tuple[str, ...] = Field(default=(), description="words nearby that make a match surer, lower case")


class Deidentify(Step):
    """Replace what identifies a patient."""

    step: Literal["deidentify"] = "deidentify"
    policy: Policy = Field(
        default=Policy.EXPERT_DETERMINATION,
        description="safe_harbor: dates become years; expert_determination: dates are shifted; limited_data_set: "
        "towns and postal codes stay too",
    )
    mode: Mode = Field(
        default=Mode.SURROGATE,
        description="surrogate: invented ones; tag: [NAME]; generalize: years, postal areas, else tags",
    )
    organizations: bool = Field(
        default=True, description="also replace hospitals, schools and employers that place the patient"
    )
    answers: tuple[str, ...] = Field(
        default=(), description="columns of the label file that hold free text and are treated like the documents"
    )
    entities: bool = Field(
        default=True,
        description="also use the entities of the spaCy model; three times slower, a safety net for unseen styles",
    )
    patterns: tuple[OwnPattern, ...] = Field(default=(), description="a team's own patterns, as Presidio runs them")

    def __call__(self, documents: Iterable[Document], tools: Tools) -> Iterator[Document | Dropped]:
        """Documents of one patient are read together, so all are taken in first; they come out in their order."""
        taken = list(documents)
        detector = self._detector(tools)
        done: dict[int, Document] = {}
        given = 0
        for patient, numbers in _by_patient(taken).items():
            of_patient = [taken[number] for number in numbers]
            done.update(zip(numbers, self._treat(patient, of_patient, detector, tools), strict=True))
            while given < len(taken) and given in done:
                yield done.pop(given)
                given += 1

    def _detector(self, tools: Tools) -> Detector:
        if self.entities and not self.patterns:
            return default_detector(tools.pack)
        return Detector(
            tools.pack, recognizers=[_recognizer(pattern) for pattern in self.patterns], entities=self.entities
        )

    def _treat(self, patient: str, documents: Sequence[Document], detector: Detector, tools: Tools) -> list[Document]:
        columns = [[column for column in self.answers if document.answers.get(column)] for document in documents]
        texts = [document.text for document in documents]
        cells = [document.answers[column] for document, its in zip(documents, columns, strict=True) for column in its]
        found = [self._wanted(spans) for spans in detector([*texts, *cells])]
        surrogates = Surrogates(
            key=tools.key,
            patient=patient,
            lexicon=detector.lexicon,
            rules=RULES[self.policy],
            mode=self.mode,
            identifiers=[
                (s.label, text[s.start : s.end])
                for text, spans in zip([*texts, *cells], found, strict=True)
                for s in spans
            ],
        )
        written = iter(
            [replace_spans(text, spans, surrogates) for text, spans in zip([*texts, *cells], found, strict=True)]
        )
        new_texts = [next(written) for _ in texts]
        return [
            self._new(document, text, spans, {column: next(written)[0] for column in its})
            for document, its, (text, spans) in zip(documents, columns, new_texts, strict=True)
        ]

    def _wanted(self, spans: Sequence[Span]) -> list[Span]:
        return [span for span in spans if self.organizations or span.label != Identifier.ORGANIZATION]

    def _new(self, document: Document, text: str, spans: tuple[Span, ...], answers: dict[str, str]) -> Document:
        return replace(
            document,
            id=record_id("d", parent=document.id, step=self.fingerprint(), text=text),
            text=text,
            spans=spans,
            answers={**document.answers, **answers},
            parents=(document.id,),
        )


def replace_spans(text: str, spans: Sequence[Span], surrogates: Surrogates) -> tuple[str, tuple[Span, ...]]:
    """The text with ``spans`` replaced, and where the replacements stand. Spans that the policy lets stay are no
    spans any more."""
    edits = [(span, surrogates.replace(span.label, text[span.start : span.end])) for span in spans]
    changed = [(span, new) for span, new in edits if new != text[span.start : span.end]]
    result, _ = apply_edits(text, [Edit(span.start, span.end, new) for span, new in changed])
    moved: list[Span] = []
    shift = 0
    for span, new in changed:
        moved.append(replace(span, start=span.start + shift, end=span.start + shift + len(new)))
        shift += len(new) - (span.end - span.start)
    return result, tuple(moved)


def count_replaced(documents: Iterable[Document]) -> dict[str, int]:
    """Replaced places in the texts of ``documents`` by class, the most frequent first."""
    return dict(Counter(span.label for document in documents for span in document.spans).most_common())


def _by_patient(documents: Sequence[Document]) -> dict[str, list[int]]:
    """Places of each patient's documents; a document without a patient stands alone."""
    groups: dict[str, list[int]] = {}
    for number, document in enumerate(documents):
        groups.setdefault(document.patient or f"document:{document.id}", []).append(number)
    return groups


def _recognizer(pattern: OwnPattern) -> Any:
    from presidio_analyzer import Pattern, PatternRecognizer

    return PatternRecognizer(
        supported_entity=pattern.label,
        name=f"own:{pattern.label.lower()}",
        patterns=[Pattern(name=pattern.label.lower(), regex=pattern.regex, score=pattern.score)],
        context=list(pattern.context),
    )
