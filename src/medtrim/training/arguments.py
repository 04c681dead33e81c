"""A recipe in the words of transformers' Trainer."""

from __future__ import annotations

import torch
from transformers import TrainingArguments

from medtrim.training.config import TrainConfig

_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


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
