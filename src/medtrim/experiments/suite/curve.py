"""Retrieval on some validation studies while a run trains: the learning curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from medtrim.data import ImageCache
from medtrim.evaluation import PatientBootstrap, make_reference
from medtrim.experiments.suite.prepare import PreparedCorpus
from medtrim.experiments.validation import few, mean_retrieval
from medtrim.models import EncoderBundle
from medtrim.types.tables import read_annotations, read_studies

Curve = Callable[[EncoderBundle, int], Mapping[str, float]]


def make_curve(corpus: PreparedCorpus, split: str, *, count: int) -> Curve | None:
    """What `train(evaluate=…)` takes: `mean_retrieval` on `count` studies of `split`.

    The studies are the same for every run, so that curves compare. None where `count` is 0.
    """
    if not count:
        return None
    cache = ImageCache(corpus.cache)
    studies = few([s for s in read_studies(corpus.studies) if s.split == split], count, seed=0)
    known = {a.study_id: a for a in read_annotations(corpus.reference)}
    reference = make_reference([known[s.study_id] for s in studies])
    bootstrap = PatientBootstrap([s.patient_id for s in studies], resamples=1)

    def curve(bundle: EncoderBundle, step: int) -> Mapping[str, float]:
        return mean_retrieval(bundle, studies, cache, reference, bootstrap)

    return curve
