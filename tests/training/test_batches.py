from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtrim.errors import ConfigError
from medtrim.training.batches import ShuffledPlan


def plan(patients, **options):
    options = {"size": 4, "seed": 0, "one_per_patient": True, **options}
    return ShuffledPlan(np.asarray(patients, dtype=np.int64), **options)


@settings(max_examples=50, deadline=None)
@given(
    patients=st.lists(st.integers(0, 30), min_size=1, max_size=80),
    size=st.integers(1, 6),
    seed=st.integers(0, 5),
)
def test_batches_are_full_distinct_and_one_per_patient(patients, size, seed):
    if len(set(patients)) < size:
        with pytest.raises(ConfigError, match="patients"):
            plan(patients, size=size)
        return
    made = plan(patients, size=size, seed=seed)
    for index in range(12):
        rows = made.rows(index)
        assert len(rows) == len(set(rows.tolist())) == size
        assert len({patients[r] for r in rows}) == size


def test_an_epoch_uses_no_study_twice_and_nearly_all():
    made = plan(np.arange(43))
    epoch = np.concatenate([made.rows(i) for i in range(made.batches_per_epoch)])
    assert len(np.unique(epoch)) == len(epoch) == 40


def test_batch_k_depends_on_seed_and_k_alone():
    forward, backward = plan(np.arange(40)), plan(np.arange(40))
    ours = [forward.rows(i).tolist() for i in range(25)]
    theirs = [backward.rows(i).tolist() for i in reversed(range(25))][::-1]
    assert ours == theirs
    assert ours != [plan(np.arange(40), seed=1).rows(i).tolist() for i in range(25)]
    assert ours[:10] != ours[10:20], "each epoch is shuffled anew"


def test_without_the_rule_a_patient_may_meet_himself():
    made = plan([0] * 8, one_per_patient=False)
    assert len(made.rows(0)) == 4
    with pytest.raises(ConfigError, match="only 8 studies"):
        plan([0] * 8, size=9, one_per_patient=False)


def test_one_study_batches():
    assert plan(np.arange(3), size=1).rows(5).shape == (1,)


def test_old_epochs_are_forgotten_and_dealt_again_alike():
    made = plan(np.arange(40))
    epochs = [[made.rows(10 * e + i).tolist() for i in range(10)] for e in range(5)]
    assert len(made._epochs) == 2
    assert [made.rows(i).tolist() for i in range(10)] == epochs[0]
