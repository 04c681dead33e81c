"""An index on disk: a LanceDB table of embeddings, findings and thumbnails, and the model that made them.

`index.json` names the table, its version and the model: what it says is published, and replacing it is one step. An
index that is opened stays at that version until it is opened again.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lancedb
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from medtrim.errors import ConfigError, TableError
from medtrim.search.filters import NO_FILTERS, Condition, Filters, Flag, quoted
from medtrim.search.resident import WHOLE_ROWS, Candidate, Comparison, ResidentArchive, decode_finding
from medtrim.search.studies import IndexedStudy, decode_study
from medtrim.types import Contradictions

Side = Literal["image", "text"]
SIDES_OF_STUDY: tuple[Side, ...] = ("image", "text")
FORMAT = 4
FACTS_NAME, MODEL_NAME, TABLE_NAME = "index.json", "model", "studies"
RESIDENT_ROWS = 2_000_000
"""Rows up to which an archive is compared in memory: a million with 128 components take 256 MB a side."""

KEPT_STUDIES = 5_000
"""Studies kept as read, with their reports: some 15 MB."""

FEW_ROWS = 2_000
"""Rows beyond memory that a filter may leave for them to be compared exactly: probed cells would miss some."""

_SPARE = 16
"""Rows fetched beyond k, so that equal distances at the cut are ordered by study id and not by storage."""

_RANKED = ["row", "study_id", "patient_id", "read", "said"]


def index_schema(dimension: int, columns: int = 0) -> pa.Schema:
    """The LanceDB table: one row an image.

    `row` is its number, never used again; `position` its place among the study's images; `text_row` says that it
    stands for the study's report; `said` its findings without mentions, by which it is ranked (see
    `resident.encode_finding`); `facets` what it is filtered by (see `filters.facets`); `study` what is shown of it
    (see `studies.encode_study`).
    """
    vector = pa.list_(pa.float32(), dimension)
    strings = pa.list_(pa.string())
    return pa.schema(
        [
            ("row", pa.int64()),
            ("study_id", pa.string()),
            ("patient_id", pa.string()),
            ("position", pa.int32()),
            ("text_row", pa.bool_()),
            ("image", vector),
            ("text", vector),
            ("read", pa.bool_()),
            ("said", strings),
            ("facets", strings),
            ("view", pa.string()),
            ("date", pa.string()),
            ("study", pa.string()),
            ("thumbnail", pa.binary()),
            *((f"column_{i}", pa.string()) for i in range(columns)),
        ]
    )


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A found study and its cosine similarity to the query, in [-1, 1]."""

    study: Candidate
    similarity: float


