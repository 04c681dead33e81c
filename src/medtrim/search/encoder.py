"""Queries and studies to unit vectors, with the model that a checkpoint holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from medtrim.data import fit_square
from medtrim.entities import texts_to_read
from medtrim.entities.caption import caption
from medtrim.errors import RecordError
from medtrim.models import EncoderBundle, encode_images, encode_texts, to_pixel_values
from medtrim.types import Finding

KEPT_TEXTS = 1000
Vectors = NDArray[np.float32]


class QueryEncoder:
    """Turns pictures and texts into the space of the index; meant for one caller at a time.

    `text`, `texts` and `is_cut` take texts `as_read`.
    """

    def __init__(self, bundle: EncoderBundle, *, device: str = "cpu") -> None:
        self.bundle = bundle
        self.device = torch.device(device)
        self._kept: OrderedDict[str, Vectors] = OrderedDict()
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
        return self.squares([self.square(picture) for picture in pictures])

    def square(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture [H W] in the model's square."""
        side, fit, equalize = self.bundle.image_size, self.bundle.fit, self.bundle.equalize
        if fit != "lungs" and not equalize and picture.shape == (side, side):
            return picture
        return fit_square(picture, side, fit=fit, equalize=equalize)

    def squares(self, squares: Sequence[NDArray[np.uint8]]) -> Vectors:
        """`images` of pictures that `square` has been through."""
        with torch.inference_mode():
            stacked = torch.from_numpy(np.stack(squares)).to(self.device)
            pixels = to_pixel_values(stacked, self.bundle.image_processor)
            vectors = encode_images(self.bundle.model, pixels).embedding
        return _checked(vectors, "image")

    def text(self, text: str) -> Vectors:
        """The unit vector [D] of one text; of the latest thousand it is kept.

        Raises:
            RecordError: the model gives it no finite vector.
        """
        vector = self._kept.get(text)
        if vector is None:
            vector = self._kept[text] = self.texts([text])[0]
            if len(self._kept) > KEPT_TEXTS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(text)
        return vector

    def as_read(self, text: str, findings: Sequence[Finding] | None = None) -> str:
        """`text` as the model's text side takes it: as it is, or as a caption where the model reads findings.

        Args:
            findings: what is recognised in it; None: not known yet, the default ontology reads it.
        """
        if findings is not None and self.bundle.reads == "findings":
            return caption(findings)
        return texts_to_read([text], self.bundle.reads)[0]

    def is_cut(self, text: str) -> bool:
        """Whether `text` has more tokens than the model reads."""
        return len(self.bundle.tokenizer(text, verbose=False)["input_ids"]) > self.bundle.max_tokens

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors [N D] of texts, cut at the model's longest token sequence.

        Raises:
            RecordError: the model gives a text no finite vector.
        """
        tokens = self.bundle.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.bundle.max_tokens,
            return_tensors="pt",
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
