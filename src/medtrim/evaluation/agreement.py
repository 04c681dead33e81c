"""How the findings of a retrieved study agree or conflict with those of the query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from medtrim.types import DEFAULT_CONTRADICTIONS, NO_FINDING, SIDES, Contradictions, Finding

Relation = Literal["agrees", "conflicts", "extra", "neutral"]
"""How something said of a retrieved study relates to the query.

`agrees`: the query says the same; `conflicts`: both cannot be true of one study; `extra`: the query is silent;
`neutral`: there is no query to compare with.
"""

REPORTED = ("present", "uncertain")
BILATERAL = "bilateral"


@dataclass(frozen=True, slots=True)
class DescriptorMark:
    """One descriptor of a retrieved finding and how it stands to the query's descriptors of that disease."""

    text: str
    relation: Relation


@dataclass(frozen=True, slots=True)
class FindingMark:
    """One disease of a retrieved study, its descriptors, and how both stand to the query.

    `conflicts` names what contradicts: axes of the contradiction table (`side`, `zone`, `severity`), or `disease`
    where one report has the disease and the other denies it.
    """

    disease: str
    uncertain: bool
    relation: Relation
    conflicts: tuple[str, ...]
    descriptors: tuple[DescriptorMark, ...]

    @property
    def words(self) -> str:
        """The finding as words: descriptors, then the disease."""
        return " ".join([*(d.text for d in self.descriptors), self.disease])


@dataclass(frozen=True, slots=True)
class Agreement:
    """A retrieved study against its query: marks of what it has, and the query's diseases that it lacks."""

    marks: tuple[FindingMark, ...]
    missing: tuple[str, ...]

    @property
    def conflicts(self) -> tuple[str, ...]:
        """What conflicts anywhere in the study, each named once, in order of appearance."""
        return tuple(dict.fromkeys(c for mark in self.marks for c in mark.conflicts))

    @property
    def shares_disease(self) -> bool:
        """Whether some disease of the study is in the query too (two normal studies share `no finding`)."""
        return any(m.relation in ("agrees", "conflicts") and "disease" not in m.conflicts for m in self.marks)


@dataclass(frozen=True, slots=True)
class DiseaseState:
    """What a report says of one disease: its descriptors are the union over its findings (design: score)."""

    disease: str
    uncertain: bool
    adjectives: tuple[str, ...]
    directions: tuple[str, ...]

    @property
    def descriptors(self) -> tuple[str, ...]:
        """Adjectives, then directions: the order in which a report says them."""
        return self.adjectives + self.directions


def disease_states(findings: Iterable[Finding]) -> tuple[DiseaseState, ...]:
    """The reported diseases in order of appearance, or one `no finding` state where there is none."""
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.assertion in REPORTED and finding.disease != NO_FINDING:
            grouped.setdefault(finding.disease, []).append(finding)
    if not grouped:
        return (DiseaseState(NO_FINDING, False, (), ()),)
    return tuple(
        DiseaseState(
            disease=disease,
            uncertain=all(f.assertion == "uncertain" for f in group),
            adjectives=tuple(sorted({a for f in group for a in f.adjectives})),
            directions=tuple(sorted({d for f in group for d in f.directions})),
        )
        for disease, group in grouped.items()
    )


def denied_diseases(findings: Iterable[Finding]) -> frozenset[str]:
    """Diseases that are denied and nowhere reported."""
    findings = tuple(findings)
    reported = {f.disease for f in findings if f.assertion in REPORTED}
    return frozenset(f.disease for f in findings if f.assertion == "absent") - reported


def compare(
    query: Sequence[Finding],
    retrieved: Sequence[Finding],
    *,
    contradictions: Contradictions = DEFAULT_CONTRADICTIONS,
) -> Agreement:
    """Mark every disease of `retrieved` by how it stands to `query`, and list the query's diseases it lacks."""
    ours = {state.disease: state for state in disease_states(query)}
    denied = denied_diseases(query)
    theirs = disease_states(retrieved)
    marks = tuple(_mark(state, ours.get(state.disease), denied, contradictions) for state in theirs)
    held = {state.disease for state in theirs}
    missing = tuple(d for d in ours if d not in held and d != NO_FINDING)
    return Agreement(marks, missing)


def unmarked(findings: Iterable[Finding]) -> tuple[FindingMark, ...]:
    """The marks of a study that is compared with nothing, such as the query itself."""
    return tuple(
        FindingMark(
            s.disease,
            s.uncertain,
            "neutral",
            (),
            _bilateral(tuple(DescriptorMark(d, "neutral") for d in s.descriptors)),
        )
        for s in disease_states(findings)
    )


def _mark(
    theirs: DiseaseState, ours: DiseaseState | None, denied: frozenset[str], contradictions: Contradictions
) -> FindingMark:
    if ours is None:
        against: tuple[str, ...] = ("disease",) if theirs.disease in denied else ()
        relation: Relation = "conflicts" if against else "extra"
        marks = _bilateral(tuple(DescriptorMark(d, "extra") for d in theirs.descriptors))
        return FindingMark(theirs.disease, theirs.uncertain, relation, against, marks)
    conflicts = tuple(
        axis for axis in contradictions.axes if contradictions.conflict(axis, ours.descriptors, theirs.descriptors)
    )
    known = frozenset(ours.descriptors)
    at_fault = frozenset(d for axis in conflicts for d in theirs.descriptors if d in contradictions.axes[axis])
    marks = tuple(
        DescriptorMark(d, "conflicts" if d in at_fault else "agrees" if d in known else "extra")
        for d in theirs.descriptors
    )
    marks = _bilateral(marks)
    return FindingMark(theirs.disease, theirs.uncertain, "conflicts" if conflicts else "agrees", conflicts, marks)


def _bilateral(marks: tuple[DescriptorMark, ...]) -> tuple[DescriptorMark, ...]:
    """`marks` with left and right said in one word, which agrees where both do."""
    sides = [m for m in marks if m.text in SIDES]
    if len(sides) < len(SIDES):
        return marks
    relations = {m.relation for m in sides}
    both = DescriptorMark(BILATERAL, relations.pop() if len(relations) == 1 else "extra")
    return (*(m for m in marks if m.text not in SIDES), both)
