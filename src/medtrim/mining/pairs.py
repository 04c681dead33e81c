"""Scores of single pairs, not of a block: what the pool miner needs, since its mini-pools share no columns."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Integer

from medtrim.mining.encoding import EncodedStudies
from medtrim.mining.score_config import SCORE_DECIMALS
from medtrim.mining.sets import SetTable


def pair_scores(
    encoded: EncodedStudies, anchors: Integer[np.ndarray, " pairs"], references: Integer[np.ndarray, " pairs"]
) -> Float64[np.ndarray, " pairs"]:
    """S of pairs of distinct annotations, by the equation of `medtrim.mining.similarity`."""
    weights, mode = encoded.config.weights, encoded.config.mode
    ours, theirs = encoded.disease_codes[anchors], encoded.disease_codes[references]
    total = weights.disease * _jaccard(encoded.disease_sets, ours, theirs)
    descriptors = np.zeros(len(anchors))
    shared = np.zeros(len(anchors), np.int64)
    for d in range(len(encoded.config.diseases)):
        present = encoded.adjective_codes[:, d] >= 0
        both = np.flatnonzero(present[anchors] & present[references])
        shared[both] += 1
        a, r = anchors[both], references[both]
        for weight, sets, codes in (
            (weights.adjective, encoded.adjective_sets, encoded.adjective_codes[:, d]),
            (weights.direction, encoded.direction_sets, encoded.direction_codes[:, d]),
        ):
            descriptors[both] += weight * _jaccard(sets, codes[a], codes[r])
    sizes = encoded.disease_sets.sizes
    divisor = sizes[ours] if mode == "faithful" else sizes[ours] + sizes[theirs] - shared
    return np.asarray(np.round(total + descriptors / np.maximum(divisor, 1), SCORE_DECIMALS))


def _jaccard(sets: SetTable, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """J of set `ours[i]` with set `theirs[i]`."""
    shared = np.zeros(len(ours), np.int64)
    union = np.zeros(len(ours), np.int64)
    for word in sets.masks.T:
        a, b = word[ours], word[theirs]
        shared += np.bitwise_count(a & b)
        union += np.bitwise_count(a | b)
    return np.divide(shared, union, out=np.ones(len(ours)), where=union > 0)
