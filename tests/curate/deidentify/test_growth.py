"""Time and memory grow with the length of a text and no faster, whatever is in it."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from residency.curate.deidentify import Detector
from residency.curate.step import Tools

PROSE = "Seen by Dr. Brennan on 03/04/2019 for ataxia, MRN 1234567; her mother Anna Halloway lives in Walsall. "
ODD = {
    "brackets": "(",
    "square brackets": "[",
    "dashes": "-",
    "colons": ":",
    "digits": "1",
    "fractions": "1/",
    "letters": "a",
    "line ends": "\n",
    "windows line ends": "\r\n",
    "blanks": " ",
    "one letter each": "a ",
    "apostrophes": "O'",
    "hyphens": "Anna-",
    "hyphens behind a name": "EdD-",
    "e-mail": "a@",
    "addresses": "www.",
    "combining marks": "\u0301",
    "marks in no order": "\u0301\u0323",
    "letters with marks": "e\u0301",
    "particles": "van ",
    "relatives": "great ",
    "relatives with hyphens": "great-",
    "royalty": "royal ",
    "labels": "mrn-",
    "pictures": "photo-",
    "corrections": "amended:",
    "lists": "Nan Nan & ",
    "authors": "Smith A, ",
    "one line of prose": PROSE,
}


@pytest.fixture(scope="module")
def rules(tools: Tools) -> Detector:
    """Without the model's entities, as documents are read unless somebody asks for them."""
    detector = Detector(tools.pack, entities=False)
    detector(["warm"])
    return detector


def best(detector: Detector, piece: str, size: int) -> float:
    """Seconds for a text of ``piece`` again and again; of three, because a collection of garbage in the middle is
    not the detector's."""
    text = "1. Miller A, Patient: Anna Miller " + piece * (size // len(piece))
    taken = []
    for _ in range(3):
        started = time.process_time()
        detector([text])
        taken.append(time.process_time() - started)
    return min(taken)


@pytest.mark.parametrize("piece", ODD.values(), ids=ODD.keys())
def test_time_grows_with_the_length_of_the_text_and_no_faster(piece: str, rules: Detector) -> None:
    """Four times the text may take at most nine times as long; a quadratic rule takes sixteen times. Both texts are
    of one block, since blocks hide what a rule does."""
    assert best(rules, piece, 14_000) < 9 * max(best(rules, piece, 3_500), 0.02)


@pytest.mark.parametrize("piece", ["(", "comma "])
def test_time_grows_no_faster_with_the_entities_of_the_model(piece: str, detector: Detector) -> None:
    """Blocks of this size are all tokens to spaCy, whose tokenizer reads a run without blanks again and again."""
    detector(["a"])
    assert best(detector, piece, 14_000) < 9 * max(best(detector, piece, 3_500), 0.02)


def test_a_text_of_many_blocks_takes_the_time_of_its_blocks(rules: Detector) -> None:
    assert best(rules, PROSE, 80_000) < 9 * best(rules, PROSE, 20_000)


def test_a_cue_before_a_run_of_separators_is_given_up_at_once(rules: Detector) -> None:
    """Four words in any place of the run were once tried in every combination, which takes minutes."""
    started = time.process_time()
    rules(["completed" + ":" * 400 + "\n" + "amended" + ": " * 400])
    assert time.process_time() - started < 5


def test_a_name_of_twenty_thousand_letters_needs_no_memory_for_its_misspellings(rules: Detector) -> None:
    tracemalloc.start()
    rules(["Patient: Anna " + "M" + "a" * 19_000])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60_000_000


@pytest.mark.slow
def test_a_line_of_a_megabyte_is_read_in_less_than_two_hundred_megabytes(rules: Detector) -> None:
    text = PROSE * (1_000_000 // len(PROSE))
    tracemalloc.start()
    spans = rules([text])[0]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(spans) == 5 * (1_000_000 // len(PROSE))
    assert peak < 200_000_000
