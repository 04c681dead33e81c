"""Settings (`--set`) that a run decides by other means: refused, since they would be overridden in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medtrim.errors import ConfigError
from medtrim.experiments.config import PipelineConfig
from medtrim.experiments.methods import MethodSpec
from medtrim.experiments.suite.dotted import holds

TABLES = "the tables are those of this run, from its source"


def refuse_settings(settings: Mapping[str, Any], config: PipelineConfig, method: MethodSpec) -> None:
    """See that no key of `settings` (nested) is one that `config` or `method` decides.

    Raises:
        ConfigError: one is; the message names the option to use.
    """
    for key, advice in _decided(config, method).items():
        if holds(settings, key):
            raise ConfigError(f"--set {key} would have no effect: {advice}")


def _decided(config: PipelineConfig, method: MethodSpec) -> dict[str, str]:
    """Dotted key → what decides it instead."""
    decided = {f"objective.{name}": f"{method.key} has its own" for name in method.objective}
    decided |= {"objective.name": "choose objectives with --methods", "seed": "use --seed", "out": "use --output"}
    decided |= {f"data.{name}": TABLES for name in ("studies", "annotations", "cache")}
    if config.steps is not None:
        decided |= {"steps": "use --steps", "epochs": "--steps decides how long the training is"}
    elif config.epochs is not None:
        decided |= {"steps": "--epochs decides how long the training is", "epochs": "use --epochs"}
    if config.batch is not None:
        decided["batch.size"] = "use --batch"
    if config.image_size is not None:
        decided["model.image_size"] = "use --size"
    if config.save_every:
        decided["save_every"] = "use --save-every"
    if method.triplets:
        decided["batch.sampler"] = f"batches of {method.key} come from mined triplets"
        decided["data.triplets"] = TABLES
    return decided
