"""The store of distinct sentences: each is read once, its findings kept as columns of integers.

A corpus is then annotated by looking sentences up and gathering columns, without a Python object per finding.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medtrim.entities.reader import SentenceFinding

Ints = npt.NDArray[np.int32]
_T = TypeVar("_T", bound=Hashable)


class Codes(Generic[_T]):
    """Distinct values and their codes, with the Arrow array of the values."""

    def __init__(self, to_arrow: Callable[[list[_T]], pa.Array]) -> None:
        self._codes: dict[_T, int] = {}
        self._to_arrow = to_arrow
        self._arrow: pa.Array | None = None

    def code(self, value: _T) -> int:
        """The code of `value`, a new one if it is new."""
        found = self._codes.get(value)
        if found is None:
            found = self._codes[value] = len(self._codes)
            self._arrow = None
        return found

    def take(self, codes: Ints) -> pa.Array:
        """The values behind `codes`."""
        if self._arrow is None:
            self._arrow = self._to_arrow(list(self._codes))
        return self._arrow.take(pa.array(codes))


def _strings(values: Sequence[str | None]) -> pa.Array:
    return pa.array(values, pa.string())


def _numbers(values: Sequence[float | None]) -> pa.Array:
    return pa.array(values, pa.float64())


def _string_lists(values: list[tuple[str, ...]]) -> pa.Array:
    return pa.array([list(v) for v in values], pa.list_(pa.string()))


class UnitStore:
    """Findings of distinct units (sentences with those that go on about them), one row a finding or a mention.

    Unit `u` has the findings `finding_start[u] : finding_start[u + 1]`, and so on down to mentions.
    """

    def __init__(self) -> None:
        self.finding_start = array("i", [0])
        self.mention_start = array("i", [0])
        self.disease, self.assertion = array("i"), array("i")
        self.adjectives, self.directions = array("i"), array("i")
        self.change, self.size_mm = array("i"), array("i")
        self.told = array("b")
        self.start, self.end, self.text, self.role = array("i"), array("i"), array("i"), array("i")
        self.strings: Codes[str] = Codes(_strings)
        self.lists: Codes[tuple[str, ...]] = Codes(_string_lists)
        self.texts: Codes[str] = Codes(_strings)
        self.changes: Codes[str | None] = Codes(_strings)
        self.sizes: Codes[float | None] = Codes(_numbers)

    def __len__(self) -> int:
        return len(self.finding_start) - 1

    def add(self, unit: str, findings: tuple[SentenceFinding, ...], *, told: bool) -> int:
        """Keep the findings of `unit` and whether it was read; returns its number."""
        self.told.append(told)
        for found in findings:
            self.disease.append(self.strings.code(found.disease))
            self.assertion.append(self.strings.code(found.assertion))
            self.adjectives.append(self.lists.code(found.adjectives))
            self.directions.append(self.lists.code(found.directions))
            self.change.append(self.changes.code(found.change))
            self.size_mm.append(self.sizes.code(found.size_mm))
            for place in found.places:
                self.start.append(place.start)
                self.end.append(place.end)
                self.text.append(self.texts.code(unit[place.start : place.end]))
                self.role.append(self.strings.code(place.role))
            self.mention_start.append(len(self.start))
        self.finding_start.append(len(self.disease))
        return len(self) - 1


def column(values: array[int]) -> Ints:
    """A copy of `values` as NumPy integers (a view would forbid the store to grow)."""
    return np.array(values, dtype=np.int32)


def expand(starts: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """The children of `rows`: their indices one after the other, and how many each row has."""
    counts = starts[rows + 1] - starts[rows]
    total = int(counts.sum())
    ends = np.cumsum(counts)
    offsets = np.repeat(starts[rows] - (ends - counts), counts)
    return (np.arange(total, dtype=np.int32) + offsets).astype(np.int32), counts.astype(np.int32)
