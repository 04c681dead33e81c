"""What is in the way of a run, found all at once without starting it, and what the run would do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from huggingface_hub import constants, try_to_load_from_cache

from medtrim.data import ImageCache
from medtrim.errors import ConfigError, MedTrimError, ModelError
from medtrim.models import EncoderBundle, build_dual_encoder, load_checkpoint
from medtrim.models.hub import hub_answers
from medtrim.models.names import is_local
from medtrim.objectives import OBJECTIVES
from medtrim.training.config import TrainConfig
from medtrim.training.corpus import encode_annotations, patient_codes, read_split_studies, read_triplet_rows
from medtrim.training.layers import freeze_first_layers
from medtrim.training.lora import add_lora
from medtrim.training.optimizer import matrices_of
from medtrim.training.prepare import (
    PreparedRun,
    checkpoint_activations,
    model_config,
    plan_batches,
    prepare_run,
)
from medtrim.types import Study, schemas
from medtrim.types.outputs import check_output_folder
from medtrim.types.tables import Progress, no_progress, read_table

T = TypeVar("T")

_TABLES = {"annotations": schemas.ANNOTATIONS, "triplets": schemas.TRIPLETS}
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Bytes a number: weights, gradients and moments in float32. AdamW has two moments, Muon one.
_NUMBER = 4


def find_problems(
    config: TrainConfig, *, missing: Collection[str] = (), dropped: Collection[str] = ()
) -> list[str]:
    """What is wrong with files, tables, batches and model of `config`; images are not opened.

    Args:
        config: the recipe.
        missing: needed keys for which the recipe holds a stand-in (`CheckedConfig.missing`): nothing is said of
            what they name.
        dropped: keys that were left out of the recipe (`CheckedConfig.dropped`): the defaults in their place were
            not set by the user, so what rests on their sections is not checked.
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


def hub_problems(config: TrainConfig) -> list[str]:
    """A line for each encoder that is named by hub name, is not on this machine, and cannot be fetched now.

    transformers would find out too, after a minute of trying again.
    """
    away = {key: name for key, name in _hub_names(config).items() if not _is_cached(name)}
    if not away or hub_answers():
        return []
    return [
        f"{key}: {name!r} is not on this machine and {constants.ENDPOINT} cannot be reached; name a folder "
        f"that holds it: --set {key}=FOLDER"
        for key, name in away.items()
    ]


def _hub_names(config: TrainConfig) -> dict[str, str]:
    if config.model.checkpoint:
        named = {"model.checkpoint": config.model.checkpoint}
    else:
        try:
            model = model_config(config)
        except ModelError:  # said where the model is built
            return {}
        named = {f"model.{side}": name for side in ("vision", "text") if (name := getattr(model, side))}
    return {key: name for key, name in named.items() if not is_local(name)}


def _is_cached(name: str) -> bool:
    files = [isinstance(try_to_load_from_cache(name, file), str) for file in ("config.json", *_WEIGHTS)]
    return files[0] and any(files[1:])


@dataclass(frozen=True, slots=True)
class DryRun:
    """A run that was prepared and measured, not started.

    Attributes:
        parameters, trainable: numbers in the model and objective; those that are trained.
        state_bytes: weights, gradients and moments of the optimiser.
        activation_bytes: what one batch keeps for the backward pass on a rank, measured on two small batches and
            extrapolated.
        steps, batch_size, batches_per_epoch, epochs: how long it runs.
        studies, patients, evaluation, rejects: of the corpus.
        triplets, triplets_left_out: in the training split, and outside it or unusable.
        normal: share of training studies without a counted disease; None without annotations.
        token_quantiles: median, 90th, 99th percentile and longest report, in tokens after cutting.
        cut: share of the reports that are longer than the limit.
        warnings: what is legal and probably not meant.
    """

    parameters: int
    trainable: int
    state_bytes: int
    activation_bytes: int
    steps: int
    batch_size: int
    batches_per_epoch: int
    epochs: float
    studies: int
    patients: int
    evaluation: int
    rejects: int
    triplets: int
    triplets_left_out: int
    normal: float | None
    token_quantiles: tuple[int, int, int, int]
    cut: float
    warnings: tuple[str, ...]


