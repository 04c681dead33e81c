"""One training run, from tables to a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from medtrim.errors import ConfigError, TrainingError
from medtrim.models import EncoderBundle, save_checkpoint, write_bundle
from medtrim.models.standardise import with_plain_projections
from medtrim.training.callbacks import Averaging, EarlyStopping, MetricsLog, OnMetrics, ProgressCall, read_metrics
from medtrim.training.card import model_card
from medtrim.training.checkpoints import check_same_run, find_checkpoint
from medtrim.training.collate import Rank
from medtrim.training.config import TrainConfig
from medtrim.training.lora import merged
from medtrim.training.preflight import precision_problem
from medtrim.training.prepare import PreparedRun, prepare_run
from medtrim.training.record import run_provenance, write_run_files
from medtrim.training.trainer import AlignmentTrainer
from medtrim.types import Reject
from medtrim.types.tables import Progress, no_progress

_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}

EvaluateBundle = Callable[[EncoderBundle, int], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The outcome of a run.

    Attributes:
        checkpoint: the final model, a plain transformers folder.
        metrics: path of metrics.jsonl.
        steps: weight updates that the final model has seen.
        seconds: of training, earlier parts of a resumed run included.
        studies_per_second: median over the logged stretches; NaN where none was long enough to log.
        studies: size of the training split.
        rejects: records that could not be used; also in rejects.parquet.
        triplets_left_out: rows of the triplets table that touch a study outside the training split.
        resumed_from: step of the checkpoint that the run went on from, or 0.
        torn: checkpoints that were damaged and passed over, with the reason.
    """

    checkpoint: Path
    metrics: Path
    steps: int
    seconds: float
    studies_per_second: float
    studies: int
    rejects: tuple[Reject, ...]
    triplets_left_out: int
    resumed_from: int
    torn: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What is called while a run goes on.

    Attributes:
        progress: (steps done, steps) after each step.
        cache_progress: (images done, images) while images are decoded.
        on_metrics: every line of metrics.jsonl.
        evaluate: bundle and step → metrics, every `evaluation.every` steps; training itself knows no retrieval.
    """

    progress: Progress = no_progress
    cache_progress: Progress = no_progress
    on_metrics: OnMetrics = lambda _: None
    evaluate: EvaluateBundle | None = None


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    progress: Progress = no_progress,
    cache_progress: Progress = no_progress,
    on_metrics: OnMetrics = lambda _: None,
    evaluate: EvaluateBundle | None = None,
) -> TrainResult:
    """Train as `config` says and write the model to `config.out / "model"`.

    Args:
        config: the recipe.
        resume: go on from the newest whole checkpoint of `config.out`; where there is none, start.
        progress, cache_progress, on_metrics, evaluate: see `Callbacks`.

    Raises:
        ConfigError: recipe and corpus do not fit together.
        ModelError: a backbone cannot be loaded.
        TableError: a table is unreadable or names an unknown study.
        TrainingError: a patient has studies in two splits, the folder holds another run or one begun
            with another recipe, the loss is not finite,
            or a checkpoint cannot be written.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or before)
    try:
        return _train(config, Callbacks(progress, cache_progress, on_metrics, evaluate), resume=resume)
    finally:
        torch.set_num_threads(before)


