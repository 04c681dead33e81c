"""Training, loading and embedding with plain arguments and paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medtrim.data import ImageCache, read_corpus
from medtrim.entities import split_sections
from medtrim.errors import ConfigError
from medtrim.evaluation import Embeddings
from medtrim.evaluation import embed_studies as embed
from medtrim.models import EncoderBundle, load_checkpoint
from medtrim.training import TrainResult, build_config, parse_overrides
from medtrim.training import train as run
from medtrim.types import Study
from medtrim.types.tables import Progress, no_progress

Paths = Path | str


def train(
    studies: Paths,
    out: Paths,
    *,
    annotations: Paths | None = None,
    triplets: Paths | None = None,
    recipe: str = "tiny-cpu",
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    progress: Progress = no_progress,
) -> TrainResult:
    """Train a dual encoder on studies and write it to `out/model`, a plain transformers folder.

    Args:
        studies: a studies table, or another table of images and reports; docs/data.md lists the columns.
        out: folder of the run: metrics, checkpoints, model.
        annotations: the annotations table (Parquet) that the objective compares studies by.
        triplets: a triplets table (Parquet), for recipes that train on mined ones.
        recipe: `tiny-cpu` (small encoders from random weights), `single-gpu` or `paper`.
        settings: what differs from the recipe, dotted: `{"batch.size": 32, "steps": 400}`; docs/training.md lists
            every key.
        resume: go on from the newest whole checkpoint in `out`.
        progress: called with (steps done, steps).

    Returns:
        `result.checkpoint`, the folder for `medtrim.load_model`, with steps, speed and what was left out.

    Raises:
        ConfigError: an unknown recipe or key, or settings that do not fit the data.
        TableError: a table is unreadable, or a study has no annotation.
        TrainingError: a patient has studies in two splits, or `out` holds another run.

    Examples:
        >>> import medtrim
        >>> small = {"batch.size": 8, "steps": 2, "batch.normals": 1.0, "model.image_size": 32}
        >>> result = medtrim.train("studies.parquet", "run", annotations="annotations.parquet", settings=small)
        >>> result.steps, result.checkpoint.name
        (2, 'model')
    """
    data = {"studies": studies, "annotations": annotations, "triplets": triplets}
    given = {"recipe": recipe, "out": str(out), "data": {k: str(v) for k, v in data.items() if v is not None}}
    return run(
        build_config(given, parse_overrides(dict(settings or {})), source="train"), resume=resume, progress=progress
    )


def load_model(source: Paths, *, device: str = "cpu") -> EncoderBundle:
    """A trained dual encoder with its tokenizer and image processor, in eval mode.

    Args:
        source: folder of a checkpoint, or OWNER/NAME of the hub where no folder OWNER exists.
        device: where its weights go.

    Raises:
        ModelError: there is no checkpoint there, or it is no dual encoder.

    Examples:
        >>> import medtrim
        >>> model = medtrim.load_model("model")
        >>> model.image_size, model.model.training
        (32, False)
    """
    bundle = load_checkpoint(source)
    bundle.model.to(device)  # type: ignore[arg-type]
    return bundle


def embed_studies(
    model: EncoderBundle | Paths,
    studies: Paths | Sequence[Study],
    *,
    image_root: Paths | None = None,
    cache: ImageCache | Paths | None = None,
    batch_size: int = 64,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> Embeddings:
    """Unit vectors of the first image and of the report of each study.

    Args:
        model: from `medtrim.load_model`, or its folder.
        studies: a studies table or another corpus that `medtrim data import` reads, or records.
        image_root: folder that relative image paths start from; that of the table by default.
        cache: an image cache (`medtrim data cache`) in place of the files.
        batch_size: studies encoded at once.
        device: where a model that is loaded here goes.
        progress: called with (studies done, studies).

    Returns:
        `study_ids`, `image` and `text` ([studies, dimension]), and `rejects`, the studies without a usable image.

    Raises:
        ConfigError: records without `image_root` or `cache`.
        ModelError, TableError: the model or the table cannot be read.

    Examples:
        >>> import medtrim
        >>> found = medtrim.embed_studies("model", "studies.parquet")
        >>> found.image.shape == found.text.shape == (len(found.study_ids), 8)
        True
    """
    bundle = model if isinstance(model, EncoderBundle) else load_model(model, device=device)
    if isinstance(studies, Path | str):
        path = Path(studies)
        records: Sequence[Study] = read_corpus(path, split_sections=split_sections, patients="optional").studies
        image_root = image_root or (path if path.is_dir() else path.parent)
    else:
        records = studies
    if image_root is None and cache is None:
        raise ConfigError("records of studies need image_root, the folder of their images, or a cache")
    stored = ImageCache(cache) if isinstance(cache, Path | str) else cache
    return embed(bundle, records, stored, root=image_root, batch_size=batch_size, progress=progress)
