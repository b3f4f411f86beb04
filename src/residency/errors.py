"""The one tree of errors.

ResidencyError
├── ProjectError      the project file, or a file that it names, is wrong (exit status 2)
├── RecordError       one input record cannot be read
├── ModelError        a base model, adapter or model server cannot be used
│   └── PromptTooLong a conversation does not fit into the model's context
├── StoreError        the workspace cannot be read or written (full disk, torn file)
├── TrainingError     a training run cannot start or had to stop
├── EvaluationError   predictions and cases do not belong together
└── GateRefused       a gate does not let the data or the adapter pass (exit status 1 or 3)

Covers: every error a user can cause or cure; long lists in a message. Does not cover: bugs, which keep their traceback.
A message says place, value and expectation; ``fix`` says the next step, as a command where there is one.
Neither ever holds text of a record: ids, offsets and labels only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def first_of(names: Sequence[str], most: int, between: str = ", ") -> str:
    """The first ``most`` names, and how many more there are, for a message that stays readable."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more


class ResidencyError(Exception):
    """Something the user can cure. ``fix`` is the next step, one sentence."""

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross processes, where an exception is otherwise made again from its message alone."""
        return _again, (type(self), self.args, self.__dict__)


class ProjectError(ResidencyError):
    """The project file is wrong. ``problems`` lists all of them, each with its path in the file."""

    def __init__(self, message: str, *, fix: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, fix=fix)
        self.problems = problems


class RecordError(ResidencyError):
    """One input record cannot be read."""


class ModelError(ResidencyError):
    """A base model, an adapter or a model server cannot be used."""


class PromptTooLong(ModelError):
    """A conversation and its answer do not fit into the model's context."""


class StoreError(ResidencyError):
    """The workspace cannot be read or written."""


class TrainingError(ResidencyError):
    """A training run cannot start, or had to stop with its last good state kept."""


class EvaluationError(ResidencyError):
    """Cases, predictions and gold answers do not belong together."""


class GateRefused(ResidencyError):
    """A gate does not let the data or the adapter pass. ``verdict``: NO-GO or INCONCLUSIVE."""

    def __init__(self, message: str, *, fix: str, verdict: str) -> None:
        super().__init__(message, fix=fix)
        self.verdict = verdict


def _again(kind: type[ResidencyError], args: tuple[Any, ...], state: dict[str, Any]) -> ResidencyError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error
