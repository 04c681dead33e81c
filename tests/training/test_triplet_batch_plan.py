from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from medtrim.errors import ConfigError
from medtrim.training.batches import ShuffledPlan
from medtrim.training.inputs import TripletIndex
from medtrim.training.triplet_batches import TripletBatchSampler, TripletPlan


def random_triplets(count, studies, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.choice(studies, 3, replace=False) for _ in range(count)])


def make(triplets, studies, *, size=12, seed=0, patients=None):
    owners = np.arange(studies) if patients is None else np.asarray(patients)
    return TripletPlan(np.asarray(triplets), owners, size=size, seed=seed, one_per_patient=True)


@given(
    count=st.integers(1, 60),
    studies=st.integers(14, 30),
    size=st.integers(3, 12),
    seed=st.integers(0, 3),
    shared=st.integers(1, 3),
)
def test_an_epoch_covers_every_usable_triplet_with_full_batches(count, studies, size, seed, shared):
    patients = np.arange(studies) // shared
    triplets = random_triplets(count, studies, seed)
    usable = [t for t in triplets.tolist() if len({patients[s] for s in t}) == 3]
    assume(usable)
    assume(len(np.unique(patients)) >= size)
    plan = make(triplets, studies, size=size, seed=seed, patients=patients)
    assert plan.left_out == count - len(usable)
    epoch = [plan.rows(i).tolist() for i in range(plan.batches_per_epoch)]
    for rows in epoch:
        assert len(rows) == len({int(patients[r]) for r in rows}) == size
    covered = [t for t in usable if any(set(t) <= set(rows) for rows in epoch)]
    assert covered == usable


def test_batches_hold_more_triplets_than_shuffled_ones():
    triplets, studies = random_triplets(600, 300), 300
    index = TripletIndex(triplets, studies)
    rich = make(triplets, studies, size=16)
    plain = ShuffledPlan(np.arange(studies), size=16, seed=0, one_per_patient=True)
    ours = np.mean([len(index.within(rich.rows(i))) for i in range(5)])
    theirs = np.mean([len(index.within(plain.rows(i))) for i in range(50)])
    assert ours > 5 > 20 * theirs


def test_seed_and_number_alone_decide_whatever_the_hash_seed(under_another_hash_seed):
    program = (
        "import numpy as np; from medtrim.training.triplet_batches import TripletPlan; "
        "rng = np.random.default_rng(0); t = np.stack([rng.choice(40, 3, replace=False) for _ in range(80)]); "
        "p = TripletPlan(t, np.arange(40), size=12, seed=0, one_per_patient=True); "
        "print([p.rows(i).tolist() for i in range(30)])"
    )
    plan = make(random_triplets(80, 40), 40)
    ours = [plan.rows(i).tolist() for i in reversed(range(30))][::-1]
    assert under_another_hash_seed(program).strip() == str(ours)
    assert ours != [make(random_triplets(80, 40), 40, seed=1).rows(i).tolist() for i in range(30)]


def test_every_epoch_has_the_batches_of_the_first_in_another_order():
    plan = make(random_triplets(200, 60), 60)
    count = plan.batches_per_epoch
    epochs = [[plan.rows(e * count + i).tolist() for i in range(count)] for e in range(4)]
    assert len({str(epoch) for epoch in epochs}) == 4
    index = TripletIndex(plan.triplets, 60)
    for epoch in epochs:
        inside = sum(len(index.within(np.array(rows))) for rows in epoch)
        assert inside > 0.9 * len(plan.triplets)


def test_a_resumed_or_copied_plan_goes_on_with_the_same_batches():
    plan = make(random_triplets(100, 40), 40)
    far = 3 * plan.batches_per_epoch + 1
    walked = [plan.rows(i).tolist() for i in range(far + 1)]
    assert make(random_triplets(100, 40), 40).rows(far).tolist() == walked[far]
    copied = copy.deepcopy(plan)  # as to a worker process, dealt epochs stay behind
    assert [copied.rows(i).tolist() for i in (0, far)] == [walked[0], walked[far]]


def test_a_first_batch_of_many_triplets_needs_no_whole_epoch(monkeypatch):
    dealt = []
    batch = TripletBatchSampler._batch
    monkeypatch.setattr(TripletBatchSampler, "_batch", lambda self: dealt.append(1) or batch(self))
    make(np.random.default_rng(0).permuted(np.tile(np.arange(300), (2000, 1)), axis=1)[:, :3], 300).rows(4)
    assert len(dealt) == 5


def test_no_usable_triplet_is_an_error():
    with pytest.raises(ConfigError, match="0 of 1 triplets can be used"):
        make([[0, 1, 2]], 6, size=3, patients=[0, 0, 1, 2, 3, 4])
    with pytest.raises(ConfigError, match="batches of 2"):
        make([[0, 1, 2]], 6, size=2)
