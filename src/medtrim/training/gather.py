"""Gathering embeddings over ranks so that the objective sees the global batch, with gradients."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Gather(torch.autograd.Function):
    """All ranks' parts, in rank order, along the first axis.

    Every rank evaluates the same objective on the same global batch, so all hold the same gradient of the whole;
    a rank's own part of it, times the number of ranks, is what the averaging of DistributedDataParallel turns back
    into the gradient of one process on the global batch. No communication is needed in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, rank: int, count: int) -> Tensor:
        ctx.rank, ctx.count, ctx.size = rank, count, len(part)
        parts = [torch.empty_like(part) for _ in range(count)]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        own = gradient[ctx.rank * ctx.size : (ctx.rank + 1) * ctx.size]
        return own * ctx.count, None, None


def gather(part: Tensor, *, rank: int, count: int) -> Tensor:
    """The parts [b …] of all ranks as one tensor [b · count …]; the part itself where there is one rank."""
    if count == 1:
        return part
    if not part.is_floating_point():
        parts = [torch.empty_like(part) for _ in range(count)]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)
    gathered: Tensor = _Gather.apply(part, rank, count)  # type: ignore[no-untyped-call]
    return gathered
