"""What each gallery study adds to a figure: every query's value with it, less the value without it.

Patients enter a test set in two roles, as queries and as the gallery that is searched. Resampling the queries
alone makes intervals too narrow. Ranking a resampled gallery anew would be slow, and its repeated studies fill the
first ten places as in no real gallery. So the effect of leaving a study out is computed exactly, for all studies
from the one ranking, and a resample adds the effects of the patients that it repeats and takes off those that
it lacks: the first-order (Hájek) term of the figure as a function of its gallery, whose variance is the jackknife's
(Efron & Stein 1981, doi:10.1214/aos/1176345462).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Integer, Num

Ranked = Integer[np.ndarray, "queries others"]
Relevant = Bool[np.ndarray, "queries others"]
Counts = Integer[np.ndarray, " queries"]


@dataclass(frozen=True)
class GalleryEffect:
    """By gallery study: Σ over queries of (numerator with it − numerator without it), and of the denominators."""

    numerator: Float64[np.ndarray, " studies"]
    denominator: Float64[np.ndarray, " studies"]

    def __add__(self, other: GalleryEffect) -> GalleryEffect:
        return GalleryEffect(self.numerator + other.numerator, self.denominator + other.denominator)


class EffectSum:
    """Adds up effects over queries."""

    def __init__(self, studies: int) -> None:
        self.numerator = np.zeros(studies)
        self.denominator = np.zeros(studies)

    def add(
        self,
        studies: Integer[np.ndarray, " *shape"],
        numerator: Float64[np.ndarray, " *shape"],
        denominator: Float64[np.ndarray, " *shape"] | None = None,
    ) -> None:
        """Count the effect of each of `studies`, which may repeat."""
        size = len(self.numerator)
        self.numerator += np.bincount(studies.ravel(), weights=numerator.ravel(), minlength=size)
        if denominator is not None:
            self.denominator += np.bincount(studies.ravel(), weights=denominator.ravel(), minlength=size)

    def total(self) -> GalleryEffect:
        """The sums."""
        return GalleryEffect(self.numerator, self.denominator)


def precision_effect(ranked: Ranked, relevant: Relevant, k: int, total: Counts, studies: int) -> GalleryEffect:
    """Of P@k = (relevant among the first k) / min(k, number of relevant).

    Without one of the first k, rank k + 1 moves up; without a relevant study the divisor may shrink, and without
    the only one the query leaves the figure.
    """
    found = EffectSum(studies)
    keep = total > 0
    ranked, relevant, total = ranked[keep], relevant[keep], total[keep]
    first = relevant[:, :k]
    hits = first.sum(axis=1)
    value = hits / np.minimum(k, total)
    left = total[:, None] - first
    without = _ratio(hits[:, None] - first + _at(relevant, k)[:, None], np.minimum(k, left))
    found.add(ranked[:, :k], value[:, None] - without, (left == 0).astype(np.float64))
    rows, columns = np.nonzero(relevant[:, k:] & (total <= k)[:, None])
    without = _ratio(hits[rows], total[rows] - 1)
    found.add(ranked[rows, columns + k], value[rows] - without, (total[rows] == 1).astype(np.float64))
    return found.total()


def plain_precision_effect(ranked: Ranked, relevant: Relevant, k: int, studies: int) -> GalleryEffect:
    """Of (relevant among the first k) / k, over all queries."""
    found = EffectSum(studies)
    first = relevant[:, :k].astype(np.float64)
    found.add(ranked[:, :k], (first - _at(relevant, k)[:, None]) / k)
    return found.total()


def average_precision_effect(ranked: Ranked, relevant: Relevant, total: Counts, studies: int) -> GalleryEffect:
    """Of AP: what stands behind the study moves up a rank, and behind a relevant one has a hit less."""
    found = EffectSum(studies)
    keep = total > 0
    ranked, relevant, total = ranked[keep], relevant[keep], total[keep, None]
    ranks = np.arange(1, ranked.shape[1] + 1)
    hits = np.cumsum(relevant, axis=1)
    before = np.cumsum(relevant * hits / ranks, axis=1)
    value = before[:, -1:] / total
    up = np.maximum(ranks - 1, 1)
    behind_other = _behind(relevant * hits / up)
    behind_relevant = _behind(relevant * (hits - 1) / up)
    ahead = before - relevant * hits / ranks
    left = total - relevant
    without = _ratio(ahead + np.where(relevant, behind_relevant, behind_other), left)
    found.add(ranked, value - without, (left == 0).astype(np.float64))
    return found.total()


def ndcg_effect(
    ranked: Ranked,
    gains: Float64[np.ndarray, "queries ranked"],
    ideal: Float64[np.ndarray, "queries more"],
    k: int,
    studies: int,
) -> GalleryEffect:
    """Of nDCG@k. `gains` are in ranked order; `ideal` the k + 1 largest, falling (0 where there are fewer)."""
    found = EffectSum(studies)
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    own = _first(gains, k + 1)
    dcg, best = own[:, :k] @ discount, ideal[:, :k] @ discount
    value = _ratio(dcg, best)
    # best[j]: of the ideal order without its place j; the last column stands for a study that is not in it.
    bests = np.concatenate([_without_each(ideal, discount), best[:, None]], axis=1)
    dcgs = np.concatenate([_without_each(own, discount), dcg[:, None]], axis=1)
    in_top = np.arange(gains.shape[1]) < k
    rows, columns = np.nonzero(in_top[None, :] | (gains > ideal[:, k : k + 1]))
    place = np.minimum((ideal[rows, :k] > gains[rows, columns][:, None]).sum(axis=1), k)
    without = _ratio(dcgs[rows, np.minimum(columns, k)], bests[rows, place])
    gone = (best[rows] > 0) & (bests[rows, place] <= 0)
    found.add(ranked[rows, columns], value[rows] - without, gone.astype(np.float64))
    return found.total()


@dataclass(frozen=True)
class Window:
    """The first R = min(depth, matches) places of each query, and what becomes of them without a study.

    Attributes:
        ranked: studies in ranked order.
        match: which of them are fine matches; matches: how many.
        depth: most places.
    """

    ranked: Ranked
    match: Relevant
    matches: Counts
    depth: int

    @property
    def size(self) -> Counts:
        """R."""
        return np.asarray(np.minimum(self.depth, self.matches))

    def left_out(self) -> tuple[Integer[np.ndarray, " cases"], Integer[np.ndarray, " cases"]]:
        """Query and place of every study whose absence changes the window."""
        places = np.arange(self.ranked.shape[1])
        inside = places < self.size[:, None]
        shrinks = self.match & (self.matches <= self.depth)[:, None]
        rows, columns = np.nonzero(inside | shrinks)
        return rows, columns

    def size_without(
        self, rows: Integer[np.ndarray, " cases"], columns: Integer[np.ndarray, " cases"]
    ) -> Integer[np.ndarray, " cases"]:
        """R without the study."""
        return np.asarray(np.minimum(self.depth, self.matches[rows] - self.match[rows, columns]))

    def count_without(
        self,
        marked: Bool[np.ndarray, "queries places"],
        rows: Integer[np.ndarray, " cases"],
        columns: Integer[np.ndarray, " cases"],
    ) -> Float64[np.ndarray, " cases"]:
        """How many of the window's places are marked without the study; `marked` has depth + 1 places."""
        sums = np.pad(np.cumsum(marked, axis=1), ((0, 0), (1, 0)))
        size = self.size_without(rows, columns)
        # Without a place of the window the next one moves in; R itself may have shrunk.
        inside = columns < size + 1
        reach = np.minimum(size + inside, marked.shape[1])
        own = np.where(inside, marked[rows, np.minimum(columns, marked.shape[1] - 1)], False)
        return np.asarray(sums[rows, reach] - own, np.float64)


