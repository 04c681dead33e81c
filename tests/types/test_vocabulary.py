from __future__ import annotations

import pytest

from medtrim.types import DEFAULT_CONTRADICTIONS, Provenance, contradictions_of


@pytest.mark.parametrize(
    ("axis", "ours", "theirs", "conflict"),
    [
        ("side", ["left"], ["right"], True),
        ("side", ["left"], ["left", "right"], False),
        ("side", ["left"], [], False),
        ("side", [], [], False),
        ("severity", ["mild"], ["severe", "patchy"], True),
        ("severity", ["mild"], ["small"], False),
        ("zone", ["upper", "left"], ["basal"], True),
        ("zone", ["basal"], ["lower"], False),
    ],
)
def test_conflicts(axis, ours, theirs, conflict):
    assert DEFAULT_CONTRADICTIONS.conflict(axis, ours, theirs) is conflict
    assert DEFAULT_CONTRADICTIONS.conflict(axis, theirs, ours) is conflict


def test_an_ontology_without_contradictions_keeps_none():
    known = Provenance("annotations", extra={"contradictions": {"side": {"left": 0, "right": 1}}})
    assert contradictions_of(known).axes == {"side": {"left": 0, "right": 1}}
    assert contradictions_of(Provenance("annotations", extra={"contradictions": {}})).axes == {}
    assert contradictions_of(Provenance("annotations")) is DEFAULT_CONTRADICTIONS
    assert contradictions_of(None) is DEFAULT_CONTRADICTIONS
