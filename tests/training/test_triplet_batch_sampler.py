from __future__ import annotations

from itertools import cycle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medtrim.training.triplet_batches import TripletBatchSampler


class PlainDealer:
    """The same choices by loops over all triplets, nothing remembered but what a rule names."""

    def __init__(self, triplets, patients, size, fillers):
        self.triplets, self.patients, self.size, self.fillers = triplets, patients, size, fillers
        self.used = [False] * len(triplets)

    def deal(self):
        batches = []
        while not all(self.used):
            batches.append(self.batch())
        return batches

    def batch(self):
        self.rows, self.could, asked = [], [], []
        while True:
            chosen = self.completing()
            if chosen is None:
                chosen = self.spreading(asked)
            if chosen is None:
                chosen = self.seed()
            if chosen is None:
                break
            for study in chosen:
                self.join(study)
                asked.append(study)
        while len(self.rows) < self.size:
            study = next(self.fillers)
            if self.free(study):
                self.join(study)
        return self.rows

    def free(self, study):
        return self.patients[study] not in {self.patients[r] for r in self.rows}

    def unused(self):
        return [t for t, used in zip(self.triplets, self.used, strict=True) if not used]

    def outside(self, triplet):
        return [s for s in triplet if s not in self.rows]

    def join(self, study):
        self.rows.append(study)
        for i, triplet in enumerate(self.triplets):
            if study in triplet and not self.used[i]:
                missing = self.outside(triplet)
                self.used[i] = not missing
                if len(missing) == 1 and missing[0] not in self.could:
                    self.could.append(missing[0])

    def completing(self):
        gains = [sum(self.outside(t) == [s] for t in self.unused()) for s in self.could if self.free(s)]
        candidates = [s for s in self.could if self.free(s)]
        if len(self.rows) == self.size or not gains or max(gains) == 0:
            return None
        return [candidates[gains.index(max(gains))]]

    def spreading(self, asked):
        while asked and len(self.rows) + 2 <= self.size:
            study = asked.pop(0)
            for triplet in self.unused():
                missing = self.outside(triplet)
                if study in triplet and len(missing) == 2 and all(self.free(s) for s in missing):
                    asked.append(study)
                    return missing
        return None

    def seed(self):
        for triplet in self.unused():
            if len(self.outside(triplet)) == 3 and all(self.free(s) for s in triplet):
                return triplet if len(self.rows) + 3 <= self.size else None
        return None


@given(
    count=st.integers(1, 60),
    studies=st.integers(14, 40),
    size=st.integers(3, 12),
    seed=st.integers(0, 1000),
    shared=st.integers(1, 3),
    spread=st.floats(0.2, 3),
)
def test_makes_the_choices_of_plain_loops(count, studies, size, seed, shared, spread):
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, max(size, studies // shared), studies)
    patients[:size] = np.arange(size)  # enough for a batch
    # A few studies are in most triplets, as rare positives are in mined ones.
    drawn = (studies * rng.random((count, 3)) ** spread).astype(np.int64)
    triplets = np.array([t for t in drawn if len(set(patients[t])) == 3], dtype=np.int64).reshape(-1, 3)
    dealer = TripletBatchSampler(triplets, patients, size=size, fillers=cycle(range(studies)))
    plain = PlainDealer(triplets.tolist(), patients.tolist(), size, cycle(range(studies)))
    assert [rows.tolist() for rows in dealer] == plain.deal()
    assert dealer.left == 0


def test_a_study_that_completes_several_triplets_joins_first():
    triplets = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4], [0, 2, 4], [5, 6, 7]])
    dealer = TripletBatchSampler(triplets, np.arange(9), size=4, fillers=cycle(range(9)))
    assert [rows.tolist() for rows in dealer] == [[0, 1, 2, 4], [0, 1, 3, 2], [5, 6, 7, 3]]


def test_a_seed_that_meets_a_patient_of_the_batch_waits_for_the_next():
    triplets = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    patients = np.array([0, 1, 2, 0, 3, 4, 5, 6, 7])  # studies 0 and 3 are of one patient
    dealer = TripletBatchSampler(triplets, patients, size=6, fillers=cycle(range(9)))
    first, second = [rows.tolist() for rows in dealer]
    assert first == [0, 1, 2, 6, 7, 8]
    assert second[:3] == [3, 4, 5]
    assert len({int(patients[r]) for r in second}) == 6


def test_more_unfit_seeds_than_are_tried_leave_no_triplet_out():
    # Every triplet holds another study of the first's patient, so that a batch has room for one seed only.
    triplets = np.array([[i, 200 + 2 * i, 201 + 2 * i] for i in range(150)])
    patients = np.concatenate([np.zeros(200, np.int64), np.arange(1, 401)])
    dealer = TripletBatchSampler(triplets, patients, size=6, fillers=cycle(range(200, 600)))
    assert [rows[0] for rows in dealer] == list(range(150))
