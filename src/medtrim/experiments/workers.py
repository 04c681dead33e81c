"""Chains of tasks, each chain in a process of its own, side by side: JSON in, JSON lines out."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from medtrim import errors
from medtrim.errors import MedTrimError

Task = Mapping[str, Any]
"""What `worker` understands: `name`, `kind`, and what that kind wants."""

OnProgress = Callable[[str, int, int, str], None]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Plan:
    """How many chains run at a time, and how many threads each gets."""

    slots: int
    threads: int


def plan_jobs(chains: int, *, cores: int, jobs: int = 0) -> Plan:
    """As many chains at a time as there are cores (or `jobs`), the cores shared out evenly among them."""
    slots = max(1, min(chains, jobs or cores))
    return Plan(slots, max(1, cores // slots))


def run_chains(
    chains: Mapping[str, Sequence[Task]],
    *,
    plan: Plan,
    logs: Path,
    on_start: Callable[[str], None] = lambda name: None,
    on_progress: OnProgress = lambda name, done, total, note: None,
    on_result: Callable[[str, Any], None] = lambda name, result: None,
) -> dict[str, Any]:
    """Run every chain's tasks one after the other in one process; returns task name → result.

    What a chain's libraries print goes to `logs/CHAIN.log`. The calls come one at a time, from this thread. When a
    task fails or the caller is interrupted, the other chains are ended too.

    Raises:
        MedTrimError: what a task raised, by its own class; a process that died is a `TrainingError` naming its log.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting = [name for name, tasks in chains.items() if tasks]
    running: dict[str, _Process] = {}
    messages: queue.Queue[tuple[str, dict[str, Any] | None]] = queue.Queue()
    results: dict[str, Any] = {}
    try:
        while waiting or running:
            while waiting and len(running) < plan.slots:
                chain = waiting.pop(0)
                running[chain] = _Process(chain, chains[chain], plan.threads, logs, messages)
            chain, message = messages.get()
            if message is None:
                running.pop(chain).check(finished=all(task["name"] in results for task in chains[chain]))
                continue
            name = message["name"]
            if "error" in message:
                raise _error(name, message)
            if "begin" in message:
                on_start(name)
            elif "result" in message:
                results[name] = message["result"]
                on_result(name, message["result"])
            else:
                on_progress(name, message["done"], message["total"], message["note"])
    finally:
        for process in running.values():
            process.end()
    return results


class _Process:
    """One chain under way; a thread passes its lines on to `messages`, and None when it has ended."""

    def __init__(
        self,
        name: str,
        tasks: Sequence[Task],
        threads: int,
        logs: Path,
        messages: queue.Queue[tuple[str, dict[str, Any] | None]],
    ) -> None:
        self.name, self.log = name, logs / f"{name}.log"
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
        environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "medtrim.experiments.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
                encoding="utf-8",
            )
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise errors.TrainingError(f"{name}: its process has no pipes")
        self.reader = threading.Thread(target=_read, args=(name, stdout, messages), daemon=True)
        self.reader.start()
        try:
            with stdin:
                stdin.write(json.dumps({"tasks": list(tasks), "threads": threads}))
        except BrokenPipeError:
            pass  # it died at once; its closed output says so to the reader

    def check(self, *, finished: bool) -> None:
        """Raise where the process ended without all results."""
        code = self.process.wait()
        if not finished:
            raise errors.TrainingError(f"{self.name}: its process ended with code {code}; see {self.log}")

    def end(self) -> None:
        """Stop the process, kindly at first."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _read(name: str, stream: IO[str], messages: queue.Queue[tuple[str, dict[str, Any] | None]]) -> None:
    with stream:
        for line in stream:
            messages.put((name, json.loads(line)))
    messages.put((name, None))


def _error(name: str, message: Mapping[str, Any]) -> MedTrimError:
    kind = getattr(errors, str(message.get("type")), MedTrimError)
    text = f"{name}: {message['error']}"
    # A RecordError is made of two parts; the message has both already.
    return MedTrimError(text) if issubclass(kind, errors.RecordError) else kind(text)
