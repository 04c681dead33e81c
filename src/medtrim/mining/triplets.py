"""What every miner returns: index triplets, the scores that chose them, and what was counted on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int8, Integer

from medtrim.types import schemas

# How a negative was chosen; the `negative_kind` column of a triplets table holds these words.
KINDS: tuple[str, ...] = ("semi-hard", "fallback", "lowest", "hardest", "low", "middle", "high", "attribute-hard")
SEMI_HARD, FALLBACK, LOWEST, HARDEST, LOW, MIDDLE, HIGH, ATTRIBUTE_HARD = range(len(KINDS))


@dataclass(frozen=True)
class MinedTriplets:
    """Index triplets (anchor, positive, negative) into the encoded studies.

    `positive_score` and `negative_score` are S(anchor, ·); `kind` indexes `KINDS`. `counts` says how many anchors
    were tried and why some gave nothing; its keys are the miner's.
    """

    indices: Integer[np.ndarray, "triplets 3"]
    positive_score: Float64[np.ndarray, " triplets"]
    negative_score: Float64[np.ndarray, " triplets"]
    kind: Int8[np.ndarray, " triplets"]
    counts: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)

    def to_table(self, study_ids: Sequence[str]) -> pa.Table:
        """A triplets table (without provenance) with the study ids and a `negative_kind` column."""
        ids = pa.array(study_ids, pa.string())
        anchor, positive, negative = (ids.take(pa.array(column)) for column in self.indices.T)
        kinds = pa.DictionaryArray.from_arrays(pa.array(self.kind), pa.array(KINDS))
        columns = [anchor, positive, negative, pa.array(self.positive_score), pa.array(self.negative_score)]
        return pa.table([*columns, kinds.cast(pa.string())], names=[*schemas.TRIPLETS.names, "negative_kind"])


def concatenate(parts: Sequence[MinedTriplets]) -> MinedTriplets:
    """The parts one after the other, their counts added."""
    counts: dict[str, int] = {}
    for part in parts:
        for name, value in part.counts.items():
            counts[name] = counts.get(name, 0) + value
    empty = MinedTriplets(np.zeros((0, 3), np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.int8))
    parts = parts or [empty]
    return MinedTriplets(
        indices=np.concatenate([p.indices for p in parts]),
        positive_score=np.concatenate([p.positive_score for p in parts]),
        negative_score=np.concatenate([p.negative_score for p in parts]),
        kind=np.concatenate([p.kind for p in parts]),
        counts=counts,
    )
