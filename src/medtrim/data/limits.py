"""What an image must be like to be taken for a radiograph."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medtrim.errors import ImageError


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Bounds beyond which an image is rejected.

    A digital chest radiograph has about 9 million pixels and sides nearly equal; the bounds are wide of that.

    Attributes:
        min_side: shortest allowed side, pixels.
        max_pixels: largest allowed area, checked in the header before anything is decoded.
        max_aspect: largest allowed ratio of the sides.
        max_bytes: largest allowed file.
        chest_only: refuse DICOM files whose modality or body part says that they are no chest radiograph.
    """

    min_side: int = 16
    max_pixels: int = 80_000_000
    max_aspect: float = 5.0
    max_bytes: int = 512 * 2**20
    chest_only: bool = True


DEFAULT_LIMITS = ImageLimits()
# What decoders raise beside their own errors when the fields of a file contradict each other.
TORN_FILE = (TypeError, LookupError, ArithmeticError, AttributeError, struct.error)


def check_shape(width: int, height: int, *, limits: ImageLimits, study_id: str) -> None:
    """Raise an `ImageError` where the sides are out of `limits`."""
    if width <= 0 or height <= 0:
        raise ImageError(study_id, f"image is empty ({width} × {height} pixels)")
    if min(width, height) < limits.min_side:
        raise ImageError(
            study_id, f"image is {width} × {height} pixels, at least {limits.min_side} a side expected"
        )
    if width * height > limits.max_pixels:
        raise ImageError(
            study_id, f"image is {width} × {height} pixels, more than the {limits.max_pixels:,} allowed"
        )
    if max(width, height) > limits.max_aspect * min(width, height):
        raise ImageError(
            study_id,
            f"image is {width} × {height} pixels, sides in a ratio above {limits.max_aspect:g} are no radiograph",
        )


def check_content(pixels: NDArray[np.uint8], *, study_id: str) -> None:
    """Raise an `ImageError` where all pixels are the same but for rounding: nothing was exposed."""
    low, high = int(pixels.min()), int(pixels.max())
    if high - low <= 1:
        raise ImageError(study_id, f"image is constant (gray levels {low} to {high})")
