"""One trained method judged on the test split: what `worker` runs for the pipeline's evaluation stage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from medtrim.data import ImageCache
from medtrim.evaluation import EvaluationOptions, EvaluationResult, evaluate, write_evaluation
from medtrim.evaluation.truth import contradictions_of_table
from medtrim.experiments.embedding_map import make_map
from medtrim.experiments.layout import Layout
from medtrim.experiments.results import EmbeddingMap, MapPoint
from medtrim.experiments.truth import read_truth
from medtrim.models import load_checkpoint
from medtrim.types import Annotation
from medtrim.types.tables import Progress, atomic_path, no_progress, read_annotations, read_studies

FRACTIONS = (0.1, 1.0)
MAP_NAME = "map.json"


def judge(task: Mapping[str, Any], *, progress: Progress = no_progress) -> dict[str, Any]:
    """Evaluate the method's checkpoint and draw its map; write both to the method's evaluation folder.

    `task` has `folder`, `method`, `seed`, `resamples` and `drawn`. Returns facts for the record.

    Raises:
        MedTrimError: whatever a table, the cache, the checkpoint or the evaluation raises.
    """
    layout, method, seed = Layout(Path(task["folder"])), str(task["method"]), int(task["seed"])
    cache = ImageCache(layout.cache)
    studies = [s for s in read_studies(layout.studies) if s.study_id in cache]
    testing = {s.study_id for s in studies if s.split == "test"}
    truth = reference_of(layout, testing, drawn=bool(task["drawn"]))
    options = EvaluationOptions(
        resamples=int(task["resamples"]),
        seed=seed,
        probe_fractions=FRACTIONS,
        contradictions=contradictions_of_table(layout.annotations),
    )
    bundle = load_checkpoint(layout.run(method) / "model")
    bundle.model.to("cuda" if torch.cuda.is_available() else "cpu")  # type: ignore[arg-type]
    result = evaluate(
        bundle,
        studies,
        truth,
        method=method,
        cache=cache,
        options=options,
        progress=progress,
    )
    out = layout.evaluation(method)
    write_evaluation(result, out)
    write_map(_map(result, truth, seed), out / MAP_NAME)
    return {name: result.facts[name] for name in ("studies", "patients", "normal", "labels_left_out")}


def reference_of(layout: Layout, testing: set[str], *, drawn: bool) -> list[Annotation]:
    """What every study is judged by: the truth of the test split, what the recogniser reads for the others.

    Whoever has real data has the recogniser's labels to fit probes and thresholds on; so have phantoms.
    """
    truth = {a.study_id: a for a in read_truth(layout.studies, layout.annotations, drawn=drawn)}
    read = read_annotations(layout.annotations)
    return [truth[a.study_id] if a.study_id in testing else a for a in read]


def write_map(drawn: EmbeddingMap, path: Path) -> None:
    """Keep a map for the report."""
    with atomic_path(path) as part:
        part.write_text(json.dumps(asdict(drawn)), encoding="utf-8")


def read_map(path: Path) -> EmbeddingMap:
    """A map that `write_map` wrote."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    return EmbeddingMap(**{**fields, "points": tuple(MapPoint(**point) for point in fields["points"])})


def _map(result: EvaluationResult, truth: list[Annotation], seed: int) -> EmbeddingMap:
    found, known = result.embeddings, {a.study_id: a for a in truth}
    if found is None:
        return EmbeddingMap(result.method, (), "", float("nan"), float("nan"))
    annotations = [known[study_id] for study_id in found.study_ids]
    return make_map(result.method, found.image, found.text, annotations, seed=seed)