def window_effect(
    window: Window,
    top: Bool[np.ndarray, "queries places"],
    bottom: Bool[np.ndarray, "queries places"] | None,
    studies: int,
) -> GalleryEffect:
    """Of the marked places of `top` in the first R: over those of `bottom`, summed; over R by query where None."""
    found = EffectSum(studies)
    rows, columns = window.left_out()
    size, left = window.size, window.size_without(rows, columns)
    inside = np.arange(top.shape[1]) < size[:, None]
    count, without = (top & inside).sum(axis=1), window.count_without(top, rows, columns)
    if bottom is None:
        numerator = _ratio(count, size)[rows] - _ratio(without, left)
        denominator = (left == 0).astype(np.float64)
    else:
        numerator = count[rows] - without
        denominator = (bottom & inside).sum(axis=1)[rows] - window.count_without(bottom, rows, columns)
    found.add(window.ranked[rows, columns], numerator, denominator)
    return found.total()


def recall_effect(
    ahead: Bool[np.ndarray, "queries gallery"], ranks: Float64[np.ndarray, " queries"], k: int
) -> Float64[np.ndarray, " gallery"]:
    """Of R@k: a query at rank k + 1 is a hit without any one of those ahead of its own."""
    return np.asarray(-ahead[ranks == k + 1].sum(axis=0).astype(np.float64))


