"""Whether a run that is to go on is still the run that was begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medtrim.errors import ConfigError, TrainingError
from medtrim.training.config import TrainConfig
from medtrim.training.record import plain_config
from medtrim.training.state import find_checkpoint
from medtrim.types.settings import leaves
from medtrim.types.yamlfile import read_yaml

# Keys that may change between the parts of a run: where it lies, what it tells, and how it fits a machine. Those of
# the last kind change the last bits of a sum, or what dropout draws, and nothing that was asked for.
FREE = (
    *("out", "threads", "compile", "log_every", "save_every", "keep", "trackers", "evaluation"),
    *("data.cache", "data.workers", "batch.loader_workers"),
    *("batch.chunk", "batch.length_groups", "model.activation_checkpointing"),
)


def check_resumable(config: TrainConfig) -> None:
    """Refuse to begin anew, under the name of resuming, a run that left no checkpoint and was to leave none.

    A run that writes checkpoints and was stopped before the first begins again: it has lost nothing that was kept.

    Raises:
        TrainingError: the folder holds a trained model, or a run with `save_every` 0, and no whole checkpoint.
    """
    trained = (config.out / "model").exists()
    bare = (config.out / "metrics.jsonl").exists() and not config.save_every
    # Checkpoints are read whole to be found sound: they are looked for only where the answer matters.
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
    """Refuse to go on with a recipe that would train otherwise than the one in OUT/config.yaml.

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
