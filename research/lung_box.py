"""Fit `medtrim.data.lungs`' regression on phantoms: python -m research lung-box -o src/medtrim/data/lungs.npy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medtrim.data.lungs import box_inputs
from medtrim.data.phantom.anatomy import ANGLE, APEX
from medtrim.data.phantom.case import WALL, Case
from medtrim.data.phantom.corpus import make_study, plan
from medtrim.data.phantom.frame import make_frame

Floats = NDArray[np.float64]
SIZE, COPIES, RIDGE = 224, 2, 300.0


def drawn_box(case: Case, size: int) -> Floats:
    """Left, top, right and bottom of a drawn thorax's inner wall, apex to costophrenic angle, as shares: [4]."""
    ix, iy, i0, jx, jy, j0 = make_frame(case, size).inverse
    corners = [(x, y) for x in (-WALL, WALL) for y in (APEX, ANGLE)]
    columns = np.sort([ix * x + iy * y + i0 for x, y in corners]).reshape(2, 2).mean(axis=1)
    rows = np.sort([jx * x + jy * y + j0 for x, y in corners]).reshape(2, 2).mean(axis=1)
    return np.clip(np.array([columns[0], rows[0], columns[1], rows[1]]) / size, 0.0, 1.0)


def fit_lung_box(studies: int, *, seed: int) -> NDArray[np.float32]:
    """The weights [577 4] from so many phantoms, each as it is and twice cut or padded at random."""
    rng = np.random.default_rng(seed)
    inputs, boxes = [], []
    for member in plan(studies, seed):
        case, _, film = make_study(member, seed=seed, size=SIZE)
        box = drawn_box(case, SIZE)
        for copy in range(1 + COPIES):
            picture, seen = (film, box) if copy == 0 else _reframed(film, box, rng)
            inputs.append(box_inputs(picture))
            boxes.append(seen)
    x, y = np.array(inputs), np.array(boxes)
    mean, target = x.mean(axis=0), y.mean(axis=0)
    centred = x - mean
    weights = np.linalg.solve(centred.T @ centred + RIDGE * np.eye(x.shape[1]), centred.T @ (y - target))
    return np.vstack([weights, target - mean @ weights]).astype(np.float32)


def write_lung_box(path: Path, *, studies: int, seed: int) -> None:
    """Fit and save as a plain NumPy array."""
    np.save(path, fit_lung_box(studies, seed=seed), allow_pickle=False)


def _reframed(film: NDArray[np.uint8], box: Floats, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Floats]:
    """Another frame around the same film: nearer or further, off the centre, black outside."""
    width = rng.uniform(0.75, 1.3)
    height = width * rng.uniform(0.85, 1.18)
    x, y = 0.5 + rng.uniform(-0.12, 0.12), 0.5 + rng.uniform(-0.12, 0.12)
    left, top = x - width / 2, y - height / 2
    edges = tuple(SIZE * edge for edge in (left, top, left + width, top + height))
    moved = Image.fromarray(film).transform((SIZE, SIZE), Image.Transform.EXTENT, edges, Image.Resampling.BILINEAR)
    seen = (box - np.array([left, top, left, top])) / np.array([width, height, width, height])
    return np.asarray(moved), np.clip(seen, 0.0, 1.0)