def auc_effect(
    scores: Float64[np.ndarray, " studies"], positive: Bool[np.ndarray, " studies"]
) -> tuple[float, Float64[np.ndarray, " studies"], Float64[np.ndarray, " studies"]]:
    """P(a positive scores above a negative) + ½ P(equal), and each study's effect on it and on its being defined.

    NaN and no effects without both kinds.
    """
    numerator, denominator = np.zeros(len(scores)), np.zeros(len(scores))
    high, low = scores[positive], scores[~positive]
    if not len(high) or not len(low):
        return float("nan"), numerator, denominator
    ordered_low, ordered_high = np.sort(low), np.sort(high)
    wins = (np.searchsorted(ordered_low, high, "left") + np.searchsorted(ordered_low, high, "right")) / 2
    lost = (
        len(high) - (np.searchsorted(ordered_high, low, "left") + np.searchsorted(ordered_high, low, "right")) / 2
    )
    total = wins.sum()
    value = total / (len(high) * len(low))
    for mask, won, left, others in (
        (positive, wins, len(high) - 1, len(low)),
        (~positive, lost, len(low) - 1, len(high)),
    ):
        numerator[mask] = value - (total - won) / (left * others) if left else value
        denominator[mask] = 0.0 if left else 1.0
    return float(value), numerator, denominator


def _ratio(top: Num[np.ndarray, "..."], bottom: Num[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """top / bottom, 0 where the bottom is."""
    return np.asarray(np.divide(top, bottom, out=np.zeros(np.broadcast(top, bottom).shape), where=bottom > 0))


def _at(relevant: Relevant, place: int) -> Integer[np.ndarray, " queries"]:
    """1 where the study at a place (from 0) is relevant; 0 where the ranking ends before."""
    inside = place < relevant.shape[1]
    return relevant[:, place].astype(np.int64) if inside else np.zeros(len(relevant), np.int64)


def _behind(values: Float64[np.ndarray, "queries others"]) -> Float64[np.ndarray, "queries others"]:
    """Sum of what stands behind each place."""
    return np.asarray(values.sum(axis=1, keepdims=True) - np.cumsum(values, axis=1))


def _first(values: Float64[np.ndarray, "queries others"], count: int) -> Float64[np.ndarray, "queries count"]:
    """The first `count` columns, with zeros where there are fewer."""
    missing = max(0, count - values.shape[1])
    return np.asarray(np.pad(values[:, :count], ((0, 0), (0, missing))))


def _without_each(
    values: Float64[np.ndarray, "queries more"], discount: Float64[np.ndarray, " k"]
) -> Float64[np.ndarray, "queries k"]:
    """Discounted sum of the first k of k + 1 values without each of them in turn, the rest moving up."""
    k = len(discount)
    stay = np.cumsum(np.pad(values[:, : k - 1] * discount[:-1], ((0, 0), (1, 0))), axis=1)
    move = np.cumsum((values[:, 1:] * discount)[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(stay + move)
