"""Which studies a step sees: plans that give batch number k from the seed and k alone.

Because a plan has no state, a resumed run, another rank or another process sees the same batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

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
        self._epochs: dict[int, list[Rows]] = {}
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
        epoch = 0
        while index >= (count := len(self._epoch(epoch))):
            index -= count
            epoch += 1
        return self._epoch(epoch)[index]

    def _epoch(self, epoch: int) -> list[Rows]:
        if epoch not in self._epochs:
            self._epochs[epoch] = self._deal(np.random.default_rng([self.seed, epoch]))
        return self._epochs[epoch]

    @abstractmethod
    def _deal(self, rng: np.random.Generator) -> list[Rows]:
        """All batches of an epoch, at least one."""


class ShuffledPlan(BatchPlan):
    """Every study once an epoch; what does not fill a last batch waits for the next epoch's shuffle."""

    @property
    def batches_per_epoch(self) -> int:
        return max(1, len(self.patients) // self.size)

    def _deal(self, rng: np.random.Generator) -> list[Rows]:
        batches: list[Rows] = []
        order = iter(rng.permutation(len(self.patients)).tolist())
        waiting: deque[int] = deque()
        while True:
            batch: list[int] = []
            seen: set[int] = set()
            for _ in range(len(waiting)):
                self._place(waiting.popleft(), batch, seen, waiting)
            while len(batch) < self.size:
                row = next(order, None)
                if row is None:
                    return batches
                self._place(row, batch, seen, waiting)
            batches.append(np.array(batch, dtype=np.int64))

    def _place(self, row: int, batch: list[int], seen: set[int], waiting: deque[int]) -> None:
        patient = int(self.patients[row])
        if patient in seen or len(batch) == self.size:
            waiting.append(row)
        else:
            seen.add(patient)
            batch.append(row)
