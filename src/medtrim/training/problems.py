"""Everything that is in the way of a run, found without starting it: all at once, not one by one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from medtrim.data import ImageCache
from medtrim.errors import ConfigError, MedTrimError
from medtrim.models import EncoderBundle, build_dual_encoder, load_checkpoint
from medtrim.objectives import OBJECTIVES
from medtrim.training.config import TrainConfig
from medtrim.training.corpus import encode_annotations, patient_codes, read_split_studies, read_triplet_rows
from medtrim.training.hub import hub_problems
from medtrim.training.layers import freeze_first_layers
from medtrim.training.lora import add_lora
from medtrim.training.prepare import checkpoint_activations, model_config, plan_batches
from medtrim.types import Study, schemas
from medtrim.types.outputs import check_output_folder
from medtrim.types.tables import read_table

T = TypeVar("T")

_TABLES = {"annotations": schemas.ANNOTATIONS, "triplets": schemas.TRIPLETS}


def find_problems(
    config: TrainConfig, *, missing: Collection[str] = (), dropped: Collection[str] = ()
) -> list[str]:
    """What is wrong with files, tables, batches and model of `config`; images are not opened.

    Args:
        config: the recipe.
        missing: needed keys for which the recipe holds a stand-in (`CheckedConfig.missing`): nothing is said of
            what they name.
        dropped: keys that were left out of the recipe (`CheckedConfig.dropped`): the defaults in their place are
            nobody's wish, so what rests on their sections is not checked.
    """
    problems = [] if "out" in missing else _output_problems(config)
    unsure = {place.split(".")[0] for place in dropped}
    problems += _needs(config, objective="objective" not in unsure)
    for key in ("studies", "annotations", "triplets", "image_root"):
        path: Path | None = getattr(config.data, key)
        if path is not None and not path.exists() and f"data.{key}" not in missing:
            problems.append(f"data.{key}: {path} does not exist")
    problems += _corpus_problems(config, batches="batch" not in unsure)
    return problems if unsure & {"model", "lora"} else [*problems, *_model_problems(config)]


def _output_problems(config: TrainConfig) -> list[str]:
    try:
        check_output_folder(config.out)
    except ConfigError as error:
        return [f"out: {error}"]
    problems = []
    if (config.out / "metrics.jsonl").exists():
        problems.append(f"out: {config.out} holds a run already; it can only be resumed")
    free = shutil.disk_usage(next(p for p in (config.out, *config.out.absolute().parents) if p.exists())).free
    if free < 1 << 30:
        problems.append(f"out: only {free / 2**20:.0f} MiB are free on its disk")
    return problems


def _needs(config: TrainConfig, *, objective: bool) -> list[str]:
    """What the recipe's own parts need of each other and of the machine."""
    data, problems = config.data, []
    needs = OBJECTIVES[config.objective.name].needs if objective else frozenset()
    if needs & {"similarity", "labels"} and data.annotations is None:
        problems.append(f"objective {config.objective.name} compares annotations: data.annotations names no table")
    if "triplets" in needs and data.triplets is None and data.annotations is None:
        problems.append(f"objective {config.objective.name} uses triplets: data.triplets names no table")
    if config.evaluation.every and (data.annotations is None or data.cache is None):
        problems.append("evaluation.every needs data.annotations and data.cache")
    if (precision := precision_problem(config)) is not None:
        problems.append(precision)
    return problems


def precision_problem(config: TrainConfig) -> str | None:
    """Why this machine cannot train at the recipe's precision."""
    if config.precision == "fp16" and not torch.cuda.is_available():
        return "precision fp16 needs a GPU; on the CPU use fp32 or bf16"
    return None


def _corpus_problems(config: TrainConfig, *, batches: bool) -> list[str]:
    problems: list[str] = []
    training: list[Study] = []
    with_split = _tried(problems, "data.studies", lambda: read_split_studies(config), _there(config, "studies"))
    if with_split is not None:
        studies, rejects = with_split
        training = [s for s in studies if s.split == config.data.train_split]
        problems += _split_problems(training, studies, config)
    if not training:
        for key in _TABLES:
            _tried(problems, f"data.{key}", partial(_columns, config, key), _there(config, key))
        return problems
    encoded = _tried(
        problems, "data.annotations", lambda: encode_annotations(training, config)[0], _there(config, "annotations")
    )
    read = _tried(
        problems,
        "data.triplets",
        lambda: read_triplet_rows(training, studies, rejects, config)[0],
        _there(config, "triplets"),
    )
    if batches and (config.batch.sampler == "shuffle" or read is not None):
        _tried(problems, "", lambda: plan_batches(read, patient_codes(training), encoded, config), True)
    return problems


def _split_problems(training: list[Study], studies: Iterable[Study], config: TrainConfig) -> list[str]:
    if not training:
        found = ", ".join(sorted({repr(s.split) for s in studies})) or "none"
        return [f"data.train_split: no study in split {config.data.train_split!r}; splits found: {found}"]
    cache = config.data.cache
    if cache is not None and (cache / "index.parquet").exists():
        held = ImageCache(cache)
        if all(s.study_id in held for s in training):
            return []
    root = config.data.image_root or config.data.studies.parent
    if not any((root / image).exists() for s in training for image in s.images):
        return [
            f"data.image_root: of {len(training)} training studies none has an image file; relative paths start "
            f"from {root}"
        ]
    return []


def _model_problems(config: TrainConfig) -> list[str]:
    problems: list[str] = hub_problems(config)
    for side in ("vision", "text"):
        name = getattr(config.model, side)
        if name and name.startswith((".", "/")) and not Path(name).is_dir():
            problems.append(f"model.{side}: {name} is no folder")
    bundle = _tried(problems, "", lambda: _build(config), not problems)
    if bundle is None:
        return problems
    lora = config.lora
    if lora is not None:
        _tried(problems, "lora", lambda: add_lora(bundle.model, lora, seed=config.seed), True)
    _tried(problems, "", lambda: freeze_first_layers(bundle.model, config.model.freeze_layers), True)
    if config.model.activation_checkpointing:
        _tried(problems, "", lambda: checkpoint_activations(bundle), True)
    return problems


def _build(config: TrainConfig) -> EncoderBundle:
    if config.model.checkpoint:
        return load_checkpoint(config.model.checkpoint)
    return build_dual_encoder(model_config(config), texts=["no acute disease"], seed=config.seed)


def _columns(config: TrainConfig, key: str) -> None:
    """Read a table for its columns' sake."""
    read_table(getattr(config.data, key), _TABLES[key], table=key)


def _there(config: TrainConfig, key: str) -> bool:
    path: Path | None = getattr(config.data, key)
    return path is not None and path.exists()


def _tried(problems: list[str], key: str, attempt: Callable[[], T], when: bool) -> T | None:
    """What `attempt` gives; what it raises is noted under `key` instead."""
    if not when:
        return None
    try:
        return attempt()
    except MedTrimError as error:
        problems.append(f"{key}: {error}" if key and not str(error).startswith(key) else str(error))
        return None
