"""The step: documents in, de-identified documents out.

In: documents with raw text. Out: the same documents with identifiers replaced; ``spans`` marks the replaced
places on the new text.

Covers: texts, and the answer columns that hold free text. Does not cover: ids, keys, file names, groups and
metadata (ingest decides what goes in there), and the ``patient`` field: whoever calls knows the pseudonym
(intake.py from the vault, file_to_file.py from the key).
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field, model_validator

from residency.curate.deidentify.detector import Detector, default_detector
from residency.curate.deidentify.feedback import NO_FEEDBACK, Feedback, apply_feedback
from residency.curate.deidentify.labels import Identifier
from residency.curate.deidentify.places import is_code_abroad
from residency.curate.deidentify.policy import Mode, PolicyField, load_policy
from residency.curate.deidentify.surrogates import Surrogates
from residency.curate.step import Step, Tools
from residency.packs import Pack
from residency.records import Document, Dropped, Span, record_id
from residency.settings import Settings, fingerprint
from residency.text import Edit, OffsetMap, apply_edits


class OwnPattern(Settings):
    """A team's own pattern, run as a Presidio ``PatternRecognizer``."""

    label: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$", description="class of the identifier, e.g. MRN or STUDY_ID")
    regex: str = Field(min_length=1, description="regular expression of the identifier itself")
    score: float = Field(default=0.85, gt=0, le=1, description="how sure a match is, 0 to 1")
    context: tuple[str, ...] = Field(default=(), description="words nearby that make a match surer, lower case")


