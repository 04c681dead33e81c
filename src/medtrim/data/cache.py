"""Images decoded once: a memory-mapped uint8 file [rows, size, size] and its index."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medtrim.data.cache_build import update_cache
from medtrim.data.cache_index import PIXELS_NAME, CacheEntry, CacheFormat, entries_of, read_index
from medtrim.data.images import Fit
from medtrim.errors import TableError
from medtrim.types import Reject, Study
from medtrim.types.processes import Engine
from medtrim.types.tables import Progress, no_progress, shown_ids


def default_cache_path(studies: Path | str, size: int) -> Path:
    """Where the cache of a studies table goes: `studies.parquet` → `studies.cache-224/`."""
    return Path(studies).with_suffix(f".cache-{size}")


class ImageCache:
    """A folder with `images.u8` (raw uint8 [rows, size, size]) and `index.parquet`, opened read-only.

    Rows are never rewritten: a changed source gets a new row, so a training run may go on reading while
    another process adds studies.
    """

    def __init__(self, path: Path | str) -> None:
        """Open the cache in folder `path`.

        Raises:
            TableError: there is none, its index is unreadable, or its pixel file is shorter than the index says.
        """
        self.path = Path(path)
        found = read_index(self.path)
        if found is None:
            raise TableError(f"no image cache in {self.path}; make one with: medtrim data cache")
        self.format: CacheFormat
        self.format, self._index = found
        self._pixels = self._map()

    @property
    def size(self) -> int:
        """Side of every image, pixels."""
        return self.format.size

    @property
    def study_ids(self) -> tuple[str, ...]:
        """The cached studies, in the order they were added."""
        return tuple(self._first["study_id"].to_pylist())

    def __len__(self) -> int:
        return len(self._index)

    def entries(self) -> Iterator[CacheEntry]:
        """What is known of each image, in the order they were added."""
        return entries_of(self._index)

    def __contains__(self, study_id: object) -> bool:
        return study_id in self._held

    def holds(self, study_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each study's first image is cached [N]."""
        found = pc.is_in(pa.array(study_ids, pa.string()), self._first["study_id"].combine_chunks())
        return np.asarray(found.to_numpy(zero_copy_only=False))

    def checksums(self) -> dict[int, int]:
        """Row → CRC-32 of its pixels."""
        return dict(zip(self._index["row"].to_pylist(), self._index["pixel_crc32"].to_pylist(), strict=True))

    @cached_property
    def _held(self) -> frozenset[str]:
        return frozenset(self._first["study_id"].to_pylist())

    @cached_property
    def _first(self) -> pa.Table:
        """The entries of first images."""
        return self._of(0)

    def _of(self, position: int) -> pa.Table:
        return self._index.filter(pc.equal(self._index["position"], position))

    def rows(self, study_ids: Iterable[str], *, position: int = 0) -> NDArray[np.int64]:
        """Row of each study's image number `position` [N], to index the cache with.

        Raises:
            TableError: a study is not cached; the message names the first few.
        """
        wanted = pa.array(study_ids, pa.string())
        held = self._of(position) if position else self._first
        places = pc.index_in(wanted, held["study_id"].combine_chunks())
        if places.null_count:
            missing = wanted.filter(pc.is_null(places)).to_pylist()
            raise TableError(
                f"image cache: {len(missing)} of {len(wanted)} studies are not in it: {shown_ids(missing)}"
            )
        return np.asarray(held["row"].combine_chunks().take(places).to_numpy())

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """Pixels of a row [size size], or of an array of rows [N size size] as a copy."""
        return np.asarray(self._pixels[rows])

    def broken(self, *, progress: Progress = no_progress) -> list[str]:
        """Ids of studies whose cached pixels no longer have the checksum they were written with."""
        bad = []
        for done, entry in enumerate(self.entries(), start=1):
            if zlib.crc32(self._pixels[entry.row].tobytes()) != entry.pixel_crc32:
                bad.append(entry.study_id)
            progress(done, len(self))
        return list(dict.fromkeys(bad))

    @classmethod
    def build(
        cls,
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
    ) -> CacheBuild:
        """Make the cache in folder `path`, or bring it up to date; arguments and errors as `update_cache`."""
        update = update_cache(
            studies,
            root=root,
            size=size,
            path=path,
            fit=fit,
            equalize=equalize,
            every_image=every_image,
            workers=workers,
            engine=engine,
            progress=progress,
        )
        return CacheBuild(cls(path), update.rejects, update.decoded, update.reused, update.changed)

    def _map(self) -> NDArray[np.uint8]:
        needed = (pc.max(self._index["row"]).as_py() if len(self) else -1) + 1
        if not needed:
            return np.zeros((0, self.size, self.size), dtype=np.uint8)
        file = self.path / PIXELS_NAME
        have = file.stat().st_size // self.size**2 if file.exists() else 0
        if have < needed:
            raise TableError(
                f"image cache: {file} holds {have} images, its index names row {needed - 1}; rebuild it"
            )
        return np.memmap(file, dtype=np.uint8, mode="r", shape=(have, self.size, self.size))


@dataclass(frozen=True, slots=True)
class CacheBuild:
    """A cache brought up to date and opened, with the fields of `CacheUpdate`. Unpacks into `cache, rejects`."""

    cache: ImageCache
    rejects: tuple[Reject, ...]
    decoded: int
    reused: int
    changed: tuple[str, ...]

    def __iter__(self) -> Iterator[object]:
        yield self.cache
        yield self.rejects
