"""Configurations of a run in full: the packaged recipe under them, every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medtrim.experiments.schema import AnnotationErrors
from medtrim.models.names import content_mark
from medtrim.objectives import OBJECTIVES, objective_options
from medtrim.training import TrainConfig, build_config
from medtrim.types.settings import merge, validated

# Stands for the tables of a run while its other keys are checked.
_PLACEHOLDER = {
    "data": {"studies": "studies.parquet", "annotations": "annotations.parquet", "triplets": "triplets.parquet"},
    "out": "run",
}
# Keys of a training configuration that change no weight.
_NO_PART = ("data", "out", "threads", "log_every", "save_every", "keep", "trackers")


def training_config(training: Mapping[str, Any], **placed: Any) -> TrainConfig:
    """The training configuration of a run; `placed` are its `data` and `out`, stand-ins where absent."""
    return build_config(merge(training, placed or _PLACEHOLDER), source="training")


def resolved_training(training: Mapping[str, Any]) -> dict[str, Any]:
    """Everything in a training recipe that its result depends on, defaults of recipe and objective included."""
    config = training_config(training)
    values: dict[str, Any] = {k: v for k, v in config.model_dump(mode="json").items() if k not in _NO_PART}
    for key in ("checkpoint", "vision", "text"):
        if source := values["model"][key]:
            values["model"][key] = content_mark(source)  # identified by its content, not by its path
    options = {**objective_options(config.objective.name), **config.objective.options}
    # 14 and 14.0 are equal but are written differently.
    plain = {k: float(v) if isinstance(v, int) and not isinstance(v, bool) else v for k, v in options.items()}
    values["objective"] = {"name": config.objective.name, "options": plain}
    return values


def annotation_errors(values: Mapping[str, Any]) -> AnnotationErrors:
    """The annotation errors of a run from plain data."""
    return validated(AnnotationErrors, values, source="errors")


def study_encodings(config: TrainConfig) -> float:
    """How many studies the run encodes: batch × accumulation × steps, twice that for objectives with two views.

    Without `steps` it is the number of epochs, which compares as well on one corpus.
    """
    views = 2 if "views" in OBJECTIVES[config.objective.name].needs else 1
    if not config.steps:
        return views * config.epochs
    return views * config.steps * config.batch.size * config.batch.accumulate
