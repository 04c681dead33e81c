"""The real benchmark: zone scores by radiologists against what models trained on phantoms say of the same films.

No real film, note or score is trained on, but for the rows that say so (probes, by patient). The table has controls
that nothing was learned for, every method with the same encoders, data, steps and tries, and intervals by patient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import EfficientNetConfig, EfficientNetModel

from medtrim.data import ImageCache
from medtrim.mining.reading import read_encoded
from medtrim.models import EncoderBundle, build_dual_encoder, load_checkpoint, to_pixel_values
from medtrim.models.zones import zone_pooled
from medtrim.training import build_config
from medtrim.training.concepts import concept_table
from medtrim.training.features import pooled_images
from medtrim.training.prepare import model_config
from medtrim.types.settings import merge
from medtrim.types.tables import Progress, no_progress, read_studies
from research.films import ZONES, ScoredFilms
from research.make_model import RECIPE, SIZE, make_model
from research.prompts import prompted_zones
from research.zone_scores import Agreement, agreement, by_fold, mirror_pairs, zone

Floats = NDArray[np.float64]
OURS = "medtrim"
METHODS: Mapping[str, Mapping[str, Any]] = {
    "clip": {"name": "clip"},
    "label-only": {"name": "label-only"},
    "triplets": {"name": "medtrim-triplet"},
    "kernel": {"name": "medtrim", "options": {"concepts": 0.0}},
    "concepts": {"name": "concepts"},
    OURS: {"name": "medtrim", "options": {"concepts": 100.0}},
}
LABELS = {
    "reader": "Second radiologist",
    "brightness": "Brightness of each zone, nothing learned",
    "untrained": "ImageNet + MiniLM as they come, random projections",
    "clip": "CLIP",
    "label-only": "Label-only",
    "triplets": "Published triplets, mined in the batch",
    "kernel": "MedTrim without captions of concepts",
    "concepts": "Captions of concepts alone",
    OURS: "MedTrim",
    "pixels": "Pixels, 32 × 32",
    "random": "Random network, zone-pooled",
    "pooled": "ImageNet, zone-pooled",
    "averaged": "ImageNet, globally averaged",
}
RATES, NOISES = (1e-3, 1e-2), (2.0,)  # tried by every method


@dataclass(frozen=True)
class Benchmark:
    """The rows of one run.

    Attributes:
        prompted: key → agreement by text prompts, nothing fitted to scores; controls among them.
        probed: key → agreement of ridge regression on the key's features, fitted to scores of other patients.
        pairs: key → how often a film is told from its mirror image (`mirror_pairs`), by text prompts.
        chosen: method → learning rate and feature noise, and the figure on validation phantoms that chose them.
        films, patients: what was measured.
    """

    prompted: Mapping[str, Agreement]
    probed: Mapping[str, Agreement]
    pairs: Mapping[str, tuple[float, float, float]]
    chosen: Mapping[str, Mapping[str, float]]
    films: int
    patients: int


def run_benchmark(
    films: ScoredFilms,
    phantoms: Path,
    out: Path,
    *,
    seeds: Sequence[int],
    methods: Sequence[str] = tuple(METHODS),
    stage: Callable[[str], Progress] = lambda _: no_progress,
) -> Benchmark:
    """Train each method at the setting that validation phantoms prefer, with every seed, and measure all rows.

    Args:
        films: with zone scores.
        phantoms: folder of `make_phantoms`.
        out: for the runs; a run that is there is not trained again.
        seeds: of the projections, batches and noise.
        methods: keys of `METHODS`.
        stage: names a stage and gives its progress call.
    """
    pixels = films.pixels(SIZE, fit="lungs", equalize=True)
    mirrored = np.ascontiguousarray(pixels[:, :, ::-1])
    as_they_come = {seed: _untrained(seed) for seed in seeds}
    tower = as_they_come[seeds[0]]
    # The encoders are frozen: all models share what they make of a film.
    pooled, pooled_mirrored = (_pooled(tower, tower.model.vision_model, p) for p in (pixels, mirrored))
    prompted = {"reader": _measured([films.junior], films)}
    probed = _controls(tower, films, pixels, pooled)
    pairs = {}

    def measure(key: str, found: Sequence[Floats], mirror: Sequence[Floats]) -> None:
        prompted[key] = _measured(found, films)
        pairs[key] = mirror_pairs(found, mirror, films.senior, films.patients)

    def measure_models(key: str, models: Sequence[EncoderBundle]) -> None:
        embedded = [_embedded(model, pooled) for model in models]
        turned = [_embedded(model, pooled_mirrored) for model in models]
        ends = [[prompted_zones(m, x) for m, x in zip(models, each, strict=True)] for each in (embedded, turned)]
        measure(key, *ends)
        probed[key] = _measured(
            [by_fold(x.astype(np.float64), films.senior, films.patients) for x in embedded], films
        )

    measure("brightness", [zone_brightness(pixels)], [zone_brightness(mirrored)])
    measure_models("untrained", list(as_they_come.values()))
    chosen = {}
    for method in methods:
        progress = stage(LABELS[method])
        chosen[method] = _choose(method, phantoms, out, seeds[0])
        models = []
        for done, seed in enumerate(seeds):
            models.append(_trained(method, chosen[method], phantoms, out, seed))
            progress(done + 1, len(seeds))
        measure_models(method, models)
    return Benchmark(prompted, probed, pairs, chosen, len(films), len(set(films.patients)))


def zone_brightness(pixels: NDArray[np.uint8]) -> Floats:
    """Mean intensity of each sixth of a film [N S S], zones A to F: [N 6]."""
    size = pixels.shape[1]
    edges = [round(size * k / 3) for k in range(4)]
    halves = (pixels[:, :, : size // 2], pixels[:, :, size // 2 :])
    means = [half[:, a:b].mean(axis=(1, 2)) for half in halves for a, b in pairwise(edges)]
    return np.stack(means, axis=1).astype(np.float64)


def _measured(found: Sequence[Floats], films: ScoredFilms) -> Agreement:
    return agreement(found, films.senior, films.patients)


def _embedded(model: EncoderBundle, pooled: Floats) -> NDArray[np.float32]:
    """Unit embeddings of films from what the frozen vision encoder makes of them."""
    with torch.inference_mode():
        projected = model.model.visual_projection(torch.from_numpy(pooled.astype(np.float32))).numpy()
    return np.asarray(projected / np.linalg.norm(projected, axis=1, keepdims=True))


def _controls(
    bundle: EncoderBundle, films: ScoredFilms, pixels: NDArray[np.uint8], pooled: Floats
) -> dict[str, Agreement]:
    """Probes of what no method was trained for."""
    side = pixels.shape[1] // 32
    grid = pixels.reshape(len(pixels), 32, side, 32, side).mean(axis=(2, 4)).reshape(len(pixels), -1)
    whole = build_dual_encoder(model_config(_config({"model": {"pooling": "native"}})), seed=0)
    inputs = {"pixels": grid.astype(np.float64), "random": _pooled(bundle, _random_tower(), pixels)}
    inputs |= {"pooled": pooled, "averaged": _pooled(whole, whole.model.vision_model, pixels)}
    return {
        key: _measured([by_fold(features, films.senior, films.patients)], films) for key, features in inputs.items()
    }


def _pooled(bundle: EncoderBundle, tower: Any, pixels: NDArray[np.uint8]) -> Floats:
    tower.train(False)
    parts = []
    for start in range(0, len(pixels), 32):
        with torch.inference_mode():
            values = to_pixel_values(torch.from_numpy(pixels[start : start + 32]), bundle.image_processor)
            parts.append(tower(values).pooler_output.numpy())
    return np.concatenate(parts).astype(np.float64)


def _random_tower() -> EfficientNetModel:
    """The packaged architecture with random weights; transformers' own leave batch norms near 0: nothing passes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = EfficientNetModel(
            EfficientNetConfig(
                width_coefficient=1.0, depth_coefficient=1.0, hidden_act="relu6", hidden_dim=1280, image_size=SIZE
            )
        )
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.ones_(module.weight)
            elif isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
    return zone_pooled(model)


