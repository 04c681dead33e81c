"""Running jobs side by side, each in a process and folder of its own; a job that fails stops no other."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from medtrim.types.jsonfile import read_json, write_json
from medtrim.types.tables import Progress

State = Literal["done", "skipped", "failed"]
RESULT, ERROR, PROGRESS, LOG = "result.json", "error.json", "progress.json", "log.txt"
# Every library that starts threads of its own reads one of these.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
                    "RAYON_NUM_THREADS")  # fmt: skip
# Lines of a failed job's log that its error keeps.
TAIL = 40


# Seconds between two writes of the progress file.
EVERY = 0.5


@dataclass(frozen=True, slots=True)
class Job:
    """A command that leaves `result.json` in `folder` as its last act; the folder is its working state."""

    title: str
    folder: Path
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: `skipped` had a result from an earlier time; `error` is the last line of its log."""

    job: Job
    state: State
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """A job in progress: its state as `progress.json` has it."""

    job: Job
    slot: int
    stage: str = "starting"
    done: int = 0
    total: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of all jobs, given to the progress call."""

    finished: int
    failed: int
    total: int
    running: tuple[Running, ...]


Watch = Callable[[Snapshot], None]


@dataclass(slots=True)
class _Process:
    job: Job
    slot: int
    process: subprocess.Popen[bytes]
    started: float


def run_jobs(
    jobs: Sequence[Job],
    *,
    slots: int,
    threads: int = 1,
    watch: Watch = lambda _: None,
    poll: float = 0.25,
) -> list[Outcome]:
    """Run `jobs`, at most `slots` at a time, each limited to `threads` threads; outcomes in the order of `jobs`.

    A folder with `result.json` is finished and skipped. A job that exits non-zero or without a result leaves
    `error.json` (exit code, last lines of its log) and is tried again the next time. An interrupt ends the running
    jobs and is passed on.

    Args:
        watch: called whenever something has changed, and at every `poll` seconds.
    """
    outcomes: dict[int, Outcome] = {}
    waiting = []
    for i, job in enumerate(jobs):
        if (job.folder / RESULT).exists():
            outcomes[i] = Outcome(job, "skipped", _seconds(job.folder))
        else:
            waiting.append(i)
    waiting.reverse()
    running: dict[int, _Process] = {}
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "TOKENIZERS_PARALLELISM": "false"}
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                i = waiting.pop()
                slot = min(set(range(slots)) - {p.slot for p in running.values()})
                running[i] = _start(jobs[i], slot, environment)
            for i, process in list(running.items()):
                code = process.process.poll()
                if code is not None:
                    outcomes[i] = _finish(process, code)
                    del running[i]
            watch(_snapshot(outcomes, running, len(jobs)))
            if running:
                time.sleep(poll)
    finally:
        for process in running.values():
            _stop(process.process)
    watch(_snapshot(outcomes, running, len(jobs)))
    return [outcomes[i] for i in range(len(jobs))]


def _start(job: Job, slot: int, environment: Mapping[str, str]) -> _Process:
    job.folder.mkdir(parents=True, exist_ok=True)
    for name in (ERROR, PROGRESS):
        (job.folder / name).unlink(missing_ok=True)
    with (job.folder / LOG).open("wb") as log:
        # A session of its own: an interrupt at the terminal reaches this process first, which then ends the jobs.
        process = subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
    return _Process(job, slot, process, time.monotonic())


def _finish(process: _Process, code: int) -> Outcome:
    job, seconds = process.job, time.monotonic() - process.started
    if code == 0 and (job.folder / RESULT).exists():
        return Outcome(job, "done", seconds)
    lines = (job.folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    filled = [line for line in lines if line.strip()]
    reason = filled[-1] if filled else "its log is empty"
    if code == 0:
        reason = f"it ended without a result: {reason}"
    elif code < 0:
        reason = f"ended by {signal.Signals(-code).name}: {reason}"
    write_json(job.folder / ERROR, {"exit_code": code, "error": reason, "log": filled[-TAIL:]})
    return Outcome(job, "failed", seconds, reason)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _snapshot(outcomes: Mapping[int, Outcome], running: Mapping[int, _Process], total: int) -> Snapshot:
    failed = sum(o.state == "failed" for o in outcomes.values())
    shown = sorted(running.values(), key=lambda p: p.slot)
    return Snapshot(len(outcomes), failed, total, tuple(_running(p) for p in shown))


def _running(process: _Process) -> Running:
    state = read_json(process.job.folder / PROGRESS)
    known = {k: state[k] for k in ("stage", "done", "total", "note") if k in state}
    return Running(process.job, process.slot, **known)


def _seconds(folder: Path) -> float:
    return float(read_json(folder / RESULT).get("seconds", 0.0))


def outcome_facts(outcome: Outcome) -> dict[str, Any]:
    """Plain data of an outcome, for the record of a suite."""
    facts = asdict(outcome)
    facts["job"] = {"title": outcome.job.title, "folder": outcome.job.folder.name}
    return facts


class Reporter:
    """Writes what the run is doing into its folder, at most every `EVERY` seconds.

    `note` is a few words that go with the progress, such as the loss.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / PROGRESS
        self.last = 0.0
        self.note = ""

    def __call__(self, stage: str) -> Progress:
        """The progress call of a stage."""

        def progress(done: int, total: int) -> None:
            now = time.monotonic()
            if now - self.last >= EVERY or not done:
                self.last = now
                write_json(self.path, {"stage": stage, "done": done, "total": total, "note": self.note})

        return progress
