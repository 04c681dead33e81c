"""AdamW with parameter groups by weight decay and depth."""

from __future__ import annotations

import torch
from torch import nn

from medtrim.training.config import OptimizerConfig
from medtrim.training.layers import depth_of
from medtrim.training.module import AlignmentModule

PREFIX = "encoder."


def build_optimizer(module: AlignmentModule, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over all trainable parameters.

    Vectors and scalars (norms, biases, the learned scale) are not decayed. With `layer_decay` γ below 1, a layer
    with k layers above it learns at γ^k of the rate.
    """
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        layered = config.layer_decay < 1 and name.startswith(PREFIX)
        depth = depth_of(name.removeprefix(PREFIX), module.encoder) if layered else 0
        groups.setdefault((depth, parameter.ndim >= 2), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": config.learning_rate * config.layer_decay**depth,
                "weight_decay": config.weight_decay if decayed else 0.0,
            }
            for (depth, decayed), parameters in sorted(groups.items(), key=lambda item: item[0])
        ],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        fused=True,
    )
