"""Checkpoints of a run: safetensors and JSON with checksums, in a folder that appears whole or not at all.

transformers' Trainer saves optimiser, scheduler and random state with `torch.save`, that is by pickle, and writes
into the final folder file by file. Neither fits here: reading a pickle runs whatever it holds, and a run killed
while it writes would leave a folder that looks whole. So four of the Trainer's private methods are overridden,
and nothing else: `_save_checkpoint`, `_load_from_checkpoint`, `_load_optimizer_and_scheduler` and
`_load_rng_state`. Each leaves FSDP to the Trainer, whose shards have formats of their own. A checkpoint is
written into a hidden folder, sealed with sizes and checksums and then renamed; resuming takes the newest one
whose files all fit. `tests/training/test_resume.py` kills runs at random moments and compares the resumed weights
bit by bit, so a transformers release that renames one of the four methods fails there.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer_callback import TrainerState

from medtrim.errors import ConfigError, TrainingError
from medtrim.training.callbacks import MovingAverage
from medtrim.training.config import TrainConfig
from medtrim.training.module import AlignmentModule
from medtrim.training.record import plain_config
from medtrim.types.outputs import writing
from medtrim.types.settings import leaves
from medtrim.types.yamlfile import read_yaml

MANIFEST = "manifest.json"
_PREFIX = "step-"
_STATE = "state"


# Keys that may change when a run is resumed: paths, logging, and how the work is divided on a machine. The last
# kind changes rounding and the random numbers of dropout, but nothing that the recipe asks for.
FREE = (
    *("out", "threads", "compile", "log_every", "save_every", "keep", "trackers", "evaluation"),
    *("data.cache", "data.workers", "batch.loader_workers"),
    *("batch.chunk", "batch.length_groups", "model.activation_checkpointing"),
)


@dataclass(frozen=True, slots=True)
class FoundCheckpoint:
    """The newest whole checkpoint of a run, and the torn ones that were passed over."""

    path: Path | None
    step: int
    torn: tuple[str, ...]


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of `step` lies; the names sort by step."""
    return folder / f"{_PREFIX}{step:08d}"


def find_checkpoint(folder: Path) -> FoundCheckpoint:
    """The newest checkpoint in `folder` whose files all have the size and checksum they were written with."""
    torn: list[str] = []
    for path in sorted(folder.glob(f"{_PREFIX}*"), reverse=True):
        problem = damage(path)
        if problem is None:
            return FoundCheckpoint(path, int(path.name.removeprefix(_PREFIX)), tuple(torn))
        torn.append(f"{path.name}: {problem}")
    return FoundCheckpoint(None, 0, tuple(torn))


def damage(path: Path) -> str | None:
    """What is wrong with the checkpoint at `path`, or None."""
    try:
        manifest: dict[str, dict[str, int]] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return "its manifest is missing or unreadable"
    for name, facts in manifest.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != facts["size"] or _crc32(file) != facts["crc32"]:
            return f"{name} is damaged"
    return None


def write_checkpoint(
    folder: Path, step: int, write: Callable[[Path], None], *, main: bool, barrier: Callable[[], None]
) -> Path:
    """Have `write` fill a hidden folder on every rank, then seal it with a manifest and move it into place.

    Args:
        main: whether this process prepares, seals and moves; the others only write.
        barrier: waits for all ranks.

    Raises:
        TrainingError: the files cannot be written, as on a full disk; earlier checkpoints are untouched.
    """
    final = checkpoint_path(folder, step)
    part = folder / f".{final.name}.part"
    try:
        if main:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        barrier()
        write(part)
        barrier()
        if main:
            _seal(part)
            if final.exists():
                shutil.rmtree(final)
            part.replace(final)
            _sync(folder)
        barrier()
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        good = find_checkpoint(folder).path
        last = f"the last good one is {good.name}" if good else "there is no earlier one"
        raise TrainingError(f"the checkpoint of step {step} cannot be written ({error}); {last}") from error
    return final


