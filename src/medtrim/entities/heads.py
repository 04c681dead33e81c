"""Heads: what a clause is about. A finding's own word, or an anatomy with what changed about it."""

from __future__ import annotations

from dataclasses import dataclass

from medtrim.entities.lexicon import DESCRIPTOR, Kind
from medtrim.entities.matcher import Item
from medtrim.entities.ontology import Composition, Concept, Ontology

_FINDING, _ANATOMY, _CHANGE, _NORMAL = int(Kind.FINDING), int(Kind.ANATOMY), int(Kind.CHANGE), int(Kind.NORMAL)
_THROUGH_RIGHT = DESCRIPTOR | int(Kind.THE | Kind.PREPOSITION | Kind.CHANGE)
_STOP_LEFT = int(Kind.FINDING | Kind.COMMA | Kind.WITH | Kind.BREAK | Kind.EXISTENTIAL)
_IGNORE = int(Kind.IGNORE)
_ELSEWHERE, _THE, _PREPOSITION = int(Kind.ELSEWHERE), int(Kind.THE), int(Kind.PREPOSITION)
# Findings of these categories are looked for in the chest alone; bones and soft tissue are everywhere.
_CHEST = frozenset({"lung", "pleura", "vessels", "heart", "mediastinum"})
_COORDINATED = int(Kind.AND | Kind.OR | Kind.COMMA | Kind.THE | Kind.ADJECTIVE | Kind.DIRECTION)


@dataclass(slots=True)
class Head:
    """A mentioned finding: the item that carries it, its concept, and the items that name it.

    `normal` is the item that calls an anatomy normal, which denies the finding.
    """

    index: int
    concept: Concept
    parts: tuple[int, ...]
    normal: int | None = None


def _without_ranges(items: list[Item], heads: list[Head]) -> list[Head]:
    """One head of "borderline to mildly enlarged": of two changes of one anatomy, an adjective gives way."""
    kept: list[Head] = []
    for number, head in enumerate(heads):
        again = any(
            later.concept is head.concept and later.index > head.index and set(later.parts) & set(head.parts)
            for later in heads[number + 1 :]
        )
        if not (again and items[head.index].term.adjectives and len(head.parts) > 1):
            kept.append(head)
    return kept


def _is_elsewhere(items: list[Item], at: int) -> bool:
    """Whether the finding at item `at` is another organ's: "shoulder joint effusion", "collapse of the T8 body"."""
    before = at - 1
    while before >= 0 and items[before].end == items[before + 1].start and items[before].kinds & DESCRIPTOR:
        before -= 1
    if before >= 0 and items[before].kinds & _ELSEWHERE and items[before + 1].start - items[before].end <= 1:
        return True  # "gallbladder wall edema": a word in between may be unknown
    of = False
    for i in range(at + 1, len(items)):
        kinds = items[i].kinds
        if items[i].start - items[i - 1].end > 1:
            return False
        if kinds & _ELSEWHERE:
            return of or items[i - 1].kinds & _THE > 0
        of = of or bool(kinds & _PREPOSITION)
        if not kinds & (DESCRIPTOR | _THE | _IGNORE) and not (kinds & _PREPOSITION and i == at + 1):
            return False
    return False


class HeadFinder:
    """Finds the heads of a sentence by the ontology's findings and compositions."""

    def __init__(self, ontology: Ontology) -> None:
        concepts = ontology.concepts
        self._changed: dict[tuple[str, str], Concept] = {}
        self._denied: dict[str, Concept] = {}
        for row in ontology.compositions:
            self._add(row, concepts[row.finding])

    def _add(self, row: Composition, concept: Concept) -> None:
        for anatomy in row.anatomy:
            self._changed[anatomy, row.change] = concept
            if row.normal:
                self._denied[anatomy] = concept

    def find(self, items: list[Item], clauses: list[int]) -> list[Head]:
        """The heads in order of position."""
        heads: list[Head] = []
        compose = False
        for i, item in enumerate(items):
            concept = item.term.concept
            if concept is not None:
                if concept.category in _CHEST and _is_elsewhere(items, i):
                    continue
                heads.append(Head(i, concept, (i,)))
            elif item.kinds & _ANATOMY:
                compose = True
        if compose:
            for i, item in enumerate(items):
                if item.kinds & _CHANGE and item.term.concept is None:
                    heads.extend(self._changes(items, clauses, i))
            heads = _without_ranges(items, heads)
            for i, item in enumerate(items):
                if item.kinds & _NORMAL:
                    heads.extend(self._normals(items, clauses, i, heads))
            heads.sort(key=lambda h: (h.index, h.parts))
        return heads

    def _changes(self, items: list[Item], clauses: list[int], at: int) -> list[Head]:
        for j in range(at + 1, len(items)):  # "enlargement of the heart", "prominent pulmonary vessels"
            if clauses[j] != clauses[at]:
                break
            kinds = items[j].kinds
            if kinds & _FINDING:
                return []
            if kinds & _ANATOMY:
                found = self._changed_by(items, at, j)
                return [found] if found else []
            if not kinds & _THROUGH_RIGHT:
                break
        return [
            head for j in self._subjects(items, clauses, at) if (head := self._changed_by(items, at, j)) is not None
        ]

    def _changed_by(self, items: list[Item], at: int, anatomy: int) -> Head | None:
        for change in items[at].term.changes:
            concept = self._changed.get((items[anatomy].term.anatomy, change))
            if concept is not None:
                return Head(at, concept, tuple(sorted((at, anatomy))))
        return None

    def _subjects(self, items: list[Item], clauses: list[int], at: int) -> list[int]:
        """The subjects of the word at `at`: the nearest anatomy to its left and those joined to it."""
        found: list[int] = []
        for j in range(at - 1, -1, -1):
            kinds = items[j].kinds
            if clauses[j] != clauses[at]:
                break
            if kinds & _ANATOMY:
                found.append(j)
            elif found:
                if not kinds & _COORDINATED:
                    break
            elif kinds & _STOP_LEFT:
                break
        return found[::-1]

    def _normals(self, items: list[Item], clauses: list[int], at: int, heads: list[Head]) -> list[Head]:
        anatomies: list[int] = []
        for j in range(at + 1, len(items)):  # "normal heart size and mediastinal contour"
            kinds = items[j].kinds
            if clauses[j] != clauses[at]:
                break
            if kinds & _ANATOMY:
                anatomies.append(j)
            elif not kinds & (_COORDINATED | int(Kind.PREPOSITION)):
                break
        if not anatomies:
            anatomies = self._subjects(items, clauses, at)
        changed = {part for head in heads for part in head.parts}
        found: list[Head] = []
        for j in anatomies:
            concept = self._denied.get(items[j].term.anatomy)
            if concept is not None and j not in changed:
                found.append(Head(j, concept, (j,), normal=at))
        return found
