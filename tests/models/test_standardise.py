from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import parametrize

from medtrim.models import build_dual_encoder
from medtrim.models.standardise import (
    GAIN,
    Standardised,
    deviation_of,
    standardise_projection,
    with_plain_projections,
)


def features(count: int = 200) -> torch.Tensor:
    """Three features of different mean and spread, one constant, one that is 0."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(count, 5, generator=rng) * torch.tensor([0.1, 2.0, 0.01, 0.0, 0.0])
    return x + torch.tensor([3.0, -1.0, 0.5, 1.0, 0.0])


def test_the_written_weight_sees_standardised_features_and_an_own_bias():
    x = features()
    mean, deviation = x.mean(dim=0), x.std(dim=0, correction=0)
    inner = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    found = x @ Standardised(mean, deviation)(inner).T
    z = (x[:, :3] - mean[:3]) / deviation[:3]
    expected = z @ inner[:, :3].T + GAIN * inner[:, 3]
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


def test_without_a_constant_feature_only_the_scale_changes():
    x = features()[:, :3]
    inner = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    written = Standardised(x.mean(dim=0), x.std(dim=0, correction=0))(inner)
    torch.testing.assert_close(written, inner / x.std(dim=0, correction=0))


def test_a_learned_weight_stays_what_it_was():
    projection = nn.Linear(5, 4, bias=False)
    projection.weight.data[:, 4] = 0.0
    x, before = features(), projection(features()).detach()
    standardise_projection(projection, x, fresh=False)
    assert parametrize.is_parametrized(projection, "weight")
    torch.testing.assert_close(projection(x).detach(), before, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(deviation_of(projection)[:3], x.std(dim=0, correction=0)[:3])
    assert (deviation_of(projection)[3:] == 0).all()
    assert deviation_of(nn.Linear(2, 2)) == 0.0


def test_a_plain_copy_is_left_and_the_model_itself_untouched(reports):
    model = build_dual_encoder("tiny", texts=reports, seed=0).model
    assert with_plain_projections(model) is model
    pooled = torch.randn(50, model.visual_projection.in_features) + 2
    standardise_projection(model.visual_projection, pooled, fresh=True)
    standardise_projection(model.text_projection, torch.randn(50, 96), fresh=True, each=False)
    plain = with_plain_projections(model)
    assert parametrize.is_parametrized(model.visual_projection, "weight")
    as_built = build_dual_encoder("tiny", texts=reports, seed=0).model.state_dict()
    assert sorted(plain.state_dict()) == sorted(as_built)
    torch.testing.assert_close(plain.visual_projection(pooled), model.visual_projection(pooled))
