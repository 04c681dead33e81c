from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medtrim.training.inputs import TripletIndex


def plain_within(triplets, rows):
    """Every triplet whose studies are all in the batch, the slow way."""
    where = {row: position for position, row in enumerate(rows)}
    inside = [[where[s] for s in t] for t in triplets if all(s in where for s in t)]
    return sorted(inside)


@given(
    triplets=arrays(np.int64, st.tuples(st.integers(1, 60), st.just(3)), elements=st.integers(0, 11)),
    rows=st.lists(st.integers(0, 11), unique=True, min_size=1, max_size=12),
)
def test_equals_a_plain_loop(triplets, rows):
    found = TripletIndex(triplets, 12).within(np.array(rows))
    assert sorted(found.tolist()) == plain_within(triplets.tolist(), rows)


def test_a_batch_without_triplets_has_none():
    found = TripletIndex(np.array([[0, 1, 2]]), 5).within(np.array([0, 1, 4]))
    assert found.shape == (0, 3)
    assert found.dtype == np.int64
