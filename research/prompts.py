"""Zone values of films by text prompts alone, the same for every dual encoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medtrim.evaluation import embed_texts
from medtrim.models import EncoderBundle
from research.films import ZONES

NAMES = ("opacity", "consolidation", "infiltrate", "ground glass opacity", "airspace opacity")
Floats = NDArray[np.float64]


def zone_prompts(side: str, row: str) -> tuple[list[str], list[str]]:
    """Prompts that affirm and that deny an opacity in a zone. Fixed before any model was measured with them."""
    yes = [f"{name} in the {side} {row} lung zone" for name in NAMES]
    yes += [f"{side} {row} zone {name}" for name in NAMES]
    no = [f"no {name} in the {side} {row} lung zone" for name in NAMES] + [f"{side} {row} zone is clear"]
    return yes, no


def prompted_zones(bundle: EncoderBundle, images: NDArray[np.float32]) -> Floats:
    """cos(image, affirming) − cos(image, denying) for each of the six zones, [N 6]; prompts of a kind are averaged.

    Args:
        bundle: the model.
        images: its unit embeddings of the films, [N D].
    """
    columns = []
    for side, row in ZONES:
        ends = [_direction(embed_texts(bundle, prompts)) for prompts in zone_prompts(side, row)]
        columns.append(images @ (ends[0] - ends[1]))
    return np.stack(columns, axis=1).astype(np.float64)


def _direction(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    mean = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))
