"""Positives and negatives of the anchors that share one distinct annotation, exact over the whole corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int8, Integer

from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.draws import NOBODY, Members, Seed
from medtrim.mining.triplets import ATTRIBUTE_HARD, FALLBACK, HARDEST, HIGH, LOW, MIDDLE, SEMI_HARD

# What a draw is for; part of every hash, so changing one changes the triplets.
POSITIVE, NEGATIVE, MIX = 1, 2, 3


@dataclass(frozen=True)
class Anchors:
    """Anchors of one distinct annotation: their studies, and their places in the list of all anchors."""

    studies: Integer[np.ndarray, " anchors"]
    places: Integer[np.ndarray, " anchors"]

    def __len__(self) -> int:
        return len(self.studies)

    def take(self, rows: np.ndarray) -> Anchors:
        """Some of the anchors."""
        return Anchors(self.studies[rows], self.places[rows])


@dataclass(frozen=True)
class Partners:
    """Chosen studies of each anchor (`NOBODY` fills short rows), their scores and kinds."""

    studies: Integer[np.ndarray, "anchors width"]
    scores: Float64[np.ndarray, "anchors width"]
    kinds: Int8[np.ndarray, "anchors width"]

    def take(self, rows: np.ndarray) -> Partners:
        """The partners of some of the anchors."""
        return Partners(self.studies[rows], self.scores[rows], self.kinds[rows])


Level = tuple[int, np.ndarray]


class Selector:
    """Chooses partners from one row of scores: S(anchors' annotation, every distinct annotation)."""

    def __init__(self, members: Members, inverse: np.ndarray, config: CorpusConfig, seed: int) -> None:
        self._members = members
        self._inverse = inverse
        self._config = config
        purposes = (POSITIVE, NEGATIVE, MIX, *(NEGATIVE + 10 * kind for kind in (LOW, MIDDLE, HIGH)))
        self._seeds = {purpose: Seed(seed, purpose) for purpose in purposes}

    def positives(self, row: Float64[np.ndarray, " distinct"], anchors: Anchors) -> Partners:
        """The best-scoring studies above `min_positive`; equals are drawn at random."""
        levels = falling(row, np.arange(len(row)), above=self._config.min_positive)
        return self._fill(row, anchors, ((0, ids) for ids in levels), self._config.positives, POSITIVE)

    def negatives(
        self,
        row: Float64[np.ndarray, " distinct"],
        conflicts: Bool[np.ndarray, " distinct"] | None,
        anchors: Anchors,
        limit: float,
    ) -> Partners:
        """Negatives of anchors whose worst positive scores `limit`; every one scores less."""
        config = self._config
        if conflicts is None:
            return self._base(row, anchors, limit)
        hard = self.wants_attribute_hard(anchors)
        contrary = np.flatnonzero(conflicts & (row < limit))
        levels = ((ATTRIBUTE_HARD, ids) for ids in falling(row, contrary, slack=config.slack))
        found = self._fill(row, anchors.take(np.flatnonzero(hard)), levels, config.negatives, NEGATIVE)
        # An anchor that nobody contradicts gets its negatives by the strategy, like those not drawn for this.
        lucky = np.flatnonzero(hard)[found.studies[:, 0] != NOBODY]
        rest = np.setdiff1d(np.arange(len(anchors)), lucky)
        base = self._base(row, anchors.take(rest), limit)
        merged = _nothing(len(anchors), max(base.studies.shape[1], config.negatives))
        for rows, part in ((lucky, found.take(found.studies[:, 0] != NOBODY)), (rest, base)):
            width = part.studies.shape[1]
            merged.studies[rows, :width] = part.studies
            merged.scores[rows, :width] = part.scores
            merged.kinds[rows, :width] = part.kinds
        return merged

    def wants_attribute_hard(self, anchors: Anchors) -> Bool[np.ndarray, " anchors"]:
        """Which anchors are drawn for attribute-hard negatives, by the configured share."""
        return self._seeds[MIX].uniform(anchors.places, 0) < self._config.attribute_hard

    def _base(self, row: np.ndarray, anchors: Anchors, limit: float) -> Partners:
        """Negatives by the configured strategy."""
        config = self._config
        lower, upper = min(config.semi_hard, limit), min(config.ceiling, limit)
        if config.strategy == "stratified":
            strata = (
                (LOW, row < lower),
                (MIDDLE, (row >= config.semi_hard) & (row < upper)),
                (HIGH, (row >= config.ceiling) & (row < limit)),
            )
            parts = [
                self._fill(row, anchors, [(kind, np.flatnonzero(inside))], config.negatives, NEGATIVE + 10 * kind)
                for kind, inside in strata
            ]
            return _beside(parts)
        levels = self._hardest(row, upper) if config.strategy == "hardest" else self._semi_hard(row, lower, upper)
        return self._fill(row, anchors, levels, config.negatives, NEGATIVE)

    def _semi_hard(self, row: np.ndarray, lower: float, upper: float) -> Iterator[Level]:
        slack = self._config.slack
        for ids in rising(row, np.flatnonzero((row >= self._config.semi_hard) & (row < upper)), slack=slack):
            yield SEMI_HARD, ids
        for ids in falling(row, np.flatnonzero(row < lower), slack=slack):
            yield FALLBACK, ids

    def _hardest(self, row: np.ndarray, upper: float) -> Iterator[Level]:
        for ids in falling(row, np.flatnonzero(row < upper), slack=self._config.slack):
            yield HARDEST, ids

    def _fill(
        self, row: np.ndarray, anchors: Anchors, levels: Iterable[Level], width: int, purpose: int
    ) -> Partners:
        """Up to `width` studies for each anchor, level after level."""
        chosen = _nothing(len(anchors), width)
        filled = np.zeros(len(anchors), np.int64)
        seed = self._seeds[purpose]
        for kind, ids in levels:
            waiting = np.flatnonzero(filled < width)
            if not len(waiting):
                break
            if not len(ids):
                continue
            drawn = self._members.draw(
                anchors.studies[waiting], anchors.places[waiting], ids, width - filled[waiting], seed
            )
            for column in drawn.T:
                got = waiting[column != NOBODY]
                chosen.studies[got, filled[got]] = column[column != NOBODY]
                chosen.kinds[got, filled[got]] = kind
                filled[got] += 1
        found = chosen.studies != NOBODY
        chosen.scores[found] = row[self._inverse[chosen.studies[found]]]
        return chosen


def falling(
    row: np.ndarray, ids: np.ndarray, *, above: float = -np.inf, slack: float = 0.0
) -> Iterator[np.ndarray]:
    """The ids in groups whose scores differ by at most `slack`, best first, as long as one is above `above`."""
    values = row[ids]
    while len(ids):
        best = values.max()
        if best <= above:
            return
        equal = values >= best - slack
        yield ids[equal]
        ids, values = ids[~equal], values[~equal]


def rising(row: np.ndarray, ids: np.ndarray, *, slack: float = 0.0) -> Iterator[np.ndarray]:
    """The ids in groups whose scores differ by at most `slack`, lowest first."""
    return falling(-row, ids, slack=slack)


def _nothing(anchors: int, width: int) -> Partners:
    shape = (anchors, width)
    return Partners(np.full(shape, NOBODY, np.int64), np.full(shape, np.nan), np.full(shape, -1, np.int8))


def _beside(parts: list[Partners]) -> Partners:
    return Partners(
        np.concatenate([p.studies for p in parts], axis=1),
        np.concatenate([p.scores for p in parts], axis=1),
        np.concatenate([p.kinds for p in parts], axis=1),
    )
