"""What objectives that know only disease labels make of them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medtrim.objectives.geometry import cosine


def same_set(labels: Float[Tensor, "B C"]) -> Bool[Tensor, "B B"]:
    """Whether two studies have the same set of diseases; two normal studies do."""
    return (labels[:, None] == labels[None]).all(dim=-1)


def label_cosine(labels: Float[Tensor, "B C"]) -> Float[Tensor, "B B"]:
    """Cosine of multi-hot label vectors, with `no finding` as one more label, so that two normal studies have 1."""
    extended = _with_no_finding(labels)
    return cosine(extended, extended)


def label_product(labels: Float[Tensor, "B C"]) -> Float[Tensor, "B B"]:
    """How many labels two studies share, `no finding` counting as one."""
    extended = _with_no_finding(labels)
    return extended @ extended.T


def _with_no_finding(labels: Float[Tensor, "B C"]) -> Float[Tensor, "B L"]:
    normal = (labels.sum(dim=1, keepdim=True) == 0).to(labels.dtype)
    return torch.cat([labels, normal], dim=1)
