"""A suite small enough for tests, evaluations made by hand, and invented results.

Invented results stand for no measurement, only for what a page must show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from medtrim.evaluation import DIRECTION_NAMES, EvaluationResult, Figure
from medtrim.evaluation.metric_info import metric_infos
from medtrim.experiments.load import build_suite
from medtrim.experiments.results import SuiteResults
from medtrim.experiments.rows import Row, headline_keys
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
                queries="all",
                replicates=replicates,
            )
        )
    return EvaluationResult(method="m", figures=tuple(figures), fingerprint="f")


@pytest.fixture
def make_evaluation() -> MakeEvaluation:
    return evaluation


def invented(
    *, gain: float = 0.1, half: float = 0.03, p_holm: float = 0.02, train: int = 6000, test: int = 820
) -> SuiteResults:
    """Results of MedTrim and CLIP: every metric, `gain` ± `half` between them, a corrected p of `p_holm`."""
    values = tiny_values() | {"seeds": [0], "evaluation": {"resamples": RESAMPLES, "probes": [1.0]}}
    values["methods"] = {key: values["methods"][key] for key in ("medtrim", "clip")}
    suite = build_suite(values)
    headline = headline_keys(suite)
    rows: list[Row] = []
    for figure in _figures():
        better = 1 if figure.key.info.better == "higher" else -1
        change = better * gain * (100 / figure.key.info.scale)
        width = half * (100 / figure.key.info.scale)
        for method, value in (("medtrim", figure.value + change), ("clip", figure.value)):
            rows.append(replace(figure, method=method, value=value, low=value - width, high=value + width))
        pair = {"baseline": "clip", "value": change, "low": change - width, "high": change + width, "p": 0.001}
        rows.append(replace(figure, kind="difference", **pair))
        if figure.key in headline:
            rows.append(replace(figure, kind="best", p_holm=p_holm, **pair))
    facts: dict[str, Any] = {
        "name": "tiny",
        "title": "MedTrim against CLIP on drawn phantoms",
        "ours": "medtrim",
        "rivals": ["clip"],
        "order": ["medtrim", "clip"],
        "methods": {
            key: {
                "label": label,
                "description": f"what {label} does",
                "ablation_of": "",
                "tuning": "",
                "caution": "",
                "sampler": "shuffle",
                "normals": 1.0,
                "batch": 96,
                "rates": "0.02 / 0.003",
            }
            for key, label in (("medtrim", "MedTrim"), ("clip", "CLIP"))
        },
        "seeds": [0],
        "headline": [asdict(key) for key in headline],
        "corpus": {
            "name": "6,000 phantoms",
            "drawn": True,
            "reference": "test-truth",
            "fingerprint": "f",
            "rejects": 0,
            "train": train,
            "test": test,
            "test_patients": test,
            "test_normal": test // 4,
            "ontology": "medtrim-cxr 1.0",
            "diseases_read_back": 0.992,
            "descriptors_read_back": 0.989,
        },
        "evaluation": suite.evaluation.model_dump(mode="json"),
        "tuning": None,
        "search": [],
        "failures": [],
        "runs": {m: {"encodings": 38400.0, "steps": 400.0, "seconds": 61.2} for m in ("medtrim", "clip")},
        "suite": suite.model_dump(mode="json"),
        "from_scratch": True,
        "labels_left_out": ["fracture"],
        "versions": {"medtrim": "0.1.0", "torch": "2.13.0"},
    }
    return SuiteResults(tuple(rows), facts)


def _figures() -> list[Row]:
    """One pooled row a figure, with the value of the weaker method."""
    figures = []
    for queries, n in (("all", 820), ("abnormal", 640), ("normal", 180)):
        for direction in DIRECTION_NAMES:
            for info in metric_infos().values():
                if info.group == "classification" or (info.instance and direction in ("i2i", "t2t")):
                    continue
                if queries == "normal" and info.group in ("fine", "conflicts", "score"):
                    continue
                value = 0.6 * 100 / info.scale
                figures.append(
                    Row("pooled", "medtrim", "retrieval", info.key, value, 0.0, 0.0, n, direction, queries)
                )
    for task in ("zero-shot", "probe 100%"):
        for label in ("macro", "edema"):
            figures.append(Row("pooled", "medtrim", task, "AUROC", 0.7, 0.0, 0.0, 820, label=label))
    return figures


@pytest.fixture
def results() -> SuiteResults:
    return invented()