class Deidentify(Step):
    """Replace what identifies a patient."""

    step: Literal["deidentify"] = "deidentify"
    policy: PolicyField = Field(
        default=load_policy("expert_determination"),
        description="safe_harbor: dates become years, codes their class; expert_determination: dates are shifted; "
        "limited_data_set: towns and postal codes stay too; or settings of your own, based_on one of them",
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
        default=False,
        description="also use the entities of the spaCy model; nearly three times slower, for no gain in recall",
    )
    patterns: tuple[OwnPattern, ...] = Field(default=(), description="a team's own patterns, as Presidio runs them")

    @model_validator(mode="after")
    def _limits_are_of_known_classes(self) -> Deidentify:
        known = [*Identifier, *(pattern.label for pattern in self.patterns)]
        unknown = sum(label not in known for label in self.policy.review.missed_by_class)
        if unknown:
            raise ValueError(
                f"policy.review.missed_by_class: {unknown} of its classes are none; classes are {', '.join(known)}, "
                "and the labels of patterns"
            )
        return self

    def fingerprint(self) -> str:
        """Of what changes a text; what people must have checked does not."""
        return fingerprint(self.model_dump(mode="json", exclude={"policy": {"name", "about", "review"}}))

    def __call__(self, documents: Iterable[Document], tools: Tools) -> Iterator[Document | Dropped]:
        """Documents of one patient are read together, so all are taken in first; they come out in their order.
        For more documents than memory holds, hand each patient's to ``treat``."""
        taken = list(documents)
        done: dict[str, Document] = {}
        for patient, of_patient in by_patient(taken).items():
            treated = self.treat(patient, of_patient, tools)
            done.update((old.id, new.document) for old, new in zip(of_patient, treated, strict=True))
        yield from (done[document.id] for document in taken)

    def treat(
        self, patient: str, documents: Sequence[Document], tools: Tools, told: Feedback = NO_FEEDBACK
    ) -> list[Treated]:
        """One patient's documents, de-identified. ``patient`` keys the surrogates; ``told`` are people's verdicts."""
        columns = [[column for column in self.answers if document.answers.get(column)] for document in documents]
        cells = [document.answers[column] for document, its in zip(documents, columns, strict=True) for column in its]
        texts = [*(document.text for document in documents), *cells]
        found = self.find(texts, tools.pack)
        spans = apply_feedback(documents, texts, found, told)
        surrogates = Surrogates(
            key=self._key(tools.key),
            patient=patient,
            lexicon=self.detector(tools.pack).lexicon,
            rules=self.policy,
            mode=self.mode,
            identifiers=[
                (span.label, text[span.start : span.end])
                for text, its in zip(texts, spans, strict=True)
                for span in its
            ],
        )
        written = [replace_spans(text, its, surrogates) for text, its in zip(texts, spans, strict=True)]
        new_cells = iter(written[len(documents) :])
        step = self.fingerprint()
        return [
            Treated(
                document=_new(document, new, {column: next(new_cells).text for column in its}, step),
                found=tuple(before),
                spans=tuple(after),
                replacements=new.replacements,
                offsets=new.offsets,
            )
            for document, its, before, after, new in zip(documents, columns, found, spans, written, strict=False)
        ]

    def _key(self, key: bytes) -> bytes:
        """A key of these rules: two sets of one patient under different policies cannot be joined by surrogates."""
        rules = fingerprint(self.policy.model_dump(mode="json", include={"dates", "places", "ages_over_89", "codes"}))
        return hmac.digest(key, f"surrogates under {rules}".encode(), "sha256")

    def find(self, texts: Sequence[str], pack: Pack | None) -> list[list[Span]]:
        """What the machine takes for identifiers in the texts of one patient."""
        found = self.detector(pack)(texts)
        return [[s for s in spans if self.organizations or s.label != Identifier.ORGANIZATION] for spans in found]

    def detector(self, pack: Pack | None) -> Detector:
        """The detector of these settings; loading it takes some seconds the first time."""
        return _detector(pack, self.entities, self.patterns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Treated:
    """A document after de-identification, and what is known of the text that it was made from."""

    document: Document
    found: tuple[Span, ...]  # on the old text: by the machine, before people's verdicts; recall is measured on these
    spans: tuple[Span, ...]  # on the old text: after them
    replacements: tuple[str, ...]  # what was written for each of ``spans``; the old text where the policy lets it stay
    offsets: OffsetMap  # old text <-> new text


@dataclass(frozen=True, slots=True)
class Replaced:
    """A text with its identifiers replaced; ``spans`` marks the replaced places on it."""

    text: str
    spans: tuple[Span, ...]
    replacements: tuple[str, ...]
    offsets: OffsetMap


def replace_spans(text: str, spans: Sequence[Span], surrogates: Surrogates) -> Replaced:
    """The text with ``spans`` replaced. Spans that the policy lets stay are no spans of the new text."""
    replacements = tuple(
        surrogates.replace(span.label, text[span.start : span.end], abroad=is_code_abroad(text, span.start, span.end))
        for span in spans
    )
    changed = [(s, new) for s, new in zip(spans, replacements, strict=True) if new != text[s.start : s.end]]
    result, offsets = apply_edits(text, [Edit(span.start, span.end, new) for span, new in changed])
    moved: list[Span] = []
    shift = 0
    for span, new in changed:
        moved.append(replace(span, start=span.start + shift, end=span.start + shift + len(new)))
        shift += len(new) - (span.end - span.start)
    return Replaced(result, tuple(moved), replacements, offsets)


def _new(document: Document, new: Replaced, answers: dict[str, str], step: str) -> Document:
    """The document with its new text and answers; ``step``: the fingerprint of the settings that made them."""
    return replace(
        document,
        id=record_id("d", parent=document.id, step=step, text=new.text),
        text=new.text,
        spans=new.spans,
        answers={**document.answers, **answers},
        parents=(document.id,),
    )


def count_replaced(documents: Iterable[Document]) -> dict[str, int]:
    """Replaced places in the texts of ``documents`` by class, the most frequent first."""
    return dict(Counter(span.label for document in documents for span in document.spans).most_common())


def by_patient(documents: Iterable[Document]) -> dict[str, list[Document]]:
    """Each patient's documents, in the order in which patients first appear; without a patient, each stands alone."""
    groups: dict[str, list[Document]] = {}
    for document in documents:
        groups.setdefault(document.patient or f"document:{document.id}", []).append(document)
    return groups


@lru_cache(maxsize=2)
def _detector(pack: Pack | None, entities: bool, patterns: tuple[OwnPattern, ...]) -> Detector:
    if entities and not patterns:
        return default_detector(pack)
    return Detector(pack, recognizers=[_recognizer(pattern) for pattern in patterns], entities=entities)


def _recognizer(pattern: OwnPattern) -> Any:
    from presidio_analyzer import Pattern, PatternRecognizer

    return PatternRecognizer(
        supported_entity=pattern.label,
        name=f"own:{pattern.label.lower()}",
        patterns=[Pattern(name=pattern.label.lower(), regex=pattern.regex, score=pattern.score)],
        context=list(pattern.context),
    )
