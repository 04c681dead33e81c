"""Embeddings of studies: images and reports through a dual encoder, in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from medtrim.data.cache import ImageCache
from medtrim.data.images import load_square
from medtrim.entities import texts_to_read
from medtrim.errors import ConfigError, EmbeddingsError, ImageError, RecordError
from medtrim.models import EncoderBundle, encode_images, encode_texts, to_pixel_values
from medtrim.types import Provenance, Reject, Study, schemas
from medtrim.types.processes import Engine
from medtrim.types.ray_map import ray_cluster, ray_map
from medtrim.types.study_table import StudyTable
from medtrim.types.tables import (
    Progress,
    check_columns,
    check_unique,
    no_progress,
    read_table,
    shown_ids,
    studies_to_table,
    write_table,
)

Vectors = Float32[np.ndarray, "studies dimension"]


@dataclass(frozen=True, repr=False)
class Embeddings:
    """Vectors of N studies, [N dimension]: row i of `image` and of `text` belong to `study_ids[i]`.

    `rejects` are studies that were asked for and have no usable image.

    Raises:
        EmbeddingsError: an id repeats, rows and ids differ in number, the two sides in width, or a number is not
            finite.
    """

    study_ids: tuple[str, ...]
    # Shapes are checked below, with the studies' ids in the message.
    image: NDArray[np.float32]
    text: NDArray[np.float32]
    rejects: tuple[Reject, ...] = ()

    def __post_init__(self) -> None:
        """Raises EmbeddingsError where the parts do not fit together."""
        for side, vectors in (("image", self.image), ("text", self.text)):
            check_vectors(vectors, self.study_ids, side=side)
        if self.image.shape[1] != self.text.shape[1]:
            raise EmbeddingsError(
                f"image embeddings have {self.image.shape[1]} numbers, text embeddings {self.text.shape[1]}: "
                "retrieval compares them, so both must lie in one space"
            )

    def __len__(self) -> int:
        return len(self.study_ids)

    def __repr__(self) -> str:
        return f"<Embeddings of {len(self)} studies, {self.image.shape[1]} numbers a side>"

    def select(self, study_ids: Sequence[str]) -> Embeddings:
        """The embeddings of `study_ids`, in their order.

        Raises:
            EmbeddingsError: one is not embedded.
        """
        if tuple(study_ids) == self.study_ids:
            return self
        row = {study_id: i for i, study_id in enumerate(self.study_ids)}
        missing = [s for s in study_ids if s not in row]
        if missing:
            raise EmbeddingsError(f"embeddings: {len(missing)} studies are not in them: {shown_ids(missing)}")
        rows = [row[s] for s in study_ids]
        return Embeddings(tuple(study_ids), self.image[rows], self.text[rows])


def embed_studies(
    bundle: EncoderBundle,
    studies: Sequence[Study],
    cache: ImageCache | None = None,
    *,
    root: Path | str | None = None,
    batch_size: int = 64,
    engine: Engine = Engine.process,
    workers: int = 1,
    progress: Progress = no_progress,
) -> Embeddings:
    """Embed the first image and the report of each study, on the device and in the precision of the model.

    Args:
        cache: image cache that holds the studies; without one the files are read.
        root: folder that relative image paths start from; needed without a cache.
        engine: `Engine.ray` embeds on Ray Data, whose machines must all see the images, in the same batches.
        workers: Ray actors; a model on a GPU takes one for each.
        progress: counts studies.

    Returns:
        Unit vectors in the order of `studies`, those without a usable image left out and among the rejects.

    Raises:
        ConfigError: neither cache nor root. TableError: study ids repeat. RecordError: a vector is not finite.
    """
    if cache is None and root is None:
        raise ConfigError("embedding needs an image cache or the folder of the images")
    check_unique((s.study_id for s in studies), table="studies")
    if engine is Engine.ray:
        with ray_cluster(workers):
            return _embed(RayEmbedder(bundle, cache, root, workers), studies, batch_size, progress)
    return _embed(Embedder(bundle, cache, root), studies, batch_size, progress)


@dataclass(frozen=True)
class EmbeddedImages:
    """The studies of a batch with a usable image and their vectors, and the rejects."""

    study_ids: list[str]
    vectors: Vectors
    rejects: list[Reject]


@dataclass(frozen=True)
class Embedder:
    """Embeds batch after batch in this process."""

    bundle: EncoderBundle
    cache: ImageCache | None
    root: Path | str | None

    def images(self, batches: Iterable[Sequence[Study]]) -> Iterator[EmbeddedImages]:
        """The first image of each study, batch by batch."""
        for batch in batches:
            found = (
                _cached(self.cache, batch)
                if self.cache is not None
                else _loaded(batch, Path(self.root or "."), self.bundle)
            )
            vectors = embed_images(self.bundle, found.pixels, batch_size=max(1, len(batch)))
            yield EmbeddedImages([s.study_id for s in found.studies], vectors, found.rejects)

    def texts(self, batches: Iterable[Sequence[str]]) -> Iterator[Vectors]:
        """Texts, batch by batch."""
        for batch in batches:
            with _inference(self.bundle):
                vectors = _encode_batch(self.bundle, batch)
            yield vectors


class RayEmbedder:
    """`Embedder` on Ray Data; a model on a GPU takes one for each actor."""

    def __init__(
        self, bundle: EncoderBundle, cache: ImageCache | None, root: Path | str | None, workers: int
    ) -> None:
        self.bundle, self.workers = bundle, workers
        self._cache = None if cache is None else cache.path.absolute()
        self._root = None if root is None else Path(root).absolute()
        self._dimension = int(bundle.model.config.projection_dim)
        self._gpus = int(bundle.model.device.type == "cuda")

    def images(self, batches: Iterable[Sequence[Study]]) -> Iterator[EmbeddedImages]:
        """The first image of each study, batch by batch."""
        plain = (studies_to_table([Study(s.study_id, "", s.images[:1]) for s in batch]) for batch in batches)
        for table in ray_map(
            plain, _Images, self.bundle, self._cache, self._root, workers=self.workers, gpus=self._gpus
        ):
            ids, files, reasons = (table[name].to_pylist() for name in ("study_id", "source", "reason"))
            found = [study_id for study_id, reason in zip(ids, reasons, strict=True) if reason is None]
            rejects = [Reject(*row) for row in zip(ids, files, reasons, strict=True) if row[2] is not None]
            yield EmbeddedImages(found, self._vectors(table, len(found)), rejects)

    def texts(self, batches: Iterable[Sequence[str]]) -> Iterator[Vectors]:
        """Texts, batch by batch."""
        plain = (pa.table({"text": pa.array(batch, pa.string())}) for batch in batches)
        for table in ray_map(plain, _Texts, self.bundle, workers=self.workers, gpus=self._gpus):
            yield self._vectors(table, len(table))

    def _vectors(self, table: pa.Table, count: int) -> Vectors:
        flat = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat.reshape(count, self._dimension))


class _Images:
    def __init__(self, bundle: EncoderBundle, cache: Path | None, root: Path | None) -> None:
        self._embedder = Embedder(bundle, None if cache is None else ImageCache(cache), root)

    def __call__(self, table: pa.Table) -> pa.Table:
        (found,) = self._embedder.images([list(StudyTable(table))])
        rows: list[tuple[str, str, str | None, list[float] | None]]
        rows = [(study_id, "", None, list(v)) for study_id, v in zip(found.study_ids, found.vectors, strict=True)]
        rows += [(r.study_id, r.source, r.reason, None) for r in found.rejects]
        columns = zip(*rows, strict=True)
        kinds = (pa.string(), pa.string(), pa.string(), pa.list_(pa.float32()))
        arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
        return pa.table(arrays, names=["study_id", "source", "reason", "vector"])


class _Texts:
    def __init__(self, bundle: EncoderBundle) -> None:
        self._embedder = Embedder(bundle, None, None)

    def __call__(self, table: pa.Table) -> pa.Table:
        (vectors,) = self._embedder.texts([table["text"].to_pylist()])
        return pa.table({"vector": pa.array(list(vectors), pa.list_(pa.float32()))})


def _embed(
    embedder: Embedder | RayEmbedder, studies: Sequence[Study], batch_size: int, progress: Progress
) -> Embeddings:
    kept: list[str] = []
    rejects: list[Reject] = []
    dimension = int(embedder.bundle.model.config.projection_dim)
    vectors = np.empty((len(studies), dimension), np.float32)
    starts = range(0, len(studies), batch_size)
    batches = (list(studies[start : start + batch_size]) for start in starts)
    for start, found in zip(starts, embedder.images(batches), strict=True):
        vectors[len(kept) : len(kept) + len(found.study_ids)] = found.vectors
        kept += found.study_ids
        rejects += found.rejects
        progress(min(start + batch_size, len(studies)), len(studies))
    image = vectors[: len(kept)]
    usable = set(kept)
    text = _distinct(embedder, [s.report for s in studies if s.study_id in usable], dimension, batch_size)
    for side in (image, text):
        bad = np.flatnonzero(~np.isfinite(side).all(axis=1))
        if len(bad):
            raise RecordError(kept[int(bad[0])], "the model gives it a vector that is not finite")
    return Embeddings(tuple(kept), image, text, tuple(rejects))


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
    return _distinct(Embedder(bundle, None, None), texts, int(bundle.model.config.projection_dim), batch_size)


def _distinct(embedder: Embedder | RayEmbedder, texts: Sequence[str], dimension: int, batch_size: int) -> Vectors:
    texts = texts_to_read(texts, embedder.bundle.reads)
    distinct = sorted(set(texts), key=lambda t: (len(t), t))
    row = {text: i for i, text in enumerate(distinct)}
    code = np.array([row[text] for text in texts], np.int64)
    order = np.argsort(code, kind="stable")
    starts = range(0, len(distinct), batch_size)
    batches = (distinct[start : start + batch_size] for start in starts)
    vectors = np.empty((len(texts), dimension), np.float32)
    for start, found in zip(starts, embedder.texts(batches), strict=True):
        first, last = np.searchsorted(code, (start, start + len(found)), sorter=order)
        vectors[order[first:last]] = found[code[order[first:last]] - start]
    return vectors


def _encode_batch(bundle: EncoderBundle, texts: Sequence[str]) -> Vectors:
    tokens = bundle.tokenizer(
        list(texts), truncation=True, max_length=bundle.max_tokens, padding=True, return_tensors="pt"
    ).to(bundle.model.device)
    found = encode_texts(bundle.model, tokens["input_ids"], tokens["attention_mask"])
    return np.asarray(found.embedding.cpu().numpy())


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
    """The studies of an embeddings table in the order of the image rows.

    The table has columns `study_id`, `modality` (`image` or `text`) and `vector` (a list of numbers, fixed in size
    or not); the rows may be in any order.

    Raises:
        EmbeddingsError: a study lacks one of the modalities, or as `read_vectors` and `Embeddings`.
    """
    image_ids, image = read_vectors(path, "image")
    text_ids, text = read_vectors(path, "text")
    rows = rows_of(text_ids, image_ids, have="text embeddings", want="image embeddings")
    return Embeddings(image_ids, image, text[rows])


def read_vectors(path: Path | str, modality: str) -> tuple[tuple[str, ...], Vectors]:
    """Ids and vectors of one modality of an embeddings table; of all rows where it has no `modality` column.

    Raises:
        TableError: the file is missing, is no Parquet, or lacks a column.
        EmbeddingsError: no such rows, an id is missing or repeats, or vectors differ in width or are not finite.
    """
    table = read_table(path, pa.schema([("study_id", pa.string())]), table="embeddings")
    check_columns(table.column_names, ["study_id", "vector"], table="embeddings")
    if "modality" in table.column_names:
        found = sorted(set(table["modality"].cast(pa.string()).to_pylist()), key=str)
        table = table.filter(pc.equal(table["modality"].cast(pa.string()), modality))
        if not len(table):
            raise EmbeddingsError(f"embeddings: {path} has no row of modality {modality!r}; found: {found}")
    column = table["vector"].combine_chunks()
    if not (pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)):
        raise EmbeddingsError(f"embeddings: column 'vector' holds {column.type}; allowed: lists of numbers")
    widths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(widths) > 1 or None in widths:
        raise EmbeddingsError(
            f"embeddings: {modality} vectors have {sorted(widths, key=str)} numbers; all must have as many"
        )
    ids = tuple(table["study_id"].to_pylist())
    try:
        flat = column.flatten().cast(pa.float32()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise EmbeddingsError(f"embeddings: column 'vector' holds {column.type}; allowed: numbers") from error
    vectors = flat.reshape(len(ids), widths[0] if widths else 0)
    check_vectors(vectors, ids, side=modality)
    return ids, vectors


def check_vectors(vectors: Any, study_ids: Sequence[Any], *, side: str) -> None:
    """Raise an EmbeddingsError unless `vectors` is [studies, dimension] and finite, with a distinct id a row."""
    if vectors.ndim != 2 or len(vectors) != len(study_ids):
        raise EmbeddingsError(
            f"{side} embeddings are {list(vectors.shape)} for {len(study_ids)} study ids; allowed: one row an id, "
            "[studies, dimension]"
        )
    odd = [s for s in study_ids if not isinstance(s, str) or not s]
    if odd:
        raise EmbeddingsError(f"{side} embeddings: study ids are texts that are not empty; received {odd[0]!r}")
    repeated = [s for s, count in Counter(study_ids).items() if count > 1]
    if repeated:
        raise EmbeddingsError(f"{side} embeddings: {len(repeated)} study ids occur twice: {shown_ids(repeated)}")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        named = shown_ids([study_ids[int(i)] for i in bad])
        raise EmbeddingsError(f"{side} embeddings of {len(bad)} studies hold numbers that are not finite: {named}")


def rows_of(ids: Sequence[str], wanted: Sequence[str], *, have: str, want: str) -> list[int]:
    """The place in `ids` of each of `wanted`; both hold the same studies, in any order.

    Raises:
        EmbeddingsError: a study is in one of them only; `have` and `want` say what they are.
    """
    row = {study_id: i for i, study_id in enumerate(ids)}
    lacking = [s for s in wanted if s not in row]
    spare = sorted(set(row) - set(wanted))
    if lacking or spare:
        parts = [f"{len(lacking)} are in the {want} only: {shown_ids(lacking)}"] if lacking else []
        parts += [f"{len(spare)} are in the {have} only: {shown_ids(spare)}"] if spare else []
        raise EmbeddingsError(f"{want} and {have} are not of the same studies; {'; '.join(parts)}")
    return [row[s] for s in wanted]


@dataclass(frozen=True)
class _Batch:
    studies: list[Study]
    pixels: UInt8[np.ndarray, "studies side side"]
    rejects: list[Reject]


def _cached(cache: ImageCache, batch: Sequence[Study]) -> _Batch:
    kept = [s for s in batch if s.study_id in cache]
    rejects = [Reject(s.study_id, "", "study is not in the image cache") for s in batch if s.study_id not in cache]
    return _Batch(kept, cache[cache.rows(s.study_id for s in kept)], rejects)


def _loaded(batch: Sequence[Study], root: Path, bundle: EncoderBundle) -> _Batch:
    size = bundle.image_size
    kept, pixels, rejects = [], [], []
    for study in batch:
        try:
            if not study.images:
                raise ImageError(study.study_id, "study has no image")
            pixels.append(_square(root / study.images[0], bundle, study.study_id))
            kept.append(study)
        except ImageError as error:
            rejects.append(Reject(study.study_id, Path(study.images[0]).name if study.images else "", error.reason))
    return _Batch(kept, np.stack(pixels) if pixels else np.zeros((0, size, size), np.uint8), rejects)


def _square(path: Path, bundle: EncoderBundle, study_id: str) -> UInt8[np.ndarray, "side side"]:
    return load_square(path, bundle.image_size, fit=bundle.fit, equalize=bundle.equalize, study_id=study_id)


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
