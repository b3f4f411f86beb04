"""All problems of a settings file are said at once, each with its path."""

from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from residency.settings import Settings, explain, fingerprint, read_yaml


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


def test_values_are_left_out_on_request_and_names_that_are_none_always():
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"name": "x", "inner": [{"rate": "Mrs Turner"}], "Mrs Turner": 1})
    hidden = " ".join(explain(caught.value, values=False))
    assert "inner[0].rate: " in hidden and "(not shown): unknown setting" in hidden and "Turner" not in hidden
    assert "inner[0].rate (is 'Mrs Turner')" in explain(caught.value)[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 5000, "nested too deeply"),
        ("? [a]\n: 1", "list or mapping"),
        ("? {a: 1}\n: 1", "list or mapping"),
        ("a: 2023-02-30", "does not allow"),
        ("a: " + "9" * 5000, "does not allow"),
        ("!!bool x: 1", "does not allow"),
        ("a: !!timestamp x", "does not allow"),
        ("Mrs Turner: 1\nMrs Turner: 2", "'(not shown)' stands twice"),
    ],
)
def test_yaml_that_cannot_be_read_is_one_kind_of_error(text, problem):
    with pytest.raises(yaml.YAMLError) as caught:
        read_yaml(text)
    assert problem in caught.value.problem


@given(st.text(alphabet="ab1:-?!*&[]{}<>|\"' \n", max_size=40))
def test_whatever_the_text_reading_it_raises_nothing_else(text):
    with suppress(yaml.YAMLError):
        read_yaml(text)