def dry_run(config: TrainConfig, *, progress: Progress = no_progress) -> DryRun:
    """Prepare the run of `config`, as `train` would, and measure it.

    The image cache is built, since image sizes and rejects are known only then; nothing else is written.

    Raises:
        MedTrimError: whatever `train` would raise before its first step.
    """
    run = prepare_run(config, pool=False, progress=progress)
    parameters = list(run.module.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    total = sum(p.numel() for p in parameters)
    lengths = run.dataset.tokens.lengths
    normal = None if run.corpus.encoded is None else float(np.mean(run.corpus.encoded.is_normal))
    quantiles = np.quantile(lengths, [0.5, 0.9, 0.99, 1.0]).astype(int).tolist()
    cut = float(np.mean(lengths >= run.bundle.max_tokens))
    return DryRun(
        parameters=total,
        trainable=trainable,
        state_bytes=_NUMBER * (total + 3 * trainable - _orthogonalised(run, config)),
        activation_bytes=_activations(run, config),
        steps=run.steps,
        batch_size=config.batch.size,
        batches_per_epoch=run.plan.batches_per_epoch,
        epochs=run.steps * config.batch.accumulate / run.plan.batches_per_epoch,
        studies=len(run.corpus),
        patients=int(run.corpus.patients.max()) + 1,
        evaluation=len(run.corpus.evaluation),
        rejects=len(run.corpus.rejects),
        triplets=0 if run.corpus.triplets is None else len(run.corpus.triplets),
        triplets_left_out=run.corpus.triplets_left_out,
        normal=normal,
        token_quantiles=(quantiles[0], quantiles[1], quantiles[2], quantiles[3]),
        cut=cut,
        warnings=tuple(_warnings(config, run, cut)),
    )


def _orthogonalised(run: PreparedRun, config: TrainConfig) -> int:
    """Numbers that Muon trains."""
    if config.optimizer.matrices != "muon":
        return 0
    return sum(p.numel() for p in matrices_of(run.module) if p.requires_grad)


def _activations(run: PreparedRun, config: TrainConfig) -> int:
    """Bytes that autograd keeps for a batch: counted on one and two studies, extrapolated linearly."""
    size = config.batch.chunk or config.batch.size
    one, two = (_kept(run, count) for count in (1, 2))
    return max(0, one + (two - one) * (size - 1))


def _kept(run: PreparedRun, count: int) -> int:
    kept: dict[int, int] = {}
    weights = {p.data_ptr() for p in run.module.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    width = int(run.dataset.tokens.lengths.max())
    side = run.bundle.image_size
    device = run.bundle.model.device
    pixels = torch.zeros(count, 3, side, side, device=device)
    ids = torch.ones(count, width, dtype=torch.long, device=device)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        encoded = run.module._encode(pixels, ids, torch.ones_like(ids), None, None, None)
    del encoded
    return sum(kept.values())


def _warnings(config: TrainConfig, run: PreparedRun, cut: float) -> list[str]:
    warnings = []
    if cut > 0.05:
        warnings.append(f"{cut:.0%} of the reports reach the limit of {run.bundle.max_tokens} tokens and are cut")
    if run.corpus.cache.size < run.bundle.image_size:
        warnings.append(
            f"cached images of {run.corpus.cache.size} px are blown up to the model's {run.bundle.image_size} px"
        )
    asked = config.model.max_tokens if config.model.checkpoint else model_config(config).max_tokens
    if asked is not None and asked > run.bundle.max_tokens:
        warnings.append(f"model.max_tokens is {asked}, but the text encoder takes {run.bundle.max_tokens}")
    given = sorted(config.model.overrides().keys() - {"temperature"}) if config.model.checkpoint else []
    if given:
        warnings.append(f"model.checkpoint brings its own model: {', '.join(given)} of the recipe are not used")
    if config.optimizer.matrices == "muon" and (pretrained := _pretrained(config)):
        warnings.append(
            f"optimizer.matrices is muon and {pretrained} brings trained weights: "
            f"{config.optimizer.matrix_learning_rate:g} is a rate for random ones; optimizer.matrices=adamw with a "
            "small optimizer.learning_rate is the usual choice"
        )
    if not run.corpus.evaluation:
        warnings.append(f"split {config.data.eval_split!r} is empty: nothing to evaluate on")
    if run.steps * config.batch.accumulate < run.plan.batches_per_epoch:
        warnings.append("the run ends before it has seen every study once")
    if config.batch.accumulate > 1:
        warnings.append("accumulated batches do not see each other's negatives; batch.chunk gives them larger ones")
    return warnings


def _pretrained(config: TrainConfig) -> str:
    """The key of the recipe that says what training goes on from; empty where all weights are random."""
    if config.model.checkpoint:
        return "model.checkpoint"
    model = model_config(config)
    named = [f"model.{side}" for side in ("vision", "text") if getattr(model, side)]
    return " and ".join(named) or ("lora" if config.lora is not None else "")
