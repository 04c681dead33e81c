"""Zone pooling in a plain `EfficientNetModel`: the pooled vector says where on the film a feature was.

Global averaging throws side and zone away. Here the map at a sixteenth of the film's size (14 × 14 at 224 px)
is averaged zone by zone instead, and the zones' means stand beside each other in the pooled vector. transformers
has no such pooling, so it is written into weights that `EfficientNetModel` has anyway, and a checkpoint still loads
without MedTrim:

1. The last block is new. Its expansion shifts and scales each channel into [0, 6], where ReLU6 is the identity, and
   adds channels that are 6 everywhere. Their depthwise kernels have one tap off the centre: zero padding makes the
   channel 6 where the tap is on the film and 0 elsewhere. That is where position comes from.
2. The block's projection adds such corners up to 0 inside a zone and −6 outside of it.
3. The top convolution copies each channel once a zone and adds the zone's value; ReLU6 leaves the channel inside
   the zone and 0 outside. The mean over the map is then the zone's mean up to a constant factor.

One further entry of the pooled vector is constant: through it a projection without bias has one.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EfficientNetConfig, EfficientNetModel

from medtrim.errors import ModelError

_CEILING = 6.0  # of ReLU6
_SPREAD = 5.0  # standard deviations of a channel that fit into [0, 6] to either side of the middle
_WIDTH = 8  # transformers rounds channel counts to multiples of it


def zone_edges(size: int, parts: int) -> list[int]:
    """Where `parts` stretches of a line of `size` cells begin, and its end.

    >>> zone_edges(14, 3)
    [0, 5, 9, 14]
    """
    return [round(size * k / parts) for k in range(parts + 1)]


def zone_pooled(model: EfficientNetModel, *, rows: int = 3, columns: int = 2) -> EfficientNetModel:
    """The lower stages of `model` with a pooled output by zones.

    Args:
        model: with `hidden_act: relu6`; stages up to the last at a sixteenth of the input's size are kept.
        rows, columns: zones from top to bottom and from left to right of the picture.

    Returns:
        A model whose pooled output [B, `hidden_dim`] holds, zone after zone (row by row within a column, the
        picture's left column first, which is the patient's right), the means of C channels, then one constant, then
        zeros. `config.zones` is [rows, columns, C].

    Raises:
        ModelError: the model is no ReLU6 net, or its zones do not fit into `hidden_dim`.
    """
    if model.config.hidden_act != "relu6":
        raise ModelError(f"zones need an EfficientNet with ReLU6, not {model.config.hidden_act!r}")
    config, kept = _config(model.config, rows, columns)
    channels, zones = config.in_channels[-1], rows * columns
    if zones * channels + 1 > config.hidden_dim:
        raise ModelError(f"{zones} zones of {channels} channels do not fit into {config.hidden_dim} entries")
    pooled = EfficientNetModel(config)
    below = ("embeddings.", *(f"encoder.blocks.{i}." for i in range(kept)))
    lower = {name: value for name, value in model.state_dict().items() if name.startswith(below)}
    pooled.load_state_dict(lower, strict=False)
    encoder: Any = pooled.encoder
    with torch.no_grad():
        gates = _write_block(encoder.blocks[-1], _deviations(model, kept, config), config)
        _write_top(encoder, gates, channels, zones)
    pooled.train(False)
    return pooled


def freeze_zones(model: nn.Module) -> None:
    """Stop the gradients of what pools by zones, if `model` does: trained or decayed, it would pool by none."""
    if not has_zones(getattr(model, "config", None)):
        return
    encoder: Any = model.encoder
    for module in (encoder.blocks[-1], encoder.top_conv, encoder.top_bn):
        module.requires_grad_(False)


def has_zones(config: object) -> bool:
    """Whether a vision configuration is one of `zone_pooled`."""
    return getattr(config, "zones", None) is not None


def _config(whole: EfficientNetConfig, rows: int, columns: int) -> tuple[EfficientNetConfig, int]:
    """The configuration with the new block as a last stage, and how many blocks are kept."""
    reduction, stages = 2, 0
    for stage, stride in enumerate(whole.strides):
        reduction *= stride
        if reduction <= 16:
            stages = stage + 1
    channels = whole.out_channels[stages - 1]
    side = _side(whole)
    reach = max(zone_edges(side, rows)[-2], zone_edges(side, columns)[-2])
    values = whole.to_dict() | {
        "in_channels": [*whole.in_channels[:stages], channels],
        "out_channels": [*whole.out_channels[:stages], _rounded(channels + rows * columns)],
        "kernel_sizes": [*whole.kernel_sizes[:stages], 2 * reach + 1],
        "strides": [*whole.strides[:stages], 1],
        "num_block_repeats": [*whole.num_block_repeats[:stages], 1],
        "expand_ratios": [*whole.expand_ratios[:stages], 2],
        "zones": [rows, columns, channels],
    }
    return EfficientNetConfig.from_dict(values), sum(whole.num_block_repeats[:stages])


def _side(config: Any) -> int:
    """Cells along an edge of the map at a sixteenth of the input's size."""
    return -(-int(config.image_size) // 16)


def _rounded(count: int) -> int:
    return -(-count // _WIDTH) * _WIDTH


def _deviations(model: EfficientNetModel, kept: int, config: EfficientNetConfig) -> Tensor:
    """About the standard deviation of each channel of the map: the blocks of its stage add theirs up."""
    blocks: Any = model.encoder.blocks
    stage = blocks[kept - config.num_block_repeats[-2] : kept]
    variance = torch.stack([block.projection.project_bn.weight.detach() ** 2 for block in stage]).sum(dim=0)
    return variance.sqrt().clamp_min(1e-3)


def _write_block(block: Any, deviations: Tensor, config: EfficientNetConfig) -> Tensor:
    """Fill the new block; returns the projection's rows that hold the zones."""
    rows, columns, channels = config.zones
    side, zones = _side(config), rows * columns
    tops, lefts = zone_edges(side, rows), zone_edges(side, columns)
    expand, depth = block.expansion, block.depthwise_conv
    expand.expand_conv.weight.zero_()
    scale = _CEILING / (2 * _SPREAD * deviations)
    expand.expand_conv.weight[range(channels), range(channels), 0, 0] = scale
    _identity(expand.expand_bn)
    expand.expand_bn.bias[:channels] = _CEILING / 2
    expand.expand_bn.bias[channels:] = _CEILING
    depth.depthwise_conv.weight.zero_()
    _identity(depth.depthwise_norm)
    centre = depth.depthwise_conv.kernel_size[0] // 2
    depth.depthwise_conv.weight[:channels, 0, centre, centre] = 1.0
    corners = list(itertools.product(range(rows), range(columns)))
    for index, (row, column) in enumerate(corners):
        depth.depthwise_conv.weight[channels + index, 0, centre - tops[row], centre - lefts[column]] = 1.0
    for part in (block.squeeze_excite.reduce, block.squeeze_excite.expand):
        part.weight.zero_()
        part.bias.zero_()
    block.squeeze_excite.expand.bias.fill_(30.0)  # a gate of exactly 1
    project = block.projection.project_conv.weight
    project.zero_()
    project[range(channels), range(channels), 0, 0] = 1.0
    _identity(block.projection.project_bn)
    # Corner (r, c) is 6 at and beyond row tops[r] and column lefts[c]; four of them make a rectangle.
    for row, column in corners:
        out = channels + column * rows + row
        project[out, channels, 0, 0] -= 1.0  # corner (0, 0) is 6 everywhere: −6 outside of the zone
        for down, right in itertools.product((0, 1), (0, 1)):
            if row + down < rows and column + right < columns:
                corner = channels + (row + down) * columns + column + right
                project[out, corner, 0, 0] += (-1.0) ** (down + right)
    return torch.arange(channels, channels + zones)


def _write_top(encoder: Any, gates: Tensor, channels: int, zones: int) -> None:
    top = encoder.top_conv.weight
    top.zero_()
    _identity(encoder.top_bn)
    for zone in range(zones):
        out = torch.arange(zone * channels, (zone + 1) * channels)
        top[out, torch.arange(channels), 0, 0] = 1.0
        top[out, gates[zone], 0, 0] = 1.0
    encoder.top_bn.bias[zones * channels] = 1.0


def _identity(norm: Any) -> None:
    norm.weight.fill_(1.0)
    norm.bias.zero_()
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)
