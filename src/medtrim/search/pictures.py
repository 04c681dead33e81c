"""Pictures between index, model and browser: uploads decoded, previews and originals as PNG."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medtrim.data import ImageLimits, fit_square
from medtrim.data.images import decode
from medtrim.errors import ImageError

Gray = NDArray[np.uint8]

MAX_PIXELS = 40_000_000
"""Largest picture that is decoded for a request; a digital chest radiograph has about 9 million pixels."""

PREVIEW = 2048
"""Longest side of an upload's preview, pixels."""


def decode_upload(content: bytes, *, max_bytes: int) -> Gray:
    """An uploaded PNG, JPEG, TIFF or DICOM file as uint8 [H W], by the code that decodes training images.

    Raises:
        ImageError: it is empty, unreadable, or outside the limits.
    """
    if not content:
        raise ImageError("upload", "the upload is empty")
    return decode(content, study_id="upload", limits=ImageLimits(max_bytes=max_bytes, max_pixels=MAX_PIXELS))


def as_png(picture: Gray) -> bytes:
    """`picture` [H W] as a PNG file, lossless; little compression, since that is what takes the time."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def preview(picture: Gray) -> Gray:
    """`picture` [H W], reduced so that its longer side is at most `PREVIEW`."""
    scale = PREVIEW / max(picture.shape)
    if scale >= 1:
        return picture
    height, width = (max(1, round(side * scale)) for side in picture.shape)
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def model_square(picture: Gray, side: int) -> Gray:
    """What the model sees of `picture`: [side side]. A query by this square is the query by the picture."""
    return fit_square(picture, side)
