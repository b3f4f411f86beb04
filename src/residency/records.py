"""The nouns that travel between stages.

Covers: what a document, a span, a finding, an example, a prediction, a score and a decision are, what a reviewer says
of an answer; their ids.
Does not cover: how they are stored (store/) or made (the stages).

All are frozen and keyword-only. An id is a content hash; ``parents`` names what a record was made from,
so that every answer leads back to a source file. Changing a record means making a new one with ``replace``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from residency.settings import fingerprint


class Status(StrEnum):
    """What a text says about a finding."""

    PRESENT = "present"
    ABSENT = "absent"
    FAMILY = "family"  # a relative has it, not the patient
    UNCERTAIN = "uncertain"
    RESOLVED = "resolved"  # was present once, is not any more


class Split(StrEnum):
    """Which side of the wall an example stands on."""

    TRAIN = "train"
    VALIDATION = "validation"  # chooses the checkpoint
    CALIBRATION = "calibration"  # fits the confidence map
    TEST = "test"  # is reported


class TaskKind(StrEnum):
    """What kind of answer a task wants."""

    CLASSIFY = "classify"  # one label of a set, with probabilities
    EXTRACT = "extract"  # typed findings
    GENERATE = "generate"  # free text


class Origin(StrEnum):
    """Where an example comes from."""

    REAL = "real"
    SYNTHETIC = "synthetic"
    REVIEW = "review"
    ADVERSARIAL = "adversarial"


class Judgment(StrEnum):
    """What an expert says of an answer."""

    CORRECT = "correct"
    WRONG = "wrong"
    CRITICAL = "critically wrong"  # could have harmed


class Failure(StrEnum):
    """How an answer is wrong."""

    MISSED = "missed"  # leaves out what the text says
    INVENTED = "invented"  # says what the text does not
    STATUS = "wrong status"  # e.g. a relative's finding taken for the patient's
    CONFUSED = "confused"  # one thing taken for another
    FORM = "wrong form"  # right, and not written as asked
    OTHER = "other"


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """``[start, end)`` of a document's text, in code points."""

    start: int
    end: int
    label: str
    score: float = 1.0
    found_by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A concept that a text speaks of. ``start`` and ``end`` are None where only the fact is known."""

    concept: str  # id in the pack's terminology, e.g. "HP:0001251"
    label: str
    status: Status
    start: int | None = None
    end: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What must be equal for two findings to agree: concept and status."""
        return self.concept, self.status.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a document was read: a file below the project folder, and the place inside it."""

    path: str
    locator: str = ""  # "row 4", "entry 2", "part 3"; empty for a whole file
    sha256: str = ""  # of the file's bytes

    @property
    def place(self) -> str:
        """Where to look, in words."""
        return f"{self.path} {self.locator}".rstrip()


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One text about one patient (or client, contract, ...).

    ``key`` is the name that the label file uses for it. ``answers`` holds the expert's columns, as text.
    ``spans`` marks replaced identifiers, ``findings`` what the terminology step read; both on ``text``.
    """

    id: str
    key: str
    text: str
    source: Source
    patient: str
    group: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    findings: tuple[Finding, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """A document that did not go on, and why. Never holds its text."""

    id: str
    key: str
    source: Source
    step: str
    reason: str  # a short stable word, e.g. "empty", "exact_duplicate"
    detail: str = ""  # e.g. the id of the document that this one copies


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """The side of the wall that a patient stands on."""

    patient: str
    split: Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of a chat."""

    role: str  # system | user | assistant
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A question about documents with its gold answer.

    ``answer`` is the text that a model should write; ``gold`` the same as data: a label, a list of
    findings as dicts, or a text.
    """

    id: str
    task: str
    kind: TaskKind
    messages: tuple[Message, ...]
    answer: str
    gold: Any
    patient: str
    split: Split
    group: str = ""
    origin: Origin = Origin.REAL
    author: str = ""  # the reviewer whose corrected answer it is; empty for the label file's
    weight: float = 1.0
    parents: tuple[str, ...] = ()  # document ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What one system answered to one example.

    ``value`` is the parsed output (label, findings as dicts, text), None where it could not be parsed.
    ``probabilities`` is over the label set (classify only). ``nats`` and ``tokens`` are of the gold
    answer under the model, None for systems without a likelihood.
    """

    id: str
    example: str
    task: str
    system: str
    output: str
    value: Any
    confidence: float | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    nats: float | None = None
    tokens: int | None = None
    seconds: float = 0.0

    @property
    def scored(self) -> bool:
        return self.value is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One metric of one system on one task, with its interval. ``low`` and ``high`` are None where there is none."""

    task: str
    system: str
    metric: str
    value: float
    low: float | None
    high: float | None
    n: int  # cases
    clusters: int  # patients
    unscored: int = 0
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """The answer that a decision is about, kept with it: the prediction's id outlives neither text nor adapter."""

    task: str
    document: str  # id
    patient: str  # pseudonym
    answer: str  # what the system wrote
    corrected: str = ""  # what it should have written, in the task's answer format; empty where nobody said


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """A person's verdict; appended, never overwritten. Forgetting a patient takes out what it says about them."""

    id: str
    subject: str  # id of the record decided on
    who: str
    when: str  # ISO 8601, UTC
    verdict: str
    why: str = ""
    failure: Failure | None = None  # of an answer that is wrong
    judged: Judged | None = None  # where the subject is an answer


def record_id(prefix: str, **content: Any) -> str:
    """Content-hash id such as ``d-3f2a...``; equal content gives an equal id."""
    return f"{prefix}-{fingerprint(content)}"


def as_plain(record: Any) -> dict[str, Any]:
    """A record as plain data for JSON."""
    return asdict(record)
