"""Before a run: whether the machine and the files are fit for it, what is wrong with its recipe, what it would do.

`examine` looks at the machine (`medtrim doctor`). `find_problems` lists everything that stops a recipe, and
`dry_run` prepares the run and measures it (`medtrim train --dry-run`).
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from huggingface_hub import constants, try_to_load_from_cache
from jaxtyping import Integer

from medtrim.data import ImageCache
from medtrim.errors import ConfigError, MedTrimError, ModelError
from medtrim.models import EncoderBundle, build_dual_encoder, load_checkpoint, load_preset
from medtrim.models.hub import hub_answers
from medtrim.models.names import PACKAGED, is_local
from medtrim.models.packaged import ENCODERS, packaged_problem
from medtrim.objectives import OBJECTIVES
from medtrim.training.collate import tokenize
from medtrim.training.config import TrainConfig
from medtrim.training.corpus import CorpusTables, patient_codes, read_reports
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
from medtrim.types import schemas
from medtrim.types.outputs import check_output_folder
from medtrim.types.study_table import StudyTable
from medtrim.types.tables import Progress, no_progress, read_table

T = TypeVar("T")
State = Literal["good", "note", "bad"]

PACKAGES = ("medtrim", "torch", "transformers", "accelerate", "tokenizers", "safetensors", "numpy", "pyarrow")
# Bytes free on the disk of a run: below the first it cannot start, below the second it is noted.
LEAST_FREE, LITTLE_FREE = 1 << 30, 5 << 30

_TABLES = {"annotations": schemas.ANNOTATIONS, "triplets": schemas.TRIPLETS}
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Bytes a number: weights, gradients and moments in float32. AdamW has two moments, Muon one.
_NUMBER = 4


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: its name; good, a note (legal, probably not meant) or bad; and what was seen."""

    name: str
    state: State
    seen: str


