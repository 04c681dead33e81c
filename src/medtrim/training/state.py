"""What a run needs to go on: safetensors and JSON with checksums, in a folder that appears whole or not at all."""

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
from safetensors.torch import load_file, save_file
from torch import Tensor

from medtrim.errors import TrainingError

MANIFEST = "manifest.json"
_PREFIX = "step-"


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
    """Write the state of PyTorch's global generators, CPU and current device; nothing else in a run draws."""
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
