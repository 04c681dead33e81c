from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from medtrim.errors import ConfigError
from medtrim.models import build_dual_encoder
from medtrim.objectives import build_objective
from medtrim.training.config import LoraConfig, OptimizerConfig
from medtrim.training.lora import add_lora
from medtrim.training.module import AlignmentModule
from medtrim.training.muon import MOMENTUM, QUINTIC, STEPS, MuonAdamW, orthogonalise
from medtrim.training.optimizer import build_optimizer, matrices_of
from medtrim.training.trainer import AlignmentTrainer


def by_singular_values(matrix: torch.Tensor) -> torch.Tensor:
    """The same polynomial applied to the singular values one by one."""
    a, b, c = QUINTIC
    u, sigma, v = torch.linalg.svd(matrix, full_matrices=False)
    values = []
    for s in (sigma / sigma.norm()).tolist():
        for _ in range(STEPS):
            s = a * s + b * s**3 + c * s**5
        values.append(s)
    return u @ torch.diag(torch.tensor(values, dtype=matrix.dtype)) @ v


@pytest.mark.parametrize("shape", [(5, 5), (4, 9), (9, 4), (1, 6)])
def test_orthogonalise_acts_on_singular_values(shape) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape, dtype=torch.float64)
    found = orthogonalise(matrices)
    for matrix, near in zip(matrices, found, strict=True):
        torch.testing.assert_close(near, by_singular_values(matrix), atol=1e-6, rtol=1e-6)


def test_orthogonalise_flattens_the_spectrum() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(1, 24, 48)
    before, after = torch.linalg.svdvals(matrix)[0], torch.linalg.svdvals(orthogonalise(matrix))[0]
    assert float(after.max() / after.min()) < float(before.max() / before.min())
    assert float(after.min()) > 0.2
    assert float(after.max()) < 1.4


def test_zero_gradient_stays_zero() -> None:
    assert not orthogonalise(torch.zeros(2, 3, 4)).any()


def test_step_equals_the_formula() -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(6, 2, 3, 3))
    optimizer = MuonAdamW([{"params": [weight], "lr": 0.1, "weight_decay": 0.2, "orthogonal": True}], lr=1.0)
    expected, momentum = weight.detach().clone(), torch.zeros(6, 18)
    for _ in range(3):
        gradient = torch.randn(6, 2, 3, 3)
        weight.grad = gradient.clone()
        optimizer.step()
        flat = gradient.flatten(1)
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * flat
        look_ahead = (1 - MOMENTUM) * flat + MOMENTUM * momentum
        update = by_singular_values(look_ahead.double()).float()
        expected = expected * (1 - 0.1 * 0.2) - 0.1 * math.sqrt(max(1, 6 / 18)) * update.view_as(expected)
        torch.testing.assert_close(weight.detach(), expected, atol=1e-4, rtol=1e-4)


def test_other_groups_are_adamw() -> None:
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    matrix = torch.nn.Parameter(torch.randn(3, 3))
    mixed = MuonAdamW([{"params": [ours]}, {"params": [matrix], "orthogonal": True}], lr=0.1, fused=True)
    plain = torch.optim.AdamW([theirs], lr=0.1, fused=True)
    for _ in range(3):
        gradient = torch.randn(7)
        ours.grad, theirs.grad, matrix.grad = gradient, gradient.clone(), torch.randn(3, 3)
        mixed.step()
        plain.step()
    assert torch.equal(ours, theirs)
    assert len(mixed.param_groups) == 2


def test_matrices_are_what_mixes_channels() -> None:
    encoder = build_dual_encoder("tiny", texts=["a small effusion"] * 5, seed=0).model
    module = AlignmentModule(encoder, build_objective("siglip"))
    names = {name for name, p in module.named_parameters() if p in matrices_of(module)}
    assert "encoder.visual_projection.weight" in names
    assert any("attention.self.query.weight" in n for n in names)
    assert any("patch_embeddings.weight" in n for n in names)
    assert not any("word_embeddings" in n or "dwconv" in n or "bias" in n for n in names)
    optimizer = build_optimizer(
        module, OptimizerConfig(matrices="muon", learning_rate=1e-3, matrix_learning_rate=0.02)
    )
    rates = {g["orthogonal"]: g["lr"] for g in optimizer.param_groups}
    assert rates == {True: 0.02, False: 1e-3}
    held = sum(len(g["params"]) for g in optimizer.param_groups)
    assert held == sum(p.requires_grad for p in module.parameters())


def test_a_gradient_scaler_skips_what_overflowed() -> None:
    torch.manual_seed(0)
    matrix, vector = torch.nn.Parameter(torch.randn(4, 4)), torch.nn.Parameter(torch.randn(4))
    optimizer = MuonAdamW([{"params": [matrix], "orthogonal": True}, {"params": [vector]}], lr=0.1, fused=True)
    plain = [torch.nn.Parameter(p.detach().clone()) for p in (matrix, vector)]
    unscaled = MuonAdamW([{"params": plain[:1], "orthogonal": True}, {"params": plain[1:]}], lr=0.1, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for factor in (float("inf"), 1.0, 1.0):
        for p in (matrix, vector):
            p.grad = None
        scaler.scale(factor * ((matrix**2).sum() + (vector**2).sum())).backward()
        scaler.step(optimizer)
        scaler.update()
        if factor == 1.0:
            unscaled.zero_grad()
            ((plain[0] ** 2).sum() + (plain[1] ** 2).sum()).backward()
            unscaled.step()
        torch.testing.assert_close(matrix.detach(), plain[0].detach())
        torch.testing.assert_close(vector.detach(), plain[1].detach())


def test_factors_of_adapters_are_adamws() -> None:
    pytest.importorskip("peft")
    encoder = build_dual_encoder("tiny", texts=["a small effusion"] * 5, seed=0).model
    add_lora(encoder, LoraConfig(rank=2), seed=0)
    module = AlignmentModule(encoder, build_objective("siglip"))
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    assert any("lora_" in name for name in named)
    found = {name for name, p in named.items() if p in matrices_of(module)}
    assert found == {"encoder.visual_projection.weight", "encoder.text_projection.weight"}


def test_sharded_matrices_are_refused(recipe) -> None:
    config = recipe({"optimizer": {"matrices": "muon"}})
    sharded = SimpleNamespace(is_fsdp_enabled=True, optimizer=None, config=config)
    with pytest.raises(ConfigError, match="optimizer.matrices=adamw"):
        AlignmentTrainer.create_optimizer(sharded)
