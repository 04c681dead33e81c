from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from medtrim.types.settings import allowed_keys, explain, leaves, merge, nearest, nested

KEYS = st.sampled_from(["a", "b", "c"])
INNER = st.dictionaries(KEYS, st.integers(), min_size=1, max_size=3)
TREES = st.integers() | INNER | st.dictionaries(KEYS, st.integers() | INNER, min_size=1, max_size=3)


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    margin: float = 0.3


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: int = 1
    part: Part = Part()
    parts: dict[str, Part] = {}
    listed: list[Part] | None = None


def faults(values, **options):
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(values)
    return [line for detail in caught.value.errors(include_url=False) for line in explain(detail, Whole, **options)]


@given(st.dictionaries(KEYS, TREES, max_size=3))
def test_leaves_and_nested_are_inverse(tree):
    assert nested(dict(leaves(tree))) == tree


@given(st.dictionaries(KEYS, TREES, max_size=3), st.dictionaries(KEYS, TREES, max_size=3))
def test_the_later_layer_wins_and_nothing_else_is_lost(base, over):
    merged = merge(base, over)
    assert merge(merged, over) == merged
    assert set(merged) == set(base) | set(over)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"step": 2}, "unknown key 'step', is 'steps' meant? (allowed: steps, part, parts, listed, extends)"),
        ({"part": {"margn": 1}}, "unknown key 'part.margn', is 'margin' meant? (allowed: margin)"),
        (
            {"margin": 1},
            "unknown key 'margin', is 'part.margin' meant? (allowed: steps, part, parts, listed, extends)",
        ),
        ({"parts": {"x": {"m": 1}}}, "unknown key 'parts.x.m' (allowed: margin)"),
        ({"listed": [{"margins": 1}]}, "unknown key 'listed.0.margins', is 'margin' meant? (allowed: margin)"),
        ({"steps": "many"}, "not 'many'"),
    ],
)
def test_a_fault_names_the_key_and_the_likely_one(values, line):
    assert faults(values, also=("extends",))[0].endswith(line)


def test_an_unknown_section_gives_a_line_a_key():
    lines = faults({"elsewhere": {"margin": 1, "x": {"y": 2}}})
    assert [line.split(" (")[0] for line in lines] == [
        "unknown key 'elsewhere.margin', is 'part.margin' meant?",
        "unknown key 'elsewhere.x.y'",
    ]


def test_keys_of_a_section_that_is_not_there():
    assert allowed_keys(["parts", "any"], Whole) == ("margin",)
    assert allowed_keys(["nowhere"], Whole) == ()
    assert allowed_keys(["steps"], Whole) == ()


def test_nothing_is_allowed():
    assert nearest("x", []) == " (allowed: none)"
