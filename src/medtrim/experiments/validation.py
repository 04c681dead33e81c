"""Validation while training: retrieval on some studies of the validation split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from medtrim.data import ImageCache
from medtrim.errors import ConfigError, TableError
from medtrim.evaluation import PatientBootstrap, make_reference
from medtrim.evaluation.validation_scores import METRICS, sample_studies, validation_scores
from medtrim.models import EncoderBundle
from medtrim.training import TrainConfig
from medtrim.types.tables import read_annotations, read_studies

Validator = Callable[[EncoderBundle, int], Mapping[str, float]]
MAX_STUDIES = 300


def curve_name(metric: str) -> str:
    """The key under which a metric's mean over both directions across modalities is logged."""
    return f"mean {metric}"


def make_validator(
    config: TrainConfig, *, annotations: Path | None = None, count: int = MAX_STUDIES, seed: int | None = None
) -> Validator:
    """A callable for `train(evaluate=…)`: `validation_scores` on at most `count` studies of the evaluation split.

    A metric that is not defined, as in a split of fewer than two studies, is NaN.

    Args:
        annotations: what is true; the training's own annotations by default.
        seed: of the draw of studies; the training's by default.

    Raises:
        ConfigError: the recipe names no annotations or no image cache.
        TableError: a study of the evaluation split has no annotation.
    """
    truth, folder = annotations or config.data.annotations, config.data.cache
    if truth is None or folder is None:
        raise ConfigError("validation needs data.annotations and data.cache")
    cache = ImageCache(folder)
    held = [
        s for s in read_studies(config.data.studies) if s.split == config.data.eval_split and s.study_id in cache
    ]
    studies = sample_studies(held, count, seed=config.seed if seed is None else seed)
    known = {a.study_id: a for a in read_annotations(truth)}
    for study in studies:
        if study.study_id not in known:
            raise TableError(f"{truth}: no annotation of validation study {study.study_id!r}")
    reference = make_reference([known[s.study_id] for s in studies])
    bootstrap = PatientBootstrap([s.patient_id for s in studies], resamples=1)

    def validate(bundle: EncoderBundle, step: int) -> Mapping[str, float]:
        found = validation_scores(bundle, studies, cache, reference, bootstrap) if len(studies) > 1 else {}
        return {curve_name(metric): found.get(metric, float("nan")) for metric in METRICS}

    return validate
