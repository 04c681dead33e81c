"""A few retrieval figures of the validation split while a method trains: the curves by which methods compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from medtrim.data import ImageCache
from medtrim.errors import ConfigError, TableError
from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.embed import embed_studies
from medtrim.evaluation.reference import Reference, make_reference
from medtrim.evaluation.retrieval import retrieval_figures
from medtrim.models import EncoderBundle
from medtrim.training import TrainConfig
from medtrim.types import Study
from medtrim.types.tables import read_annotations, read_studies

Validator = Callable[[EncoderBundle, int], Mapping[str, float]]
CURVES = ("disease P@10", "fine P@10", "attribute AUC")
DIRECTIONS = ("i2t", "t2i")
MAX_STUDIES = 300


def curve_name(metric: str) -> str:
    """The key under which a metric's mean over `DIRECTIONS` is logged."""
    return f"mean {metric}"


def mean_retrieval(
    bundle: EncoderBundle,
    studies: Sequence[Study],
    cache: ImageCache,
    reference: Reference,
    bootstrap: PatientBootstrap,
) -> dict[str, float]:
    """`CURVES` of abnormal queries among `studies`, each the mean over `DIRECTIONS`, where defined."""
    found = embed_studies(bundle, studies, cache)
    result = retrieval_figures(found.image, found.text, reference, bootstrap, directions=DIRECTIONS)
    values = {m: [f.value for f in result.figures if f.metric == m and f.queries == "abnormal"] for m in CURVES}
    return {metric: float(np.mean(v)) for metric, v in values.items() if v}


def few(studies: Sequence[Study], count: int, *, seed: int) -> list[Study]:
    """At most `count` of `studies`, ordered by id, whatever order they come in."""
    held = sorted(studies, key=lambda s: s.study_id)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(held))[:count])
    return [held[i] for i in chosen]


def make_validator(config: TrainConfig) -> Validator:
    """A callable for `train(evaluate=…)` that measures `CURVES` on at most `MAX_STUDIES` validation studies.

    Values are means over image→text and text→image. A split that defines a figure nowhere gives nan.

    Raises:
        ConfigError: the recipe names no annotations, without which nothing can be judged.
        TableError: a study of the validation split has no annotation.
    """
    if config.data.annotations is None or config.data.cache is None:
        raise ConfigError("validation needs data.annotations and data.cache")
    cache = ImageCache(config.data.cache)
    held = [
        s for s in read_studies(config.data.studies) if s.split == config.data.eval_split and s.study_id in cache
    ]
    studies = few(held, MAX_STUDIES, seed=config.seed)
    known = {a.study_id: a for a in read_annotations(config.data.annotations)}
    for study in studies:
        if study.study_id not in known:
            raise TableError(f"{config.data.annotations}: no annotation of validation study {study.study_id!r}")
    reference = make_reference([known[s.study_id] for s in studies])
    bootstrap = PatientBootstrap([s.patient_id for s in studies], resamples=1, seed=0)

    def validate(bundle: EncoderBundle, step: int) -> Mapping[str, float]:
        if len(studies) < 2:
            return {curve_name(metric): float("nan") for metric in CURVES}
        found = mean_retrieval(bundle, studies, cache, reference, bootstrap)
        return {curve_name(metric): found.get(metric, float("nan")) for metric in CURVES}

    return validate
