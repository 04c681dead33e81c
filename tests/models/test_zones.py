from __future__ import annotations

import pytest
import torch
from torch.nn.functional import avg_pool2d
from transformers import EfficientNetConfig, EfficientNetModel

from medtrim.errors import ModelError
from medtrim.models.zones import freeze_zones, has_zones, zone_edges, zone_pooled


def small_net(*, act: str = "relu6", size: int = 64) -> EfficientNetModel:
    """Four stages, the last one beyond a sixteenth of the input; weights as after training, not near 0."""
    config = EfficientNetConfig(
        width_coefficient=1.0,
        depth_coefficient=1.0,
        in_channels=[32, 16, 24, 24],
        out_channels=[16, 24, 24, 40],
        kernel_sizes=[3, 3, 3, 5],
        strides=[2, 2, 2, 2],
        num_block_repeats=[1, 1, 2, 1],
        expand_ratios=[1, 2, 2, 2],
        hidden_act=act,
        hidden_dim=1280,
        image_size=size,
        drop_connect_rate=0.0,
    )
    torch.manual_seed(0)
    model = EfficientNetModel(config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
        elif isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
    return model.train(False)


def map_of(model: EfficientNetModel, pixels: torch.Tensor) -> torch.Tensor:
    """The map at a sixteenth of the input: what the fourth block gives."""
    hidden = model.embeddings(pixels)
    for block in model.encoder.blocks[:4]:
        hidden = block(hidden)
    return hidden


@pytest.mark.parametrize(("rows", "columns"), [(3, 2), (1, 1), (2, 3)])
def test_pooled_output_is_each_zones_mean(rows, columns):
    model = small_net()
    pooled = zone_pooled(model, rows=rows, columns=columns)
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found, whole = pooled(pixels).pooler_output, map_of(model, pixels)
    deviation = sum(model.encoder.blocks[i].projection.project_bn.weight ** 2 for i in (2, 3)).sqrt()
    inside = (whole * (6 / (10 * deviation)).view(1, -1, 1, 1) + 3).clamp(0, 6)
    tops, lefts = zone_edges(4, rows), zone_edges(4, columns)
    expected = []
    for c in range(columns):
        for r in range(rows):
            zone = inside[:, :, tops[r] : tops[r + 1], lefts[c] : lefts[c + 1]]
            expected.append(zone.sum(dim=(2, 3)) / 16)
    expected = torch.cat(expected, dim=1)
    assert tuple(pooled.config.zones) == (rows, columns, 24)
    torch.testing.assert_close(found[:, : expected.shape[1]], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[:, expected.shape[1]], torch.ones(2))
    assert (found[:, expected.shape[1] + 1 :] == 0).all()


def test_side_survives_that_global_averaging_loses():
    model = small_net()
    pixels = torch.zeros(1, 3, 64, 64)
    pixels[..., 20:40, 4:24] = 3.0
    mirrored = pixels.flip(-1)
    zoned = zone_pooled(model)
    with torch.no_grad():
        apart = (zoned(pixels).pooler_output - zoned(mirrored).pooler_output).abs().max()
        swapped = zoned(mirrored).pooler_output[:, : 6 * 24].view(2, 3, 24).flip(0).reshape(1, -1)
        averaged = [avg_pool2d(map_of(model, x), 4).flatten(1) for x in (pixels, mirrored)]
    assert apart > 5 * (averaged[0] - averaged[1]).abs().max() / 16
    # What the mirror image has on one side, the film has on the other, but for filters that are not symmetric.
    near = torch.nn.functional.cosine_similarity(swapped - 0.5, zoned(pixels).pooler_output[:, : 6 * 24] - 0.5)
    assert near > 0.9


def test_a_plain_transformers_folder_keeps_the_zones(tmp_path):
    pooled = zone_pooled(small_net())
    pooled.save_pretrained(tmp_path)
    loaded = EfficientNetModel.from_pretrained(tmp_path).train(False)
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded(pixels).pooler_output, pooled(pixels).pooler_output)
    assert has_zones(loaded.config)
    assert not has_zones(small_net().config)


def test_what_cannot_hold_zones_is_refused():
    with pytest.raises(ModelError, match="ReLU6, not 'swish'"):
        zone_pooled(small_net(act="swish"))
    with pytest.raises(ModelError, match="64 zones of 24 channels do not fit"):
        zone_pooled(small_net(), rows=8, columns=8)


def test_training_leaves_what_pools_alone():
    model = zone_pooled(small_net())
    freeze_zones(model)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert any(name.startswith("encoder.top_conv") for name in frozen)
    assert not any(name.startswith(("embeddings.", "encoder.blocks.0.")) for name in frozen)
    plain = small_net()
    freeze_zones(plain)
    assert all(parameter.requires_grad for parameter in plain.parameters())
