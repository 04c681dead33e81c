"""Which studies contradict each other: the same disease, but another side, zone or severity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Integer, UInt64

from medtrim.errors import ConfigError
from medtrim.mining.encoding import EncodedStudies
from medtrim.mining.sets import WORD, SetTable, distinct_rows
from medtrim.types import DEFAULT_CONTRADICTIONS, Contradictions


class ConflictFinder:
    """Conflicts between distinct annotations, by an ontology's contradictions.

    Two studies conflict when they share a counted disease whose descriptors contradict each other on one of `axes`:
    both name a level of the axis and no level in common ({left} against {right}; {left, right} against neither).

    Raises:
        ConfigError: an axis is none of the contradictions'.
    """

    def __init__(
        self,
        encoded: EncodedStudies,
        contradictions: Contradictions = DEFAULT_CONTRADICTIONS,
        *,
        axes: Sequence[str] | None = None,
    ) -> None:
        self.axes = tuple(axes if axes is not None else contradictions.axes)
        unknown = [axis for axis in self.axes if axis not in contradictions.axes]
        if unknown or not self.axes:
            allowed = ", ".join(contradictions.axes) or "none: the annotations' ontology names no contradiction"
            raise ConfigError(f"axes {list(self.axes)}, allowed: {allowed}")
        levels = [_levels(encoded, contradictions, axis) for axis in self.axes]
        self._codes: list[np.ndarray] = []
        self._tables: list[np.ndarray] = []
        for d in range(len(encoded.config.diseases)):
            groups = distinct_rows(np.stack([axis[:, d] for axis in levels], axis=1))
            ours = np.stack([axis[groups.first, d] for axis in levels])
            a, b = ours[:, :, None], ours[:, None, :]
            contradictory = np.logical_and((a > 0) & (b > 0), (a & b) == 0)
            self._codes.append(groups.inverse)
            self._tables.append(np.any(contradictory, axis=0))

    def rows(self, rows: Integer[np.ndarray, " rows"]) -> Bool[np.ndarray, "rows distinct"]:
        """Whether each of the distinct annotations `rows` conflicts with each distinct annotation."""
        found = np.zeros((len(rows), len(self._codes[0])), bool)
        for code, table in zip(self._codes, self._tables, strict=True):
            having = np.flatnonzero(np.any(table, axis=1)[code[rows]])
            if len(having):
                found[having] |= np.take(table[code[rows[having]]], code, axis=1)
        return found

    def block(
        self, rows: Integer[np.ndarray, " rows"], columns: Integer[np.ndarray, " columns"]
    ) -> Bool[np.ndarray, "rows columns"]:
        """Whether each of the distinct annotations `rows` conflicts with each of `columns`."""
        found = np.zeros((len(rows), len(columns)), bool)
        for code, table in zip(self._codes, self._tables, strict=True):
            found |= table[np.ix_(code[rows], code[columns])]
        return found

    def pairs(
        self, ours: Integer[np.ndarray, " pairs"], theirs: Integer[np.ndarray, " pairs"]
    ) -> Bool[np.ndarray, " pairs"]:
        """Whether distinct annotation `ours[i]` conflicts with `theirs[i]`."""
        found = np.zeros(len(ours), bool)
        for code, table in zip(self._codes, self._tables, strict=True):
            found |= table[code[ours], code[theirs]]
        return found


def _levels(
    encoded: EncodedStudies, contradictions: Contradictions, axis: str
) -> UInt64[np.ndarray, "distinct diseases"]:
    """Bit mask of the axis's levels that each disease's descriptors name, 0 where the disease is absent."""
    masks = np.zeros(encoded.adjective_codes.shape, np.uint64)
    for sets, codes in (
        (encoded.adjective_sets, encoded.adjective_codes),
        (encoded.direction_sets, encoded.direction_codes),
    ):
        of_set = _levels_of_sets(sets, contradictions, axis)
        masks |= np.where(codes >= 0, np.append(of_set, np.uint64(0))[codes], np.uint64(0))
    return masks


def _levels_of_sets(sets: SetTable, contradictions: Contradictions, axis: str) -> UInt64[np.ndarray, " sets"]:
    masks = np.zeros(len(sets), np.uint64)
    scale = contradictions.axes[axis]
    for j, word in enumerate(sets.vocabulary):
        if word in scale:
            named = sets.masks[:, j // WORD] >> np.uint64(j % WORD) & np.uint64(1)
            masks |= named << np.uint64(scale[word])
    return masks
