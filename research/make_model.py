"""One model of the benchmark: phantoms drawn, their reports read, a head trained by a packaged recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medtrim.data.phantom import make_corpus
from medtrim.entities import annotate_batches, load_ontology
from medtrim.entities.corpus import batches_of
from medtrim.entities.writing import write_annotations
from medtrim.training import TrainResult, build_config, train
from medtrim.types.settings import merge
from medtrim.types.tables import Progress, no_progress, read_studies

RECIPE = "pretrained-cpu"
SIZE = 224


def make_phantoms(folder: Path, *, studies: int, seed: int, progress: Progress = no_progress) -> None:
    """`folder/studies.parquet`, its images and `annotations.parquet`; what is there already stays."""
    if not (folder / "studies.parquet").exists():
        make_corpus(studies, folder, seed=seed, size=SIZE, progress=progress)
    if not (folder / "annotations.parquet").exists():
        ontology, drawn = load_ontology(), read_studies(folder / "studies.parquet")
        batches = annotate_batches(batches_of(drawn), ontology=ontology)
        write_annotations(batches, folder / "annotations.parquet", ontology, total=len(drawn))


def make_model(
    out: Path,
    corpus: Path,
    *,
    seed: int,
    changes: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
) -> TrainResult:
    """Train the recipe, `changes` laid over it, on the studies of a folder, such as phantoms: `out/model`."""
    data = {
        "studies": str(corpus / "studies.parquet"),
        "annotations": str(corpus / "annotations.parquet"),
        "cache": str(corpus / "cache"),
        "workers": 1,
    }
    own = {"recipe": RECIPE, "data": data, "out": str(out), "seed": seed, "threads": 1}
    return train(build_config(merge(own, changes or {})), cache_progress=progress)
