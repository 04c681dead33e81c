"""The process that `workers.run_chains` starts: tasks from standard input, JSON lines to standard output."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from medtrim.errors import ConfigError, MedTrimError
from medtrim.types.processes import end_with_parent

LEAST_SECONDS = 0.2
"""Progress lines come no more often than this."""


class Reporter:
    """Writes one task's progress and result to the parent."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self.stream = stream
        self.name = name
        self.note = ""
        self._last = 0.0

    def progress(self, done: int, total: int) -> None:
        """Pass progress on, now and then, and always the last."""
        now = time.monotonic()
        if now - self._last >= LEAST_SECONDS or (total and done >= total):
            self._last = now
            self.send({"done": done, "total": total, "note": self.note})

    def send(self, message: Mapping[str, Any]) -> None:
        """One line."""
        self.stream.write(json.dumps({"name": self.name, **message}) + "\n")
        self.stream.flush()


def run_train(task: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Train as `task["config"]` says; the note is the loss."""
    from medtrim.experiments.validation import make_validator
    from medtrim.training import build_config, train

    config = build_config(task["config"])

    def on_metrics(line: Mapping[str, float]) -> None:
        if "loss" in line:
            reporter.note = f"loss {line['loss']:.3f}"

    result = train(
        config,
        resume=True,
        progress=reporter.progress,
        on_metrics=on_metrics,
        evaluate=make_validator(config) if config.evaluation.every else None,
    )
    speed = result.studies_per_second
    return {
        "seconds": result.seconds,
        "steps": result.steps,
        "studies": result.studies,
        "encodings": result.steps * config.batch.size * config.batch.accumulate,
        "studies_per_second": None if math.isnan(speed) else speed,
        "rejects": len(result.rejects),
        "resumed_from": result.resumed_from,
    }


def run_evaluate(task: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Evaluate one checkpoint; see `judge.judge`."""
    from medtrim.experiments.judge import judge

    return judge(task, progress=reporter.progress)


TASKS: Mapping[str, Callable[[Mapping[str, Any], Reporter], dict[str, Any]]] = {
    "train": run_train,
    "evaluate": run_evaluate,
}


def main() -> int:
    """Run the tasks; what libraries print goes to standard error, so that standard output is ours alone."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    order = json.load(sys.stdin)
    for task in order["tasks"]:
        reporter = Reporter(stream, task["name"])
        reporter.send({"begin": True})
        try:
            reporter.send({"result": run_task(task, reporter, threads=int(order["threads"]))})
        except MedTrimError as error:
            reporter.send({"type": type(error).__name__, "error": str(error)})
            return 2
    return 0


def run_task(task: Mapping[str, Any], reporter: Reporter, *, threads: int) -> dict[str, Any]:
    """One task's result.

    Raises:
        MedTrimError: what the task raised, or its kind is unknown.
    """
    if task["kind"] not in TASKS:
        raise ConfigError(f"unknown task {task['kind']!r}; allowed: {', '.join(TASKS)}")
    import torch
    from transformers.utils.logging import disable_progress_bar

    torch.set_num_threads(threads)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    return TASKS[task["kind"]](task, reporter)


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main())
