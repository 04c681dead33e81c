"""Where the lungs are on a film: a rectangle around both, read off a small picture by ridge regression.

The regression was fitted on phantoms, whose lungs are known, cut and padded at random (`research/lung_box.py`); no
real film is in it. On 333 films with boxes by hand (covid-chestxray-dataset) its overlap with the rectangle around
both boxes, intersection over union, is 0.81; of one fixed rectangle it is 0.76, of the whole film 0.62.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Gray = NDArray[np.uint8]
Floats = NDArray[np.float64]
GRID = 24
MARGIN = 0.03  # share of the rectangle's sides that is kept around it


def equalized(gray: Gray) -> Gray:
    """Histogram equalisation: every grey value about equally frequent, whatever the exposure."""
    return np.asarray(ImageOps.equalize(Image.fromarray(gray)))


def box_inputs(square: Gray) -> Floats:
    """What the regression reads of a square picture: its equalised mean over a 24 × 24 grid, in [0, 1], [576]."""
    small = Image.fromarray(equalized(square)).resize((GRID, GRID), Image.Resampling.BOX)
    return np.asarray(small, np.float64).ravel() / 255.0


def lung_box(square: Gray) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the rectangle around both lungs, as shares of the square picture.

    The picture is a frontal chest film, padded to a square (`fit_square`).
    """
    weights = _weights()
    left, top, right, bottom = np.clip(box_inputs(square) @ weights[:-1] + weights[-1], 0.0, 1.0)
    return float(left), float(top), max(float(right), float(left) + 0.1), max(float(bottom), float(top) + 0.1)


def crop_to_lungs(square: Gray, size: int) -> Gray:
    """The lungs of a square picture, stretched to [size size]: zones lie at the same place on every film."""
    left, top, right, bottom = lung_box(square)
    wide, high, side = MARGIN * (right - left), MARGIN * (bottom - top), len(square)
    box = tuple(
        float(np.clip(edge, 0.0, 1.0)) * side for edge in (left - wide, top - high, right + wide, bottom + high)
    )
    return np.asarray(Image.fromarray(square).resize((size, size), Image.Resampling.BICUBIC, box=box))  # type: ignore[arg-type]


@cache
def _weights() -> Floats:
    """[577 4]: a row a grid cell, then the intercept."""
    with resources.files("medtrim.data").joinpath("lungs.npy").open("rb") as file:
        return np.asarray(np.load(file, allow_pickle=False), np.float64)
