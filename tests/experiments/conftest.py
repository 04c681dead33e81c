"""Small invented results: they stand for no measurement, only for the shapes a report must show."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from medtrim.evaluation.agreement import compare, unmarked
from medtrim.evaluation.metric_info import metric_infos
from medtrim.experiments.results import (
    DIRECTIONS,
    Corpus,
    Curve,
    EmbeddingMap,
    Figure,
    GalleryQuery,
    GalleryStudy,
    MapPoint,
    Method,
    Results,
    StageTime,
)
from medtrim.types import DISEASES, Finding

LEFT = Finding("pleural effusion", "present", ("large",), ("left",))
OTHERS = (
    (LEFT,),
    (Finding("pleural effusion", "uncertain", ("small",), ("right",)), Finding("edema", "present", ("mild",))),
    (Finding("pleural effusion", "present", ("large", "patchy"), ("left", "basal")),),
    (Finding("pneumothorax", "present", (), ("right", "apical")),),
    (Finding("edema", "absent"),),
)


def picture(rng: np.random.Generator) -> str:
    pixels = (np.outer(np.hanning(96), np.hanning(96)) * 180 + rng.integers(0, 60, (96, 96))).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _figures(rng: np.random.Generator, *, half: float) -> list[Figure]:
    figures = []
    for queries, n in (("abnormal", 640), ("normal", 180)):
        for direction in DIRECTIONS:
            within = direction in ("image→image", "text→text")
            for info in metric_infos().values():
                if info.group == "classification" or (info.instance and within):
                    continue
                if queries == "normal" and info.group in ("fine", "conflicts", "score"):
                    continue
                clip = float(rng.uniform(0.3, 0.8)) * (100 / info.scale)
                gain = float(rng.normal(0.06, 0.06)) * (100 / info.scale)
                width = half * (100 / info.scale)
                common = {
                    "task": "retrieval",
                    "metric": info.key,
                    "n": n,
                    "queries": queries,
                    "direction": direction,
                }
                for method, value in (("clip", clip), ("medtrim", clip + gain)):
                    figures.append(
                        Figure(method=method, value=value, low=value - width, high=value + width, **common)
                    )
                figures.append(
                    Figure(
                        method="medtrim", baseline="clip", value=gain, low=gain - width, high=gain + width, **common
                    )
                )
    for task in ("zero-shot", "linear probe, 100 % of labels"):
        for target in ("macro", "edema", "pleural effusion", "pneumothorax"):
            for method in ("clip", "medtrim"):
                value = float(rng.uniform(0.6, 0.95))
                figures.append(Figure(task, method, "AUROC", value, value - half, value + half, 820, target=target))
            figures.append(
                Figure(
                    task, "medtrim", "AUROC", 0.03, 0.03 - half, 0.03 + half, 820, baseline="clip", target=target
                )
            )
    return figures


def invented(
    *, seed: int = 0, half: float = 0.03, train: int = 6000, test: int = 820, drawn: bool = True
) -> Results:
    rng = np.random.default_rng(seed)
    study = GalleryStudy(
        "q1", picture(rng), "Large left pleural effusion. No edema.", "Effusion.", unmarked([LEFT])
    )
    retrieved = tuple(
        GalleryStudy(
            f"s{i}",
            picture(rng),
            "Report <of> study & co. " * 3,
            "",
            (agreement := compare([LEFT, Finding("edema", "absent")], findings)).marks,
            agreement.missing,
            similarity=0.9 - 0.05 * i,
        )
        for i, findings in enumerate(OTHERS)
    )
    points = tuple(
        MapPoint(
            float(x),
            float(y),
            "image" if i % 2 else "text",
            (*DISEASES, "no finding", "several diseases")[i % 14],
            "large left pleural effusion",
        )
        for i, (x, y) in enumerate(rng.uniform(size=(300, 2)))
    )
    steps = tuple(range(0, 401, 20))
    return Results(
        title="MedTrim against CLIP on drawn phantoms",
        corpus=Corpus("6,000 phantoms", drawn, train, 400, test, test, test // 4, 0),
        methods=(
            Method("medtrim", "MedTrim", "soft targets from meta-entity similarities", 61.2, 38400),
            Method("clip", "CLIP", "InfoNCE between images and their own reports", 58.9, 38400),
        ),
        ours="medtrim",
        baseline="clip",
        figures=tuple(_figures(rng, half=half)),
        curves=tuple(
            Curve(m, name, steps, tuple(math.exp(-s / scale) * 3 + 1.2 for s in steps))
            for m, scale in (("medtrim", 90), ("clip", 140))
            for name in ("training loss", "validation loss")
        ),
        gallery=(
            GalleryQuery("image→text", study, {"medtrim": retrieved, "clip": tuple(reversed(retrieved))}),
            GalleryQuery("text→image", study, {"medtrim": retrieved, "clip": retrieved}),
        ),
        maps=tuple(EmbeddingMap(m, points, "t-SNE", 0.42, 6.3) for m in ("medtrim", "clip")),
        timings=(StageTime("phantom", 12.4), StageTime("train", 75.0), StageTime("evaluate", 14.0, reused=True)),
        versions={"medtrim": "0.1.0", "torch": "2.13.0"},
        config={"steps": 400, "lr": {"medtrim": 3e-3, "clip": 2e-3}, "size": 64},
        seed=seed,
        command="medtrim demo --output demo",
        created="2026-11-23",
    )


@pytest.fixture
def results() -> Results:
    return invented()
