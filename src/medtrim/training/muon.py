"""Muon for weight matrices, AdamW for everything else, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
# Coefficients and update of Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024).
QUINTIC = (3.4445, -4.7750, 2.0315)
# Three steps learned as well as five on phantoms and cost three fifths (docs/lab-notes.md).
STEPS = 3


def orthogonalise(matrices: Tensor) -> Tensor:
    """Nearly U Vᵀ of each matrix U Σ Vᵀ: its singular values are brought near 1, its singular vectors kept.

    X ← X / ‖X‖_F, then `STEPS` times X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X (a Newton–Schulz iteration with a quintic
    polynomial that is steep at 0; singular values above a tenth of the largest end between about 0.3 and 1.3).

    Args:
        matrices: float [K M N]; a zero matrix stays zero.

    Returns:
        float [K M N].
    """
    a, b, c = QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.mT if tall else x


class MuonAdamW(torch.optim.AdamW):
    """AdamW in which parameter groups with `orthogonal: True` are updated by Muon.

        m ← μ m + (1 − μ) ∇,   u = orthogonalise((1 − μ) ∇ + μ m)
        w ← (1 − η λ) w − η √max(1, rows / columns) u

    with μ = 0.95, Nesterov's look-ahead in u, η the group's `lr` and λ its `weight_decay`. A convolution counts as
    the matrix [out, in · height · width]. PyTorch's own Muon takes two dimensions only and iterates in bfloat16,
    which processors without bfloat16 arithmetic do many times slower; here matrices of one shape are iterated
    together in float32.

    Args:
        groups: parameter groups; those without `orthogonal` are AdamW's.
        options: AdamW's, for all groups that do not say otherwise.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], **options: Any) -> None:
        super().__init__([{"orthogonal": False, **group} for group in groups], **options)
        # Fused AdamW would unscale fp16 gradients itself; the matrices need the scaler to do it beforehand.
        self._step_supports_amp_scaling = False

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all parameters that have a gradient; `closure` is AdamW's."""
        every = self.param_groups
        self.param_groups = [group for group in every if not group["orthogonal"]]
        try:
            loss: float | None = super().step(closure)
        finally:
            self.param_groups = every
        for group in every:
            if group["orthogonal"]:
                self._update_matrices(group)
        return loss

    def _update_matrices(self, group: dict[str, Any]) -> None:
        alike: dict[tuple[torch.Size, torch.device], list[tuple[Tensor, Tensor]]] = {}
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32)  # AdamW looks for it when a state is loaded
                state["momentum"] = torch.zeros_like(weight, dtype=torch.float32)
            state["step"] += 1
            gradient = weight.grad.float()
            momentum: Tensor = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
            update = gradient.lerp(momentum, MOMENTUM).flatten(1)
            alike.setdefault((update.shape, update.device), []).append((weight, update))
        for (shape, _), pairs in alike.items():
            updates = orthogonalise(torch.stack([update for _, update in pairs]))
            rate = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
            for (weight, _), update in zip(pairs, updates, strict=True):
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_((rate * update).view_as(weight).to(weight.dtype))
