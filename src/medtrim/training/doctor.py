"""Whether this machine, this cache and this model fit a run: what `medtrim doctor` shows."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from medtrim.data import ImageCache
from medtrim.errors import MedTrimError
from medtrim.models import build_dual_encoder, load_checkpoint, load_preset
from medtrim.models.names import PACKAGED
from medtrim.models.packaged import ENCODERS, packaged_problem
from medtrim.training.collate import tokenize
from medtrim.training.corpus import read_reports

PACKAGES = ("medtrim", "torch", "transformers", "accelerate", "tokenizers", "safetensors", "numpy", "pyarrow")
LEAST_FREE = 5 << 30

State = Literal["good", "note", "bad"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: its name, how it is, and what was seen."""

    name: str
    state: State
    seen: str


def examine(
    *,
    studies: Path | None = None,
    cache: Path | None = None,
    model: str | None = None,
    out: Path = Path(),
    checksums: bool = False,
) -> Iterator[Check]:
    """Look at the machine and at whatever is named, one `Check` at a time; what is broken is a check, not an error.

    Args:
        studies: a studies table, whose reports are measured against the model's token limit.
        cache: image cache folder.
        model: a packaged preset, or folder or hub name of a checkpoint.
        out: folder that a run would write to.
        checksums: also compare every cached image with its checksum.
    """
    yield Check("versions", "good", ", ".join(f"{name} {_version(name)}" for name in PACKAGES))
    yield Check("python", "good", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _devices()
    yield _disk(out)
    yield from _encoders()
    image_size = None
    if cache is not None:
        yield from _guarded("image cache", lambda: _cache(cache, checksums=checksums))
        image_size = _size_of(cache)
    if model is not None:
        yield from _guarded("model", lambda: _model(model, studies=studies, cached=image_size))


def _devices() -> Iterator[Check]:
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    state: State = "note" if threads > cores else "good"
    yield Check("threads", state, f"{threads} of PyTorch on {cores} cores")
    if not torch.cuda.is_available():
        yield Check("GPU", "note", "none: the tiny preset is made for the CPU, ViT-B is not")
        return
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        yield Check("GPU", "good", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, {bf16}")


def _encoders() -> Iterator[Check]:
    for name in ENCODERS:
        problem = packaged_problem(PACKAGED + name)
        state: State = "good" if problem is None else "note"
        yield Check("encoder", state, f"{PACKAGED}{name} is there" if problem is None else problem)


def _disk(out: Path) -> Check:
    folder = out.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    writable = os.access(folder, os.W_OK)
    state: State = "bad" if not writable else "note" if free < LEAST_FREE else "good"
    return Check("disk", state, f"{free / 2**30:.1f} GiB free at {folder}" + ("" if writable else ", not writable"))


def _cache(path: Path, *, checksums: bool) -> Iterator[Check]:
    cache = ImageCache(path)
    yield Check("image cache", "good", f"{len(cache):,} images of {cache.size} px")
    if checksums:
        broken = cache.broken()
        shown = ", ".join(map(repr, broken[:5]))
        yield Check(
            "checksums", "bad" if broken else "good", f"{len(broken)} damaged: {shown}" if broken else "all fit"
        )


def _size_of(path: Path) -> int | None:
    try:
        return ImageCache(path).size
    except MedTrimError:
        return None


def _model(name: str, *, studies: Path | None, cached: int | None) -> Iterator[Check]:
    reports = read_reports(studies) if studies is not None else []
    if Path(name).exists() or "/" in name:
        bundle = load_checkpoint(name)
    else:
        bundle = build_dual_encoder(load_preset(name), texts=reports or ["no report"], seed=0)
    parameters = sum(p.numel() for p in bundle.model.parameters())
    yield Check("model", "good", f"{parameters:,} parameters, {bundle.image_size} px, {bundle.max_tokens} tokens")
    if cached is not None:
        state: State = "good" if cached >= bundle.image_size else "note"
        yield Check("image size", state, f"cache {cached} px, model {bundle.image_size} px")
    if reports:
        yield _lengths(reports, bundle.tokenizer, bundle.max_tokens)


def _lengths(reports: list[str], tokenizer: PreTrainedTokenizerBase, limit: int) -> Check:
    lengths = tokenize(reports, tokenizer, max_tokens=10 * limit).lengths
    long = float(np.mean(lengths > limit))
    seen = f"median {int(np.median(lengths))} tokens, longest {int(lengths.max())}; {long:.1%} are cut at {limit}"
    return Check("report lengths", "note" if long > 0.05 else "good", seen)


def _guarded(name: str, checks: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from checks()
    except MedTrimError as error:
        yield Check(name, "bad", str(error))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is missing"
