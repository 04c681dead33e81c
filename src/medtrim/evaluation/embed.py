"""Embeddings of studies: images and reports through a dual encoder, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float32, UInt8

from medtrim.data.cache import ImageCache
from medtrim.data.images import load_square
from medtrim.errors import ConfigError, ImageError, RecordError, TableError
from medtrim.models import EncoderBundle, encode_images, encode_texts, to_pixel_values
from medtrim.types import Provenance, Reject, Study, schemas
from medtrim.types.tables import Progress, check_unique, no_progress, read_table, write_table

Vectors = Float32[np.ndarray, "studies dimension"]


@dataclass(frozen=True)
class Embeddings:
    """Unit vectors of N studies: row i of `image` and of `text` belong to `study_ids[i]`.

    `rejects` are studies that were asked for and have no usable image.
    """

    study_ids: tuple[str, ...]
    image: Vectors
    text: Vectors
    rejects: tuple[Reject, ...] = ()

    def __len__(self) -> int:
        return len(self.study_ids)

    def select(self, study_ids: Sequence[str]) -> Embeddings:
        """The embeddings of `study_ids`, in their order.

        Raises:
            TableError: one is not embedded.
        """
        row = {study_id: i for i, study_id in enumerate(self.study_ids)}
        missing = [s for s in study_ids if s not in row]
        if missing:
            raise TableError(f"embeddings: {len(missing)} studies are not in them, the first is {missing[0]!r}")
        rows = [row[s] for s in study_ids]
        return Embeddings(tuple(study_ids), self.image[rows], self.text[rows])


def embed_studies(
    bundle: EncoderBundle,
    studies: Sequence[Study],
    cache: ImageCache | None = None,
    *,
    root: Path | str | None = None,
    batch_size: int = 64,
    progress: Progress = no_progress,
) -> Embeddings:
    """Embed the first image and the report of each study, on the device and in the precision of the model.

    Args:
        cache: image cache that holds the studies; without one the files are read.
        root: folder that relative image paths start from; needed without a cache.
        progress: counts studies.

    Returns:
        Unit vectors in the order of `studies`, those without a usable image left out and among the rejects.

    Raises:
        ConfigError: neither cache nor root. TableError: study ids repeat. RecordError: a vector is not finite.
    """
    if cache is None and root is None:
        raise ConfigError("embedding needs an image cache or the folder of the images")
    check_unique((s.study_id for s in studies), table="studies")
    kept: list[Study] = []
    rejects: list[Reject] = []
    vectors: list[Vectors] = []
    for start in range(0, len(studies), batch_size):
        batch = studies[start : start + batch_size]
        found = _cached(cache, batch) if cache is not None else _loaded(batch, Path(root or "."), bundle.image_size)
        rejects += found.rejects
        if found.studies:
            kept += found.studies
            vectors.append(embed_images(bundle, found.pixels, batch_size=batch_size))
        progress(min(start + batch_size, len(studies)), len(studies))
    dimension = int(bundle.model.config.projection_dim)
    image = np.concatenate(vectors) if vectors else np.zeros((0, dimension), np.float32)
    text = embed_texts(bundle, [s.report for s in kept], batch_size=batch_size)
    for study, *sides in zip(kept, image, text, strict=True):
        if not all(np.isfinite(side).all() for side in sides):
            raise RecordError(study.study_id, "the model gives it a vector that is not finite")
    return Embeddings(tuple(s.study_id for s in kept), image, text, tuple(rejects))


def embed_images(
    bundle: EncoderBundle, pixels: UInt8[np.ndarray, "studies side side"], *, batch_size: int = 64
) -> Vectors:
    """Unit vectors of square grayscale images."""
    parts = [np.zeros((0, int(bundle.model.config.projection_dim)), np.float32)]
    with _inference(bundle):
        for start in range(0, len(pixels), batch_size):
            images = torch.from_numpy(np.array(pixels[start : start + batch_size])).to(bundle.model.device)
            values = to_pixel_values(images, bundle.image_processor).to(bundle.model.dtype)
            parts.append(encode_images(bundle.model, values).embedding.cpu().numpy())
    return np.concatenate(parts)


def embed_texts(bundle: EncoderBundle, texts: Sequence[str], *, batch_size: int = 64) -> Vectors:
    """Unit vectors of reports or prompts, cut at the model's longest input.

    Equal texts are encoded once, so that their vectors are equal to the last bit; batches are of like length.
    """
    vectors = np.zeros((len(texts), int(bundle.model.config.projection_dim)), np.float32)
    distinct = sorted(set(texts), key=lambda t: (len(t), t))
    row = {text: i for i, text in enumerate(distinct)}
    encoded = np.zeros((len(distinct), vectors.shape[1]), np.float32)
    with _inference(bundle):
        for start in range(0, len(distinct), batch_size):
            tokens = bundle.tokenizer(
                distinct[start : start + batch_size],
                truncation=True,
                max_length=bundle.max_tokens,
                padding=True,
                return_tensors="pt",
            ).to(bundle.model.device)
            found = encode_texts(bundle.model, tokens["input_ids"], tokens["attention_mask"])
            encoded[start : start + batch_size] = found.embedding.cpu().numpy()
    if len(texts):
        vectors[:] = encoded[[row[text] for text in texts]]
    return vectors


def write_embeddings(embeddings: Embeddings, path: Path | str, provenance: Provenance) -> None:
    """Write an embeddings table: two rows a study, modality `image` and `text`."""
    dimension = embeddings.image.shape[1]
    flat = np.concatenate([embeddings.image, embeddings.text]).astype(np.float32).reshape(-1)
    table = pa.table(
        [
            pa.array([*embeddings.study_ids, *embeddings.study_ids], pa.string()),
            pa.array(["image"] * len(embeddings) + ["text"] * len(embeddings), pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(flat), dimension),
        ],
        schema=schemas.embeddings(dimension),
    )
    write_table(table, path, provenance)


def read_embeddings(path: Path | str) -> Embeddings:
    """The studies of an embeddings table that have both modalities, in the order of the image rows."""
    core = pa.schema([("study_id", pa.string()), ("modality", pa.string())])
    table = read_table(path, core, table="embeddings")
    if "vector" not in table.column_names or not pa.types.is_fixed_size_list(table["vector"].type):
        raise TableError(f"embeddings: {path} has no fixed-size vector column")
    column = table["vector"].combine_chunks()
    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), column.type.list_size)
    rows: dict[str, dict[str, int]] = {"image": {}, "text": {}}
    for i, (study_id, modality) in enumerate(
        zip(table["study_id"].to_pylist(), table["modality"].to_pylist(), strict=True)
    ):
        rows.setdefault(modality, {})[study_id] = i
    ids = tuple(s for s in rows["image"] if s in rows["text"])
    wide = vectors.astype(np.float32)
    return Embeddings(ids, wide[[rows["image"][s] for s in ids]], wide[[rows["text"][s] for s in ids]])


@dataclass(frozen=True)
class _Batch:
    studies: list[Study]
    pixels: UInt8[np.ndarray, "studies side side"]
    rejects: list[Reject]


def _cached(cache: ImageCache, batch: Sequence[Study]) -> _Batch:
    kept = [s for s in batch if s.study_id in cache]
    rejects = [Reject(s.study_id, "", "study is not in the image cache") for s in batch if s.study_id not in cache]
    return _Batch(kept, cache[cache.rows(s.study_id for s in kept)], rejects)


def _loaded(batch: Sequence[Study], root: Path, size: int) -> _Batch:
    kept, pixels, rejects = [], [], []
    for study in batch:
        try:
            if not study.images:
                raise ImageError(study.study_id, "study has no image")
            pixels.append(load_square(root / study.images[0], size, study_id=study.study_id))
            kept.append(study)
        except ImageError as error:
            rejects.append(Reject(study.study_id, Path(study.images[0]).name if study.images else "", error.reason))
    return _Batch(kept, np.stack(pixels) if pixels else np.zeros((0, size, size), np.uint8), rejects)


@contextmanager
def _inference(bundle: EncoderBundle) -> Iterator[None]:
    """The model in eval mode without gradients, put back as it was."""
    training = bundle.model.training
    bundle.model.train(False)
    try:
        with torch.inference_mode():
            yield
    finally:
        bundle.model.train(training)
