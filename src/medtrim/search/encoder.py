"""Queries and studies to unit vectors, with the model that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from medtrim.data import fit_square
from medtrim.errors import RecordError
from medtrim.models import EncoderBundle, encode_images, encode_texts, to_pixel_values

Vectors = NDArray[np.float32]


class QueryEncoder:
    """Turns pictures and texts into the space of the index; meant for one caller at a time."""

    def __init__(self, bundle: EncoderBundle, *, device: str = "cpu") -> None:
        self.bundle = bundle
        self.device = torch.device(device)
        bundle.model.to(self.device).train(False)  # type: ignore[arg-type]

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return int(self.bundle.model.config.projection_dim)

    def images(self, pictures: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Unit vectors [N D] of grayscale uint8 images, each [H W] of any size, brought into the model's square.

        Raises:
            RecordError: the model gives a picture no finite vector.
        """
        side, fit, equalize = self.bundle.image_size, self.bundle.fit, self.bundle.equalize
        plain = fit != "lungs" and not equalize
        squares = np.stack(
            [
                p if plain and p.shape == (side, side) else fit_square(p, side, fit=fit, equalize=equalize)
                for p in pictures
            ]
        )
        with torch.inference_mode():
            pixels = to_pixel_values(torch.from_numpy(squares).to(self.device), self.bundle.image_processor)
            vectors = encode_images(self.bundle.model, pixels).embedding
        return _checked(vectors, "image")

    def is_cut(self, text: str) -> bool:
        """Whether `text` has more tokens than the model reads."""
        return len(self.bundle.tokenizer(text, verbose=False)["input_ids"]) > self.bundle.max_tokens

    def texts(self, reports: Sequence[str]) -> Vectors:
        """Unit vectors [N D] of texts, cut at the model's longest token sequence.

        Raises:
            RecordError: the model gives a text no finite vector.
        """
        tokens = self.bundle.tokenizer(
            list(reports), padding=True, truncation=True, max_length=self.bundle.max_tokens, return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            vectors = encode_texts(self.bundle.model, tokens["input_ids"], tokens["attention_mask"]).embedding
        return _checked(vectors, "text")


def _checked(vectors: torch.Tensor, what: str) -> Vectors:
    array = vectors.float().cpu().numpy()
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise RecordError(f"#{bad[0]}", f"the model gives its {what} a vector that is not finite")
    return array