class StudyIndex:
    """An opened index. Reading only; any number of threads may ask at once."""

    def __init__(self, folder: Path | str) -> None:
        """Open the index in `folder` as it is published now.

        Raises:
            TableError: there is none, or it was written by a version that this one does not read.
        """
        self.folder = Path(folder)
        self._resident: ResidentArchive | None = None
        self._kept: dict[int, IndexedStudy] = {}
        self._loading = threading.Lock()
        self.mark = published_mark(self.folder)
        self.facts = read_facts(self.folder)
        try:
            self._table: Any = lancedb.connect(self.folder).open_table(str(self.facts["table"]))
            self._table.checkout(int(self.facts["version"]))
        except (ValueError, FileNotFoundError, KeyError) as error:
            raise TableError(f"{self.folder} has no table of studies; build the index again") from error

    @property
    def model_folder(self) -> Path:
        """The checkpoint whose space the vectors live in."""
        named = Path(str(self.facts["model"]))
        return named if named.is_absolute() else self.folder / named

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return int(self.facts["dimension"])

    @property
    def diseases(self) -> tuple[str, ...]:
        """The diseases that some study of the index reports, most frequent first."""
        return values_of(self.facts, "disease")

    @property
    def views(self) -> tuple[str, ...]:
        """The views of its images, most frequent first."""
        return values_of(self.facts, "view")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the further columns that were named at indexing."""
        return tuple(self.facts["columns"])

    @property
    def contradictions(self) -> Contradictions:
        """What contradicts what in its findings."""
        return Contradictions(self.facts["contradictions"])

    @property
    def is_current(self) -> bool:
        """Whether this is what the folder publishes."""
        return published_mark(self.folder) == self.mark

    def __len__(self) -> int:
        return int(self.facts["studies"])

    def compare(
        self,
        vector: NDArray[np.float32],
        *,
        against: Side,
        filters: Filters = NO_FILTERS,
        exclude: str = "",
        exact: bool = False,
    ) -> AskedIndex:
        """A query `vector` [D] that is to be compared with the `against` side of the studies.

        Args:
            filters: what every study found fulfils.
            exclude: id of a study that is left out: the query's own.
            exact: compare with every vector, whatever index there is.

        Raises:
            ConfigError: a filter is unknown to the index.
        """
        filters.check(self.diseases, self.columns)
        always = filters.conditions(self.columns)
        if against == "text" and self.facts["text_rows"] < self.facts["rows"]:
            always.append(Flag("text_row"))
        images = 1 if against == "text" else int(self.facts["most_images"])
        rows = self._compared(vector, against, exact=exact)
        return AskedIndex(rows, tuple(always), images, exclude)

    def _compared(self, vector: NDArray[np.float32], against: Side, *, exact: bool) -> NearestRows:
        """What finds the rows nearest to `vector`: in memory up to `RESIDENT_ROWS`, else in the table."""
        if not self.facts.get("ann") and int(self.facts["rows"]) <= RESIDENT_ROWS:
            archive = self.resident(against)
            compared = Comparison(archive, against, vector)

            def in_memory(conditions: Sequence[Condition], limit: int) -> list[Neighbour]:
                places, similarities = compared.nearest(conditions, limit)
                found = zip(places.tolist(), similarities.tolist(), strict=True)
                return [Neighbour(archive.candidate(place), similarity) for place, similarity in found]

            return in_memory

        def in_table(conditions: Sequence[Condition], limit: int) -> list[Neighbour]:
            return self._nearest_of_table(vector, against, " AND ".join(c.sql for c in conditions), limit, exact)

        return in_table

    def _nearest_of_table(
        self, vector: NDArray[np.float32], against: Side, where: str, limit: int, exact: bool
    ) -> list[Neighbour]:
        ann = self.facts.get("ann")
        query = self._table.search(vector, vector_column_name=against).distance_type("cosine")
        if where:
            query = query.where(where, prefilter=True)
        if ann and not exact and not (where and self._is_few(where)):
            probes = ann["filtered_probes" if where else "probes"]
            query = query.nprobes(int(probes)).refine_factor(int(ann["refine"]))
        else:
            query = query.bypass_vector_index()
        rows = query.select([*_RANKED, "_distance"]).limit(limit).to_arrow().to_pylist()
        return [
            Neighbour(
                Candidate(
                    row["row"],
                    row["study_id"],
                    row["patient_id"],
                    tuple(map(decode_finding, row["said"])),
                    row["read"],
                ),
                1.0 - row["_distance"],
            )
            for row in rows
        ]

    def _is_few(self, where: str) -> bool:
        found = self._table.search().where(where).select(["row"]).limit(FEW_ROWS + 1).to_arrow()
        return bool(found.num_rows <= FEW_ROWS)

    def resident(self, side: Side, *, before: ResidentArchive | None = None) -> ResidentArchive:
        """The archive in memory with the vectors of `side`, read from the table when first asked for.

        Vectors of rows that are in an earlier version, `before`, are taken from there.
        """
        with self._loading:
            if self._resident is None:
                columns = [*_RANKED, "text_row", "view", "date", *(f"column_{i}" for i in range(len(self.columns)))]
                table = self._table.search().select(columns).limit(int(self.facts["rows"])).to_arrow()
                self._resident = ResidentArchive(table, self.contradictions)
            if not self._resident.holds(side):
                self._resident.hold(side, self._vectors_of(side, self._resident.rows, before))
            return self._resident

    def follow(self, before: StudyIndex) -> None:
        """Read into memory what an earlier version of this index has there."""
        if before._resident is not None and before.facts["table"] == self.facts["table"]:
            for side in filter(before._resident.holds, SIDES_OF_STUDY):
                self.resident(side, before=before._resident)

    @property
    def is_large_in_memory(self) -> bool:
        """Whether it has been read into memory and that takes seconds."""
        return self._resident is not None and len(self._resident) > WHOLE_ROWS

    def _vectors_of(self, side: Side, rows: NDArray[np.int64], before: ResidentArchive | None) -> torch.Tensor:
        """The vectors [N D] of `side` in the order of the sorted `rows`, read a batch at a time."""
        kind = torch.float32 if len(rows) <= WHOLE_ROWS else torch.float16
        held = torch.empty((len(rows), self.dimension), dtype=kind)
        query = self._table.search()
        if before is not None and len(before) and before.vectors(side).dtype == kind:
            last = int(before.rows[-1])  # numbers of rows grow and are never used again
            old = rows[rows <= last]
            held[: len(old)] = before.vectors(side)[torch.from_numpy(np.searchsorted(before.rows, old))]
            query = query.where(f"row > {last}")
        for batch in query.select(["row", side]).limit(len(rows)).to_batches():
            vectors = batch[side].flatten().to_numpy().reshape(-1, self.dimension)
            places = np.searchsorted(rows, batch["row"].to_numpy())
            held[torch.from_numpy(places)] = torch.tensor(vectors, dtype=kind)
        return held

    def studies_at(self, rows: Sequence[int]) -> list[IndexedStudy]:
        """The studies in `rows`, in that order; those read lately are kept, since they cannot change.

        Raises:
            TableError: a row is not in the index.
        """
        known = {row: self._kept[row] for row in rows if row in self._kept}
        missing = [row for row in rows if row not in known]
        if missing:
            where = f"row IN ({', '.join(map(str, missing))})"
            found = self._table.search().where(where).select(["row", "study"]).limit(len(missing)).to_arrow()
            read = {r["row"]: decode_study(r["row"], r["study"]) for r in found.to_pylist()}
            if len(read) < len({*missing}):
                raise TableError(f"the index has no row {next(row for row in missing if row not in read)}")
            known |= read
            self._kept = read if len(self._kept) > KEPT_STUDIES else self._kept | read
        return [known[row] for row in rows]

    def study(self, study_id: str) -> IndexedStudy:
        """The study of that id, by its first image.

        Raises:
            TableError: it is not in the index.
        """
        found = self._first(study_id, ["row", "study"]).to_pylist()[0]
        return decode_study(found["row"], found["study"])

    def vector(self, study_id: str, side: Side) -> NDArray[np.float32]:
        """A study's own vector [D], of its first image or its report.

        Raises:
            TableError: it is not in the index, or has no report.
        """
        found = self._first(study_id, [side, "text_row"])
        if side == "text" and not found["text_row"][0].as_py():
            raise TableError(f"study {study_id!r} has no report")
        return np.asarray(found[side].to_pylist()[0], dtype=np.float32)

    def image_vector(self, row: int) -> NDArray[np.float32] | None:
        """The vector [D] of the image in `row` where it is in memory, else None."""
        held = self._resident
        if held is None or not held.holds("image"):
            return None
        place = int(np.searchsorted(held.rows, row))
        return held.vectors("image")[place].float().numpy()

    def thumbnail(self, row: int) -> bytes | None:
        """The JPEG of the image in `row`, or None where there is none."""
        found = self._table.search().where(f"row = {int(row)}").select(["thumbnail"]).limit(1).to_arrow()
        content: bytes | None = found["thumbnail"].to_pylist()[0] if found.num_rows else None
        return content or None

    def image_file(self, study: IndexedStudy, view: int) -> Path | None:
        """Where the original image of a study's `view` (0, 1, …) was when it was indexed; None beyond its last."""
        return Path(study.image_files[view]) if 0 <= view < len(study.image_files) else None

    def _first(self, study_id: str, columns: list[str]) -> pa.Table:
        wanted = f"study_id = {quoted(study_id)} AND position = 0"
        found = self._table.search().where(wanted).select(columns).limit(1).to_arrow()
        if not found.num_rows:
            raise TableError(f"study {study_id!r} is not in the index")
        return found


