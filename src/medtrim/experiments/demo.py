"""The demo: MedTrim and CLIP at equal budget on drawn phantoms, from nothing to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medtrim.experiments.config import DEFAULT_METHODS, PhantomSource, PipelineConfig
from medtrim.experiments.monitor import Monitor
from medtrim.experiments.pipeline import PipelineResult, run_pipeline


def run_demo(
    out: Path | str,
    *,
    seed: int = 0,
    n: int = 6000,
    steps: int = 340,
    size: int = 64,
    methods: Sequence[str] = DEFAULT_METHODS,
    settings: Mapping[str, Any] | None = None,
    monitor: Monitor | None = None,
    command: str = "",
) -> PipelineResult:
    """Draw `n` phantoms, train each of `methods` for `steps` steps on images of `size` pixels, judge and report.

    `settings` changes keys of the training recipe (`optimizer.warmup` → value) for all methods alike.
    Nothing in it is canned: the same seed gives the same numbers, another gives others.

    Raises:
        MedTrimError: an argument is out of range, or `n` is too small to fill every split and a batch.
    """
    config = PipelineConfig(
        source=PhantomSource(studies=n),
        methods=tuple(methods),
        seed=seed,
        settings=dict(settings or {}),
        steps=steps,
        image_size=size,
    )
    return run_pipeline(config, out, monitor=monitor, command=command)
