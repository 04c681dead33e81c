"""transformers' Trainer for alignment: batches of distinct studies in, an objective's named terms out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import BaseImageProcessor, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from medtrim.errors import ConfigError, TrainingError
from medtrim.models import to_pixel_values
from medtrim.objectives import ConceptTensors, ObjectiveInputs, ObjectiveOutput
from medtrim.training.augment import augment, draw_augmentation
from medtrim.training.callbacks import MovingAverage
from medtrim.training.checkpoints import SafetensorsCheckpoints
from medtrim.training.collate import BatchDataset, FromSampler
from medtrim.training.config import TrainConfig
from medtrim.training.features import Captions
from medtrim.training.inputs import CorpusKnowledge
from medtrim.training.module import AlignmentModule
from medtrim.training.optimizer import build_optimizer


class AlignmentTrainer(SafetensorsCheckpoints):
    """Trains an `AlignmentModule`.

    A batch is the same for a given seed and batch number whatever the number of ranks; each rank encodes its part
    and the objective sees all. Augmentation is seeded by batch number, so a run that is resumed goes on as it would
    have.

    Args:
        module: encoder and objective.
        dataset: batches by number.
        knowledge: similarities, triplets and labels by study.
        config: the recipe.
        args: the Trainer's arguments.
        image_processor: gives the model's size and statistics.
        study_ids: of the rows that batches name.
        save_bundle: writes the plain transformers folder of the weights as they are.
        captions: of concepts, where the objective asks for them.
    """

    def __init__(
        self,
        module: AlignmentModule,
        *,
        dataset: BatchDataset,
        knowledge: CorpusKnowledge,
        config: TrainConfig,
        args: TrainingArguments,
        image_processor: BaseImageProcessor,
        study_ids: tuple[str, ...],
        save_bundle: Callable[[Path], None],
        captions: Captions | None = None,
        callbacks: list[Any],
    ) -> None:
        super().__init__(model=module, args=args, train_dataset=dataset, callbacks=callbacks)
        self.remove_callback(PrinterCallback)  # the library never prints
        self.module = module
        self.dataset = dataset
        self.knowledge = knowledge
        self.config = config
        self.image_processor = image_processor
        self.study_ids = study_ids
        self.save_bundle = save_bundle
        self.captions = captions
        self.ema = MovingAverage(module, config.optimizer.ema) if config.optimizer.ema else None
        self.terms: dict[str, Tensor] = {}
        self.term_count = 0
        self._pending: tuple[Tensor, Tensor] | None = None

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches by number, from the first that this run has not seen."""
        total = self.args.max_steps * self.args.gradient_accumulation_steps
        workers = self.config.batch.loader_workers
        return DataLoader(
            self.dataset,
            batch_size=None,
            sampler=FromSampler(self.first_batch, total),
            num_workers=workers,
            pin_memory=self.args.device.type == "cuda",
            # The loader seeds its workers from its own generator, so that resuming leaves the global one unchanged.
            generator=torch.Generator().manual_seed(self.config.seed),
            prefetch_factor=4 if workers else None,
        )

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW, or Muon and AdamW, in groups by weight decay and depth.

        Raises:
            ConfigError: Muon under FSDP, which leaves a rank no whole matrix to orthogonalise.
        """
        if self.is_fsdp_enabled and self.config.optimizer.matrices == "muon":
            raise ConfigError(
                "optimizer.matrices is muon, which needs whole matrices, and FSDP shards them: --set "
                "optimizer.matrices=adamw, with an optimizer.learning_rate for it"
            )
        if self.optimizer is None:
            self.optimizer = build_optimizer(self.module, self.config.optimizer)
            self.optimizer.register_step_post_hook(
                lambda *_: self.module.objective.clamp_scale(self.module.encoder.logit_scale)
            )
        optimizer: torch.optim.Optimizer = self.optimizer
        return optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The objective's total on the global batch of which `inputs` holds this rank's part."""
        output = self.objective_output(model, inputs)
        loss = output.total
        if self.args.world_size > 1:
            # DistributedDataParallel waits for every parameter, also those that an objective makes no use of.
            loss = loss + 0.0 * sum(p.sum() for p in self.module.parameters() if p.requires_grad)
        self._check_finite(loss, inputs["rows"])
        facts = {f"fact/{name}": value for name, value in {"loss": loss, **output.facts}.items()}
        for name, value in {**output.terms, **facts}.items():
            previous = self.terms.get(name)
            self.terms[name] = value.detach() if previous is None else previous + value.detach()
        self.term_count += 1
        return (loss, {"loss": loss}) if return_outputs else loss

    def objective_output(self, model: nn.Module, inputs: dict[str, Tensor]) -> ObjectiveOutput:
        """Encode this rank's studies, gather all ranks' embeddings, evaluate the objective."""
        index, rows = int(inputs["index"]), inputs["rows"]
        encoded = model(**self._model_inputs(inputs, index))
        rank, count = self.args.process_index, self.args.world_size
        captions = encoded.pop("captions", None)
        every = {name: _gather(value, rank=rank, count=count) for name, value in encoded.items()}
        known = self.knowledge.of(rows.cpu().numpy().astype(np.int64), self.args.device, index=index)
        mask = _gather(inputs["word_mask"], rank=rank, count=count) if "text_local" in every else None
        objective_inputs = ObjectiveInputs(
            image=every["image"],
            text=every["text"],
            log_scale=self.module.encoder.logit_scale,
            progress=min(1.0, self.state.global_step / max(1, self.state.max_steps)),
            similarity=known.similarity,
            contradiction=known.contradiction,
            triplets=known.triplets,
            labels=known.labels,
            image_local=every.get("image_local"),
            text_local=every.get("text_local"),
            text_mask=mask,
            image_view=every.get("image_view"),
            text_view=every.get("text_view"),
            concepts=self._concepts(captions, known.affirmed),
        )
        output: ObjectiveOutput = self.module.objective(objective_inputs)
        return output

    def _concepts(self, embedded: Tensor | None, affirmed: Tensor | None) -> ConceptTensors | None:
        if embedded is None or affirmed is None or self.captions is None:
            return None
        weights = [concept.weight for concept in self.captions.table.concepts]
        return ConceptTensors(
            positive=embedded[0::2], negative=embedded[1::2], target=affirmed, weight=affirmed.new_tensor(weights)
        )

    def _model_inputs(self, inputs: dict[str, Tensor], index: int) -> dict[str, Any]:
        given = self._study_inputs(inputs, index)
        if self.captions is not None:
            given["captions"] = self.captions.of(index, self.args.device)
        return given

    def _study_inputs(self, inputs: dict[str, Tensor], index: int) -> dict[str, Any]:
        if "image_features" in inputs:
            return {"pixel_values": inputs["image_features"], "input_ids": inputs["text_features"]}
        pixels = self._pixels(inputs, index, view=0)
        given: dict[str, Any] = {
            "pixel_values": pixels,
            "input_ids": inputs["input_ids"],
            "attention_mask": inputs["attention_mask"],
        }
        if "view_ids" in inputs:
            given["view_pixel_values"] = self._pixels(inputs, index, view=1)
            given |= {"view_ids": inputs["view_ids"], "view_mask": inputs["view_mask"]}
        return given

    def _pixels(self, inputs: dict[str, Tensor], index: int, *, view: int) -> Tensor:
        part = self.dataset.rank.part(len(inputs["rows"]))
        config, seed = self.config.augment, (self.config.seed, view, index)
        draw = draw_augmentation(len(inputs["rows"]), config, seed=seed).part(part.start, part.stop)
        images = augment(inputs["images"], config, draw, seed=(*seed, self.dataset.rank.index))
        return to_pixel_values(images, self.image_processor)

    def _check_finite(self, loss: Tensor, rows: Tensor) -> None:
        """Stop on a loss that is not finite: at once on the CPU, one step later on a GPU, which must not wait."""
        now = (loss.detach(), rows)
        due = now if loss.device.type == "cpu" else self._pending
        self._pending = now
        if due is not None:
            self._raise_unless_finite(*due)

    def check_pending(self) -> None:
        """Raise if the latest loss that has not been checked is not finite."""
        if self._pending is not None:
            self._raise_unless_finite(*self._pending)

    def _raise_unless_finite(self, loss: Tensor, rows: Tensor) -> None:
        if bool(torch.isfinite(loss)):
            return
        ids = [self.study_ids[i] for i in rows.tolist()]
        path = self.config.out / "bad-batch.json"
        facts = {"step": self.state.global_step, "loss": str(float(loss)), "study_ids": ids}
        if self.is_world_process_zero():
            path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        raise TrainingError(
            f"the loss became {float(loss)} near step {self.state.global_step}; the study ids are in {path}"
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the loss and the objective's terms, averaged since the last line, to what the Trainer logs.

        The Trainer's own mean begins anew where a run is resumed.
        """
        if "loss" in logs and self.term_count:
            for name, value in self.terms.items():
                key = name if name.startswith("fact/") else f"loss/{name}"
                logs[key.removeprefix("fact/")] = float(value) / self.term_count
            logs["scale"] = float(self.module.encoder.logit_scale.detach().exp())
            self.terms, self.term_count = {}, 0
        super().log(logs, start_time)


class _Gather(torch.autograd.Function):
    """All ranks' parts, in rank order, along the first axis.

    Every rank evaluates the same objective on the same global batch, so all hold the same gradient of the whole;
    a rank's own part of it, times the number of ranks, is what the averaging of DistributedDataParallel turns back
    into the gradient of one process on the global batch. No communication is needed in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, rank: int, count: int) -> Tensor:
        ctx.rank, ctx.count, ctx.size = rank, count, len(part)
        parts = [torch.empty_like(part) for _ in range(count)]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        own = gradient[ctx.rank * ctx.size : (ctx.rank + 1) * ctx.size]
        return own * ctx.count, None, None


def _gather(part: Tensor, *, rank: int, count: int) -> Tensor:
    """The parts [b …] of all ranks as one tensor [b · count …]; the part itself where there is one rank."""
    if count == 1:
        return part
    if not part.is_floating_point():
        parts = [torch.empty_like(part) for _ in range(count)]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)
    gathered: Tensor = _Gather.apply(part, rank, count)  # type: ignore[no-untyped-call]
    return gathered