def _train(config: TrainConfig, callbacks: Callbacks, *, resume: bool) -> TrainResult:
    _check_folder(config.out, resume=resume)
    if (problem := precision_problem(config)) is not None:
        raise ConfigError(problem)
    found = find_checkpoint(config.out / "checkpoints") if resume else None
    if found is not None and found.path is not None:
        check_same_run(config)
    args = training_arguments(config, steps=1)
    rank = Rank(args.process_index, args.world_size)
    with args.main_process_first(desc="image cache"):
        run = prepare_run(config, rank=rank, progress=callbacks.cache_progress)
    if rank.index == 0:
        write_run_files(config, run.corpus)
    log = _metrics_log(config, run, callbacks)
    trainer = _trainer(config, run, log, callbacks)
    if found is not None and found.path is not None:
        trainer.resume(found.path)
    else:
        trainer.train()
    if rank.index == 0:
        _save_final(config, run, trainer)
    speeds = sorted(line["studies_per_second"] for line in read_metrics(log.path) if "studies_per_second" in line)
    return TrainResult(
        checkpoint=config.out / "model",
        metrics=log.path,
        steps=trainer.state.global_step,
        seconds=log.seconds,
        studies_per_second=speeds[len(speeds) // 2] if speeds else math.nan,
        studies=len(run.corpus),
        rejects=run.corpus.rejects,
        triplets_left_out=run.corpus.triplets_left_out,
        resumed_from=found.step if found is not None else 0,
        torn=found.torn if found is not None else (),
    )


def _check_folder(out: Path, *, resume: bool) -> None:
    if not resume and (out / "metrics.jsonl").exists():
        raise TrainingError(
            f"{out} holds a run already: choose another folder, or resume it if it left a checkpoint"
        )


def _metrics_log(config: TrainConfig, run: PreparedRun, callbacks: Callbacks) -> MetricsLog:
    per_step = config.batch.size * config.batch.accumulate
    return MetricsLog(
        config.out / "metrics.jsonl",
        studies_per_step=per_step,
        steps_per_epoch=len(run.corpus) / per_step,
        on_metrics=callbacks.on_metrics,
    )


def _trainer(config: TrainConfig, run: PreparedRun, log: MetricsLog, callbacks: Callbacks) -> AlignmentTrainer:
    provenance = run_provenance(config, run.corpus, steps=run.steps)
    attached: list[Any] = [log, ProgressCall(callbacks.progress)]
    early = None
    if callbacks.evaluate is not None and config.evaluation.every:
        early = EarlyStopping(config.evaluation, _evaluator(callbacks.evaluate, run.bundle), log.path)
        attached.append(early)
    args: TrainingArguments = training_arguments(config, steps=run.steps)
    trainer = AlignmentTrainer(
        run.module,
        dataset=run.dataset,
        knowledge=run.knowledge,
        config=config,
        args=args,
        image_processor=run.bundle.image_processor,
        study_ids=tuple(run.corpus.studies.study_ids),
        save_bundle=lambda folder: write_bundle(_plain(run.bundle), folder, provenance),
        captions=run.captions,
        callbacks=attached,
    )
    if early is not None:
        early.log = trainer.log
    if trainer.ema is not None:
        trainer.callback_handler.callbacks.insert(0, Averaging(trainer.ema))
    return trainer


def _evaluator(evaluate: EvaluateBundle, bundle: EncoderBundle) -> Callable[[int], Mapping[str, float]]:
    def evaluated(step: int) -> Mapping[str, float]:
        bundle.model.train(False)
        # Random numbers that an evaluation draws must not change the run.
        with torch.random.fork_rng(), torch.no_grad():
            metrics = evaluate(bundle, step)
        bundle.model.train(True)
        return metrics

    return evaluated


def _plain(bundle: EncoderBundle) -> EncoderBundle:
    return replace(bundle, model=with_plain_projections(merged(bundle.model)))


def _save_final(config: TrainConfig, run: PreparedRun, trainer: AlignmentTrainer) -> None:
    provenance = run_provenance(config, run.corpus, steps=trainer.state.global_step)
    last = (read_metrics(config.out / "metrics.jsonl") or [{}])[-1]
    card = model_card(
        config,
        run.corpus,
        steps=trainer.state.global_step,
        image_size=run.bundle.image_size,
        metrics={name: value for name, value in last.items() if name.startswith(("loss", "eval/"))},
    )
    run.bundle.model.train(False)
    with trainer.ema.applied() if trainer.ema is not None else nullcontext():
        save_checkpoint(_plain(run.bundle), config.out / "model", provenance, card=card)


def training_arguments(config: TrainConfig, *, steps: int) -> TrainingArguments:
    """The Trainer's arguments for a run of `steps` weight updates; made on every rank, it joins the ranks."""
    args = TrainingArguments(
        output_dir=str(config.out / "checkpoints"),
        max_steps=steps,
        gradient_accumulation_steps=config.batch.accumulate,
        learning_rate=config.optimizer.learning_rate,
        lr_scheduler_type=_SCHEDULES[config.optimizer.decay],
        warmup_steps=round(steps * config.optimizer.warmup),
        max_grad_norm=config.optimizer.max_grad_norm,
        use_cpu=not torch.accelerator.is_available(),
        bf16=config.precision == "bf16",
        fp16=config.precision == "fp16",
        seed=config.seed,
        logging_steps=config.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_strategy="steps" if config.save_every else "no",
        save_steps=config.save_every or 500,
        report_to=list(config.trackers) or "none",
        torch_compile=config.compile,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        # The collator's keys are the trainer's own, no arguments of the model's forward.
        remove_unused_columns=False,
        # Batches are planned by number, so a resumed run starts at the right one without replaying the others.
        ignore_data_skip=True,
        disable_tqdm=True,
        log_level="error",
    )
    args.per_device_train_batch_size = max(1, config.batch.size // args.world_size)
    return args
