"""Batches rich in mined triplets: B encoded studies serve as many triplets as they can."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from medtrim.errors import ConfigError
from medtrim.training.batches import BatchPlan, Rows

_OUT = -(1 << 30)  # gain of a study that cannot join: stays below 0 whatever its triplets
_CHUNK = 256  # triplets looked at together for the next seed
_TRIES = 64  # unused triplets that may turn out not to fit before a batch gives up on seeds


class TripletPlan(BatchPlan):
    """Fills each batch with triplets that share studies, so that B encoded studies serve many triplets.

    The first epoch ends when every triplet has lain within a batch (`TripletBatchSampler`), and every other epoch
    has as many batches as the first, so that a batch's epoch follows from its number: one that needs a few more
    leaves its last triplets out, one that needs a few less begins anew. Batches are sampled when they are needed.

    Args:
        triplets: int [T 3], rows of studies (anchor, positive, negative).
        others: as `BatchPlan`. With `one_per_patient`, triplets that hold two studies of a patient cannot be
            used: `left_out` counts them.

    Raises:
        ConfigError: a batch holds fewer than three studies, or no triplet can be used.
    """

    def __init__(self, triplets: Rows, patients: Rows, *, size: int, seed: int, one_per_patient: bool) -> None:
        super().__init__(patients, size=size, seed=seed, one_per_patient=one_per_patient)
        owners = np.sort(self.patients[triplets], axis=1)
        usable = (owners[:, 1:] != owners[:, :-1]).all(axis=1)
        self.triplets = triplets[usable]
        self.left_out = int((~usable).sum())
        if size < 3 or not len(self.triplets):
            raise ConfigError(
                f"batch.sampler triplets: {len(self.triplets)} of {len(triplets)} triplets can be used in batches "
                f"of {size} studies, each of another patient"
            )

    @property
    def batches_per_epoch(self) -> int:
        """Batches of every epoch; samples the whole of the first one."""
        return self._count(0)

    def _locate(self, index: int) -> tuple[int, int]:
        return (0, index) if self._reaches(0, index) else divmod(index, self.batches_per_epoch)

    def _sample(self, epoch: int) -> Iterator[Rows]:
        rng = np.random.default_rng([self.seed, epoch])
        if epoch == 0:
            return iter(self._pass(rng))
        return islice(self._passes(rng), self.batches_per_epoch)

    def _passes(self, rng: np.random.Generator) -> Iterator[Rows]:
        while True:
            yield from self._pass(rng)

    def _pass(self, rng: np.random.Generator) -> TripletBatchSampler:
        shuffled = self.triplets[rng.permutation(len(self.triplets))]
        return TripletBatchSampler(
            shuffled, self.patients, size=self.size, fillers=_endless(rng, len(self.patients))
        )


class TripletBatchSampler:
    """One pass over triplets: each batch has B distinct studies, no two of a patient, and the pass ends when every
    triplet has lain within a batch.

    A batch grows by the first of these that there is:

    1. the study that completes most unused triplets; among equals the one that could complete one first;
    2. the two missing studies of an unused triplet that touches the batch; members are considered in turn;
    3. the three studies of the next unused triplet, in the given order;
    4. where none fits, studies of `fillers`.

    The triplets of a study lie together in one array, used ones being squeezed out when the study next joins. A
    joining study costs a few array operations over its unused triplets; nothing else is looked at.

    Args:
        triplets: int [T 3], three studies of different patients each, in the order in which they become seeds.
        patients: code of each study's patient [N].
        size: B, at least 3, at most the number of patients.
        fillers: endless studies, each patient among them.
    """

    def __init__(self, triplets: Rows, patients: Rows, *, size: int, fillers: Iterator[int]) -> None:
        count = len(patients)
        self.left = len(triplets)
        self._size = size
        self._fillers = fillers
        self._triplets = triplets.astype(np.int32)
        members = self._triplets.ravel()
        order = np.argsort(members, kind="stable")
        bounds = np.searchsorted(members[order], np.arange(count + 1)).tolist()
        self._touching = (order // 3).astype(np.int32)
        self._start, self._stop = bounds[:-1], bounds[1:]
        self._mates = _Mates(patients)
        self._seed = 0
        # Of each triplet the studies outside the batch, 0 for good once it is used; of each study the triplets
        # that it would complete.
        self._missing = np.full(len(triplets), 3, dtype=np.int8)
        self._gain = np.zeros(count, dtype=np.int32)
        self._inside = np.zeros(count, dtype=bool)
        self._barred = np.zeros(count, dtype=bool)
        self._candidates = np.empty(count, dtype=np.int32)
        self._clear()

    def __iter__(self) -> Iterator[Rows]:
        while self.left:
            yield self._batch()

    def _clear(self) -> None:
        self._rows: list[int] = []
        self._found = 0
        self._touched: list[NDArray[np.int32]] = []
        self._considered: deque[int] = deque()

    def _batch(self) -> Rows:
        seeds = self._seeds()
        while (study := self._most_completing()) is not None or (seed := self._next(seeds)) is not None:
            joining = [study] if study is not None else self._triplets[seed].tolist()
            for row in joining:
                if not self._inside[row]:
                    self._join(row)
        while len(self._rows) < self._size:
            row = next(self._fillers)
            if not self._barred[row]:
                self._join(row)
        rows = np.array(self._rows, dtype=np.int64)
        self._reset(rows)
        return rows

    def _reset(self, rows: Rows) -> None:
        touched = np.concatenate(self._touched)
        self._missing[touched[self._missing[touched] > 0]] = 3
        barred = self._mates.of_all(rows)
        self._inside[rows] = False
        self._barred[barred] = False
        self._gain[barred] = 0
        self._gain[self._candidates[: self._found]] = 0
        self._clear()

    def _join(self, study: int) -> None:
        self._rows.append(study)
        self._considered.append(study)
        self._inside[study] = True
        mates = self._mates.of(study)
        self._barred[mates] = True
        self._gain[mates] = _OUT
        start, stop = self._start[study], self._stop[study]
        near = self._touching[start:stop]
        missing = self._missing[near]
        unused = missing > 0
        near, missing = near[unused], missing[unused] - 1
        self._stop[study] = stop = start + len(near)
        self._touching[start:stop] = near
        self._missing[near] = missing
        self._touched.append(near)
        self.left -= len(near) - int(np.count_nonzero(missing))
        self._notice(near[missing == 1])

    def _notice(self, triplets: NDArray[np.int32]) -> None:
        """Count for the one missing study of each of `triplets` that it would complete it."""
        if not len(triplets):
            return
        members = self._triplets[triplets]
        last = members[~self._inside[members]]
        fresh = last[self._gain[last] == 0]
        np.add.at(self._gain, last, 1)
        end = self._found + len(fresh)
        if end > len(self._candidates):  # a study may be fresh twice in one call
            self._candidates = np.concatenate([self._candidates, np.empty(end, dtype=np.int32)])
        self._candidates[self._found : end] = fresh
        self._found = end

    def _most_completing(self) -> int | None:
        if not self._found or len(self._rows) == self._size:
            return None
        candidates = self._candidates[: self._found]
        gains = self._gain[candidates]
        best = int(gains.argmax())
        return int(candidates[best]) if gains[best] > 0 else None

    def _next(self, seeds: Iterator[int]) -> int | None:
        """The next triplet to take in that lacks two studies, else three."""
        free = self._size - len(self._rows)
        while free >= 2 and self._considered:
            study = self._considered.popleft()
            near = self._touching[self._start[study] : self._stop[study]]
            near = near[self._missing[near] == 2]
            fits = np.count_nonzero(self._barred[self._triplets[near]], axis=1) == 1
            if fits.any():
                self._considered.append(study)
                return int(near[fits.argmax()])
        return next(seeds, None) if free >= 3 else None

    def _seeds(self) -> Iterator[int]:
        """Triplets that neither touch the batch nor hold a patient of it, from the first unused one on."""
        failed = 0
        for start in range(self._seed, len(self._missing), _CHUNK):
            for offset in np.flatnonzero(self._missing[start : start + _CHUNK]).tolist():
                triplet = start + offset
                if self._missing[triplet] == 3 and not self._barred[self._triplets[triplet]].any():
                    if not self._rows:
                        self._seed = triplet
                    yield triplet
                elif self._missing[triplet]:
                    failed += 1
                    if failed == _TRIES:
                        return


class _Mates:
    """The studies of each study's patient, itself among them."""

    def __init__(self, patients: Rows) -> None:
        _, codes = np.unique(patients, return_inverse=True)
        self._studies = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes))
        self._alone = len(ends) == len(codes)
        self._stop = ends[codes]
        self._start = self._stop - np.bincount(codes)[codes]

    def of(self, study: int) -> Rows | int:
        """The rows to bar when `study` joins."""
        return study if self._alone else self._studies[self._start[study] : self._stop[study]]

    def of_all(self, rows: Rows) -> Rows:
        """`of` of several studies, one after the other."""
        if self._alone:
            return rows
        return np.concatenate([self._studies[self._start[row] : self._stop[row]] for row in rows])


def _endless(rng: np.random.Generator, count: int) -> Iterator[int]:
    while True:
        yield from rng.permutation(count).tolist()
