"""Reading findings: which concept, which span, and what must hold for every text."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.curate.extract import ExtractFindings, Reader, find
from residency.curate.step import Tools
from residency.packs import Pack
from residency.records import Document, Source, Span

NAMES = [
    ("ataxia", "HP:0001251"),
    ("She is ataxic.", "HP:0001251"),
    ("generalised tonic-clonic seizures", "HP:0002069"),
    ("Seizures", "HP:0001250"),
    ("low-set ears", "HP:0000369"),
    ("atrophy of the cerebellum", "HP:0001272"),
    ("The scan of last week that we asked for shows cerebellar\natrophy.", "HP:0001272"),
    ("Microcephalic", "HP:0000252"),
    ("severe learning disability", "HP:0010864"),
    ("Intellectual disability, severe", "HP:0010864"),
    ("loss of acquired milestones", "HP:0002376"),
    ("gastro-oesophageal reflux", "HP:0002020"),
    ("scoliossis", "HP:0002650"),  # one letter too many
    ("GDD", "HP:0001263"),
    ("ﬂoppy", "HP:0001252"),  # a ligature
    ("squint", "HP:0000486"),
    ("pre-auricular pit", "HP:0004467"),
    ("preauricular pits", "HP:0004467"),
    ("brachydactyly type A-1", "HP:0009371"),
    ("distal arthrogryposis type I", "HP:0005684"),
    ("mentally retarded", "HP:0001249"),
    ("malformed kidneys", "HP:0000077"),
    ("vertical talus", "HP:0001838"),
    ("delay of speech", "HP:0000750"),
    ("ear anomalies", "HP:0000598"),  # a name of the outer ear too: the wider concept counts
    ("spinal defects", "HP:0000925"),  # loosely a name of two concepts; so too
]

LISTS = [
    (
        "anal, renal and ear anomalies",
        [f"Abnormality of the {part}" for part in ("anus", "kidney", "ear")],
    ),
    ("motor and speech delay", ["Motor delay", "Delayed speech and language development"]),
    ("short metacarpals and phalanges", ["Short metacarpal", "Short phalanx of finger"]),
    ("conductive or sensorineural hearing loss", ["Conductive hearing impairment", "Sensorineural hearing impairment"]),
    (
        "mild to moderate intellectual disability",
        [f"Intellectual disability, {d}" for d in ("mild", "moderate")],
    ),
    ("cleft palate, cleft lip", ["Cleft palate", "Cleft lip"]),
    ("Facial and head with long profile.", []),  # a member borrows from words beside it only
    ("microcephaly and wide feet", ["Microcephaly", "Broad foot"]),  # a name of its own borrows nothing
]

NOTHING = [
    "",
    " \n\n\t ",
    "\x00\x00",
    "🙂🙂🙂",
    "The family came by train.",
    "Patient ID 805-953-1553",
    "Epilepsy clinic, 3rd floor",
    "write to epilepsy.nurses@hospital.example",
    "https://example.org/ataxia",
    "An appointment was arranged.",
]

PIECES = [
    "ataxia",
    "no",
    "tremor",
    ",",
    ".",
    "\n",
    "mother had",
    "GDD",
    "?",
    "seizure",
    "🙂",
    "\x00",
    "ID",
    "(",
    ")",
    "or",
]


def document(text: str, number: int = 0, spans: tuple[Span, ...] = ()) -> Document:
    return Document(id=f"d{number}", key=f"k{number}", text=text, source=Source(path="a"), patient="p", spans=spans)


def tools(pack: Pack) -> Tools:
    return Tools(key=bytes(32), seed=0, pack=pack)


@pytest.mark.parametrize(("text", "concept"), NAMES, ids=[text for text, _ in NAMES])
def test_a_name_is_found_however_it_is_written(text: str, concept: str, reader: Reader) -> None:
    assert [finding.concept for finding in find(text, reader)] == [concept]


@pytest.mark.parametrize("text", NOTHING)
def test_a_text_without_findings_gives_none(text: str, reader: Reader) -> None:
    assert find(text, reader) == ()


def test_the_longest_name_wins(reader: Reader) -> None:
    (finding,) = find("focal impaired awareness seizure", reader)
    assert finding.label == "Focal impaired awareness seizure"


def test_both_of_two_coordinated_names_are_found(reader: Reader) -> None:
    labels = {finding.label for finding in find("Palmar and plantar pits.", reader)}
    assert labels == {"Palmar pits", "Plantar pits"}


@pytest.mark.parametrize(("text", "labels"), LISTS, ids=[text for text, _ in LISTS])
def test_members_of_a_list_share_a_part_of_their_names(text: str, labels: list[str], reader: Reader) -> None:
    assert [finding.label for finding in find(text, reader)] == labels


def test_an_adjective_belongs_to_the_noun_that_follows(reader: Reader) -> None:
    assert find("An enlarged cardiac silhouette.", reader) == ()
    assert [f.label for f in find("An enlarged heart.", reader)] == ["Cardiomegaly"]


def test_an_abbreviation_keeps_its_letter_case(reader: Reader) -> None:
    assert [f.concept for f in find("Severe ID noted.", reader)] == ["HP:0010864"]
    assert find("an id was shown", reader) == ()


def test_a_statement_of_normality_is_an_absent_finding(reader: Reader) -> None:
    (finding,) = find("Her spine is straight.", reader)
    assert (finding.concept, finding.status.value) == ("HP:0002650", "absent")


def test_spans_point_at_the_name(reader: Reader) -> None:
    text = "🙂 There is on the scan of last week, as we all feared,  cerebellar\natrophy, no tremor."
    assert [text[f.start : f.end] for f in find(text, reader)] == ["cerebellar\natrophy", "tremor"]


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join)))
def test_spans_lie_in_the_text_in_order_and_apart(reader: Reader, text: str) -> None:
    end = 0
    for finding in find(text, reader):
        assert finding.start is not None and finding.end is not None
        assert end <= finding.start < finding.end <= len(text)
        end = finding.end


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join))
def test_reading_twice_gives_the_same(reader: Reader, text: str) -> None:
    assert find(text, reader) == find(text, reader)


def test_what_goes_in_comes_out_in_any_order(pack: Pack, reader: Reader) -> None:
    documents = [document(f"No tremor, ataxia {n}. Mother had migraine.", n) for n in range(20)]
    forward = list(ExtractFindings()(documents, tools(pack)))
    shuffled = random.Random(7).sample(documents, len(documents))
    assert [d.id for d in forward] == [d.id for d in documents]
    assert {d.id: d for d in forward} == {d.id: d for d in ExtractFindings()(shuffled, tools(pack))}
    assert [d.text for d in forward if isinstance(d, Document) and d.findings] == [d.text for d in documents]


def test_a_name_inside_an_identifier_is_no_finding(pack: Pack, reader: Reader) -> None:
    text = "Seen in Cedar Falls with ataxia."
    spans = (Span(start=8, end=19, label="LOCATION"),)
    (read,) = ExtractFindings()([document(text, spans=spans)], tools(pack))
    assert isinstance(read, Document) and [f.label for f in read.findings] == ["Ataxia"]


LONG = {
    "prose": "The patient has ataxia and no tremor but her mother had migraine. ",
    "no border": "ataxia ",
    "cues only": "absent ",
    "conditions": "if a seizure ",
    "negations": "no ataxia ",
    "relatives": "mother ",
    "dots": "a.b.",
    "spaces": "    ",
    "headings": "Family history:\n",
    "lines": "ataxia\n",
    "one word": "a",
}


@pytest.mark.parametrize("piece", LONG.values(), ids=LONG.keys())
def test_time_grows_with_the_length_of_the_text_and_no_faster(piece: str, reader: Reader) -> None:
    """Eight times the text may take at most 24 times as long; a quadratic reader takes 64 times."""

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        started = time.process_time()
        find(text, reader)
        return time.process_time() - started

    def best(size: int) -> float:  # of three: a collection of garbage in the middle is not the reader's
        return min(seconds(size) for _ in range(3))

    seconds(5_000)
    assert best(80_000) < 24 * max(best(10_000), 0.005)


def test_a_hundred_thousand_words_are_read_in_seconds(reader: Reader) -> None:
    started = time.process_time()
    found = find(LONG["prose"] * 8_400, reader)
    assert len(found) == 3 * 8_400
    assert time.process_time() - started < 60
