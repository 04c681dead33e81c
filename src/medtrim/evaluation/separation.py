"""How far apart similarity keeps what differs: disease AUC and attribute AUC, query by query."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Integer

from medtrim.evaluation.blocks import blocks
from medtrim.evaluation.figures import QueryValues, mean_values
from medtrim.evaluation.gallery import EffectSum, auc_effect
from medtrim.evaluation.ranking import similarities
from medtrim.evaluation.reference import Reference


def separation(
    source: Float64[np.ndarray, "studies dimension"],
    gallery: Float64[np.ndarray, "studies dimension"],
    queries: Integer[np.ndarray, " queries"],
    reference: Reference,
) -> list[QueryValues]:
    """`disease AUC` and `attribute AUC` of each query against the other studies of the gallery.

    Disease: P(a study with the query's disease set is more similar than one with another). Attribute: the same
    among the studies with the query's disease set, those that match in every descriptor against those that do not.
    AUCs are taken within a query, as a ranking is: pooled over all queries, image→text and text→image would be
    the same number by construction. NaN for a query whose gallery has one kind only.
    """
    values = {name: np.full(len(queries), np.nan) for name in ("disease AUC", "attribute AUC")}
    effects = {name: EffectSum(len(gallery)) for name in values}
    done = 0
    for rows in blocks(queries):
        similarity = similarities(source[rows], gallery)
        for i, row in enumerate(rows, start=done):
            others = np.delete(np.arange(len(gallery)), row)
            scores = similarity[i - done][others]
            alike = reference.disease_set[others] == reference.disease_set[row]
            exact = reference.fine[others] == reference.fine[row]
            for name, kept, positive in (
                ("disease AUC", slice(None), alike),
                ("attribute AUC", alike, exact[alike]),
            ):
                values[name][i], *effect = auc_effect(scores[kept], positive)
                effects[name].add(others[kept], *effect)
        done += len(rows)
    return [mean_values(name, found, effects[name].total()) for name, found in values.items()]
