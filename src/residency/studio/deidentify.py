"""Checking de-identification: doubtful spans one by one, and documents read from beginning to end.

In: the vault, the machine's spans, what the second look suspects. Out: verdicts on spans and readings, as decisions of
the same form as those of the terminal: the release gate's bounds move with each.

Covers: accept, reject, another class, a missed span; reading blind, the machine's spans shown only once the reader has
said what they found, and what was missed taken as the difference. Does not cover: releasing a set (review.py).

The blind reading is what bounds recall: a reader who sees marks reads the marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from random import Random
from typing import Any

from residency.curate.deidentify.feedback import Place, reading_decision, readings, span_decision
from residency.curate.deidentify.labels import Identifier
from residency.intake import TREATMENT, raw_document, treatment
from residency.records import Span, record_id
from residency.review import CONTEXT, Doubtful, check_label, check_places, deidentified, doubtful_spans
from residency.store.queues import Duty, Item, Suggestion
from residency.studio.work import Filled, OfProject, View, a_place, an_object


class _Deidentify(OfProject):
    """What both queues have in common."""

    kind: str
    decides = True
    raw = True
    suggests = False

    @cached_property
    def run(self) -> str:
        """The run of de-identification that the queue is about."""
        return deidentified(self.project).hash("documents")

    @property
    def queue(self) -> str:
        return f"{self.kind}/{self.run[:8]}"

    def suggestions(self, item: Item) -> list[Suggestion]:
        return []

    def differ(self, item: Item, contents: Sequence[Any]) -> bool:
        return False  # one reader

    def parts(self, item: Item) -> int:
        return 1

    def _added(self, items: Iterator[tuple[Item, float]]) -> list[Filled]:
        return [Filled(queue=self.queue, added=self.queues.add(items), readers=1)]


class Spans(_Deidentify):
    """Doubtful spans, the likeliest identifier first within each document."""

    kind = "spans"

    def fill(self) -> list[Filled]:
        return self._added(self._items())

    def _items(self) -> Iterator[tuple[Item, float]]:
        patients = self.project.vault.owners(TREATMENT)
        for turn, doubtful in enumerate(doubtful_spans(self.project)):
            span = doubtful.span
            facts = {"start": span.start, "end": span.end, "label": span.label, "why": doubtful.why}
            yield Item(
                id=record_id("i", queue=self.queue, document=doubtful.document, **facts), queue=self.queue,
                kind=self.kind, subject=doubtful.document, patient=patients.get(doubtful.document, ""), facts=facts,
            ), float(turn)  # fmt: skip

    def view(self, item: Item, *, duty: Duty, versions: Sequence[Any] = (), answered: Any = None) -> View:
        """The span in its context, and why it is asked about: here the machine's word is the question itself."""
        text = raw_document(self.project.vault, item.subject).text
        shown = self._doubtful(item, text)
        return {
            "before": shown.before,
            "text": shown.text,
            "after": shown.after,
            "offset": max(0, shown.span.start - CONTEXT),  # of the first character that is shown
            "label": shown.span.label,
            "why": shown.why,
            "classes": list(Identifier),
        }

    def check(self, item: Item, content: Any, *, duty: Duty) -> Any:
        """``{"label": class or ""}``: "" for no identifier; with ``"place": {"start", "end"}`` where the identifier has
        other edges than the machine's span."""
        said = an_object(content, "label", "place")
        label = said.get("label")
        if label:
            check_label(str(label))
        length = len(raw_document(self.project.vault, item.subject).text)
        edges = said.get("place") or {name: item.facts[name] for name in ("start", "end")}
        start, end = a_place(edges, length)
        return {"label": str(label or ""), "place": {"start": start, "end": end}}

    def decisions(self, item: Item, content: Any) -> list[dict[str, Any]]:
        place = Place(content["place"]["start"], content["place"]["end"], content["label"])
        return [span_decision(item.subject, place, was=item.facts["label"])]

    def _doubtful(self, item: Item, text: str) -> Doubtful:
        start, end = item.facts["start"], item.facts["end"]
        span = Span(start=start, end=end, label=item.facts["label"])
        before, after = text[max(0, start - CONTEXT) : start], text[end : end + CONTEXT]
        return Doubtful(item.subject, span, before, text[start:end], after, item.facts["why"])