def examine(
    *,
    studies: Path | None = None,
    cache: Path | None = None,
    model: str | None = None,
    out: Path = Path(),
    checksums: bool = False,
) -> Iterator[Check]:
    """Look at the machine and at whatever is named, one `Check` at a time; what is broken is a check, not an error.

    Args:
        studies: a studies table, whose reports are measured against the model's token limit.
        cache: image cache folder.
        model: a packaged preset, or folder or hub name of a checkpoint.
        out: folder that a run would write to.
        checksums: also compare every cached image with its checksum.
    """
    yield Check("versions", "good", ", ".join(f"{name} {_version(name)}" for name in PACKAGES))
    yield Check("python", "good", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _devices()
    yield _disk(out)
    yield from _encoders()
    image_size = None
    if cache is not None:
        yield from _guarded("image cache", lambda: _cache(cache, checksums=checksums))
        image_size = _size_of(cache)
    if model is not None:
        yield from _guarded("model", lambda: _model(model, studies=studies, cached=image_size))


def _devices() -> Iterator[Check]:
    threads, cores, crowded = torch.get_num_threads(), os.cpu_count() or 1, crowding()
    state: State = "note" if threads > cores or crowded else "good"
    yield Check("threads", state, f"{threads} of PyTorch on {cores} cores" + (f"; {crowded}" if crowded else ""))
    if not torch.cuda.is_available():
        yield Check("GPU", "note", "none: the tiny preset is made for the CPU, ViT-B is not")
        return
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        yield Check("GPU", "good", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, {bf16}")


def crowding(threads: int = 0) -> str | None:
    """Advice where other programs take the cores, on which PyTorch's threads wait for each other in every layer.

    Args:
        threads: that a training has on the CPU; 0 for those that are set.
    """
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if (threads or torch.get_num_threads()) < 2 or load <= cores + 1 or torch.cuda.is_available():
        return None
    return f"other programs keep the {cores} cores busy (load {load:.0f}): --set threads=1 trains faster there"


def _encoders() -> Iterator[Check]:
    for name in ENCODERS:
        problem = packaged_problem(PACKAGED + name)
        state: State = "good" if problem is None else "note"
        yield Check("encoder", state, f"{PACKAGED}{name} is there" if problem is None else problem)


def _disk(out: Path) -> Check:
    folder = out.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    writable = os.access(folder, os.W_OK)
    state: State = "bad" if not writable or free < LEAST_FREE else "note" if free < LITTLE_FREE else "good"
    return Check("disk", state, f"{free / 2**30:.1f} GiB free at {folder}" + ("" if writable else ", not writable"))


def _cache(path: Path, *, checksums: bool) -> Iterator[Check]:
    cache = ImageCache(path)
    yield Check("image cache", "good", f"{len(cache):,} images of {cache.size} px")
    if checksums:
        broken = cache.broken()
        shown = ", ".join(map(repr, broken[:5]))
        yield Check(
            "checksums", "bad" if broken else "good", f"{len(broken)} damaged: {shown}" if broken else "all fit"
        )


def _size_of(path: Path) -> int | None:
    try:
        return ImageCache(path).size
    except MedTrimError:
        return None


def _model(name: str, *, studies: Path | None, cached: int | None) -> Iterator[Check]:
    reports = read_reports(studies) if studies is not None else []
    if Path(name).exists() or "/" in name:
        bundle = load_checkpoint(name)
    else:
        bundle = build_dual_encoder(load_preset(name), texts=reports or ["no report"], seed=0)
    parameters = sum(p.numel() for p in bundle.model.parameters())
    yield Check("model", "good", f"{parameters:,} parameters, {bundle.image_size} px, {bundle.max_tokens} tokens")
    if cached is not None:
        yield _image_size(cached, bundle.image_size)
    if reports:
        lengths = tokenize(reports, bundle.tokenizer, max_tokens=10 * bundle.max_tokens).lengths
        yield _lengths(lengths, cut=float(np.mean(lengths > bundle.max_tokens)), limit=bundle.max_tokens)


def _image_size(cached: int, model: int) -> Check:
    small = cached < model
    seen = f"cache {cached} px, model {model} px" + (": images are blown up" if small else "")
    return Check("image size", "note" if small else "good", seen)


def _lengths(lengths: Integer[np.ndarray, " studies"], *, cut: float, limit: int) -> Check:
    middle, most, nearly_all, longest = np.quantile(lengths, [0.5, 0.9, 0.99, 1.0]).astype(int)
    seen = f"median {middle} tokens, 90 % {most}, 99 % {nearly_all}, longest {longest}"
    return Check("report lengths", "note" if cut > 0.05 else "good", f"{seen}; {cut:.1%} are cut at {limit} tokens")


def _guarded(name: str, checks: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from checks()
    except MedTrimError as error:
        yield Check(name, "bad", str(error))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is missing"


def find_problems(
    config: TrainConfig,
    *,
    missing: Collection[str] = (),
    dropped: Collection[str] = (),
    tables: CorpusTables | None = None,
) -> list[str]:
    """What is wrong with files, tables, batches and model of `config`; images are not opened.

    Args:
        config: the recipe.
        missing: needed keys for which the recipe holds a stand-in (`CheckedConfig.missing`): they are
            not checked.
        dropped: keys that were left out of the recipe (`CheckedConfig.dropped`): the defaults in their place were
            not set by the user, so what rests on their sections is not checked.
        tables: those of `config`, which a dry run after this reads no second time.
    """
    tables = tables or CorpusTables(config)
    problems = [] if "out" in missing else _output_problems(config)
    unsure = {place.split(".")[0] for place in dropped}
    problems += _needs(config, objective="objective" not in unsure)
    for key in ("studies", "annotations", "triplets", "image_root"):
        path: Path | None = getattr(config.data, key)
        if path is not None and not path.exists() and f"data.{key}" not in missing:
            problems.append(f"data.{key}: {path} does not exist")
    problems += _corpus_problems(config, tables, batches="batch" not in unsure)
    return problems if unsure & {"model", "lora"} else [*problems, *_model_problems(config)]


def _output_problems(config: TrainConfig) -> list[str]:
    try:
        check_output_folder(config.out)
    except ConfigError as error:
        return [f"out: {error}"]
    problems = []
    if (config.out / "metrics.jsonl").exists():
        problems.append(f"out: {config.out} holds a run already; it can only be resumed")
    if (disk := _disk(config.out)).state == "bad":
        problems.append(f"out: {disk.seen}")
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


def _corpus_problems(config: TrainConfig, tables: CorpusTables, *, batches: bool) -> list[str]:
    problems: list[str] = []
    training: StudyTable | None = None
    studies = _tried(problems, "data.studies", lambda: tables.studies, _there(config, "studies"))
    if studies is not None:
        training = tables.in_splits(config.data.train_split)
        problems += _split_problems(training, tables, config)
    if not training:
        for key in _TABLES:
            _tried(problems, f"data.{key}", partial(_columns, config, key), _there(config, key))
        return problems
    encoded = _tried(problems, "data.annotations", lambda: tables.encoded(training), _there(config, "annotations"))
    read = _tried(problems, "data.triplets", lambda: tables.triplets(training)[0], _there(config, "triplets"))
    if batches and (config.batch.sampler == "shuffle" or read is not None):
        _tried(problems, "", lambda: plan_batches(read, patient_codes(training), encoded, config), True)
    return problems


def _split_problems(training: StudyTable, tables: CorpusTables, config: TrainConfig) -> list[str]:
    if not training:
        return [
            f"data.train_split: no study in split {config.data.train_split!r}; splits found: {tables.split_names()}"
        ]
    cache = config.data.cache
    held = cache is not None and (cache / "index.parquet").exists()
    if cache is not None and held and ImageCache(cache).holds(training.study_ids).all():
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
    """Read a table to check its columns."""
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
        except ModelError:  # reported where the model is built
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
        steps: how long it runs.
        checks: all of this and what the corpus holds, for a reader; notes are legal and probably not meant.
    """

    parameters: int
    trainable: int
    state_bytes: int
    activation_bytes: int
    steps: int
    checks: tuple[Check, ...]


def dry_run(config: TrainConfig, *, tables: CorpusTables | None = None, progress: Progress = no_progress) -> DryRun:
    """Prepare the run of `config`, as `train` would, and measure it.

    The image cache is built, since image sizes and rejects are known only then; nothing else is written. What
    `find_problems` has read of `config` stands in `tables`.

    Raises:
        MedTrimError: whatever `train` would raise before its first step.
    """
    run = prepare_run(config, pool=False, tables=tables, progress=progress)
    parameters = list(run.module.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    total = sum(p.numel() for p in parameters)
    state = _NUMBER * (total + 3 * trainable - _orthogonalised(run, config))
    activations = _activations(run, config)
    memory = f"{state / 2**20:,.0f} MiB weights and optimiser + {activations / 2**20:,.0f} MiB activations"
    checks = (
        *_of_corpus(run, config),
        Check("objective", "good", config.objective.name),
        Check("parameters", "good", f"{total:,}, {trainable:,} trained"),
        *_of_schedule(run, config),
        Check("memory", "good", memory),
        Check("output", "good", str(config.out)),
        *_of_model(run, config),
    )
    return DryRun(total, trainable, state, activations, run.steps, checks)


def _of_corpus(run: PreparedRun, config: TrainConfig) -> Iterator[Check]:
    corpus = run.corpus
    patients = int(corpus.patients.max()) + 1
    yield Check("training studies", "good", f"{len(corpus):,} of {patients:,} patients")
    nothing = "" if corpus.evaluation else f": split {config.data.eval_split!r} is empty, nothing to evaluate on"
    yield Check("evaluation studies", "note" if nothing else "good", f"{len(corpus.evaluation):,}{nothing}")
    yield Check("records that cannot be used", "note" if corpus.rejects else "good", f"{len(corpus.rejects):,}")
    if corpus.encoded is not None:
        normal = float(np.mean(corpus.encoded.is_normal))
        taken = f", of which an epoch takes {config.batch.normals:.0%}" if config.batch.normals < 1 else ""
        yield Check("normal studies", "good", f"{normal:.0%}{taken}")
    if corpus.triplets is not None:
        yield Check("triplets", "good", f"{len(corpus.triplets):,} ({corpus.triplets_left_out:,} left out)")
    lengths, limit = run.dataset.tokens.lengths, run.bundle.max_tokens
    yield _lengths(lengths, cut=float(np.mean(lengths >= limit)), limit=limit)
    yield _image_size(corpus.cache.size, run.bundle.image_size)


def _of_schedule(run: PreparedRun, config: TrainConfig) -> Iterator[Check]:
    batch, batches = config.batch, run.steps * config.batch.accumulate
    epochs = batches / run.plan.batches_per_epoch
    length = f"{run.steps:,}, {batch.accumulate} × {batch.size} studies each, {epochs:.1f} epochs"
    short = batches < run.plan.batches_per_epoch
    ends = ": the run ends before it has seen every study once" if short else ""
    yield Check("steps", "note" if short else "good", length + ends)
    if batch.accumulate > 1:
        seen = "accumulated batches do not see each other's negatives; batch.chunk gives them larger ones"
        yield Check("batch.accumulate", "note", seen)


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
    model, device = run.bundle.model, run.bundle.model.device
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        if run.module.pooled:
            projections = (model.visual_projection, model.text_projection)
            features = [torch.zeros(count, projection.in_features, device=device) for projection in projections]
            encoded = run.module(*features)
        else:
            pixels = torch.zeros(count, 3, side, side, device=device)
            ids = torch.ones(count, width, dtype=torch.long, device=device)
            encoded = run.module(pixels, ids, torch.ones_like(ids))
    del encoded
    return sum(kept.values())


def _of_model(run: PreparedRun, config: TrainConfig) -> Iterator[Check]:
    """Keys of the recipe that do not do what they seem to."""
    asked = config.model.max_tokens if config.model.checkpoint else model_config(config).max_tokens
    if asked is not None and asked > run.bundle.max_tokens:
        yield Check("model.max_tokens", "note", f"{asked}, but the text encoder takes {run.bundle.max_tokens}")
    given = sorted(config.model.overrides().keys() - {"temperature"}) if config.model.checkpoint else []
    if given:
        yield Check(
            "model.checkpoint", "note", f"brings its own model: {', '.join(given)} of the recipe are not used"
        )
    if config.optimizer.matrices == "muon" and (pretrained := _pretrained(config)):
        seen = (
            f"muon and {pretrained} brings trained weights: {config.optimizer.matrix_learning_rate:g} is a rate "
            "for random ones; optimizer.matrices=adamw with a small optimizer.learning_rate is the usual choice"
        )
        yield Check("optimizer.matrices", "note", seen)


def _pretrained(config: TrainConfig) -> str:
    """The key of the recipe that says what training goes on from; empty where all weights are random."""
    if config.model.checkpoint:
        return "model.checkpoint"
    model = model_config(config)
    named = [f"model.{side}" for side in ("vision", "text") if getattr(model, side)]
    return " and ".join(named) or ("lora" if config.lora is not None else "")
