"""The corpus miner's work list: which studies are anchors, and how they are cut into shards."""

from __future__ import annotations

import numpy as np
from jaxtyping import Integer

from medtrim.mining.corpus import Shard
from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.encoding import EncodedStudies

# A shard ends after so many distinct annotations or anchors, whichever comes first.
SHARD_DISTINCT = 512
SHARD_ANCHORS = 20_000


def draw_anchors(encoded: EncodedStudies, config: CorpusConfig, *, seed: int) -> Integer[np.ndarray, " anchors"]:
    """The anchors in their order: every study once, a random sample, or one balanced over classes.

    A sample larger than the corpus, and a balanced one, hold studies more than once; each occurrence draws partners
    of its own. The classes are the counted diseases that occur, and `no finding`.
    """
    studies = len(encoded)
    rng = np.random.default_rng([seed, 1])
    wanted = config.anchors or studies
    if not config.balanced:
        if not config.anchors:
            return np.arange(studies)
        return rng.choice(studies, wanted, replace=wanted > studies)
    has = encoded.has[encoded.inverse]
    classes = [np.flatnonzero(column) for column in (*has.T, ~has.any(axis=1)) if column.any()]
    drawn = rng.integers(len(classes), size=wanted)
    luck = rng.random(wanted)
    anchors = np.empty(wanted, np.int64)
    for i, members in enumerate(classes):
        chosen = drawn == i
        anchors[chosen] = members[(luck[chosen] * len(members)).astype(np.int64)]
    return anchors


def cut_shards(encoded: EncodedStudies, anchors: Integer[np.ndarray, " anchors"]) -> list[Shard]:
    """Shards that together hold every anchor, alike whatever the number of workers.

    Annotations with the same diseases go together, which keeps blocks of scores uniform and fast.
    """
    used, distinct_of = np.unique(encoded.inverse[anchors], return_inverse=True)
    order = np.lexsort((used, encoded.disease_codes[used]))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    places = np.argsort(rank[distinct_of], kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(rank[distinct_of], minlength=len(used)))])
    shards: list[Shard] = []
    first = 0
    for last in range(1, len(used) + 1):
        anchors_so_far = start[last] - start[first]
        if last - first == SHARD_DISTINCT or anchors_so_far >= SHARD_ANCHORS or last == len(used):
            part = places[start[first] : start[last]]
            bounds = start[first : last + 1] - start[first]
            shards.append(Shard(len(shards), used[order[first:last]], bounds, anchors[part], part))
            first = last
    return shards
