"""A team's own metric: a Python function of the project.

In: ``FILE.py:FUNCTION``; the function takes the gold answer and the output of one case, as data, and returns a number
from 0 to 1, higher is better. Out: the function, called ``own:FUNCTION``; its tally.

Covers: a file or function that is not there, a function that fails or returns no such number: said with the case's id.
An output that could not be read scores 0 without being asked. Does not cover: metrics of all cases together.

The function is the team's own code and runs with the rights of the person who starts the evaluation.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from residency.errors import ProjectError
from residency.evaluate.intervals import Tally
from residency.evaluate.metrics.catalogue import OWN
from residency.records import Example, Prediction

EXAMPLE = "Name it FILE.py:FUNCTION; the function takes gold and output and returns a number from 0 to 1."
OwnMetric = Callable[[Any, Any], float]  # (gold, output) -> 0 to 1


def own_name(written: str) -> str:
    """The metric's name in scores and in the gate: ``checks.py:gene`` is ``own:gene``."""
    return OWN + written.rpartition(":")[2]


def own_file(written: str, root: Path) -> Path:
    """The file that the function is in; ``root`` is the folder that it is named from."""
    file, colon, name = written.rpartition(":")
    path = root / file
    if not colon or not name.isidentifier() or path.suffix != ".py":
        raise ProjectError(f"metric {written!r}: not written as FILE.py:FUNCTION.", fix=EXAMPLE)
    if not path.is_file():
        raise ProjectError(f"metric {written!r}: there is no file {path}.", fix=EXAMPLE)
    return path


def load_own(written: str, root: Path) -> OwnMetric:
    """The function."""
    path, name = own_file(written, root), written.rpartition(":")[2]
    spec = importlib.util.spec_from_file_location(f"own_metric_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # a file that ends in .py
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # their code may raise anything
        raise ProjectError(
            f"metric {written!r}: {path} cannot be run ({type(error).__name__}, line {_line(error, path)}).",
            fix="Run it with Python, and correct it.",
        ) from None
    function = getattr(module, name, None)
    if not callable(function):
        raise ProjectError(f"metric {written!r}: {path} has no function {name}.", fix=EXAMPLE)
    return function


def own_tally(name: str, function: OwnMetric, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Tally:
    """The mean of the function over the cases."""
    scores = [
        _one(name, function, example, prediction) if prediction.scored else 0.0
        for example, prediction in zip(examples, predictions, strict=True)
    ]
    return Tally.of_scores(scores, note="a metric of the team's own")


def _one(name: str, function: OwnMetric, example: Example, prediction: Prediction) -> float:
    try:
        value = float(function(example.gold, prediction.value))
    except Exception as error:  # their code may raise anything
        raise ProjectError(
            f"metric {name}: {type(error).__name__} on case {example.id}.", fix="Correct the function."
        ) from None
    if not 0 <= value <= 1:  # NaN is outside, too
        raise ProjectError(
            f"metric {name}: {value:g} on case {example.id}; a metric is from 0 to 1, higher is better.",
            fix="Turn or scale the function.",
        )
    return value


def _line(error: Exception, path: Path) -> int | str:
    """Where in the file it failed."""
    trace, line = error.__traceback__, getattr(error, "lineno", None)
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line or "?"
