"""Building an image cache: parallel decoding, a journal to resume from, changed sources decoded anew."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from medtrim.data.cache_index import (
    PIXELS_NAME,
    SCHEMA,
    CacheEntry,
    CacheFormat,
    append_journal,
    drop_journal,
    entries_of,
    read_index,
    read_journal,
    write_index,
)
from medtrim.data.images import FITS, Fit, decode_square, read_source, strict_decoding
from medtrim.errors import ConfigError, ImageError
from medtrim.types import Reject, Study
from medtrim.types.outputs import check_output_folder, sole_writer, writing
from medtrim.types.processes import Engine
from medtrim.types.ray_map import ray_map
from medtrim.types.tables import Progress, check_unique, no_progress

_BLOCK = 256
# Images that a Ray actor looks at in one call.
_RAY_BLOCK = 64
_ENTRY = pa.struct(list(SCHEMA))
_JOBS = pa.schema([("study_id", pa.string()), ("position", pa.int32()), ("source", pa.string()), ("known", _ENTRY)])
_OUTCOMES = pa.schema(
    [("study_id", pa.string()), ("reason", pa.string()), ("entry", _ENTRY), ("pixels", pa.binary())]
)


@dataclass(frozen=True, slots=True)
class CacheUpdate:
    """What bringing a cache up to date came to.

    Attributes:
        rejects: one for every study without a usable image.
        decoded: images decoded in this run.
        reused: images that were there already, unchanged.
        changed: ids of studies that were there and whose source had changed; they are decoded anew.
    """

    rejects: tuple[Reject, ...]
    decoded: int
    reused: int
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """One image to look at: `known` is what the cache holds of it, `row` where it goes if it must be decoded."""

    study_id: str
    position: int
    source: str
    known: CacheEntry | None


_Outcome: TypeAlias = tuple[CacheEntry, np.ndarray | None] | ImageError
"""The entry of an image, and its pixels where they must be written; or why it cannot be used."""


def update_cache(
    studies: Sequence[Study],
    *,
    root: Path | str,
    size: int,
    path: Path | str,
    fit: Fit = "pad",
    equalize: bool = False,
    every_image: bool = False,
    workers: int | None = None,
    engine: Engine = Engine.process,
    progress: Progress = no_progress,
) -> CacheUpdate:
    """Decode the first image (or `every_image`) of each study into the cache in folder `path`.

    Images that are cached and whose file has the size and time it had are left alone; where only the time
    differs, the file's checksum decides. New studies are appended. Studies of the cache that are not among
    `studies` stay. A killed run goes on from its journal. Decoding runs in threads: Pillow holds no interpreter
    lock while it decodes and resizes.

    Args:
        root: folder that relative image paths start from.
        size: side of the square, pixels.
        workers: threads, or Ray actors; the number of cores when None.
        engine: `Engine.ray` decodes on Ray Data, whose machines must all see `root`; the rows are the same.

    Returns:
        `CacheUpdate`; a study without a usable image is among its rejects and not in the cache.

    Raises:
        ConfigError: size or fit is out of range, the cache was made with another, `path` cannot be written to, or
            another process is building this cache.
        TableError: study ids repeat, or the disk is full.
    """
    if size < 1 or fit not in FITS:
        raise ConfigError(f"image cache: size {size} must be at least 1 and fit {fit!r} one of {', '.join(FITS)}")
    check_unique((s.study_id for s in studies), table="studies")
    folder, made = Path(path), CacheFormat(size, fit, equalize)
    check_output_folder(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with sole_writer(folder), strict_decoding():
        entries, next_row = _known(folder, made)
        jobs, rejects = _jobs(studies, entries, every_image=every_image)
        builder = _Builder(folder, made, next_row)
        look = _with_ray if engine is Engine.ray else _with_threads
        outcomes = look(jobs, Looker(Path(root), made), workers or os.cpu_count() or 1)
        progress(0, len(jobs))
        for start in range(0, len(jobs), _BLOCK):
            block = jobs[start : start + _BLOCK]
            builder.run(block, list(islice(outcomes, len(block))))
            progress(min(start + _BLOCK, len(jobs)), len(jobs))
        entries |= {entry.key: entry for entry in builder.done}
        for gone in builder.gone:
            entries.pop(gone, None)
        write_index(folder, made, entries.values())
        drop_journal(folder)
    return CacheUpdate(
        tuple(rejects + builder.rejects),
        decoded=builder.decoded,
        reused=len(builder.done) - builder.decoded,
        changed=tuple(builder.changed),
    )


class _Builder:
    """The state of one build: where the next image goes, and what became of each so far."""

    def __init__(self, folder: Path, made: CacheFormat, next_row: int) -> None:
        self.folder, self.made, self.next_row = folder, made, next_row
        self.done: list[CacheEntry] = []
        self.rejects: list[Reject] = []
        self.changed: list[str] = []
        self.gone: list[tuple[str, int]] = []
        self.decoded = 0

    def run(self, jobs: Sequence[_Job], outcomes: Sequence[_Outcome]) -> None:
        """Write the pixels of a block's new images, then note them in the journal."""
        fresh: list[CacheEntry] = []
        images: list[np.ndarray] = []
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, ImageError):
                self.rejects.append(Reject(job.study_id, Path(job.source).name, outcome.reason))
                if job.known is not None:
                    self.gone.append(job.known.key)
                continue
            entry, pixels = outcome
            if pixels is not None:
                entry = replace(entry, row=self.next_row + len(images))
                images.append(pixels)
                fresh.append(entry)
                if job.known is not None:
                    self.changed.append(job.study_id)
            self.done.append(entry)
        if images:
            with writing(self.folder):
                with (self.folder / PIXELS_NAME).open("r+b") as file:
                    file.seek(self.next_row * self.made.size**2)
                    file.write(np.stack(images).tobytes())
                    file.flush()
                    os.fsync(file.fileno())
                append_journal(self.folder, fresh)
        self.next_row += len(images)
        self.decoded += len(images)


