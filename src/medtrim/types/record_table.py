"""Rows of an Arrow table as a sequence whose records are made when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Self, TypeVar, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Record = TypeVar("Record")


class RecordTable(Sequence[Record]):
    """What tables of studies and of annotations have in common; a kind says how its rows become records.

    Attributes:
        table: the rows.
        KIND: what the records are, in the plural, for messages.
    """

    KIND: ClassVar[str]

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @abstractmethod
    def __iter__(self) -> Iterator[Record]: ...

    @overload
    def __getitem__(self, row: int) -> Record: ...
    @overload
    def __getitem__(self, row: slice) -> Self: ...
    def __getitem__(self, row: int | slice) -> Record | Self:
        """Row number `row`, or the rows of a slice as a table."""
        if isinstance(row, slice):
            start, stop, step = row.indices(len(self))
            if step == 1:
                return type(self)(self.table.slice(start, max(0, stop - start)))
            return self.take(np.arange(start, stop, step))
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} {self.KIND}")
        return next(iter(type(self)(self.table.slice(row % len(self), 1))))

    def __eq__(self, other: object) -> bool:
        """Whether the other sequence holds the same records in the same order."""
        if isinstance(other, str) or not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def take(self, rows: NDArray[np.integer] | pa.Array) -> Self:
        """The rows of these numbers, in this order."""
        return type(self)(self.table.take(pa.array(rows, pa.int64()) if isinstance(rows, np.ndarray) else rows))

    @property
    def study_ids(self) -> list[str]:
        """The study ids, in order."""
        ids: list[str] = self.table["study_id"].to_pylist()
        return ids
