"""The corpus miner: the best positives and the right negatives of every anchor, exact over all studies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer

from medtrim.errors import MiningError
from medtrim.mining.blocks import BLOCK, BlockScorer
from medtrim.mining.conflicts import ConflictFinder
from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.draws import NOBODY, Members
from medtrim.mining.encoding import EncodedStudies
from medtrim.mining.selection import Anchors, Partners, Selector
from medtrim.mining.triplets import ATTRIBUTE_HARD, HIGH, KINDS, LOW, MIDDLE, MinedTriplets, concatenate
from medtrim.types import DEFAULT_CONTRADICTIONS, Contradictions

# Anchors of one annotation handled at a time; bounds the memory that a hundred thousand normal studies take.
CHUNK = 8192


@dataclass(frozen=True)
class Shard:
    """A part of the work: all anchors whose annotation is one of `distinct`.

    `anchors` and `places` are sorted by distinct annotation; those of `distinct[i]` are `start[i]:start[i + 1]`.
    """

    number: int
    distinct: Integer[np.ndarray, " distinct"]
    start: Integer[np.ndarray, " bounds"]
    anchors: Integer[np.ndarray, " anchors"]
    places: Integer[np.ndarray, " anchors"]


@dataclass(frozen=True)
class ShardTriplets:
    """What a shard gave: its triplets, and for each the place of its anchor in the list of anchors."""

    places: Integer[np.ndarray, " triplets"]
    mined: MinedTriplets


class CorpusMiner:
    """Mines shards. Everything it needs is in its arguments, so any process gives the same triplets.

    Raises:
        MiningError: `other_patients` without patients.
        ConfigError: an axis that the contradictions lack.
    """

    def __init__(
        self,
        encoded: EncodedStudies,
        config: CorpusConfig,
        *,
        seed: int,
        patients: Integer[np.ndarray, " studies"] | None = None,
        contradictions: Contradictions = DEFAULT_CONTRADICTIONS,
    ) -> None:
        if config.other_patients and patients is None:
            raise MiningError("other_patients needs a patient for every study; pass the studies table")
        self._encoded = encoded
        self._scorer = BlockScorer(encoded)
        self._members = Members(encoded, patients if config.other_patients else None)
        self._select = Selector(self._members, encoded.inverse, config, seed)
        self._finder: ConflictFinder | None = None
        if config.attribute_hard > 0:
            self._finder = ConflictFinder(encoded, contradictions, axes=config.axes or None)
        self._config = config

    def mine(self, shard: Shard) -> ShardTriplets:
        """All triplets of the shard's anchors, ordered by the anchors' places."""
        step = max(1, 8 * BLOCK // max(1, self._encoded.distinct))
        counts: Counter[str] = Counter(anchors=len(shard.anchors), triplets=0, no_positive=0, no_negative=0)
        parts: list[ShardTriplets] = []
        for first in range(0, len(shard.distinct), step):
            rows = shard.distinct[first : first + step]
            scores = self._scorer.score(rows)
            conflicts = self._finder.rows(rows) if self._finder else None
            for i, u in enumerate(rows.tolist()):
                row = scores[i]
                if self._members.counts[u] == 1:
                    row[u] = -np.inf  # nobody but the anchor itself
                against = conflicts[i] if conflicts is not None else None
                for anchors in _anchors(shard, first + i):
                    parts += self._mine_row(row, against, anchors, counts)
        return _joined(parts, counts)

    def _mine_row(
        self, row: np.ndarray, conflicts: np.ndarray | None, anchors: Anchors, counts: Counter[str]
    ) -> Iterator[ShardTriplets]:
        """The triplets of anchors with one annotation, a part for each score that their worst positive has."""
        positives = self._select.positives(row, anchors)
        paired = positives.studies[:, 0] != NOBODY
        counts["no_positive"] += int((~paired).sum())
        limits = np.where(np.isnan(positives.scores), np.inf, positives.scores).min(axis=1)
        for limit in np.unique(limits[paired]).tolist():
            group = np.flatnonzero(paired & (limits == limit))
            some = anchors.take(group)
            negatives = self._select.negatives(row, conflicts, some, limit)
            self._count(some, negatives, counts)
            yield _combine(some, positives.take(group), negatives)

    def _count(self, anchors: Anchors, negatives: Partners, counts: Counter[str]) -> None:
        """Count the anchors that lack a negative, and why: none at all, none of a stratum, none contradictory."""
        counts["no_negative"] += int((negatives.studies == NOBODY).all(axis=1).sum())
        contradicted = (negatives.kinds == ATTRIBUTE_HARD).any(axis=1)
        if self._finder:
            wanted = self._select.wants_attribute_hard(anchors)
            counts["no_attribute_hard"] += int((wanted & ~contradicted).sum())
        if self._config.strategy == "stratified":
            for kind in (LOW, MIDDLE, HIGH):
                has = (negatives.kinds == kind).any(axis=1) | contradicted
                counts[f"no_{KINDS[kind]}"] += int((~has).sum())


def _anchors(shard: Shard, i: int) -> Iterator[Anchors]:
    for start in range(int(shard.start[i]), int(shard.start[i + 1]), CHUNK):
        part = slice(start, min(start + CHUNK, int(shard.start[i + 1])))
        yield Anchors(shard.anchors[part], shard.places[part])


def _combine(anchors: Anchors, positives: Partners, negatives: Partners) -> ShardTriplets:
    """Every positive of an anchor with every negative of it."""
    width, depth = positives.studies.shape[1], negatives.studies.shape[1]
    p = np.repeat(positives.studies, depth, axis=1).reshape(-1)
    n = np.tile(negatives.studies, (1, width)).reshape(-1)
    keep = np.flatnonzero((p != NOBODY) & (n != NOBODY))
    owner = keep // max(1, width * depth)
    mined = MinedTriplets(
        indices=np.stack([anchors.studies[owner], p[keep], n[keep]], axis=1),
        positive_score=np.repeat(positives.scores, depth, axis=1).reshape(-1)[keep],
        negative_score=np.tile(negatives.scores, (1, width)).reshape(-1)[keep],
        kind=np.tile(negatives.kinds, (1, width)).reshape(-1)[keep],
    )
    return ShardTriplets(anchors.places[owner], mined)


def _joined(parts: list[ShardTriplets], counts: Counter[str]) -> ShardTriplets:
    """One result in the order of the anchors' places."""
    places = np.concatenate([np.zeros(0, np.int64), *(p.places for p in parts)])
    return ordered(places, [p.mined for p in parts], counts)


def ordered(places: np.ndarray, parts: list[MinedTriplets], counts: Counter[str]) -> ShardTriplets:
    """The parts' triplets sorted by place; the triplets of one anchor keep their order."""
    order = np.argsort(places, kind="stable")
    mined = concatenate(parts)
    counts["triplets"] = len(mined)
    return ShardTriplets(
        places[order],
        MinedTriplets(
            indices=mined.indices[order],
            positive_score=mined.positive_score[order],
            negative_score=mined.negative_score[order],
            kind=mined.kind[order],
            counts=dict(counts),
        ),
    )
