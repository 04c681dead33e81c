"""Diagnostics of the embedding space: effective rank and modality gap."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.figures import Figure, make_figure
from medtrim.evaluation.ranking import unit


def effective_rank(vectors: Float[np.ndarray, "studies dimension"]) -> float:
    """exp(H(p)) with p the singular values of the centred unit vectors divided by their sum (Roy & Vetterli 2007).

    Between 1 (all on a line) and the dimension; 0 where all vectors are the same.
    """
    centred = unit(vectors)
    centred -= centred.mean(axis=0, keepdims=True)
    singular = np.linalg.svd(centred, compute_uv=False)
    if singular.sum() <= 1e-9:
        return 0.0
    share = singular / singular.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def modality_gap(
    image: Float[np.ndarray, "studies dimension"], text: Float[np.ndarray, "studies dimension"]
) -> float:
    """‖mean image embedding − mean text embedding‖ of unit vectors (Liang et al. 2022, arXiv:2203.02053)."""
    return float(np.linalg.norm(unit(image).mean(axis=0) - unit(text).mean(axis=0)))


def diagnose(
    image: Float[np.ndarray, "studies dimension"],
    text: Float[np.ndarray, "studies dimension"],
    bootstrap: PatientBootstrap,
) -> list[Figure]:
    """Both diagnostics. The effective rank has no interval: a resample repeats studies and so lowers the rank."""
    rows = np.arange(len(image))
    difference = unit(image) - unit(text)
    sums = bootstrap.sums(difference, rows)
    counts = bootstrap.sums(np.ones((len(rows), 1)), rows)
    gaps = np.linalg.norm(sums / counts, axis=1)
    nothing = np.full(bootstrap.resamples, np.nan)
    found = (
        ("modality gap", modality_gap(image, text), gaps, ""),
        ("effective rank", effective_rank(image), nothing, "image"),
        ("effective rank", effective_rank(text), nothing, "text"),
    )
    return [
        make_figure("diagnostic", metric, value, replicates, n=len(rows), patients=bootstrap.patients, label=label)
        for metric, value, replicates, label in found
    ]
