"""Images decoded once: a memory-mapped uint8 file [rows, size, size] and its index."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medtrim.data.cache_build import update_cache
from medtrim.data.cache_index import PIXELS_NAME, CacheEntry, CacheFormat, read_index
from medtrim.data.images import Fit
from medtrim.errors import TableError
from medtrim.types import Reject, Study
from medtrim.types.tables import Progress, no_progress


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
        self.format: CacheFormat = found[0]
        self.entries: tuple[CacheEntry, ...] = tuple(found[1])
        self._rows = {entry.key: entry.row for entry in self.entries}
        self._pixels = self._map()

    @property
    def size(self) -> int:
        """Side of every image, pixels."""
        return self.format.size

    @property
    def study_ids(self) -> tuple[str, ...]:
        """The cached studies, in the order they were added."""
        return tuple(entry.study_id for entry in self.entries if entry.position == 0)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, study_id: object) -> bool:
        return (study_id, 0) in self._rows

    def rows(self, study_ids: Iterable[str], *, position: int = 0) -> NDArray[np.int64]:
        """Row of each study's image number `position` [N], to index the cache with.

        Raises:
            TableError: a study is not cached; the message names the first few.
        """
        study_ids = list(study_ids)
        missing = [s for s in study_ids if (s, position) not in self._rows]
        if missing:
            shown = ", ".join(map(repr, missing[:5])) + (" …" if len(missing) > 5 else "")
            raise TableError(f"image cache: {len(missing)} of {len(study_ids)} studies are not in it: {shown}")
        return np.array([self._rows[s, position] for s in study_ids], dtype=np.int64)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """Pixels of a row [size size], or of an array of rows [N size size] as a copy."""
        return np.asarray(self._pixels[rows])

    def broken(self, *, progress: Progress = no_progress) -> list[str]:
        """Ids of studies whose cached pixels no longer have the checksum they were written with."""
        bad = []
        for done, entry in enumerate(self.entries, start=1):
            if zlib.crc32(self._pixels[entry.row].tobytes()) != entry.pixel_crc32:
                bad.append(entry.study_id)
            progress(done, len(self.entries))
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
            progress=progress,
        )
        return CacheBuild(cls(path), update.rejects, update.decoded, update.reused, update.changed)

    def _map(self) -> NDArray[np.uint8]:
        needed = max((entry.row for entry in self.entries), default=-1) + 1
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
