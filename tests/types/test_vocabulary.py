from __future__ import annotations

import pytest

from medtrim.types import DEFAULT_CONTRADICTIONS


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
