"""What an edit did: both texts can be read from the stretches."""

from hypothesis import given
from hypothesis import strategies as st

from residency.evaluate.report.changes import changes, size

TEXT = st.text(alphabet="ab .\n", max_size=40)


@given(TEXT, TEXT)
def test_the_stretches_give_both_texts(before: str, after: str) -> None:
    stretches = changes(before, after)
    assert "".join(s.get("same", s.get("gone", "")) for s in stretches) == before
    assert "".join(s.get("same", s.get("new", "")) for s in stretches) == after
    assert (size(stretches) == 0) == (before == after)


def test_a_word_is_the_unit() -> None:
    assert changes("She has ataxla.", "She has ataxia.") == [
        {"same": "She has "},
        {"gone": "ataxla", "new": "ataxia"},
        {"same": "."},
    ]
