"""Named outputs of one side of a dual encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad
from transformers import VisionTextDualEncoderModel

# Fewest regions that words can look at: 4 × 4.
LEAST_REGIONS = 16


@dataclass(frozen=True, slots=True)
class Encoding:
    """One side's output.

    Attributes:
        projected: [B D], the projection to the shared space, of any length.
        local: [B R D], projected patches or tokens, not normalised; None unless asked for.
        mask: bool [B R], which rows of `local` belong to the study: every patch, every attended token (special
            ones included; the caller that knows the tokenizer takes them out).
    """

    projected: Tensor
    local: Tensor | None = None
    mask: Tensor | None = None

    @property
    def embedding(self) -> Tensor:
        """[B D], unit length in float32; a zero vector stays zero."""
        return normalize(self.projected.float(), dim=-1)


def encode_images(
    model: VisionTextDualEncoderModel,
    pixel_values: Tensor,
    *,
    local: bool = False,
    regions: nn.Module | None = None,
) -> Encoding:
    """Embed images.

    Args:
        model: the dual encoder.
        pixel_values: [B C H W], normalised.
        local: also project each patch (a ViT's class token left out, a convolutional map flattened by rows).
        regions: projects the patches instead of the model's own projection, from the deepest layer that has at
            least `LEAST_REGIONS` of them (`region_width` is its width): the last map of a small image may be 2 × 2.
    """
    output = model.vision_model(pixel_values=pixel_values, output_hidden_states=regions is not None)
    embedded = model.visual_projection(output.pooler_output)
    if not local:
        return Encoding(embedded)
    if regions is not None:
        projected = regions(_deepest_map(output.hidden_states))
    else:
        projected = model.visual_projection(_patches(output.last_hidden_state))
    return Encoding(embedded, projected, projected.new_ones(projected.shape[:2]).bool())


def region_width(model: VisionTextDualEncoderModel, image_size: int) -> int | None:
    """Width of the layer that `regions` of `encode_images` projects; None where the last has enough patches."""
    vision = model.vision_model
    channels = int(getattr(vision.config, "num_channels", 3))
    training = vision.training
    vision.eval()
    with torch.no_grad():
        blank = torch.zeros(1, channels, image_size, image_size, dtype=vision.dtype, device=vision.device)
        output = vision(pixel_values=blank, output_hidden_states=True)
    vision.train(training)
    if _patches(output.last_hidden_state).shape[1] >= LEAST_REGIONS:
        return None
    return int(_deepest_map(output.hidden_states).shape[2])


def _patches(hidden: Tensor) -> Tensor:
    return hidden.flatten(2).transpose(1, 2) if hidden.dim() == 4 else hidden[:, 1:]


def _deepest_map(layers: Sequence[Tensor]) -> Tensor:
    """The patches of the deepest layer with enough of them, or of the one with most."""
    maps = [_patches(layer) for layer in layers]
    most = min(LEAST_REGIONS, max(m.shape[1] for m in maps))
    return next(m for m in reversed(maps) if m.shape[1] >= most)


def encode_texts(
    model: VisionTextDualEncoderModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    *,
    local: bool = False,
    groups: int = 1,
) -> Encoding:
    """Embed reports.

    Args:
        model: the dual encoder.
        input_ids, attention_mask: [B L], padded at the end.
        local: also project each token.
        groups: encode the reports in so many groups of like length, each cut to its longest. The result is the
            same, the work on padding is less.
    """
    if groups > 1 and len(input_ids) > 1:
        return _encode_by_length(model, input_ids, attention_mask, local=local, groups=groups)
    output = model.text_model(input_ids=input_ids, attention_mask=attention_mask)
    embedded = model.text_projection(output.pooler_output)
    if not local:
        return Encoding(embedded)
    return Encoding(embedded, model.text_projection(output.last_hidden_state), attention_mask.bool())


def _encode_by_length(
    model: VisionTextDualEncoderModel, input_ids: Tensor, attention_mask: Tensor, *, local: bool, groups: int
) -> Encoding:
    lengths = attention_mask.sum(dim=1)
    order = torch.argsort(lengths, stable=True)
    parts = []
    for rows in order.tensor_split(min(groups, len(order))):
        width = int(lengths[rows].max())
        part = encode_texts(model, input_ids[rows, :width], attention_mask[rows, :width], local=local)
        parts.append(part)
    back = torch.argsort(order)
    projected = torch.cat([p.projected for p in parts])[back]
    tokens = [p.local for p in parts if p.local is not None]
    if not tokens:
        return Encoding(projected)
    wide = [pad(t, (0, 0, 0, input_ids.shape[1] - t.shape[1])) for t in tokens]
    return Encoding(projected, torch.cat(wide)[back], attention_mask.bool())
