"""The concepts of a field: their names, their hierarchy, and which id replaced which.

In: an OBO file that a Python package carries, and the id below which everything counts as a finding.
Out: a ``Terminology``.

Covers: any OBO 1.2 or 1.4 file (terms, synonyms, ``is_a``, ``alt_id``, ``replaced_by``); a compact index in the
user's cache, so that the file is parsed once. Does not cover: finding mentions in text (curate/extract), relations
other than ``is_a``.

The package that carries the file is located, never imported: such packages import whole machine-learning stacks.
The index is JSON and not a pickle, because a cache folder is a place where others may write.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from residency.errors import ProjectError
from residency.packs import Pack, words
from residency.packs.words import content, name_key
from residency.places import cache_folder

INDEX_FORMAT = 3  # raise when the index changes; a change of the normal form of words is noticed

_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s+(EXACT|RELATED|NARROW|BROAD)?\s*([^\[]*)')
_SCOPES = ("LABEL", "EXACT", "NARROW", "RELATED", "BROAD")  # how much a name is worth, best first


@dataclass(frozen=True, slots=True)
class Terminology:
    """All concepts below one root. Every method that takes a concept id takes old ids too."""

    labels: Mapping[str, str]  # concept -> preferred label
    synonyms: Mapping[str, tuple[tuple[str, str], ...]]  # concept -> (name, scope), label first
    parents: Mapping[str, tuple[str, ...]]
    replaced: Mapping[str, str]  # old id -> current id
    keys: Mapping[str, str]  # order-free key of a name -> concept
    known_words: frozenset[str]  # light forms of every word that the file uses, definitions included

    def __contains__(self, concept: str) -> bool:
        return self.current(concept) in self.labels

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def current(self, concept: str) -> str:
        """The id in use today; an id that nothing replaces comes back as it is."""
        seen = {concept}
        while (newer := self.replaced.get(concept)) is not None and newer not in seen:
            seen.add(newer)
            concept = newer
        return concept

    def label(self, concept: str) -> str:
        """The preferred label. KeyError where the concept is not below the root."""
        return self.labels[self.current(concept)]

    def names(self, concept: str) -> tuple[str, ...]:
        """The preferred label, then the synonyms."""
        return tuple(name for name, _ in self.synonyms[self.current(concept)])

    def concept_of(self, name: str) -> tuple[str, str] | None:
        """(id, preferred label) of the concept with this name or id; case, number, spelling and order do not matter."""
        concept = self.keys.get(name_key(name)) or self.current(name.strip().upper())
        return (concept, self.labels[concept]) if concept in self.labels else None

    def ancestors(self, concept: str) -> frozenset[str]:
        """Every concept above, up to the root, without the concept itself."""
        found: set[str] = set()
        waiting = list(self.parents.get(self.current(concept), ()))
        while waiting:
            parent = waiting.pop()
            if parent not in found:
                found.add(parent)
                waiting.extend(self.parents.get(parent, ()))
        return frozenset(found)

    def is_a(self, concept: str, other: str) -> bool:
        """Whether ``concept`` is ``other`` or lies below it."""
        concept, other = self.current(concept), self.current(other)
        return concept == other or other in self.ancestors(concept)


def load_terminology(pack: Pack) -> Terminology:
    """The pack's terminology, from the cache where the file did not change."""
    source = pack.settings.terminology
    if source is None:
        raise ProjectError(f"pack {pack.name}: it names no terminology.", fix="Add terminology to its pack.yaml.")
    path = _find(source.package, source.file)
    return read_obo(path, root=source.root)


def read_obo(path: Path, *, root: str) -> Terminology:
    """The concepts below ``root`` of an OBO file, root included."""
    data = path.read_bytes()
    identity = _identity(data, root)
    cached = cache_folder() / f"terminology-{identity}.json"
    index = _read_index(cached)
    if index is None:
        index = _build(data.decode("utf-8"), root, place=path.name)
        _write_index(cached, index)
    return index


def _identity(data: bytes, root: str) -> str:
    """Hash of everything that the index is made from: the file, the root and the code that folds words."""
    parts = (str(INDEX_FORMAT).encode(), root.encode(), Path(words.__file__).read_bytes(), data)
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _find(package: str, file: str) -> Path:
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / file
        if path.is_file():
            return path
    raise ProjectError(
        f"terminology: the Python package {package!r} with the file {file!r} is not installed.",
        fix=f"Run: pip install {package.replace('_', '-')}",
    )


