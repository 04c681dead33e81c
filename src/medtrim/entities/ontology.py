"""The ontology: what reports name, and how. Data lives in YAML; this is its shape and its loader."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from medtrim.entities.overlay import check_document, merge
from medtrim.errors import OntologyError
from medtrim.types import Contradictions, OntologyRef
from medtrim.types.yamlfile import load_yaml, read_yaml

PARTS = ("ontology", "findings", "anatomy", "descriptors", "cues")


@dataclass(frozen=True, slots=True)
class Concept:
    """A finding that reports name.

    `reports_as` are the diseases under which it enters an annotation: its topmost ancestors, or itself.
    `takes` are the kinds of direction it can carry; kinds other than side and zone go with either; `shares` are
    those it takes over from a neighbour. `plural` is the
    adjective that a plural says without saying it: nodules are multiple. Without `inflect` no plurals are made.
    """

    name: str
    terms: tuple[str, ...]
    category: str
    takes: frozenset[str]
    shares: frozenset[str]
    reports_as: tuple[str, ...]
    parents: tuple[str, ...] = ()
    codes: Mapping[str, str] | None = None
    plural: str = ""
    inflect: bool = True


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A canonical adjective or direction with its surface forms; `kind` is its axis."""

    name: str
    role: str
    kind: str
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Composition:
    """A finding said in two places of a clause: an anatomy and what changed about it.

    With `normal`, the anatomy called normal denies the finding.
    """

    finding: str
    anatomy: tuple[str, ...]
    change: str
    normal: bool


@dataclass(frozen=True, repr=False)
class Ontology:
    """A checked ontology. `data` is the merged document; its canonical JSON gives the content hash."""

    data: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<Ontology {self.name} {self.version}>"

    @property
    def name(self) -> str:
        """Name of the default ontology, with the overlays' names joined by `+`."""
        return str(self.data["name"])

    @property
    def version(self) -> str:
        """Version, joined like the name."""
        return str(self.data["version"])

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the content: equal vocabularies have equal hashes, whatever the files' layout."""
        return hashlib.sha256(json.dumps(self.data, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    @property
    def ref(self) -> OntologyRef:
        """What an annotations table records of the ontology."""
        return OntologyRef(self.name, self.version, self.hash)

    @cached_property
    def contradictions(self) -> Contradictions:
        """The axes on which two descriptor sets can contradict each other."""
        return Contradictions({axis: dict(levels) for axis, levels in self.data["axes"].items()})

    @cached_property
    def concepts(self) -> dict[str, Concept]:
        """Findings by name, in the ontology's order."""
        rows = self.data["findings"]
        return {
            name: Concept(
                name=name,
                terms=tuple(row.get("terms") or ()),
                category=row["category"],
                takes=frozenset(self._profile(name, row["category"])["takes"]),
                shares=frozenset(self._profile(name, row["category"])["shares"]),
                reports_as=_roots(name, rows),
                parents=tuple(row.get("parents") or ()),
                codes=row.get("codes"),
                plural=row.get("plural", ""),
                inflect=row.get("inflect", True),
            )
            for name, row in rows.items()
        }

    def _profile(self, name: str, category: str) -> Mapping[str, list[str]]:
        profiles = self.data["profiles"]
        if category not in profiles:
            raise OntologyError(f"findings: {name!r}: category {category!r} is not among {', '.join(profiles)}")
        found: Mapping[str, list[str]] = profiles[category]
        return found

    @cached_property
    def descriptors(self) -> dict[str, Descriptor]:
        """Adjectives and directions by canonical name."""
        found: dict[str, Descriptor] = {}
        for role, section, kind in (("adjective", "adjectives", "axis"), ("direction", "directions", "kind")):
            for name, row in self.data[section].items():
                found[name] = Descriptor(name, role, row[kind], tuple(row.get("terms") or ()))
        return found

    @cached_property
    def compositions(self) -> tuple[Composition, ...]:
        """Findings said in two places."""
        return tuple(
            Composition(row["finding"], tuple(row["anatomy"]), row["change"], bool(row.get("normal")))
            for row in self.data["compositions"]
        )


def load_ontology(*overlays: Path | str) -> Ontology:
    """The default ontology with `overlays` laid over it in order.

    Raises:
        OntologyError: a file has unknown keys, names a concept that does not exist, or parents form a cycle.
        ConfigError: a file cannot be read as YAML.

    Examples:
        >>> import medtrim
        >>> ontology = medtrim.load_ontology()
        >>> "pleural effusion" in ontology.concepts, ontology.descriptors["left"].kind
        (True, 'side')
    """
    if not overlays:
        return _default()
    data = _default().data
    for path in overlays:
        document = read_yaml(path)
        check_document(document, source=str(path))
        data = merge(data, document, source=str(path))
    return _checked(data)


@lru_cache(maxsize=1)
def _default() -> Ontology:
    folder = resources.files("medtrim.entities") / "vocabulary"
    data: dict[str, Any] = {}
    for part in PARTS:
        document = load_yaml((folder / f"{part}.yaml").read_text(encoding="utf-8"), source=f"{part}.yaml")
        check_document(document, source=f"{part}.yaml")
        data |= document
    return _checked(data)


def _checked(data: Mapping[str, Any]) -> Ontology:
    ontology = Ontology(data)
    known = ontology.concepts
    for row in ontology.compositions:
        for group, names in (("findings", [row.finding]), ("anatomy", row.anatomy), ("changes", [row.change])):
            for name in names:
                if name not in data[group]:
                    raise OntologyError(f"compositions: {name!r} is not among the {group}")
    for name, row in data["compounds"].items():
        for part in row["means"]:
            if part not in ontology.descriptors:
                raise OntologyError(f"compounds: {name!r} means {part!r}, which is no descriptor")
    for axis, levels in data["axes"].items():
        for level in levels:
            if level not in ontology.descriptors:
                raise OntologyError(f"axes: {axis!r} names {level!r}, which is no descriptor")
    if not known:
        raise OntologyError("the ontology has no findings")
    return ontology


def _roots(name: str, rows: Mapping[str, Any], trail: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Topmost ancestors of `name`, each once, in the order of its parents."""
    if name in trail:
        raise OntologyError(f"findings: parents form a cycle: {' → '.join((*trail, name))}")
    if name not in rows:
        raise OntologyError(f"findings: {trail[-1]!r} has the parent {name!r}, which is not among the findings")
    parents = rows[name].get("parents") or ()
    if not parents:
        return (name,)
    return tuple(dict.fromkeys(root for parent in parents for root in _roots(parent, rows, (*trail, name))))
