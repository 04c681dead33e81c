from __future__ import annotations

import pytest
import torch

from medtrim.errors import ConfigError
from medtrim.objectives import SimilarityTensors, build_objective


def away(x, y):
    return 1 - float(x @ y / x.norm() / y.norm())


def strata_cost(score, distances, near_anchor, ceiling, own):
    """One anchor: mean hinge of each stratum, or None where it is empty."""
    costs = []
    for low, high, margin in ((0.0, 0.25, 0.3), (0.25, 0.6, 0.2), (0.6, 9.9, 0.1)):
        chosen = [r for r in range(len(score)) if r != own and low <= score[r] < min(high, ceiling - 1e-3)]
        hinges = [max(0.0, near_anchor - distances[r] + margin) for r in chosen]
        costs.append(sum(hinges) / len(hinges) if hinges else None)
    return costs


def mean_over_anchors(per_anchor):
    total = 0.0
    for stratum in zip(*per_anchor, strict=True):
        there = [c for c in stratum if c is not None]
        total += sum(there) / len(there) if there else 0.0
    return total


def plain(inputs, own_weight):
    s = inputs.similarity
    score = (0.85 * s.disease + 0.1 * s.adjective + 0.05 * s.direction).tolist()
    size, total = len(score), 0.0
    for x in (inputs.image, inputs.text):
        for y in (inputs.image, inputs.text):
            pool, own = [], []
            for a in range(size):
                distances = [away(x[a], v) for v in y]
                best = max((r for r in range(size) if r != a), key=lambda r: score[a][r])
                pool.append(strata_cost(score[a], distances, distances[best], score[a][best], a))
                own.append(strata_cost(score[a], distances, distances[a], score[a][a], a))
            total += mean_over_anchors(pool) / 2
            if x is not y:
                total += own_weight * mean_over_anchors(own) / 2
    return total


@pytest.mark.parametrize("own_pair", [0.0, 1.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_a_loop(batch, own_pair, seed) -> None:
    inputs = batch(9, seed=seed)
    objective = build_objective(
        "stratified-triplets", own_pair=own_pair, far_margin=0.3, middle_margin=0.2, near_margin=0.1
    )
    assert float(objective(inputs).total) == pytest.approx(plain(inputs, own_pair))


def test_studies_all_alike_leave_nothing_to_push(batch) -> None:
    one = torch.ones(4, 4, dtype=torch.float64)
    inputs = batch(4, similarity=SimilarityTensors(disease=one, adjective=one, direction=one))
    assert float(build_objective("stratified-triplets")(inputs).total) == 0


def test_near_negatives_share_the_diseases(batch) -> None:
    """Same disease everywhere, descriptors differ: the published ceiling has no negative, this has."""
    one, eye = torch.ones(4, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    side = eye + eye.flip(0)
    inputs = batch(4, similarity=SimilarityTensors(disease=one, adjective=one, direction=side))
    assert float(build_objective("stratified-triplets", own_pair=0.0)(inputs).total) > 0


def test_strata_out_of_order_are_refused() -> None:
    with pytest.raises(ConfigError, match="high must be a number from 0.7 to 1"):
        build_objective("stratified-triplets", low=0.7)
