"""Concepts that the training reports name, how far each report affirms them, and captions that say so.

Concepts are of two kinds (`concepts.yaml`): a zone of a lung being opaque, whatever the disease, and a disease,
alone, on a side, or of a severity or size. Both come from the recognised findings alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medtrim.errors import ConfigError
from medtrim.mining.similarity import EncodedStudies
from medtrim.types import SIDES
from medtrim.types.yamlfile import load_yaml

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Concept:
    """One concept: captions that affirm and deny it, and the weight of its term."""

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class ConceptTable:
    """The concepts of a corpus.

    Attributes:
        concepts: K of them.
        target: [distinct annotations K], in [0, 1]: how far each annotation affirms each.
    """

    concepts: tuple[Concept, ...]
    target: Floats

    @property
    def captions(self) -> list[str]:
        """Every caption once for each place it has: concept by concept, affirming ones first."""
        return [text for concept in self.concepts for text in (*concept.positive, *concept.negative)]

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Rows of `captions`, one affirming and one denying a concept: [K 2]."""
        drawn, start = np.empty((len(self.concepts), 2), np.int64), 0
        for row, concept in enumerate(self.concepts):
            yes, no = len(concept.positive), len(concept.negative)
            drawn[row] = start + rng.integers(yes), start + yes + rng.integers(no)
            start += yes + no
        return drawn


@dataclass(frozen=True, slots=True)
class _Disease:
    """A disease in one annotation: its descriptors."""

    adjectives: frozenset[str]
    directions: frozenset[str]


def concept_table(encoded: EncodedStudies) -> ConceptTable:
    """The concepts that enough of the studies `encoded` have.

    Raises:
        ConfigError: there is none.
    """
    rules = concept_rules()
    found = [_diseases(encoded, row) for row in range(encoded.distinct)]
    counts = encoded.counts
    least = rules["least_share"] * counts.sum()
    zones = _zone_columns(rules, found)
    findings = _finding_columns(rules, found, encoded.config.diseases)
    kept: list[tuple[str, tuple[str, ...], tuple[str, ...], float, Floats]] = []
    for kind, columns in (("zones", zones), ("findings", findings)):
        usable = [column for column in columns if (column[3] * counts).sum() >= least]
        weight = rules["weights"][kind] / max(1, len(usable))
        kept += [(name, yes, no, weight, target) for name, yes, no, target in usable]
    if not kept:
        raise ConfigError("objective.options.concepts: no finding of the score is in enough training reports")
    concepts = tuple(Concept(name, yes, no, weight) for name, yes, no, weight, _ in kept)
    return ConceptTable(concepts, np.stack([target for *_, target in kept], axis=1))


@cache
def concept_rules() -> dict[str, Any]:
    """The packaged `concepts.yaml`."""
    text = resources.files("medtrim.training").joinpath("concepts.yaml").read_text(encoding="utf-8")
    rules: dict[str, Any] = load_yaml(text, source="concepts.yaml")
    return rules


def zone_captions(side: str, row: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Captions that affirm and deny an opacity in a zone: `side` left or right, `row` upper, middle or lower."""
    rules = concept_rules()["zones"]
    places = [p.format(side=side, word=w) for w, p in product(rules["words"][row], rules["places"])]
    fill = [
        tuple(t.format(name=n, place=p) for t, n, p in product(rules[kind], rules["names"], places))
        for kind in ("positive", "negative")
    ]
    return tuple(dict.fromkeys(fill[0])), tuple(dict.fromkeys(fill[1]))


def _diseases(encoded: EncodedStudies, row: int) -> dict[str, _Disease]:
    found = {}
    for column in np.flatnonzero(encoded.has[row]):
        adjectives = encoded.adjective_sets.members(int(encoded.adjective_codes[row, column]))
        directions = encoded.direction_sets.members(int(encoded.direction_codes[row, column]))
        found[encoded.config.diseases[column]] = _Disease(frozenset(adjectives), frozenset(directions))
    return found


def _grade(rules: dict[str, Any], disease: _Disease) -> float:
    grades = [rules["grades"][a] for a in sorted(disease.adjectives) if a in rules["grades"]]
    return float(max(grades, default=rules["unstated"]))


Column = tuple[str, tuple[str, ...], tuple[str, ...], Floats]


def _zone_columns(rules: dict[str, Any], found: Sequence[dict[str, _Disease]]) -> list[Column]:
    columns = []
    for side, row in product(SIDES, rules["zones"]["rows"]):
        target = np.array([_in_zone(rules, diseases, side, row) for diseases in found], np.float32)
        yes, no = zone_captions(side, row)
        columns.append((f"{side} {row} zone", _some(rules, yes), _some(rules, no), target))
    return columns


def _in_zone(rules: dict[str, Any], diseases: dict[str, _Disease], side: str, row: str) -> float:
    """How opaque the report makes a zone: 0 where no finding is there."""
    zones, most = rules["zones"], 0.0
    for name, disease in diseases.items():
        sides = disease.directions & set(SIDES)
        if name not in zones["diseases"] or (sides and side not in sides):
            continue
        rows = {r for r, words in zones["rows"].items() if disease.directions & set(words)}
        placed = bool(rows)
        rows = rows or set(zones["unplaced"].get(name, zones["rows"]))
        if row in rows:
            most = max(most, _grade(rules, disease) * (1.0 if placed else zones["unplaced_share"]))
    return most


def _finding_columns(
    rules: dict[str, Any], found: Sequence[dict[str, _Disease]], diseases: Sequence[str]
) -> list[Column]:
    columns = []
    for disease in diseases:
        here = [x.get(disease) for x in found]
        columns.append(_finding(rules, disease, disease, [x is not None for x in here]))
        for side in rules["findings"]["sides"]:
            affirmed = [x is not None and side in x.directions for x in here]
            columns.append(_finding(rules, f"{side} {disease}", f"{side} {disease}", affirmed))
        for grade in rules["grades"]:
            affirmed = [x is not None and grade in x.adjectives for x in here]
            columns.append(_finding(rules, f"{grade} {disease}", disease, affirmed))
    return columns


def _finding(rules: dict[str, Any], finding: str, denied: str, affirmed: Sequence[bool]) -> Column:
    templates = rules["findings"]
    yes = tuple(t.format(finding=finding) for t in templates["positive"])
    no = tuple(t.format(finding=denied) for t in templates["negative"])
    return finding, yes, no, np.array(affirmed, np.float32)


def _some(rules: dict[str, Any], captions: tuple[str, ...]) -> tuple[str, ...]:
    """At most so many of them, evenly through the list."""
    count = min(len(captions), rules["captions"])
    return tuple(captions[round(k * (len(captions) - 1) / max(1, count - 1))] for k in range(count))
