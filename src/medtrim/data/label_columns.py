"""One label of every study as an Arrow column of one type, gathered block by block."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeAlias

import pyarrow as pa

from medtrim.data.boundary import EMPTY_CELLS
from medtrim.types.tables import label_column

# What counts as a number in a text table: no "007", no "1_000", no digits of other scripts, as Python would take.
_WHOLE = re.compile(r"0|-?[1-9][0-9]*")
_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)?(?:\.[0-9]+|(?<=[0-9])\.?)(?:[eE][+-]?[0-9]+)?")
_Block: TypeAlias = pa.Array | list[Any]


class LabelColumn:
    """The values of a label, in blocks: Arrow where that gives the same values back, Python objects elsewhere.

    Empty cells are None. A column of several types becomes text.

    Args:
        before: lengths of the blocks that were closed before the label was first seen.
    """

    def __init__(self, before: Sequence[int] = ()) -> None:
        self._blocks: list[_Block] = [pa.nulls(length) for length in before]

    def append(self, values: list[Any]) -> None:
        """Add a block of values as they were found."""
        self._blocks.append(_packed([None if _is_empty(value) else value for value in values]))

    def __getitem__(self, row: int) -> Any:
        """The value at `row`; empty cells are None."""
        number, place = self._place(row)
        value = self._blocks[number][place]
        return value.as_py() if isinstance(value, pa.Scalar) else value

    def __setitem__(self, row: int, value: Any) -> None:
        """Change a value of a block that was added."""
        number, place = self._place(row)
        values = _values(self._blocks[number])
        values[place] = None if _is_empty(value) else value
        self._blocks[number] = values  # stays open, since more of it may change

    def finish(self, *, textual: bool) -> pa.ChunkedArray:
        """The whole column. Where its cells came as text, one of whole numbers becomes int, one of numbers float;
        "007" stays text.
        """
        blocks = [_packed(block) if isinstance(block, list) else block for block in self._blocks]
        self._blocks = []
        arrays = [block for block in blocks if isinstance(block, pa.Array)]
        kinds = {array.type for array in arrays if not pa.types.is_null(array.type)}
        kind = next(iter(kinds), pa.null())
        if len(kinds) > 1 or len(arrays) < len(blocks):
            return pa.chunked_array([label_column(_one_type(list(chain.from_iterable(map(_values, blocks)))))])
        if textual and kind == pa.string():
            return _numbers(arrays)
        return pa.chunked_array([array.cast(kind) for array in arrays], kind)

    def _place(self, row: int) -> tuple[int, int]:
        number = 0
        while row >= len(self._blocks[number]):
            row -= len(self._blocks[number])
            number += 1
        return number, row


def _is_empty(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and value.strip().lower() in EMPTY_CELLS)


def _packed(values: list[Any]) -> _Block:
    """`values` as Arrow, where it holds them as they are."""
    try:
        array = label_column(values)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return values
    back = array.to_pylist()
    same = _storable(array.type) and back == values and list(map(type, back)) == list(map(type, values))
    if same and pa.types.is_nested(array.type):
        same = repr(back) == repr(values)  # the order of an object's keys and the type of its numbers too
    return array if same else values


def _values(block: _Block) -> list[Any]:
    values: list[Any] = block.to_pylist() if isinstance(block, pa.Array) else block
    return values


def _one_type(values: list[Any]) -> list[Any]:
    """`values` as they are where Parquet can hold them in one column, otherwise as text."""
    try:
        if not _storable(label_column(values).type):
            raise pa.ArrowInvalid("a type that Parquet cannot hold")
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return [
            v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False, default=str) for v in values
        ]
    return values


def _storable(kind: pa.DataType) -> bool:
    """Whether Parquet takes the type: no object without fields."""
    if pa.types.is_struct(kind) and kind.num_fields == 0:
        return False
    return all(_storable(kind.field(i).type) for i in range(kind.num_fields))


def _numbers(blocks: list[pa.Array]) -> pa.ChunkedArray:
    """Blocks of text as numbers where all of them are, otherwise as text without blanks around it."""
    for kind, pattern, read in ((pa.int64(), _WHOLE, int), (pa.float64(), _NUMBER, float)):
        try:
            return pa.chunked_array([_read(block, pattern, read, kind) for block in blocks], kind)
        except (ValueError, OverflowError, pa.ArrowInvalid):
            pass  # one of them is no such number
    stripped = [[v and v.strip() for v in block.to_pylist()] for block in blocks]
    return pa.chunked_array([pa.array(values, pa.string()) for values in stripped], pa.string())


def _read(block: pa.Array, pattern: re.Pattern[str], read: type[int | float], kind: pa.DataType) -> pa.Array:
    numbers: list[int | float | None] = []
    for value in block.to_pylist():
        text = value and value.strip()
        if text and not pattern.fullmatch(text):
            raise ValueError("no number")
        numbers.append(read(text) if text else None)
    return pa.array(numbers, kind)
