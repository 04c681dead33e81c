"""Which studies a step sees: plans that give batch number k from the seed and k alone.

Because a plan has no state, a resumed run, another rank or another process sees the same batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from medtrim.errors import ConfigError

Rows = NDArray[np.int64]


class BatchPlan(ABC):
    """An endless sequence of batches of distinct studies, epoch by epoch.

    Args:
        patients: code of each study's patient [N].
        size: B, studies a batch.
        seed: of the order; epoch e depends on (seed, e) alone.
        one_per_patient: no batch holds two studies of a patient.

    Raises:
        ConfigError: the corpus cannot fill a batch.
    """

    def __init__(self, patients: Rows, *, size: int, seed: int, one_per_patient: bool) -> None:
        self.patients = patients if one_per_patient else np.arange(len(patients), dtype=np.int64)
        self.size = size
        self.seed = seed
        self._epochs: dict[int, _Epoch] = {}
        self._counts: dict[int, int] = {}
        distinct = len(np.unique(self.patients))
        if distinct < size:
            what = "patients" if one_per_patient else "studies"
            raise ConfigError(
                f"batch.size is {size}, but the training split has only {distinct} {what}: "
                f"choose a batch of at most {distinct}"
            )

    @property
    @abstractmethod
    def batches_per_epoch(self) -> int:
        """About how many batches a pass over the corpus has, at least 1."""

    def rows(self, index: int) -> Rows:
        """The distinct studies of batch `index` [B]."""
        epoch, position = self._locate(index)
        sampled = self._epoch(epoch)
        sampled.reaches(position)
        return sampled.batches[position]

    def __getstate__(self) -> dict[str, object]:
        # Generators cannot be pickled; another process samples its epochs again.
        return {**self.__dict__, "_epochs": {}}

    def _locate(self, index: int) -> tuple[int, int]:
        """Epoch of batch `index`, and its place there."""
        epoch = 0
        while not self._reaches(epoch, index):
            index -= self._count(epoch)
            epoch += 1
        return epoch, index

    def _reaches(self, epoch: int, position: int) -> bool:
        """Whether the epoch has so many batches."""
        if epoch in self._counts and position >= self._counts[epoch]:
            return False
        return self._epoch(epoch).reaches(position)

    def _count(self, epoch: int) -> int:
        """Batches of an epoch."""
        if epoch not in self._counts:
            sampled = self._epoch(epoch)
            sampled.finish()
            self._counts[epoch] = len(sampled.batches)
        return self._counts[epoch]

    def _epoch(self, epoch: int) -> _Epoch:
        if epoch not in self._epochs:
            # Reading ahead goes at most one epoch further; older epochs would only fill the memory.
            while len(self._epochs) > 1:
                del self._epochs[next(iter(self._epochs))]
            self._epochs[epoch] = _Epoch(self._sample(epoch))
        return self._epochs[epoch]

    @abstractmethod
    def _sample(self, epoch: int) -> Iterator[Rows]:
        """The batches of an epoch, at least one; what it draws depends on (seed, epoch) alone."""


class _Epoch:
    """Batches of an epoch, sampled as far as they have been requested."""

    def __init__(self, source: Iterator[Rows]) -> None:
        self._source = source
        self.batches: list[Rows] = []

    def reaches(self, position: int) -> bool:
        """Sample up to `position`; False where the epoch ends before it."""
        self.batches.extend(islice(self._source, max(0, position + 1 - len(self.batches))))
        return position < len(self.batches)

    def finish(self) -> None:
        """Sample the rest."""
        self.batches.extend(self._source)


class ShuffledPlan(BatchPlan):
    """Every study once an epoch; what does not fill a last batch is left to the next epoch's shuffle.

    Args:
        share: probability with which an epoch samples each study [N], in [0, 1]; drawn anew every epoch. Studies
            left out are sampled all the same where the others fill no batch. None samples all of them.

    Raises:
        ConfigError: a share is out of range.
    """

    def __init__(
        self,
        patients: Rows,
        *,
        size: int,
        seed: int,
        one_per_patient: bool,
        share: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__(patients, size=size, seed=seed, one_per_patient=one_per_patient)
        if share is not None and not ((share >= 0) & (share <= 1)).all():
            raise ConfigError("the share of a study that an epoch samples must lie between 0 and 1")
        self.share = share

    @property
    def batches_per_epoch(self) -> int:
        # All studies count, whatever their share, so that epochs mean the same number of study encodings.
        return max(1, len(self.patients) // self.size)

    def _order(self, epoch: int) -> tuple[list[int], list[int]]:
        """Studies that an epoch samples, shuffled, and those it leaves out."""
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.patients))
        if self.share is None:
            return order.tolist(), []
        kept = rng.random(len(order)) < self.share[order]
        return order[kept].tolist(), order[~kept].tolist()

    def _sample(self, epoch: int) -> Iterator[Rows]:
        sampled, left_out = self._order(epoch)
        full = False
        for batch in self._fill(iter(sampled)):
            full = True
            yield batch
        if not full:
            yield next(self._fill(iter(sampled + left_out)))

    def _fill(self, order: Iterator[int]) -> Iterator[Rows]:
        """Full batches of distinct patients, until the studies are used up."""
        waiting: deque[int] = deque()
        while True:
            batch: list[int] = []
            seen: set[int] = set()
            for _ in range(len(waiting)):
                self._place(waiting.popleft(), batch, seen, waiting)
            while len(batch) < self.size:
                row = next(order, None)
                if row is None:
                    return
                self._place(row, batch, seen, waiting)
            yield np.array(batch, dtype=np.int64)

    def _place(self, row: int, batch: list[int], seen: set[int], waiting: deque[int]) -> None:
        patient = int(self.patients[row])
        if patient in seen or len(batch) == self.size:
            waiting.append(row)
        else:
            seen.add(patient)
            batch.append(row)
