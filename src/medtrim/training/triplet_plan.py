"""Batches rich in mined triplets."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medtrim.errors import ConfigError
from medtrim.training.batches import BatchPlan, Rows


class TripletPlan(BatchPlan):
    """Fills each batch with triplets that share studies, so that B encoded studies serve many triplets.

    A batch starts with the next triplet of a shuffled order; then, of all unused triplets that touch the batch,
    the one that needs the fewest further studies joins (ties by the shuffled order), until none fits. Places that
    are left go to random studies. A triplet that came to lie within a batch is used; an epoch ends when all are.

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
        self._members: list[list[int]] = self.triplets.tolist()
        self._touching = _by_study(self.triplets, len(patients))

    @property
    def batches_per_epoch(self) -> int:
        return len(self._epoch(0))

    def _deal(self, rng: np.random.Generator) -> list[Rows]:
        rank = rng.permutation(len(self._members)).tolist()
        by_rank = np.argsort(rank)
        used = [False] * len(self._members)
        seeds = iter(by_rank.tolist())
        fillers = _endless(rng, len(self.patients))
        batches: list[Rows] = []
        waiting: list[int] = []
        while True:
            batch = _Batch(self, rank, used)
            waiting = [t for t in waiting if not used[t] and not batch.add(t)]
            for triplet in seeds:
                if used[triplet]:
                    continue
                if not batch.add(triplet):
                    waiting.append(triplet)
                    break
            if not batch.rows:
                return batches
            batch.fill(fillers)
            batches.append(np.array(batch.rows, dtype=np.int64))


class _Batch:
    """A batch as it grows."""

    def __init__(self, plan: TripletPlan, rank: list[int], used: list[bool]) -> None:
        self.plan = plan
        self.rank = rank
        self.used = used
        self.rows: list[int] = []
        self._inside: set[int] = set()
        self._patients: set[int] = set()
        self._missing: dict[int, int] = {}
        self._frontier: list[tuple[int, int, int]] = []

    def add(self, triplet: int) -> bool:
        """Take in `triplet` and then whatever else fits next to it; False where it does not fit itself."""
        if not self._take(triplet):
            return False
        while self._frontier:
            missing, _, neighbour = heapq.heappop(self._frontier)
            # Entries are pushed anew when a triplet comes to need fewer studies; only the newest counts.
            if not self.used[neighbour] and missing == self._missing[neighbour]:
                self._take(neighbour)
        return True

    def fill(self, rows: Iterator[int]) -> None:
        """Give the places that are left to `rows`."""
        while len(self.rows) < self.plan.size:
            row = next(rows)
            if row not in self._inside and int(self.plan.patients[row]) not in self._patients:
                self._join(row)

    def _take(self, triplet: int) -> bool:
        new = [s for s in dict.fromkeys(self.plan._members[triplet]) if s not in self._inside]
        fits = len(self.rows) + len(new) <= self.plan.size
        if not fits or any(int(self.plan.patients[s]) in self._patients for s in new):
            return False
        for study in new:
            self._join(study)
        self.used[triplet] = True
        return True

    def _join(self, study: int) -> None:
        self.rows.append(study)
        self._inside.add(study)
        self._patients.add(int(self.plan.patients[study]))
        for triplet in self.plan._touching[study]:
            if self.used[triplet]:
                continue
            missing = self._missing.get(triplet, 3) - 1
            self._missing[triplet] = missing
            if missing:
                heapq.heappush(self._frontier, (missing, self.rank[triplet], triplet))
            else:
                self.used[triplet] = True


def _by_study(triplets: Rows, count: int) -> list[list[int]]:
    """The triplets that each study is in, in order."""
    touching: list[list[int]] = [[] for _ in range(count)]
    for index, members in enumerate(triplets.tolist()):
        for study in dict.fromkeys(members):
            touching[study].append(index)
    return touching


def _endless(rng: np.random.Generator, count: int) -> Iterator[int]:
    while True:
        order: NDArray[np.int64] = rng.permutation(count)
        yield from order.tolist()