@dataclass(slots=True)
class _Term:
    id: str
    name: str
    synonyms: list[tuple[str, str]]
    parents: list[str]
    old_ids: list[str]
    replaced_by: str = ""
    obsolete: bool = False


def _build(text: str, root: str, *, place: str) -> Terminology:
    terms = {term.id: term for term in _terms(text)}
    if root not in terms:
        raise ProjectError(f"{place}: no term {root!r} in the file.", fix="Correct terminology.root in pack.yaml.")
    below = _below(root, terms)
    ordered = sorted(below)
    synonyms = {c: ((terms[c].name, "LABEL"), *dict.fromkeys(terms[c].synonyms)) for c in ordered}
    replaced = {term.id: term.replaced_by for term in terms.values() if term.replaced_by}
    replaced |= {old: term.id for term in terms.values() if not term.obsolete for old in term.old_ids}
    return Terminology(
        labels={c: terms[c].name for c in ordered},
        synonyms=synonyms,
        parents={c: tuple(p for p in terms[c].parents if p in below) for c in ordered},
        replaced=replaced,
        keys=_keys(synonyms),
        known_words=frozenset(content(text)),
    )


def _terms(text: str) -> Iterator[_Term]:
    for stanza in re.split(r"\n\[", text)[1:]:
        if not stanza.startswith("Term]"):
            continue
        term = _Term(id="", name="", synonyms=[], parents=[], old_ids=[])
        for line in stanza.splitlines()[1:]:
            _read_line(term, *line.partition(": ")[::2])
        if term.id:
            yield term


def _read_line(term: _Term, tag: str, value: str) -> None:
    if tag == "id":
        term.id = value.strip()
    elif tag == "name":
        term.name = value.strip()
    elif tag == "synonym" and (match := _SYNONYM.match(value)):
        if "obsolete" not in match[3]:
            term.synonyms.append((match[1].replace('\\"', '"').strip(), match[2] or "RELATED"))
    elif tag == "is_a":
        term.parents.append(value.split()[0])
    elif tag == "alt_id":
        term.old_ids.append(value.strip())
    elif tag == "replaced_by":
        term.replaced_by = value.strip()
    elif tag == "is_obsolete":
        term.obsolete = value.strip() == "true"


def _below(root: str, terms: Mapping[str, _Term]) -> frozenset[str]:
    children: dict[str, list[str]] = {}
    for term in terms.values():
        for parent in term.parents:
            children.setdefault(parent, []).append(term.id)
    found, waiting = {root}, [root]
    while waiting:
        fresh = [child for child in children.get(waiting.pop(), ()) if child not in found]
        found.update(fresh)
        waiting.extend(fresh)
    return frozenset(c for c in found if not terms[c].obsolete)


def _keys(synonyms: Mapping[str, Iterable[tuple[str, str]]]) -> dict[str, str]:
    """Name keys to concepts: the better scope wins, among equals the lower id."""
    best: dict[str, tuple[int, str]] = {}
    for concept, names in synonyms.items():
        for name, scope in names:
            candidate = (_SCOPES.index(scope), concept)
            key = name_key(name)
            best[key] = min(best.get(key, candidate), candidate)
    best.pop("", None)
    return {key: concept for key, (_, concept) in best.items()}


def _read_index(path: Path) -> Terminology | None:
    """The cached index; None where there is none or it cannot be trusted."""
    try:
        raw = json.loads(path.read_bytes())
        seal = raw.pop("seal")
        if seal != _seal(raw):
            return None
        return Terminology(
            labels=raw["labels"],
            synonyms={c: tuple((name, scope) for name, scope in names) for c, names in raw["synonyms"].items()},
            parents={c: tuple(parents) for c, parents in raw["parents"].items()},
            replaced=raw["replaced"],
            keys=raw["keys"],
            known_words=frozenset(raw["known_words"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write_index(path: Path, index: Terminology) -> None:
    """Write beside and rename, so that no reader ever sees half a file. A cache that cannot be written is no error."""
    raw = asdict(index) | {"known_words": sorted(index.known_words)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(raw | {"seal": _seal(raw)}, file, ensure_ascii=False, separators=(",", ":"))
        os.replace(file.name, path)
    except OSError:
        return


def _seal(raw: Mapping[str, object]) -> str:
    """Detects a torn or edited file. Not a signature: who may write the cache may also write the seal."""
    return hashlib.sha256(json.dumps(raw, separators=(",", ":"), sort_keys=True).encode()).hexdigest()
