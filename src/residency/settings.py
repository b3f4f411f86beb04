"""What a person writes down, and how it is checked.

In: plain data (a parsed YAML file, keyword arguments).
Out: frozen ``Settings`` objects, and their identity as a hash.

Covers: strict names (an unknown field is an error), ranges, enums; all problems reported at once,
each with its path. Does not cover: defaults of a particular stage; they live with the stage.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")  # of a setting


class Settings(BaseModel):
    """Base of everything a person may set. Every field carries a description with unit and range."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def fingerprint(self) -> str:
        """Content hash of the resolved settings (hex, 16 digits)."""
        return fingerprint(self.model_dump(mode="json"))


def fingerprint(value: Any) -> str:
    """Content hash of plain data (hex, 16 digits); the order of keys does not matter."""
    return hashlib.sha256(_canonical(value).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def plain_data(value: Any) -> Any:
    """Plain data as it comes back from JSON: tuples as lists, enums as their values."""
    return json.loads(_canonical(value))


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


class _StrictLoader(yaml.SafeLoader):
    """Plain YAML in which no key of a mapping stands twice."""


def _mapping_without_repeats(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                problem="the name of a setting is a list or mapping", problem_mark=key.start_mark
            )
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                problem=f"the setting {_named(key.value)!r} stands twice", problem_mark=key.start_mark
            )
        seen.add(key.value)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_repeats)


def read_yaml(text: str) -> Any:
    """Plain data from YAML; a yaml.YAMLError says where and what is wrong, a repeated key included."""
    try:
        return yaml.load(text, Loader=_StrictLoader)  # a SafeLoader: plain data only
    except RecursionError:
        raise yaml.constructor.ConstructorError(problem="nested too deeply") from None
    except (ValueError, TypeError, KeyError, AttributeError):  # the loader's own, for 2023-02-30 or "!!bool 5"
        raise yaml.constructor.ConstructorError(problem="a date, number or tag that YAML does not allow") from None


def explain(error: ValidationError, *, values: bool = True) -> tuple[str, ...]:
    """Every problem of a settings file as one line: path, value, expectation. ``values``: False leaves the value out,
    for a file that may be another than was meant."""
    problems = error.errors()
    return tuple(_explain_one(problem, values) for problem in problems if not _follows(problem, problems))


def _follows(problem: Any, problems: Any) -> bool:
    """Whether a list counts as too short only because one of its entries is wrong, which is said anyway."""
    place = problem["loc"]
    inside = (other["loc"] for other in problems if len(other["loc"]) > len(place))
    return problem["type"] == "too_short" and any(loc[: len(place)] == place for loc in inside)


def _explain_one(problem: Any, values: bool) -> str:
    place = _path(problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown setting"
    if problem["type"] == "missing":
        return f"{place}: missing"
    value = problem.get("input")
    shown = f" (is {value!r})" if values and isinstance(value, str | int | float | bool) else ""
    if problem["type"] in ("model_type", "dict_type"):
        return f"{place}{shown}: expected settings, written as 'name: value'"
    if problem["type"] in ("tuple_type", "list_type"):
        return f"{place}{shown}: expected a list"
    return f"{place}{shown}: {problem['msg'].removeprefix('Value error, ')}"


def _path(location: tuple[Any, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{_named(str(part))}" if path else _named(str(part))
    return path or "(top of the file)"


def _named(written: str) -> str:
    """What a person wrote as the name of a setting; not shown where it looks like none, but like a record."""
    return written if _NAME.fullmatch(written) else "(not shown)"
