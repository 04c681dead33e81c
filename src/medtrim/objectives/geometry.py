"""Cosine geometry that is defined, and has finite gradients, for zero vectors and half precision."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

# Below this length a vector has no direction to speak of, in float32 as in half precision.
TINY = 1e-7


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32, or unchanged if it is float64: losses are never worked out in half precision."""
    return x if x.dtype == torch.float64 else x.float()


def unit(x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
    """x / |x| along the last axis, in float32 at least; a vector shorter than 1e-7 gives 0, with gradient 0.

    `torch.nn.functional.normalize` gives a zero vector a gradient of about 1e12, which half precision can't hold.
    """
    x = at_least_float32(x)
    length = torch.linalg.vector_norm(x.detach(), dim=-1, keepdim=True)
    there = ~(length <= TINY)  # NaN too: a diverged encoder must not look like one that says nothing
    safe = torch.where(there, x, torch.ones_like(x))
    return torch.where(there, safe / torch.linalg.vector_norm(safe, dim=-1, keepdim=True), torch.zeros_like(x))


def cosine(x: Float[Tensor, "A D"], y: Float[Tensor, "R D"]) -> Float[Tensor, "A R"]:
    """Cosine similarity of every row of `x` with every row of `y`; 0 where either is a zero vector."""
    return unit(x) @ unit(y).T


class _Ceiling(torch.autograd.Function):
    """min(x, ceiling) whose gradient vanishes only where a descent step would lead further above the ceiling."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float) -> Tensor:
        ctx.save_for_backward(x >= ceiling)
        return x.clamp(max=ceiling)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (above,) = ctx.saved_tensors
        return torch.where(above & (gradient < 0), torch.zeros_like(gradient), gradient), None


def scale_of(log_scale: Float[Tensor, ""], *, maximum: float = 100.0) -> Float[Tensor, ""]:
    """exp(log_scale), at most `maximum` (CLIP's 100), without getting stuck there as plain clamping would."""
    ceiling = math.log(maximum)
    return torch.exp(_Ceiling.apply(at_least_float32(log_scale), ceiling))  # type: ignore[no-untyped-call]


def nothing(*tensors: Tensor) -> Float[Tensor, ""]:
    """A zero that depends on `tensors`: the loss of a batch in which nothing can be compared."""
    return torch.stack([at_least_float32(t).sum() * 0 for t in tensors]).sum()
