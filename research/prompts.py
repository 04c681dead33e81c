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


def all_prompts() -> list[str]:
    """The prompts of zones A to F, a zone's affirming ones before its denying ones."""
    return [prompt for zone in ZONES for prompts in zone_prompts(*zone) for prompt in prompts]


def prompted_zones(bundle: EncoderBundle, images: NDArray[np.float32]) -> Floats:
    """`zone_values` by a model.

    Args:
        bundle: the model.
        images: its unit embeddings of the films, [N D].
    """
    return zone_values(images, embed_texts(bundle, all_prompts()))


def zone_values(images: NDArray[np.floating], prompts: NDArray[np.floating]) -> Floats:
    """cos(image, affirming) − cos(image, denying) for each of the six zones, [N 6]; prompts of a kind are averaged.

    Args:
        images: unit embeddings of the films, [N D].
        prompts: unit embeddings of `all_prompts`, [P D].
    """
    columns, start = [], 0
    for zone in ZONES:
        yes, no = (len(kind) for kind in zone_prompts(*zone))
        ends = direction(prompts[start : start + yes]), direction(prompts[start + yes : start + yes + no])
        columns.append(images @ (ends[0] - ends[1]))
        start += yes + no
    return np.stack(columns, axis=1).astype(np.float64)


def direction(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """The unit vector along the mean of unit vectors [N D]: [D]."""
    mean = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))
