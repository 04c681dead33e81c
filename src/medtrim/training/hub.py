"""Whether the hub models that a recipe names can be had, asked before anything waits for them."""

from __future__ import annotations

from huggingface_hub import constants, try_to_load_from_cache

from medtrim.errors import ModelError
from medtrim.models.hub import hub_answers
from medtrim.models.names import is_local
from medtrim.training.config import TrainConfig
from medtrim.training.prepare import model_config

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def hub_problems(config: TrainConfig) -> list[str]:
    """A line for each encoder that is named by hub name, is not on this machine, and cannot be fetched now.

    transformers would find out too, after a minute of trying again.
    """
    away = {key: name for key, name in _hub_names(config).items() if not _is_cached(name)}
    if not away or hub_answers():
        return []
    return [
        f"{key}: {name!r} is not on this machine and {constants.ENDPOINT} cannot be reached; name a folder "
        f"that holds it: --set {key}=FOLDER"
        for key, name in away.items()
    ]


def _hub_names(config: TrainConfig) -> dict[str, str]:
    if config.model.checkpoint:
        named = {"model.checkpoint": config.model.checkpoint}
    else:
        try:
            model = model_config(config)
        except ModelError:  # said where the model is built
            return {}
        named = {f"model.{side}": name for side in ("vision", "text") if (name := getattr(model, side))}
    return {key: name for key, name in named.items() if not is_local(name)}


def _is_cached(name: str) -> bool:
    files = [isinstance(try_to_load_from_cache(name, file), str) for file in ("config.json", *_WEIGHTS)]
    return files[0] and any(files[1:])
