"""A few retrieval figures of a validation split: for learning curves and early stopping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medtrim.data.cache import ImageCache
from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.embed import embed_studies
from medtrim.evaluation.reference import Reference
from medtrim.evaluation.retrieval import retrieval_figures
from medtrim.models import EncoderBundle
from medtrim.types import Study

METRICS = ("disease P@10", "fine P@10", "attribute AUC")
DIRECTIONS = ("i2t", "t2i")


def validation_scores(
    bundle: EncoderBundle,
    studies: Sequence[Study],
    cache: ImageCache,
    reference: Reference,
    bootstrap: PatientBootstrap,
) -> dict[str, float]:
    """`METRICS` of queries with a finding, each the mean over `DIRECTIONS`; undefined ones are left out.

    Args:
        reference: truth of the studies, in their order.
        bootstrap: of the same studies; one resample is enough, since intervals are not returned.

    Raises:
        TableError: no study has an image in the cache.
    """
    found = embed_studies(bundle, studies, cache)
    result = retrieval_figures(found.image, found.text, reference, bootstrap, directions=DIRECTIONS)
    values = {m: [f.value for f in result.figures if f.metric == m and f.queries == "abnormal"] for m in METRICS}
    return {metric: float(np.mean(v)) for metric, v in values.items() if v}


def sample_studies(studies: Sequence[Study], count: int, *, seed: int) -> list[Study]:
    """At most `count` of `studies`, drawn by `seed` and ordered by id, whatever order they come in."""
    held = sorted(studies, key=lambda s: s.study_id)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(held))[:count])
    return [held[i] for i in chosen]
