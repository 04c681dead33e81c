"""Retrieval on some validation studies while a run trains: the learning curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from medtrim.data import ImageCache
from medtrim.evaluation import PatientBootstrap, embed_studies, evaluate_retrieval, make_reference
from medtrim.experiments.suite.prepare import PreparedCorpus
from medtrim.models import EncoderBundle
from medtrim.types.tables import read_annotations, read_studies

Curve = Callable[[EncoderBundle, int], Mapping[str, float]]
METRICS = ("disease P@10", "fine P@10", "attribute AUC")
DIRECTIONS = ("i2t", "t2i")


def make_curve(corpus: PreparedCorpus, split: str, *, count: int) -> Curve | None:
    """What `train(evaluate=…)` takes: `METRICS`, each the mean over both directions, on `count` studies of `split`.

    The studies are the same for every run, so that curves compare. None where `count` is 0.
    """
    if not count:
        return None
    cache = ImageCache(corpus.cache)
    held = sorted((s for s in read_studies(corpus.studies) if s.split == split), key=lambda s: s.study_id)
    chosen = np.sort(np.random.default_rng(0).permutation(len(held))[:count])
    studies = [held[i] for i in chosen]
    known = {a.study_id: a for a in read_annotations(corpus.reference)}
    reference = make_reference([known[s.study_id] for s in studies])
    bootstrap = PatientBootstrap([s.patient_id for s in studies], resamples=1)

    def curve(bundle: EncoderBundle, step: int) -> Mapping[str, float]:
        found = embed_studies(bundle, studies, cache)
        result = evaluate_retrieval(found.image, found.text, reference, bootstrap, directions=DIRECTIONS)
        values = {
            m: [f.value for f in result.figures if f.metric == m and f.queries == "abnormal"] for m in METRICS
        }
        return {metric: float(np.mean(v)) for metric, v in values.items() if v}

    return curve