def remove_old_checkpoints(folder: Path, *, keep: int) -> None:
    """Delete all but the `keep` newest checkpoints and the remains of writes that were cut off."""
    for path in sorted(folder.glob(f"{_PREFIX}*"))[:-keep]:
        shutil.rmtree(path)
    for path in folder.glob(f".{_PREFIX}*.part"):
        shutil.rmtree(path)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write named tensors as safetensors."""
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a safetensors file, on the CPU."""
    tensors: dict[str, Tensor] = load_file(path)
    return tensors


def save_optimizer(state: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    """Write the tensors of an optimizer's state dict; returns its parameter groups, which are plain data."""
    moments = {f"{index}.{key}": v for index, values in state["state"].items() for key, v in values.items()}
    save_tensors(moments, path)
    return [dict(group) for group in state["param_groups"]]


def load_optimizer(groups: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    """The state dict that `save_optimizer` took apart."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in load_file(path).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    restored = [{**g, "betas": tuple(g["betas"])} if "betas" in g else dict(g) for g in groups]
    return {"state": state, "param_groups": restored}


def save_rng(path: Path) -> None:
    """Write the state of PyTorch's global generators, CPU and current device; a run uses no other generator."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    save_file(states, path)


def load_rng(path: Path) -> None:
    """Put back what `save_rng` wrote; a missing file (another number of ranks) leaves the generators alone."""
    if not path.exists():
        return
    states = load_file(path)
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def check_resumable(config: TrainConfig) -> None:
    """Refuse to resume a run that has no checkpoint because it was to write none: it would begin anew.

    A run that writes checkpoints and was stopped before the first begins anew: there is nothing to lose.

    Raises:
        TrainingError: the folder holds a trained model, or a run with `save_every` 0, and no whole checkpoint.
    """
    trained = (config.out / "model").exists()
    bare = (config.out / "metrics.jsonl").exists() and not config.save_every
    # Verifying a checkpoint reads the whole of it, so it is done only where the answer matters.
    if not (trained or bare) or find_checkpoint(config.out / "checkpoints").path is not None:
        return
    if trained:
        raise TrainingError(
            f"{config.out} holds a trained model and no checkpoint to go on from: choose another folder"
        )
    raise TrainingError(
        f"{config.out} has no checkpoint to go on from, and save_every is 0: remove the folder or "
        "choose another, and give --save-every so that the next run can be resumed"
    )


def check_same_run(config: TrainConfig) -> None:
    """Refuse to resume with a recipe that trains differently from the one in OUT/config.yaml.

    `steps` and `epochs` count: the schedule of the learning rate and the objective's annealing rest on them. Keys
    that an older version did not know have their defaults. Without a config.yaml nothing is compared.

    Raises:
        TrainingError: config.yaml is no recipe, or keys differ; the message names them.
    """
    path = config.out / "config.yaml"
    if not path.exists():
        return
    try:
        before = plain_config(TrainConfig.model_validate(read_yaml(path)))
    except (ConfigError, ValidationError) as error:
        raise TrainingError(f"{path} is no recipe of this version: the run cannot be resumed") from error
    ours, theirs = dict(leaves(plain_config(config))), dict(leaves(before))
    differing = [key for key in sorted({*ours, *theirs}) if _is_other(key, ours.get(key), theirs.get(key))]
    if differing:
        named = ", ".join(f"{key} (was {theirs.get(key)!r}, now {ours.get(key)!r})" for key in differing)
        raise TrainingError(
            f"{config.out} cannot be resumed, its recipe has changed: {named}. Go on with the recipe of {path}, or "
            "start in another folder"
        )


def _is_other(key: str, ours: Any, theirs: Any) -> bool:
    if any(key == free or key.startswith(f"{free}.") for free in FREE):
        return False
    if key.startswith("data.") and isinstance(ours, str) and isinstance(theirs, str):
        return ours != theirs and Path(ours).resolve() != Path(theirs).resolve()
    return bool(ours != theirs)


class SafetensorsCheckpoints(Trainer):
    """A Trainer whose checkpoints are plain transformers folders with a folder `state` of safetensors and JSON.

    A subclass sets `module` (encoder and objective), `config`, `save_bundle` (writes the transformers folder of the
    weights as they are) and `ema` before training. `terms` are sums over the `term_count` batches since the last
    line of the log; they are kept too, so that the next line of a resumed run is that of an unbroken one.
    """

    module: AlignmentModule
    config: TrainConfig
    save_bundle: Callable[[Path], None]
    ema: MovingAverage | None
    terms: dict[str, Tensor]
    term_count: int
    first_batch: int = 0

    def check_pending(self) -> None:
        """Called before a checkpoint is written; raises where the weights are not to be kept."""

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if self.is_fsdp_enabled:  # sharded weights are saved the way FSDP has its own
            super()._save_checkpoint(model, trial)
            return
        self.check_pending()
        folder = self.config.out / "checkpoints"
        with writing(folder, SafetensorError):
            write_checkpoint(
                folder, self.state.global_step, self._write, main=self.args.should_save, barrier=self._barrier
            )
        if self.args.should_save:
            remove_old_checkpoints(folder, keep=self.config.keep)

    def _write(self, folder: Path) -> None:
        own = folder / _STATE
        own.mkdir(exist_ok=True)
        save_rng(own / f"rng-{self.args.process_index}.safetensors")
        if not self.args.should_save:
            return
        self.save_bundle(folder)
        # The bundle leaves out what is no part of the encoder; the whole module is little more.
        save_tensors(self.module.state_dict(), own / "module.safetensors")
        optimizer, scheduler = self._updating()
        groups = save_optimizer(optimizer.state_dict(), own / "optimizer.safetensors")
        if self.ema is not None:
            save_tensors(self.ema.shadow, own / "ema.safetensors")
        scaler = getattr(self.accelerator, "scaler", None)
        facts = {
            "groups": groups,
            "scheduler": scheduler.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
            "logged": {"count": self.term_count, "sums": {name: float(v) for name, v in self.terms.items()}},
        }
        (own / "optimizer.json").write_text(json.dumps(facts), encoding="utf-8")
        self.state.save_to_json(str(folder / "trainer_state.json"))

    def resume(self, path: Path) -> None:
        """Train on from the checkpoint at `path`."""
        step = TrainerState.load_from_json(str(path / "trainer_state.json")).global_step
        self.first_batch = step * self.args.gradient_accumulation_steps
        self.train(resume_from_checkpoint=str(path))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        own = Path(resume_from_checkpoint) / _STATE
        self.module.load_state_dict(load_tensors(own / "module.safetensors"))
        if self.ema is not None:
            self.ema.load(load_tensors(own / "ema.safetensors"))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or self.is_fsdp_enabled:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        own = Path(checkpoint) / _STATE
        facts = json.loads((own / "optimizer.json").read_text(encoding="utf-8"))
        optimizer, scheduler = self._updating()
        optimizer.load_state_dict(load_optimizer(facts["groups"], own / "optimizer.safetensors"))
        scheduler.load_state_dict(facts["scheduler"])
        logged = facts.get("logged", {"count": 0, "sums": {}})
        self.term_count = logged["count"]
        self.terms = {name: torch.tensor(v, device=self.args.device) for name, v in logged["sums"].items()}
        if facts["scaler"] is not None and getattr(self.accelerator, "scaler", None) is not None:
            self.accelerator.scaler.load_state_dict(facts["scaler"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None or self.is_fsdp_enabled:
            super()._load_rng_state(checkpoint)
            return
        load_rng(Path(checkpoint) / _STATE / f"rng-{self.args.process_index}.safetensors")

    def _updating(self) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        if self.optimizer is None or self.lr_scheduler is None:
            raise TrainingError("the run has no optimizer yet")
        return self.optimizer, self.lr_scheduler

    def _barrier(self) -> None:
        if self.args.world_size > 1:
            dist.barrier()


def _seal(part: Path) -> None:
    files = sorted(p for p in part.rglob("*") if p.is_file())
    manifest = {str(p.relative_to(part)): {"size": p.stat().st_size, "crc32": _crc32(p)} for p in files}
    for file in files:
        _sync(file)
    (part / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
    _sync(part / MANIFEST)
    _sync(part)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _crc32(file: Path) -> int:
    value = 0
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            value = zlib.crc32(block, value)
    return value
