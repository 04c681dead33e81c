"""Batches rich in mined triplets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from medtrim.errors import ConfigError
from medtrim.training.batches import BatchPlan, Rows
from medtrim.training.triplet_dealer import TripletDealer


class TripletPlan(BatchPlan):
    """Fills each batch with triplets that share studies, so that B encoded studies serve many triplets.

    The first epoch ends when every triplet has lain within a batch (`TripletDealer`), and every other epoch has as
    many batches as the first, so that a batch's epoch follows from its number: one that needs a few more leaves its
    last triplets out, one that needs a few less begins anew. Batches are dealt when they are asked for.

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
        """Batches of every epoch; deals the first one to its end."""
        return self._count(0)

    def _locate(self, index: int) -> tuple[int, int]:
        return (0, index) if self._reaches(0, index) else divmod(index, self.batches_per_epoch)

    def _deal(self, epoch: int) -> Iterator[Rows]:
        rng = np.random.default_rng([self.seed, epoch])
        if epoch == 0:
            return iter(self._pass(rng))
        return islice(self._passes(rng), self.batches_per_epoch)

    def _passes(self, rng: np.random.Generator) -> Iterator[Rows]:
        while True:
            yield from self._pass(rng)

    def _pass(self, rng: np.random.Generator) -> TripletDealer:
        shuffled = self.triplets[rng.permutation(len(self.triplets))]
        return TripletDealer(shuffled, self.patients, size=self.size, fillers=_endless(rng, len(self.patients)))


def _endless(rng: np.random.Generator, count: int) -> Iterator[int]:
    while True:
        yield from rng.permutation(count).tolist()
