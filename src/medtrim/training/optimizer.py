"""AdamW, with Muon for the matrices on request, in parameter groups by weight decay and depth."""

from __future__ import annotations

import torch
from torch import nn

from medtrim.training.config import OptimizerConfig
from medtrim.training.layers import depth_of
from medtrim.training.module import AlignmentModule
from medtrim.training.muon import MuonAdamW

PREFIX = "encoder."


def build_optimizer(module: AlignmentModule, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over all trainable parameters, or Muon over the encoders' matrices and AdamW over the rest.

    Vectors and scalars (norms, biases, the learned scale) are not decayed. With `layer_decay` γ below 1, a layer
    with k layers above it learns at γ^k of the rate.
    """
    muon = config.matrices == "muon"
    matrices = matrices_of(module) if muon else set()
    groups: dict[tuple[int, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        layered = config.layer_decay < 1 and name.startswith(PREFIX)
        depth = depth_of(name.removeprefix(PREFIX), module.encoder) if layered else 0
        groups.setdefault((depth, parameter.ndim >= 2, parameter in matrices), []).append(parameter)
    described = [
        {
            "params": parameters,
            "lr": (config.matrix_learning_rate if orthogonal else config.learning_rate) * config.layer_decay**depth,
            "weight_decay": config.weight_decay if decayed else 0.0,
            **({"orthogonal": orthogonal} if muon else {}),
        }
        for (depth, decayed, orthogonal), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    kind = MuonAdamW if muon else torch.optim.AdamW
    return kind(described, lr=config.learning_rate, betas=config.betas, eps=config.epsilon, fused=True)


def matrices_of(module: AlignmentModule) -> set[nn.Parameter]:
    """The weights of the encoders that map vectors to vectors: linear layers and convolutions over all channels.

    Embedding tables are looked up row by row and depthwise filters do not mix channels: neither is a matrix in
    this sense. What an objective owns is AdamW's too, and so are the two factors of a low-rank adapter: neither is
    the matrix that they change together.
    """
    found: set[nn.Parameter] = set()
    for name, part in module.encoder.named_modules():
        if "lora_" in name:
            continue
        weight = getattr(part, "weight", None)
        convolution = isinstance(part, nn.Conv2d) and part.groups == 1
        if isinstance(part, nn.Linear) or convolution:
            found.add(weight)  # type: ignore[arg-type]
    return found
