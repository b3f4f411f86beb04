"""All problems of a settings file are said at once, each with its path."""

import pytest
from pydantic import Field, ValidationError

from residency.settings import Settings, explain, fingerprint


class Inner(Settings):
    rate: float = Field(gt=0, description="rate")


class Outer(Settings):
    name: str
    inner: tuple[Inner, ...] = ()


def test_three_mistakes_give_three_lines_with_paths():
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"nmae": "x", "inner": [{"rate": 1.0}, {"rate": -2}]})
    assert explain(caught.value) == (
        "name: missing",
        "inner[1].rate (is -2): Input should be greater than 0",
        "nmae: unknown setting",
    )


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        Inner(rate=1.0).rate = 2.0


def test_the_fingerprint_depends_on_values_and_not_on_their_order():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