NearestRows = Callable[[Sequence[Condition], int], list[Neighbour]]


class AskedIndex:
    """One query to an index, which may be asked under several sets of conditions."""

    def __init__(self, rows: NearestRows, always: tuple[Condition, ...], images: int, exclude: str) -> None:
        self._rows, self._always, self._images, self._exclude = rows, always, images, exclude

    def nearest(self, conditions: Sequence[Condition], k: int) -> list[Neighbour]:
        """The `k` most similar studies that fulfil `conditions`, ties by study id; each once, by its best image."""
        limit = (k + bool(self._exclude)) * self._images + _SPARE
        neighbours = self._rows([*self._always, *conditions], limit)
        neighbours.sort(key=lambda n: (-n.similarity, n.study.study_id, n.study.row))
        best: dict[str, Neighbour] = {}
        for neighbour in neighbours:
            if neighbour.study.study_id != self._exclude:
                best.setdefault(neighbour.study.study_id, neighbour)
        return list(best.values())[:k]


def values_of(facts: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """What the studies have under `name` (`disease`, `view`, a column), most frequent first."""
    counts: Mapping[str, int] = facts["counts"].get(name) or {}
    return tuple(sorted(counts, key=lambda value: (-counts[value], value)))


def published_mark(folder: Path) -> tuple[int, int]:
    """What changes whenever something is published in `folder`; zeros where nothing is."""
    try:
        state = (folder / FACTS_NAME).stat()
    except FileNotFoundError:
        return 0, 0
    return state.st_mtime_ns, state.st_ino


def local_folder(place: Path | str) -> Path:
    """The folder of an index; a `ConfigError` for the address of an object store.

    An index is published by renaming a file and locked by the file system, of which object stores have neither.
    """
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(place)):
        raise ConfigError(f"{place}: an index lies in a folder, not at an object store's address; mount or copy it")
    return Path(place)


def read_facts(folder: Path) -> dict[str, Any]:
    """What `index.json` says; raises a `TableError` where it is missing or of another format."""
    path = local_folder(folder) / FACTS_NAME
    if not path.exists():
        raise TableError(f"no index in {folder}; make one with: medtrim index CHECKPOINT STUDIES -o {folder}")
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(f"{path} cannot be read ({error})") from error
    if facts.get("format") != FORMAT:
        raise TableError(f"{path} has format {facts.get('format')}, this version reads {FORMAT}: build it again")
    return facts
