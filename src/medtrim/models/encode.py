"""Named outputs of one side of a dual encoder."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import normalize
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
    model: VisionTextDualEncoderModel, input_ids: Tensor, attention_mask: Tensor, *, local: bool = False
) -> Encoding:
    """Embed reports from token ids [B L] and their mask [B L]; `local` also projects each token."""
    output = model.text_model(input_ids=input_ids, attention_mask=attention_mask)
    embedded = model.text_projection(output.pooler_output)
    if not local:
        return Encoding(embedded)
    return Encoding(embedded, model.text_projection(output.last_hidden_state), attention_mask.bool())
