"""An exponential moving average of the trained weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """w̄ ← δ · w̄ + (1 − δ) · w after each update, with δ rising as min(decay, (1 + k) / (10 + k)) at update k.

    The ramp keeps the random weights of the start out of a short run's average.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = module
        self.decay = decay
        self.shadow = {n: p.detach().clone() for n, p in module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update number `step`."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in self.module.named_parameters():
            if name in self.shadow:
                self.shadow[name].lerp_(parameter.detach().to(self.shadow[name]), 1 - decay)

    def load(self, shadow: Mapping[str, Tensor]) -> None:
        """Go on from a saved average."""
        for name, value in shadow.items():
            self.shadow[name].copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module has the averaged weights inside the block, and its own again after it."""
        own = {n: p.detach().clone() for n, p in self.module.named_parameters() if n in self.shadow}
        self._copy(self.shadow)
        try:
            yield
        finally:
            self._copy(own)

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self.module.named_parameters():
            if name in values:
                parameter.copy_(values[name].to(parameter.device))
