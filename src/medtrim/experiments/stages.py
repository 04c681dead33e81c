"""Stages of a run that are done once: one whose inputs have not changed and whose files are there is skipped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medtrim.experiments.monitor import Monitor
from medtrim.experiments.records import Records
from medtrim.types import medtrim_version

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of a run.

    `inputs` is everything its result depends on, as plain JSON data: settings, and the keys of the stages before
    it. `outputs` are the files or folders that it makes, from the run's folder.
    """

    name: str
    title: str
    inputs: Mapping[str, Any]
    outputs: tuple[str, ...]

    @property
    def key(self) -> str:
        """SHA-256 of the name, the inputs and MedTrim's version."""
        content = {"stage": self.name, "medtrim": medtrim_version(), "inputs": self.inputs}
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Done:
    """A finished stage: its key, how long it took when it ran, what it found out, whether it was only reused."""

    name: str
    title: str
    key: str
    seconds: float
    reused: bool
    facts: Facts = field(default_factory=dict)


class StageBook:
    """The record of finished stages in `folder/state/`, one JSON file a stage, written when it has ended."""

    def __init__(self, folder: Path, monitor: Monitor) -> None:
        self.folder, self.monitor = folder, monitor
        self.records = Records(folder)
        self.done: list[Done] = []

    def run(self, stage: Stage, work: Callable[[], Facts | None]) -> Done:
        """`work`, unless the stage is done; what our record of another configuration names is removed first."""
        found = self.reuse(stage)
        if found is not None:
            return found
        started = self.begin(stage)
        return self.finish_since(stage, started, work() or {})

    def reuse(self, stage: Stage) -> Done | None:
        """The record of `stage` if it was finished with the same inputs and its outputs are still there."""
        record = self.records.read(stage.name)
        whole = all((self.folder / name).exists() for name in stage.outputs)
        if record is None or record.get("key") != stage.key or not record.get("finished") or not whole:
            return None
        found = Done(stage.name, stage.title, stage.key, float(record["seconds"]), True, record["facts"])
        self.done.append(found)
        self.monitor.end(stage.name, stage.title, found.seconds, reused=True)
        return found

    def begin(self, stage: Stage) -> float:
        """Note that `stage` runs; what another configuration left is removed, what this one left stays to resume.

        Returns:
            the time it began, as `time.perf_counter` tells it.

        Raises:
            ConfigError: an output is there that no record shows to be ours.
        """
        self.records.check(stage.name, stage.outputs)
        record = self.records.read(stage.name)
        if record is None or record.get("key") != stage.key:
            # Before the new record: a sweep that is killed must leave the record of what it sweeps.
            self.records.remove(stage.name, stage.outputs)
        self.records.write(stage.name, {"key": stage.key, "finished": False, "outputs": list(stage.outputs)})
        self.monitor.begin(stage.name, stage.title)
        return time.perf_counter()

    def finish(self, stage: Stage, seconds: float, facts: Facts) -> Done:
        """Note that `stage` has ended well."""
        record = {"key": stage.key, "finished": True, "outputs": list(stage.outputs)}
        record |= {"seconds": round(seconds, 3), "facts": dict(facts)}
        self.records.write(stage.name, record)
        done = Done(stage.name, stage.title, stage.key, seconds, False, dict(facts))
        self.done.append(done)
        self.monitor.end(stage.name, stage.title, seconds, reused=False)
        return done

    def finish_since(self, stage: Stage, started: float, facts: Facts) -> Done:
        """`finish` of a stage that `begin` started."""
        return self.finish(stage, time.perf_counter() - started, facts)


def digest(paths: Sequence[Path]) -> str:
    """SHA-256 over files' contents; of a folder, over the names, sizes and times of everything below it."""
    total = hashlib.sha256()
    for path in paths:
        if path.is_dir():
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                facts = file.stat()
                total.update(f"{file.relative_to(path)}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
        else:
            with path.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
