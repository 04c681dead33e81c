"""Building an index: every study's image and report embedded, with its findings and a thumbnail."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from medtrim.data import fit_square, load_image
from medtrim.errors import ConfigError, ImageError, TableError
from medtrim.evaluation.agreement import disease_states
from medtrim.models import load_checkpoint
from medtrim.search.encoder import QueryEncoder
from medtrim.search.filters import facets
from medtrim.search.store import FACTS_NAME, FORMAT, MODEL_NAME, TABLE_NAME, index_schema
from medtrim.types import Annotation, Reject, Study, medtrim_version
from medtrim.types.tables import Progress, annotations_to_table, check_unique, no_progress

BATCH = 64


@dataclass(frozen=True, slots=True)
class IndexBuild:
    """What became of the studies: how many are in the index, and a reject for each that is not."""

    folder: Path
    studies: int
    rejects: tuple[Reject, ...]


def build_index(
    checkpoint: Path | str,
    studies: Sequence[Study],
    annotations: Sequence[Annotation],
    out: Path | str,
    *,
    root: Path | str,
    thumbnail: int = 256,
    copy_model: bool = True,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> IndexBuild:
    """Embed `studies` with `checkpoint` and write a searchable index to the folder `out`.

    The folder appears whole or not at all; an index that is already there is replaced. A study without a readable
    image is rejected. Reports and thumbnails go into the index, so it must be guarded as the studies are.

    Args:
        annotations: one for each study, in any order.
        root: folder that relative image paths start from.
        thumbnail: side of the stored picture in pixels; 0 stores none.
        copy_model: put a copy of the checkpoint into the index, so that it needs nothing else; otherwise the
            checkpoint must stay where it is.

    Raises:
        TableError: a study has no annotation, an id repeats, or `out` holds something that is no index.
        ModelError: the checkpoint cannot be loaded.
    """
    if thumbnail < 0:
        raise ConfigError(f"thumbnail must be 0 or a side in pixels, not {thumbnail}")
    out, checkpoint = Path(out), Path(checkpoint)
    if out.exists() and any(out.iterdir()) and not (out / FACTS_NAME).exists():
        raise TableError(f"{out} is not empty and holds no index; choose another folder")
    by_id = _annotations_of(studies, annotations)
    encoder = QueryEncoder(load_checkpoint(checkpoint), device=device)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
    try:
        writer = _Writer(encoder, by_id, root=Path(root), thumbnail=thumbnail)
        batches = writer.batches(studies, progress)
        first = next(batches, None)
        if first is None:
            raise TableError(f"none of the {len(studies)} studies has a readable image: nothing to index")
        lancedb.connect(part).create_table(
            TABLE_NAME, data=_chain(first, batches), schema=index_schema(encoder.dimension)
        )
        if copy_model:
            shutil.copytree(checkpoint, part / MODEL_NAME)
        model = MODEL_NAME if copy_model else str(checkpoint.absolute())
        facts = writer.facts(model=model)
        (part / FACTS_NAME).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        _publish(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return IndexBuild(out, writer.written, tuple(writer.rejects))


class _Writer:
    """Turns studies into record batches and keeps count of what went in and what did not."""

    def __init__(
        self, encoder: QueryEncoder, annotations: dict[str, Annotation], *, root: Path, thumbnail: int
    ) -> None:
        self.encoder, self.annotations, self.root, self.side = encoder, annotations, root, thumbnail
        self.schema = index_schema(encoder.dimension)
        self.written = 0
        self.rejects: list[Reject] = []
        self.diseases: Counter[str] = Counter()

    def batches(self, studies: Sequence[Study], progress: Progress) -> Iterator[pa.RecordBatch]:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for start in range(0, len(studies), BATCH):
                block = studies[start : start + BATCH]
                kept, pictures = [], []
                for study, loaded in zip(block, pool.map(self._load, block), strict=True):
                    if isinstance(loaded, Reject):
                        self.rejects.append(loaded)
                    else:
                        kept.append(study)
                        pictures.append(loaded)
                if kept:
                    yield self._batch(kept, pictures)
                progress(min(start + BATCH, len(studies)), len(studies))

    def facts(self, *, model: str) -> dict[str, Any]:
        ordered = sorted(self.diseases.items(), key=lambda item: (-item[1], item[0]))
        return {
            "format": FORMAT,
            "medtrim": medtrim_version(),
            "model": model,
            "dimension": self.encoder.dimension,
            "studies": self.written,
            "thumbnail": self.side,
            "image_root": str(self.root.absolute()),
            "diseases": [name for name, _ in ordered],
        }

    def _load(self, study: Study) -> NDArray[np.uint8] | Reject:
        if not study.images:
            return Reject(study.study_id, "", "study has no image")
        try:
            return load_image(self.root / study.images[0], study_id=study.study_id)
        except ImageError as error:
            return Reject(study.study_id, Path(study.images[0]).name, error.reason)

    def _batch(self, studies: list[Study], pictures: list[NDArray[np.uint8]]) -> pa.RecordBatch:
        annotations = [self.annotations[s.study_id] for s in studies]
        images = self.encoder.images(pictures)
        texts = self.encoder.texts([s.report for s in studies])
        rows = np.arange(self.written, self.written + len(studies))
        self.written += len(studies)
        for annotation in annotations:
            if annotation.read:  # a report that was not read says of no disease whether it is there
                self.diseases.update(state.disease for state in disease_states(annotation.findings))
        shown = [facets(a.findings) if a.read else [] for a in annotations]
        thumbnails = [_jpeg(p, self.side) if self.side else None for p in pictures]
        columns = {
            "row": pa.array(rows),
            "study_id": pa.array([s.study_id for s in studies]),
            "image": _vectors(images),
            "text": _vectors(texts),
            "findings": annotations_to_table(annotations)["findings"].combine_chunks(),
            "facets": pa.array(shown, type=pa.list_(pa.string())),
            "report_findings": pa.array([s.findings for s in studies]),
            "report_impression": pa.array([s.impression for s in studies]),
            "split": pa.array([s.split for s in studies]),
            "image_files": pa.array([list(s.images) for s in studies], type=pa.list_(pa.string())),
            "thumbnail": pa.array(thumbnails, type=pa.binary()),
            "has_thumbnail": pa.array([t is not None for t in thumbnails]),
        }
        return pa.RecordBatch.from_arrays([columns[f.name] for f in self.schema], schema=self.schema)


def _annotations_of(studies: Sequence[Study], annotations: Sequence[Annotation]) -> dict[str, Annotation]:
    check_unique((s.study_id for s in studies), table="studies")
    by_id = {a.study_id: a for a in annotations}
    missing = [s.study_id for s in studies if s.study_id not in by_id]
    if missing:
        raise TableError(f"{len(missing)} studies have no annotation, the first is {missing[0]!r}")
    return by_id


def _vectors(vectors: NDArray[np.float32]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


def _jpeg(picture: NDArray[np.uint8], side: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(fit_square(picture, side)).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _chain(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


def _publish(part: Path, out: Path) -> None:
    """Put the finished folder in place; an older index makes way first."""
    umask = os.umask(0)
    os.umask(umask)
    part.chmod(0o777 & ~umask)
    if out.exists():
        shutil.rmtree(out)
    part.replace(out)
