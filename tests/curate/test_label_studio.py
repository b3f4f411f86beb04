"""Out to Label Studio and in again is equal; what is wrong in an export is named."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.curate.label_studio import OURS, from_label_studio, labelling_config, to_label_studio
from residency.errors import ProjectError
from residency.records import Document, Finding, Source, Status, TaskKind
from residency.tasks import TaskSettings

TASKS = [
    TaskSettings(name="diagnose", kind=TaskKind.CLASSIFY, answer="diagnosis", prompt="p"),
    TaskSettings(name="findings", kind=TaskKind.EXTRACT, answer="findings", prompt="p"),
    TaskSettings(name="summary", kind=TaskKind.GENERATE, answer="summary", prompt="p"),
]
TEXT = "🧠🧠 She has ataxia, no seizures 🎉."


def document(text: str = TEXT, *findings: Finding, **answers: str) -> Document:
    return Document(
        id="d-1", key="a", text=text, source=Source(path="x"), patient="p", findings=findings, answers=answers
    )


def finding(
    start: int, end: int, concept: str = "HP:0001251", label: str = "Ataxia", status: Status = Status.PRESENT
) -> Finding:
    return Finding(concept=concept, label=label, status=status, start=start, end=end)


def there_and_back(one: Document):
    exported = json.loads(json.dumps(list(to_label_studio([one], TASKS))))
    return exported, from_label_studio(exported, {one.id: one.text}, TASKS)


def test_findings_and_answers_come_back_equal_and_offsets_are_utf16() -> None:
    start = TEXT.index("ataxia")
    one = document(TEXT, finding(start, start + 6), diagnosis="Ataxia & more <x>", summary="A girl.\nTwo lines.")
    exported, [back] = there_and_back(one)
    assert exported[0]["annotations"][0]["result"][0]["value"]["start"] == start + 2  # two emoji before it
    assert back.findings == one.findings and back.who == OURS
    assert back.answers == {"diagnose": "Ataxia & more <x>", "summary": "A girl.\nTwo lines."}


@given(
    st.text(alphabet="aé🧠\n ", min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(0, 19), st.integers(1, 5), st.sampled_from(list(Status))), max_size=4),
)
def test_any_regions_of_any_text_come_back_equal(text: str, places: list) -> None:
    found = {(a, min(a + n, len(text)), s) for a, n, s in places if a < len(text)}
    findings = sorted((finding(a, b, status=s) for a, b, s in found), key=lambda f: (f.start, f.concept))
    one = document(text, *findings)
    _, back = there_and_back(one)
    assert sorted(map(repr, back[0].findings if back else ())) == sorted(map(repr, one.findings))


def test_the_configuration_is_xml_that_names_every_task() -> None:
    config = labelling_config(TASKS, {"diagnose": ['A "quoted" & <odd>', "B"]})
    root = ElementTree.fromstring(config)
    assert {node.get("name") for node in root} == {"text", "status", "concept", "diagnose", "summary"}
    assert [node.get("value") for node in root.iter("Choice")] == ['A "quoted" & <odd>', "B"]


def test_several_annotators_are_kept_apart_and_cancelled_ones_left_out() -> None:
    exported = list(to_label_studio([document(TEXT, diagnosis="A")], TASKS))
    first = exported[0]["annotations"][0]
    exported[0]["annotations"] = [
        {**first, "completed_by": 7},
        {**first, "completed_by": {"id": 8}},
        {**first, "was_cancelled": True},
    ]
    assert [one.who for one in from_label_studio(exported, {"d-1": TEXT}, TASKS)] == ["7", "8"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t["data"].update(document="other"), "names no document"),
        (lambda t: t["data"].update(text="changed"), "text was changed"),
        (lambda t: t["annotations"][0]["result"][0]["value"].update(labels=["maybe"]), "status 'maybe'"),
        (lambda t: t["annotations"][0]["result"][0]["value"].update(end=5000), "does not lie within"),
        (lambda t: t["annotations"][0]["result"].pop(0), "without a marked region"),
        (lambda t: t["annotations"][0]["result"][0].update(from_name="stars"), "which no task is called"),
    ],
)
def test_what_is_wrong_in_an_export_is_named(change, problem: str) -> None:
    exported = list(to_label_studio([document(TEXT, finding(11, 17))], TASKS))
    change(exported[0])
    with pytest.raises(ProjectError, match=problem) as raised:
        from_label_studio(exported, {"d-1": TEXT}, TASKS)
    assert "ataxia" not in str(raised.value)


def test_an_export_of_another_kind_is_refused() -> None:
    with pytest.raises(ProjectError, match="no list of tasks"):
        from_label_studio({"tasks": []}, {}, TASKS)


def test_findings_are_sent_only_where_the_configuration_has_a_place_for_them() -> None:
    [task] = to_label_studio([document(TEXT, finding(11, 17), diagnosis="A")], TASKS[:1])
    named = {result["from_name"] for result in task["annotations"][0]["result"]}
    config = ElementTree.fromstring(labelling_config(TASKS[:1], {"diagnose": ["A"]}))
    assert named == {"diagnose"} and named <= {node.get("name") for node in config}


def test_one_text_in_place_of_a_list_is_that_text() -> None:
    [task] = to_label_studio([document(TEXT, summary="A girl.")], TASKS)
    task["annotations"][0]["result"][0]["value"]["text"] = "Two girls."
    [back] = from_label_studio([task], {"d-1": TEXT}, TASKS)
    assert back.answers == {"summary": "Two girls."}


def places(value, place=()):
    """Every place in nested lists and dicts."""
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*place, key))


@given(st.data())
def test_an_export_that_is_torn_anywhere_is_read_or_refused_without_its_text(data: st.DataObject) -> None:
    exported = list(to_label_studio([document(TEXT, finding(11, 17), diagnosis="A", summary="B")], TASKS))
    *way, last = data.draw(st.sampled_from([place for place in places(exported) if place]))
    holder = exported
    for key in way:
        holder = holder[key]
    holder[last] = data.draw(st.sampled_from([None, 5, -1, True, "x", [], {}, [1], [[]], [None], {"a": 1}]))
    try:
        from_label_studio(exported, {"d-1": TEXT}, TASKS)
    except ProjectError as error:
        assert "ataxia" not in str(error)
