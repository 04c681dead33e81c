from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtrim.errors import ConfigError
from medtrim.training.batches import ShuffledPlan


def plan(patients, **options):
    options = {"size": 4, "seed": 0, "one_per_patient": True, **options}
    return ShuffledPlan(np.asarray(patients, dtype=np.int64), **options)


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


def test_studies_are_left_out_by_their_share_and_drawn_anew():
    share = np.where(np.arange(400) < 200, 0.25, 1.0)
    made = plan(np.arange(400), share=share)
    assert made.batches_per_epoch == plan(np.arange(400)).batches_per_epoch == 100
    epochs = [np.concatenate(list(made._sample(epoch))) for epoch in range(20)]
    for dealt in epochs:
        assert len(np.unique(dealt)) == len(dealt)
        assert np.sum(dealt >= 200) > 196, "what has share 1 is dealt, but for the last, unfilled batch"
    low = [int(np.sum(dealt < 200)) for dealt in epochs]
    assert 45 < np.mean(low) < 55
    assert len(set(np.concatenate(epochs).tolist())) > 395, "over the epochs every study has its turn"


def test_studies_left_out_fill_the_only_batch():
    made = plan(np.arange(6), size=5, share=np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0]))
    for index in range(5):
        rows = made.rows(index)
        assert len(set(rows.tolist())) == 5
        assert {4, 5} <= set(rows.tolist())


def test_a_share_is_a_probability():
    with pytest.raises(ConfigError, match="between 0 and 1"):
        plan(np.arange(8), share=np.full(8, 1.5))
