"""What is trained: the dual encoder, the objective, and one forward pass over a rank's studies."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import VisionTextDualEncoderModel

from medtrim.models import encode_images, encode_texts, region_width
from medtrim.models.standardise import deviation_of
from medtrim.objectives import Objective

Inputs = tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]


class AlignmentModule(nn.Module):
    """A dual encoder and an objective, so that the parameters of both are trained, averaged over ranks and saved.

    Args:
        encoder: the dual encoder.
        objective: may own parameters; it is called by the trainer, on the embeddings of all ranks.
        chunk: encode so many studies at a time (0: all). Each chunk's activations are dropped after the forward
            pass and worked out again when its gradient is due, so memory holds one chunk's: gradient caching
            (Gao et al. 2021, https://arxiv.org/abs/2101.06983), the random state of dropout replayed.
        length_groups: encode reports in so many groups of like length.
        noise: on pooled features while training, in units of their standard deviation.
        keep_statistics: batch norms of the encoder use what they have learned of means and deviations, in training
            too: a pretrained network estimated them on a million images, and embeddings do not depend on the batch.
        pooled: studies come as pooled features of frozen encoders, which are never called.
        image_size: of the images, in pixels; where the objective compares regions and the last map of such an image
            is smaller than 4 × 4, an earlier one is taken, by a projection of its own.
    """

    def __init__(
        self,
        encoder: VisionTextDualEncoderModel,
        objective: Objective,
        *,
        chunk: int = 0,
        length_groups: int = 1,
        noise: float = 0.0,
        keep_statistics: bool = False,
        pooled: bool = False,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.objective = objective
        self.chunk = chunk
        self.length_groups = length_groups
        self.noise = noise
        self.keep_statistics = keep_statistics
        self.pooled = pooled
        self.local = "local" in objective.needs
        width = region_width(encoder, image_size) if self.local else None
        self.regions = nn.Linear(width, encoder.config.projection_dim, bias=False) if width else None

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        view_pixel_values: Tensor | None = None,
        view_ids: Tensor | None = None,
        view_mask: Tensor | None = None,
        captions: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Embeddings of a rank's studies: `image` and `text` [b D], with `image_local`, `text_local`, `image_view`
        and `text_view` where asked for or given, and `captions` [C D], which every rank encodes for itself.

        Studies come as pixels [b C H W] and token ids [b L] or, with frozen encoders, as pooled features [b F] of
        both; captions as `input_ids` and `attention_mask`, or as `features`.
        """
        if attention_mask is None:
            encoded = self._project(pixel_values, input_ids)
        else:
            encoded = self._in_chunks(
                (pixel_values, input_ids, attention_mask, view_pixel_values, view_ids, view_mask)
            )
        if captions is not None:
            encoded["captions"] = self._captions(captions)
        return encoded

    def _captions(self, captions: Mapping[str, Tensor]) -> Tensor:
        if "features" in captions:
            embedded: Tensor = self.encoder.text_projection(captions["features"])
            return embedded
        return encode_texts(self.encoder, captions["input_ids"], captions["attention_mask"]).projected

    def _project(self, image: Tensor, text: Tensor) -> dict[str, Tensor]:
        visual, textual = self.encoder.visual_projection, self.encoder.text_projection
        return {"image": visual(self._noisy(image, visual)), "text": textual(self._noisy(text, textual))}

    def _noisy(self, features: Tensor, projection: nn.Module) -> Tensor:
        """`features` with noise in proportion to each one's deviation, while training."""
        if not self.noise or not self.training:
            return features
        return features + self.noise * deviation_of(projection) * torch.randn_like(features)

    def _in_chunks(self, inputs: Inputs) -> dict[str, Tensor]:
        size = len(inputs[0])
        if not self.chunk or self.chunk >= size:
            return self._encode(*inputs)
        parts = []
        for start in range(0, size, self.chunk):
            part = [None if x is None else x[start : start + self.chunk] for x in inputs]
            if torch.is_grad_enabled():
                parts.append(checkpoint(self._encode, *part, use_reentrant=False))
            else:
                parts.append(self._encode(*part))  # type: ignore[arg-type]
        return {name: torch.cat([p[name] for p in parts]) for name in parts[0]}

    def train(self, mode: bool = True) -> AlignmentModule:
        """Training mode; with `keep_statistics` not for batch norms of the encoder.

        The Trainer asks for it at every step: a walk through encoders that are not called took a third of it.
        """
        if self.pooled:
            self.training = mode
            for called in (self.objective, self.encoder.visual_projection, self.encoder.text_projection):
                called.train(mode)
            return self
        super().train(mode)
        for part in self.encoder.modules() if self.keep_statistics else ():
            if isinstance(part, nn.BatchNorm2d):
                part.training = False
        return self

    def _encode(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        view_pixel_values: Tensor | None,
        view_ids: Tensor | None,
        view_mask: Tensor | None,
    ) -> dict[str, Tensor]:
        image = encode_images(self.encoder, pixel_values, local=self.local, regions=self.regions)
        text = encode_texts(self.encoder, input_ids, attention_mask, local=self.local, groups=self.length_groups)
        encoded = {"image": image.projected, "text": text.projected}
        if image.local is not None and text.local is not None:
            encoded |= {"image_local": image.local, "text_local": text.local}
        if view_pixel_values is not None and view_ids is not None and view_mask is not None:
            encoded["image_view"] = encode_images(self.encoder, view_pixel_values).projected
            encoded["text_view"] = encode_texts(self.encoder, view_ids, view_mask).projected
        return encoded
