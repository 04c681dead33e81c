"""Callbacks of a run: metrics.jsonl, progress, the moving average of the weights, early stopping."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from medtrim.errors import ConfigError
from medtrim.training.config import EvaluationConfig
from medtrim.types.tables import Progress, atomic_path

Metrics = Mapping[str, float]
OnMetrics = Callable[[Metrics], None]
Evaluate = Callable[[int], Metrics]


class MetricsLog(TrainerCallback):
    """Appends each line that the Trainer logs to metrics.jsonl, with epoch, throughput and seconds since the start.

    Keys: `step`, `epoch`, `loss`, `loss/<term>` of the objective, its facts, `learning_rate`, `grad_norm`, `scale`
    (the learned inverse temperature), `studies_per_second`, `seconds`; lines of an evaluation have `eval/<metric>`.
    """

    def __init__(self, path: Path, *, studies_per_step: int, steps_per_epoch: float, on_metrics: OnMetrics) -> None:
        self.path = path
        self.studies_per_step = studies_per_step
        self.steps_per_epoch = steps_per_epoch
        self.on_metrics = on_metrics
        self.seconds = 0.0
        self._since = time.perf_counter()
        self._at_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """On a resume, drop the lines of steps that will be run again."""
        self._since, self._at_step = time.perf_counter(), state.global_step
        if not state.is_world_process_zero:
            return
        kept = [line for line in read_metrics(self.path) if line["step"] <= state.global_step]
        self.seconds = max((line["seconds"] for line in kept if "seconds" in line), default=0.0)
        with atomic_path(self.path) as part:
            part.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Write one line; the Trainer's closing summary is skipped."""
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        now = time.perf_counter()
        steps, elapsed = state.global_step - self._at_step, now - self._since
        line: dict[str, float] = {"step": state.global_step, "epoch": state.global_step / self.steps_per_epoch}
        line |= {k: float(v) for k, v in logs.items() if k != "epoch"}
        if steps > 0:
            self.seconds += elapsed
            line["studies_per_second"] = steps * self.studies_per_step / elapsed
            self._since, self._at_step = now, state.global_step
        line["seconds"] = self.seconds
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self.on_metrics(line)


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The lines of a metrics.jsonl; a last line that a kill cut off is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


class ProgressCall(TrainerCallback):
    """Calls `progress(done, total)` after each step."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Report one more step."""
        self.progress(state.global_step, state.max_steps)


class MovingAverage:
    """w̄ ← δ · w̄ + (1 − δ) · w after each update, with δ rising as min(decay, (1 + k) / (10 + k)) at update k.

    The ramp keeps the random weights of the start out of a short run's average.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = module
        self.decay = decay
        self.shadow = {n: p.detach().clone() for n, p in module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average with the weights after update number `step`."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in self.module.named_parameters():
            if name in self.shadow:
                self.shadow[name].lerp_(parameter.detach().to(self.shadow[name]), 1 - decay)

    def load(self, shadow: Mapping[str, Tensor]) -> None:
        """Go on from a saved average."""
        for name, value in shadow.items():
            self.shadow[name].copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module has the averaged weights inside the block, and its own again after it."""
        own = {n: p.detach().clone() for n, p in self.module.named_parameters() if n in self.shadow}
        self._copy(self.shadow)
        try:
            yield
        finally:
            self._copy(own)

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self.module.named_parameters():
            if name in values:
                parameter.copy_(values[name].to(parameter.device))


class Averaging(TrainerCallback):
    """Keeps the moving average up to date."""

    def __init__(self, average: MovingAverage) -> None:
        self.average = average

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Update the average."""
        self.average.update(state.global_step)


class EarlyStopping(TrainerCallback):
    """Evaluates every so many steps and stops when the metric has not improved for `patience` evaluations.

    Earlier values are read back from metrics.jsonl, so a resumed run stops where it would have. Every rank
    evaluates, on equal weights, and so all stop together.
    """

    def __init__(self, config: EvaluationConfig, evaluate: Evaluate, path: Path) -> None:
        self.config = config
        self.evaluate = evaluate
        self.path = path
        self.key = f"eval/{config.metric}"
        self.values: list[float] = []
        self.log: Callable[[dict[str, float]], None] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Read what earlier evaluations of a resumed run gave."""
        lines = [line for line in read_metrics(self.path) if line["step"] <= state.global_step]
        self.values = [line[self.key] for line in lines if self.key in line]

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Evaluate where it is due."""
        if state.global_step % self.config.every and state.global_step != state.max_steps:
            return
        metrics = self.evaluate(state.global_step)
        if self.config.metric not in metrics:
            raise ConfigError(
                f"evaluation.metric {self.config.metric!r} is not measured; there are {', '.join(sorted(metrics))}"
            )
        self.values.append(metrics[self.config.metric])
        if self.log is not None:
            self.log({f"eval/{name}": value for name, value in metrics.items()})
        if self.config.patience and self._stale() >= self.config.patience:
            control.should_training_stop = True

    def _stale(self) -> int:
        """How many evaluations ago the best one was."""
        sign = 1.0 if self.config.greater_is_better else -1.0
        ranked = [-math.inf if math.isnan(v) else sign * v for v in self.values]
        return len(ranked) - 1 - ranked.index(max(ranked))
