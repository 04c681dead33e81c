"""Expanding rows into their children, against a loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medtrim.entities.units import expand


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.data())
def test_expand_against_a_loop(counts: list[int], data: st.DataObject) -> None:
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    rows = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=10))
    children, per_row = expand(starts, np.array(rows, dtype=np.int32))
    assert children.tolist() == [child for row in rows for child in range(starts[row], starts[row + 1])]
    assert per_row.tolist() == [counts[row] for row in rows]
