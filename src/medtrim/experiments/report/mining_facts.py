"""What triplets mined the published way hold: counted in the training split, for the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medtrim.errors import MiningError
from medtrim.mining.audit_measures import agreement
from medtrim.mining.pool import PoolConfig, mine_pools
from medtrim.mining.similarity import EncodedStudies, encode_studies
from medtrim.mining.triplets import MinedTriplets, concatenate
from medtrim.types.tables import read_annotations


@dataclass(frozen=True, slots=True)
class MiningFacts:
    """Shares are of the triplets, nan where there are none.

    Attributes:
        triplets: how many there are.
        ceiling: a negative had to score below it.
        same_disease: the least score of two studies with the same diseases: the weight of the disease term.
        negatives_sharing: negatives that share a disease with their anchor.
        negatives_normal: negatives without any disease of the label set.
        negatives_from_ceiling: how many negatives score `ceiling` or more.
        positives_same_diseases: positives with just the anchor's diseases.
        positives_same_descriptors: positives that match the anchor in every descriptor as well.
    """

    triplets: int
    ceiling: float
    same_disease: float
    negatives_sharing: float
    negatives_normal: float
    negatives_from_ceiling: int
    positives_same_diseases: float
    positives_same_descriptors: float


def mining_facts(annotations: Path, *, iterations: int = 500, seed: int = 0) -> MiningFacts:
    """Mine triplets of the studies in the table `annotations` the published way, and count what they hold.

    Raises:
        TableError: the table is unreadable.
    """
    encoded = encode_studies(read_annotations(annotations))
    try:
        mined = mine_pools(encoded, PoolConfig(iterations=iterations), np.random.default_rng(seed))
    except MiningError:  # no triplet is admissible
        mined = concatenate([])
    return count_triplets(encoded, mined)


def count_triplets(encoded: EncodedStudies, mined: MinedTriplets) -> MiningFacts:
    """What anchors share with their positives and negatives in triplets of the studies `encoded`."""
    ceiling = PoolConfig().ceiling
    same = encoded.config.weights.disease
    if not len(mined):
        nan = float("nan")
        return MiningFacts(0, ceiling, same, nan, nan, 0, nan, nan)
    found = agreement(encoded, mined.indices)
    return MiningFacts(
        triplets=len(mined),
        ceiling=ceiling,
        same_disease=same,
        negatives_sharing=found["negative"]["shares_disease"],
        negatives_normal=found["negative"]["normal"],
        negatives_from_ceiling=int((mined.negative_score >= ceiling).sum()),
        positives_same_diseases=found["positive"]["same_diseases"],
        positives_same_descriptors=found["positive"]["same_descriptors"],
    )
