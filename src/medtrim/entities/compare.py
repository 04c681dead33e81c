"""Where two annotations of the same corpus disagree, finding by finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from medtrim.types import Annotation, Finding

DISAGREEMENTS = pa.schema(
    [
        ("study_id", pa.string()),
        ("disease", pa.string()),
        ("differs", pa.list_(pa.string())),
        ("ours", pa.string()),
        ("theirs", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One finding on which two annotations of a study differ.

    `fields` are what differs (`assertion`, `adjectives`, `directions`), or `only here`, `only there` where the
    other has no such finding.
    """

    study_id: str
    disease: str
    fields: tuple[str, ...]
    ours: Finding | None
    theirs: Finding | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Disagreements in the order of the first table, and the studies that only one of the two has."""

    disagreements: tuple[Disagreement, ...]
    agreeing: int
    only_ours: tuple[str, ...]
    only_theirs: tuple[str, ...]


def compare_annotations(ours: Sequence[Annotation], theirs: Sequence[Annotation]) -> Comparison:
    """Compare two annotations of a corpus.

    Findings of one disease are paired within a study: equal ones first, then in order of appearance. A denial
    that only one of the two states is no disagreement, since many extractors keep no denials.
    """
    others = {a.study_id: a for a in theirs}
    own = {a.study_id for a in ours}
    disagreements: list[Disagreement] = []
    agreeing = 0
    for annotation in ours:
        other = others.get(annotation.study_id)
        if other is not None:
            found, equal = _compare_study(annotation, other)
            disagreements += found
            agreeing += equal
    return Comparison(
        tuple(disagreements),
        agreeing,
        tuple(a.study_id for a in ours if a.study_id not in others),
        tuple(a.study_id for a in theirs if a.study_id not in own),
    )


def comparison_to_table(found: Comparison) -> pa.Table:
    """One row a disagreement: what differs, and what either side says (null where it says nothing)."""
    rows = [
        {
            "study_id": d.study_id,
            "disease": d.disease,
            "differs": list(d.fields),
            "ours": None if d.ours is None else sentence_of(d.ours),
            "theirs": None if d.theirs is None else sentence_of(d.theirs),
        }
        for d in found.disagreements
    ]
    return pa.Table.from_pylist(rows, schema=DISAGREEMENTS)


def sentence_of(finding: Finding) -> str:
    """A finding in words: its assertion, adjectives and directions."""
    return " ".join([finding.assertion, *finding.adjectives, *finding.directions])


def _said(finding: Finding) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return finding.assertion, finding.adjectives, finding.directions


def _compare_study(ours: Annotation, theirs: Annotation) -> tuple[list[Disagreement], int]:
    found: list[Disagreement] = []
    equal = 0
    diseases = dict.fromkeys(f.disease for f in (*ours.findings, *theirs.findings))
    for disease in diseases:
        mine = [f for f in ours.findings if f.disease == disease]
        other = [f for f in theirs.findings if f.disease == disease]
        for finding in list(mine):
            match = next((f for f in other if _said(f) == _said(finding)), None)
            if match is not None:
                mine.remove(finding)
                other.remove(match)
                equal += 1
        for number in range(max(len(mine), len(other))):
            a = mine[number] if number < len(mine) else None
            b = other[number] if number < len(other) else None
            fields = _fields(a, b)
            if fields:
                found.append(Disagreement(ours.study_id, disease, fields, a, b))
    return found, equal


def _fields(ours: Finding | None, theirs: Finding | None) -> tuple[str, ...]:
    if ours is None or theirs is None:
        single = ours or theirs
        if single is None or single.assertion == "absent":
            return ()
        return ("only here",) if ours is not None else ("only there",)
    names = ("assertion", "adjectives", "directions")
    return tuple(name for name in names if getattr(ours, name) != getattr(theirs, name))
