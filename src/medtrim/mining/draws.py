"""Seeded draws of studies that depend on what is drawn for, not on the order of the work.

Every draw is a hash of (seed, purpose, anchor's place, counter), so that shards, workers and engines cannot change
a result, and a shard that was lost is mined again to the same triplets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Integer, UInt64

from medtrim.mining.encoding import EncodedStudies
from medtrim.mining.sets import mix64

# Up to this many candidates, each gets a random priority; beyond, positions are drawn until one is admissible.
FEW = 64
ATTEMPTS = 64
NOBODY = -1


@dataclass(frozen=True)
class Seed:
    """A seed and what it is used for; equal seeds with another purpose are unrelated."""

    seed: int
    purpose: int

    def hash(
        self, places: Integer[np.ndarray, "*shape"], counter: Integer[np.ndarray, "*shape"] | int
    ) -> UInt64[np.ndarray, "*shape"]:
        """64 random bits for each place and counter."""
        spread = mix64(places.astype(np.uint64) ^ self.prefix)
        return mix64(spread ^ np.asarray(counter).astype(np.uint64))

    @cached_property
    def prefix(self) -> np.uint64:
        """The part of the hash that all places share."""
        start = mix64(np.array([self.seed & (2**64 - 1)], np.uint64)) + np.uint64(self.purpose)
        return np.uint64(mix64(start)[0])

    def uniform(
        self, places: Integer[np.ndarray, "*shape"], counter: Integer[np.ndarray, "*shape"] | int
    ) -> Float64[np.ndarray, "*shape"]:
        """Uniform numbers in [0, 1)."""
        return (self.hash(places, counter) >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Members:
    """Which studies have each distinct annotation, and which of them an anchor must not be paired with.

    `groups` gives each study's patient; an anchor is never paired with a study of its own group. Without groups
    every study is a group by itself, so that only the anchor is excluded.
    """

    def __init__(self, encoded: EncodedStudies, groups: Integer[np.ndarray, " studies"] | None) -> None:
        self.counts = encoded.counts
        self._inverse = encoded.inverse
        self._studies = np.argsort(encoded.inverse, kind="stable")
        self._start = np.concatenate([[0], np.cumsum(self.counts)])
        self._groups = groups
        self._marked = np.zeros(encoded.distinct, bool)
        if groups is not None:
            self._by_group = np.argsort(groups, kind="stable")
            self._group_start = np.concatenate([[0], np.cumsum(np.bincount(groups))])

    def of(self, distinct: Integer[np.ndarray, " levels"]) -> Integer[np.ndarray, " studies"]:
        """All studies that have one of the distinct annotations."""
        return np.concatenate([self._studies[self._start[u] : self._start[u + 1]] for u in distinct.tolist()])

    def at(
        self, distinct: Integer[np.ndarray, " levels"], positions: Integer[np.ndarray, " drawn"]
    ) -> Integer[np.ndarray, " drawn"]:
        """The studies at these positions of `of(distinct)`, without listing them all."""
        if len(distinct) == 1:
            return np.asarray(self._studies[self._start[distinct[0]] + positions])
        ends = np.cumsum(self.counts[distinct])
        level = np.searchsorted(ends, positions, side="right")
        inside = positions - (ends - self.counts[distinct])[level]
        return np.asarray(self._studies[self._start[distinct[level]] + inside])

    def excluded(
        self, anchors: Integer[np.ndarray, " anchors"], studies: Integer[np.ndarray, "#anchors candidates"]
    ) -> Bool[np.ndarray, "anchors candidates"]:
        """Whether each study is the anchor or of the anchor's group."""
        if self._groups is None:
            return np.asarray(studies == anchors[:, None])
        return np.asarray(self._groups[studies] == self._groups[anchors][:, None])

    def own_among(
        self, anchors: Integer[np.ndarray, " anchors"], distinct: Integer[np.ndarray, " levels"]
    ) -> Integer[np.ndarray, " anchors"]:
        """How many of the studies with one of the distinct annotations an anchor is excluded from."""
        self._marked[distinct] = True
        if self._groups is None:
            count = np.asarray(self._marked[self._inverse[anchors]].astype(np.int64))
        else:
            group = self._groups[anchors]
            size = self._group_start[group + 1] - self._group_start[group]
            owner = np.repeat(np.arange(len(anchors)), size)
            offset = np.arange(len(owner)) - np.repeat(np.cumsum(size) - size, size)
            own = self._by_group[np.repeat(self._group_start[group], size) + offset]
            count = np.bincount(owner[self._marked[self._inverse[own]]], minlength=len(anchors))
        self._marked[distinct] = False
        return count

    def draw(
        self,
        anchors: Integer[np.ndarray, " anchors"],
        places: Integer[np.ndarray, " anchors"],
        distinct: Integer[np.ndarray, " levels"],
        need: Integer[np.ndarray, " anchors"],
        seed: Seed,
    ) -> Integer[np.ndarray, "anchors drawn"]:
        """For each anchor up to `need` different admissible studies among those of `distinct`, uniformly.

        Short rows are filled up with `NOBODY`.
        """
        need = np.minimum(need, int(self.counts[distinct].sum()) - self.own_among(anchors, distinct))
        width = int(need.max(initial=0))
        drawn = np.full((len(anchors), width), NOBODY, np.int64)
        if not width:
            return drawn
        if self.counts[distinct].sum() <= FEW:
            return self._by_priority(anchors, places, self.of(distinct), need, seed)
        unlucky = self._by_rejection(anchors, places, distinct, need, seed, drawn)
        if len(unlucky):
            candidates = self.of(distinct)
            for i in unlucky.tolist():
                one = self._by_priority(anchors[[i]], places[[i]], candidates, need[[i]], seed)
                drawn[i, : one.shape[1]] = one[0]
        return drawn

    def _by_priority(
        self, anchors: np.ndarray, places: np.ndarray, candidates: np.ndarray, need: np.ndarray, seed: Seed
    ) -> np.ndarray:
        """Every candidate gets a random priority; the admissible ones with the smallest are taken."""
        width = int(need.max())
        shape = (len(anchors), len(candidates))
        keys = seed.uniform(np.broadcast_to(places[:, None], shape), np.broadcast_to(candidates[None, :], shape))
        keys[self.excluded(anchors, candidates[None, :])] = 2.0
        order = np.argsort(keys, axis=1, kind="stable")[:, :width]
        return np.where(np.arange(width) < need[:, None], candidates[order], NOBODY)

    def _by_rejection(
        self,
        anchors: np.ndarray,
        places: np.ndarray,
        distinct: np.ndarray,
        need: np.ndarray,
        seed: Seed,
        drawn: np.ndarray,
    ) -> np.ndarray:
        """Fill `drawn` from random positions; returns the anchors that had no luck in `ATTEMPTS` draws."""
        total = int(self.counts[distinct].sum())
        unlucky = []
        for column in range(drawn.shape[1]):
            waiting = np.flatnonzero(need > column)
            for attempt in range(ATTEMPTS):
                luck = seed.uniform(places[waiting], column * ATTEMPTS + attempt)
                studies = self.at(distinct, (luck * total).astype(np.int64))
                refused = self.excluded(anchors[waiting], studies[:, None])[:, 0]
                refused |= (drawn[waiting, :column] == studies[:, None]).any(axis=1)
                drawn[waiting[~refused], column] = studies[~refused]
                waiting = waiting[refused]
                if not len(waiting):
                    break
            unlucky.append(waiting)
        return np.unique(np.concatenate(unlucky))
