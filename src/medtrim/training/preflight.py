"""What a run would do, and what is in its way, before it does anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from medtrim.training.config import TrainConfig
from medtrim.training.optimizer import matrices_of
from medtrim.training.prepare import PreparedRun, model_config, prepare_run
from medtrim.types.tables import Progress, no_progress

# Bytes a number: weights, gradients and moments in float32. AdamW has two moments, Muon one.
_NUMBER = 4


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
    run = prepare_run(config, progress=progress)
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