def _config(changes: Mapping[str, Any]) -> Any:
    needed = {"recipe": RECIPE, "data": {"studies": "none"}, "out": "none"}
    return build_config(merge(needed, changes))


def _untrained(seed: int) -> EncoderBundle:
    return build_dual_encoder(model_config(_config({})), seed=seed)


def _trained(method: str, setting: Mapping[str, float], phantoms: Path, out: Path, seed: int) -> EncoderBundle:
    rate, noise = setting["rate"], setting["noise"]
    folder = out / f"{method}-rate{rate:g}-noise{noise:g}-seed{seed}"
    if not (folder / "model" / "config.json").exists():
        changes = {
            "objective": dict(METHODS[method]),
            "optimizer": {"learning_rate": rate},
            "augment": {"features": noise},
        }
        make_model(folder, phantoms, seed=seed, changes=changes)
    return load_checkpoint(folder / "model")


def _choose(method: str, phantoms: Path, out: Path, seed: int) -> dict[str, float]:
    """The setting whose prompts agree best with what OBER reads of zones in validation phantoms' reports."""
    best: dict[str, float] = {}
    for rate in RATES:
        for noise in NOISES:
            setting = {"rate": rate, "noise": noise}
            model = _trained(method, setting, phantoms, out, seed)
            figure = _on_validation(model, phantoms)
            if not best or figure > best["validation"]:
                best = setting | {"validation": figure}
    return best


def _on_validation(model: EncoderBundle, phantoms: Path) -> float:
    studies = [s for s in read_studies(phantoms / "studies.parquet") if s.split == "val"]
    ids = [s.study_id for s in studies]
    cache = ImageCache.build(
        studies,
        root=phantoms,
        size=SIZE,
        path=phantoms / "cache-val",
        fit="lungs",
        equalize=True,
        workers=1,
    ).cache
    features = pooled_images(model, cache, cache.rows(ids))
    encoded = read_encoded(phantoms / "annotations.parquet").encoded
    table = concept_table(encoded)
    names = [concept.name for concept in table.concepts]
    columns = [names.index(f"{side} {row} zone") for side, row in ZONES]
    truth = table.target[encoded.inverse[encoded.index_of(ids)]][:, columns].astype(np.float64)
    return zone(prompted_zones(model, _embedded(model, features.astype(np.float64))), truth)
