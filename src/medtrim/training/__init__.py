"""Training: recipes, batches, transformers' Trainer, checkpoints that a killed run goes on from."""

from medtrim.training.callbacks import read_metrics
from medtrim.training.config import TrainConfig
from medtrim.training.load import RECIPES, build_config, load_config, parse_overrides, read_recipe
from medtrim.training.run import TrainResult, train

__all__ = [
    "RECIPES",
    "TrainConfig",
    "TrainResult",
    "build_config",
    "load_config",
    "parse_overrides",
    "read_metrics",
    "read_recipe",
    "train",
]
