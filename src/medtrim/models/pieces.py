"""Texts as numbers of the pieces between their blanks: what repeats in a corpus is looked at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

BLANKS = "[ \t\n\r]+"
# Texts that are taken apart at a time.
_TEXTS = 8192


class PieceNumbers:
    """Numbers distinct pieces from 0, in the order in which they are first met.

    Attributes:
        pieces: the distinct pieces; number i is `pieces[i]`. Blanks at a text's ends leave the empty piece.
    """

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._numbers: dict[str, int] = {}

    def of(self, texts: pa.ChunkedArray | Iterable[str]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Block by block the numbers of the pieces of some texts, and how many pieces each of the texts has."""
        for block in _blocks(texts):
            lists = pc.split_pattern_regex(block, BLANKS)
            coded = lists.flatten().dictionary_encode()
            numbers = np.array([self._number(piece) for piece in coded.dictionary.to_pylist()], np.int64)
            yield numbers[coded.indices.to_numpy()], pc.list_value_length(lists).to_numpy().astype(np.int64)

    def _number(self, piece: str) -> int:
        number = self._numbers.setdefault(piece, len(self.pieces))
        if number == len(self.pieces):
            self.pieces.append(piece)
        return number


def _blocks(texts: pa.ChunkedArray | Iterable[str]) -> Iterator[pa.Array]:
    if isinstance(texts, pa.ChunkedArray):
        for start in range(0, len(texts), _TEXTS):
            yield texts.slice(start, _TEXTS).combine_chunks()
        return
    rest = iter(texts)
    while block := list(islice(rest, _TEXTS)):
        yield pa.array(block, pa.string())
