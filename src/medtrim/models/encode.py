"""Named outputs of one side of a dual encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad
from transformers import VisionTextDualEncoderModel


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


def encode_images(model: VisionTextDualEncoderModel, pixel_values: Tensor, *, local: bool = False) -> Encoding:
    """Embed images.

    Args:
        model: the dual encoder.
        pixel_values: [B C H W], normalised.
        local: also project each patch (a ViT's class token left out, a convolutional map flattened by rows).
    """
    output = model.vision_model(pixel_values=pixel_values)
    embedded = model.visual_projection(output.pooler_output)
    if not local:
        return Encoding(embedded)
    hidden = output.last_hidden_state
    patches = hidden.flatten(2).transpose(1, 2) if hidden.dim() == 4 else hidden[:, 1:]
    projected = model.visual_projection(patches)
    return Encoding(embedded, projected, projected.new_ones(projected.shape[:2]).bool())


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
