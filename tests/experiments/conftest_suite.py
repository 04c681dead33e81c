"""A suite small enough for tests, and evaluations made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medtrim.evaluation import EvaluationResult, Figure
from medtrim.experiments.load import build_suite
from medtrim.experiments.schema import Suite

RESAMPLES = 50
MakeEvaluation = Callable[..., EvaluationResult]


def tiny_values() -> dict[str, Any]:
    """Plain data of a suite: two methods, two seeds, nothing to draw."""
    return {
        "name": "tiny",
        "data": {"phantom": {"studies": 120, "size": 64}, "reference": "truth"},
        "train": {"recipe": "tiny-cpu", "steps": 3, "batch": {"size": 8}},
        "methods": {
            "medtrim": {"label": "MedTrim", "objective": "medtrim"},
            "clip": {"label": "CLIP", "objective": "clip"},
            "siglip": {"label": "SigLIP", "objective": "siglip"},
        },
        "ours": "medtrim",
        "seeds": [0, 1],
        "evaluation": {"resamples": RESAMPLES, "zero_shot": False, "probes": []},
    }


@pytest.fixture
def values() -> dict[str, Any]:
    return tiny_values()


@pytest.fixture
def suite(values: dict[str, Any]) -> Suite:
    return build_suite(values)


def evaluation(values: dict[tuple[str, str], float], *, noise: float = 0.01, seed: int = 0) -> EvaluationResult:
    """An evaluation with the given values of (metric, direction), replicates scattered around them."""
    rng = np.random.default_rng(seed)
    figures = []
    for (metric, direction), value in values.items():
        replicates = value + noise * rng.standard_normal(RESAMPLES)
        low, high = np.quantile(replicates, (0.025, 0.975))
        figures.append(
            Figure(
                task="retrieval",
                metric=metric,
                value=value,
                low=float(low),
                high=float(high),
                n=40,
                direction=direction,
                queries="abnormal",
                replicates=replicates,
            )
        )
    return EvaluationResult(method="m", figures=tuple(figures), fingerprint="f")


@pytest.fixture
def make_evaluation() -> MakeEvaluation:
    return evaluation