class Read(_Deidentify):
    """Whole documents in drawn order: marked blind first, then held against the machine's spans."""

    kind = "read"

    def fill(self) -> list[Filled]:
        return self._added(self._items())

    def _items(self) -> Iterator[tuple[Item, float]]:
        vault, patients = self.project.vault, self.project.vault.owners(TREATMENT)
        done = readings(self.project.workspace.ledger.decisions())
        ids = sorted(vault.ids(TREATMENT))
        Random(self.project.settings.seed).shuffle(ids)  # the order of the terminal: one sample, wherever it is read
        for turn, document in enumerate(ids):
            if document not in done:
                yield Item(
                    id=record_id("i", queue=self.queue, document=document), queue=self.queue, kind=self.kind,
                    subject=document, patient=patients.get(document, ""),
                ), float(turn)  # fmt: skip

    def view(self, item: Item, *, duty: Duty, versions: Sequence[Any] = (), answered: Any = None) -> View:
        """The text alone; once the reader has marked it, also the machine's spans, and what it missed."""
        view: View = {"text": raw_document(self.project.vault, item.subject).text, "classes": list(Identifier)}
        if answered is not None:
            found = treatment(self.project.vault, item.subject).found
            missed, unmarked = self._compared(item, answered)
            view["machine"] = [{"start": span.start, "end": span.end, "label": span.label} for span in found]
            view["missed"] = [_plain(place) for place in missed]
            view["unmarked"] = [_plain(place) for place in unmarked]
        return view

    def check(self, item: Item, content: Any, *, duty: Duty) -> Any:
        """``{"marked": [{"start", "end", "label"}, ...], "wrong": [...]}``: what the reader found before they saw the
        machine's spans; afterwards, of those spans that they had not marked, the ones that are no identifiers."""
        said = an_object(content, "marked", "wrong")
        length = len(raw_document(self.project.vault, item.subject).text)
        checked: dict[str, list[dict[str, Any]]] = {}
        for name in ("marked", "wrong"):
            places = [
                Place(*a_place(one, length), str(an_object(one, "start", "end", "label").get("label")))
                for one in said.get(name) or ()
            ]
            check_places(places, item.subject, length)
            checked[name] = [_plain(place) for place in dict.fromkeys(places)]
        return checked

    def decisions(self, item: Item, content: Any) -> list[dict[str, Any]]:
        missed, _ = self._compared(item, content)
        return [reading_decision(item.subject, missed, [_place(one) for one in content["wrong"]])]

    def _compared(self, item: Item, content: Any) -> tuple[list[Place], list[Place]]:
        """What the person marked and the machine did not find, and the reverse."""
        found = treatment(self.project.vault, item.subject).found
        marked = [_place(one) for one in content["marked"]]
        text = raw_document(self.project.vault, item.subject).text
        missed = [part for place in marked for part in _uncovered(place, found, text)]
        unmarked = [
            Place(span.start, span.end, span.label)
            for span in found
            if not any(place.overlaps(span) for place in marked)
        ]
        return missed, unmarked


def _uncovered(place: Place, found: Sequence[Span], text: str) -> list[Place]:
    """What of a marked place the machine did not find: all of it, or the letters and digits that it left, because a
    part of a name that stays is a miss too."""
    parts, position = [], place.start
    for span in sorted(found, key=lambda span: span.start):
        if place.overlaps(span):
            parts.append((position, span.start))
            position = max(position, span.end)
    parts.append((position, place.end))
    return [
        Place(start + len(part) - len(part.lstrip()), start + len(part.rstrip()), place.label)
        for start, end in parts
        if any(map(str.isalnum, part := text[start:end]))
    ]


def _plain(place: Place) -> dict[str, Any]:
    return {"start": place.start, "end": place.end, "label": place.label}


def _place(plain: dict[str, Any]) -> Place:
    return Place(plain["start"], plain["end"], plain["label"])