@dataclass(frozen=True, slots=True)
class Looker:
    """Looks at one image after the other, below a folder, for a cache of one format."""

    root: Path
    made: CacheFormat

    def __call__(self, job: _Job) -> _Outcome:
        """The entry of an image, and its pixels where they must be written."""
        file = self.root / job.source
        try:
            stat = file.stat()
            same = job.known is not None and job.known.source_bytes == stat.st_size
            if job.known and same and job.known.source_mtime_ns == stat.st_mtime_ns:
                return replace(job.known, source=job.source), None
            content = read_source(file, study_id=job.study_id)
            crc = zlib.crc32(content)
            if job.known and same and job.known.source_crc32 == crc:
                return replace(job.known, source=job.source, source_mtime_ns=stat.st_mtime_ns), None
            pixels = decode_square(
                content,
                self.made.size,
                fit=self.made.fit,  # type: ignore[arg-type]
                equalize=self.made.equalize,
                study_id=job.study_id,
            )
        except FileNotFoundError:
            return ImageError(job.study_id, "image file is missing")
        except OSError as error:
            return ImageError(job.study_id, f"image file cannot be read ({error.strerror})")
        except ImageError as error:
            return error
        entry = CacheEntry(
            job.study_id,
            job.position,
            -1,
            job.source,
            len(content),
            stat.st_mtime_ns,
            crc,
            zlib.crc32(pixels.tobytes()),
        )
        return entry, pixels


def _with_threads(jobs: Sequence[_Job], look: Looker, workers: int) -> Iterator[_Outcome]:
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for start in range(0, len(jobs), _BLOCK):
            yield from pool.map(look, jobs[start : start + _BLOCK])


def _with_ray(jobs: Sequence[_Job], look: Looker, workers: int) -> Iterator[_Outcome]:
    blocks = (jobs[start : start + _RAY_BLOCK] for start in range(0, len(jobs), _RAY_BLOCK))
    for table in ray_map(map(_to_table, blocks), _RayLooker, look, workers=workers):
        for row in table.to_pylist():
            if row["reason"] is not None:
                yield ImageError(row["study_id"], row["reason"])
                continue
            pixels = row["pixels"]
            square = None if pixels is None else np.frombuffer(pixels, np.uint8).reshape(look.made.size, -1)
            yield CacheEntry(**row["entry"]), square


class _RayLooker:
    """`Looker` on tables of jobs, in a Ray actor."""

    def __init__(self, look: Looker) -> None:
        self._look = look

    def __call__(self, table: pa.Table) -> pa.Table:
        rows = []
        with strict_decoding():
            for job in table.to_pylist():
                known = job.pop("known")
                outcome = self._look(_Job(**job, known=None if known is None else CacheEntry(**known)))
                if isinstance(outcome, ImageError):
                    rows.append({"study_id": job["study_id"], "reason": outcome.reason})
                else:
                    entry, pixels = outcome
                    content = None if pixels is None else pixels.tobytes()
                    rows.append({"study_id": job["study_id"], "entry": asdict(entry), "pixels": content})
        return pa.Table.from_pylist(rows, schema=_OUTCOMES)


def _to_table(jobs: Sequence[_Job]) -> pa.Table:
    return pa.Table.from_pylist([asdict(job) for job in jobs], schema=_JOBS)


def _jobs(
    studies: Sequence[Study], entries: dict[tuple[str, int], CacheEntry], *, every_image: bool
) -> tuple[list[_Job], list[Reject]]:
    jobs, rejects = [], []
    for study in studies:
        if not study.images:
            rejects.append(Reject(study.study_id, "", "study has no image"))
        for position, source in enumerate(study.images if every_image else study.images[:1]):
            known = entries.get((study.study_id, position))
            jobs.append(_Job(study.study_id, position, source, known))
    return jobs, rejects


def _known(folder: Path, made: CacheFormat) -> tuple[dict[tuple[str, int], CacheEntry], int]:
    """Entries of the index and of a killed run's journal by key, and the first row that was never written.

    A row that no entry names any more is not used again: a reader with an older index may still look at it.
    """
    found = read_index(folder)
    if found is not None and found[0] != made:
        raise ConfigError(
            f"the image cache in {folder} has {_told(found[0])}, not {_told(made)}: use another folder"
        )
    pixels = folder / PIXELS_NAME
    pixels.touch()
    complete = pixels.stat().st_size // made.size**2
    indexed = entries_of(found[1]) if found else ()
    entries = {e.key: e for e in [*indexed, *read_journal(folder)] if e.row < complete}
    return entries, complete


def _told(made: CacheFormat) -> str:
    return f"size {made.size} and fit {made.fit!r}" + (", equalised" if made.equalize else "")
