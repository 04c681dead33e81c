"""An index on disk: a LanceDB table of embeddings, findings and thumbnails, and the model that made them.

`index.json` names the table, its version and the model: what it says is published, and replacing it is one step. An
index that is opened stays at that version until it is opened again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import lancedb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medtrim.errors import TableError
from medtrim.search.filters import NO_FILTERS, Filters, quoted
from medtrim.search.resident import ResidentVectors
from medtrim.types import Contradictions, Finding, schemas
from medtrim.types.tables import annotations_from_table

Side = Literal["image", "text"]
SIDES_OF_STUDY: tuple[Side, ...] = ("image", "text")
FORMAT = 3
FACTS_NAME, MODEL_NAME, TABLE_NAME = "index.json", "model", "studies"
RESIDENT_ROWS = 50_000
"""Rows up to which vectors are compared in memory: 50,000 of 128 components take 26 MB and a millisecond."""

KEPT_STUDIES = 20_000
"""Studies kept as read, with their reports: some 50 MB."""

_SPARE = 16
"""Rows fetched beyond k, so that equal distances at the cut are ordered by study id and not by storage."""

_COLUMNS = [
    "row",
    "study_id",
    "patient_id",
    "view",
    "views",
    "split",
    "read",
    "findings",
    "report_findings",
    "report_impression",
    "image_files",
    "has_thumbnail",
]


def index_schema(dimension: int, columns: int = 0) -> pa.Schema:
    """The LanceDB table: one row an image.

    `row` is its number, never used again; `position` its place among the study's images; `text_row` says that it
    stands for the study's report; `facets` what it is filtered by (see `filters.facets`).
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
            ("findings", pa.list_(schemas.FINDING)),
            ("facets", strings),
            ("report_findings", pa.string()),
            ("report_impression", pa.string()),
            ("view", pa.string()),
            ("views", strings),
            ("date", pa.string()),
            ("split", pa.string()),
            ("image_files", strings),
            ("thumbnail", pa.binary()),
            ("has_thumbnail", pa.bool_()),
            *((f"column_{i}", pa.string()) for i in range(columns)),
        ]
    )


@dataclass(frozen=True, slots=True)
class IndexedStudy:
    """A study of the index by one of its images.

    Args:
        row: names the image where ids must not be named, such as in addresses of pictures.
        view: of this image; `views` are those of all the study's images.
        read: whether something is recognised in the report; where not, the study is not known to be normal.
        columns: the further columns that were named at indexing.
        image_files: where the study's images were when it was indexed.
    """

    row: int
    study_id: str
    findings: tuple[Finding, ...]
    report_findings: str
    report_impression: str
    has_thumbnail: bool
    patient_id: str = ""
    view: str = ""
    views: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    image_files: tuple[str, ...] = ()
    read: bool = True


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A found study and its cosine similarity to the query, in [-1, 1]."""

    study: IndexedStudy
    similarity: float


class StudyIndex:
    """An opened index. Reading only; any number of threads may ask at once."""

    def __init__(self, folder: Path | str) -> None:
        """Open the index in `folder` as it is published now.

        Raises:
            TableError: there is none, or it was written by a version that this one does not read.
        """
        self.folder = Path(folder)
        self._residents: dict[Side, ResidentVectors] = {}
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

    def nearest(
        self,
        vector: NDArray[np.float32],
        *,
        against: Side,
        k: int,
        filters: Filters = NO_FILTERS,
        exclude: str = "",
        conditions: Sequence[str] = (),
        exact: bool = False,
    ) -> list[Neighbour]:
        """The `k` studies whose `against` side is most similar to `vector` [D], ties by study id.

        Each study stands once, by its most similar image. The similarities are exact also where the candidates come
        from an approximate index.

        Args:
            exclude: id of a study that is left out: the query's own.
            conditions: further SQL conditions.
            exact: compare with every vector, whatever index there is.
        """
        filters.check(self.diseases, self.columns)
        everything = [*filters.conditions(self.columns), *conditions]
        if against == "text" and self.facts["text_rows"] < self.facts["rows"]:
            everything.append("text_row")
        images = 1 if against == "text" else int(self.facts["most_images"])
        limit = (k + bool(exclude)) * images + _SPARE
        rows, similarities = self._nearest_rows(vector, against, everything, limit, exact=exact)
        neighbours = [Neighbour(s, float(v)) for s, v in zip(self._at(rows), similarities, strict=True)]
        neighbours.sort(key=lambda n: (-n.similarity, n.study.study_id, n.study.row))
        best: dict[str, Neighbour] = {}
        for neighbour in neighbours:
            if neighbour.study.study_id != exclude:
                best.setdefault(neighbour.study.study_id, neighbour)
        return list(best.values())[:k]

    def _nearest_rows(
        self, vector: NDArray[np.float32], against: Side, conditions: Sequence[str], limit: int, *, exact: bool
    ) -> tuple[Sequence[int], Sequence[float]]:
        """Rows and similarities: of the vectors in memory where they are few, else of the table."""
        ann = self.facts.get("ann")
        if not ann and int(self.facts["rows"]) <= RESIDENT_ROWS:
            found_rows, found = self._resident(against).nearest(vector, conditions, limit)
            return found_rows.tolist(), found.tolist()
        query = self._table.search(vector, vector_column_name=against).distance_type("cosine")
        if ann and not exact:
            query = query.nprobes(int(ann["probes"])).refine_factor(int(ann["refine"]))
        elif ann:
            query = query.bypass_vector_index()
        if conditions:
            query = query.where(" AND ".join(conditions), prefilter=True)
        table = query.select(["row", "_distance"]).limit(limit).to_arrow()
        return table["row"].to_pylist(), [1.0 - d for d in table["_distance"].to_pylist()]

    def _resident(self, side: Side) -> ResidentVectors:
        with self._loading:
            if side not in self._residents:
                table = self._table.search().select(["row", side]).limit(int(self.facts["rows"])).to_arrow()
                vectors = table[side].combine_chunks().flatten().to_numpy().reshape(-1, self.dimension)
                self._residents[side] = ResidentVectors(table["row"].to_numpy(), vectors, self._rows_where)
            return self._residents[side]

    def _rows_where(self, conditions: Sequence[str]) -> list[int]:
        found = self._table.search().where(" AND ".join(conditions)).select(["row"]).limit(int(self.facts["rows"]))
        rows: list[int] = found.to_arrow()["row"].to_pylist()
        return rows

    def _at(self, rows: Sequence[int]) -> list[IndexedStudy]:
        """The studies in `rows`, in that order; those read lately are kept, since they cannot change."""
        known = {row: self._kept[row] for row in rows if row in self._kept}
        missing = [row for row in rows if row not in known]
        if missing:
            where = f"row IN ({', '.join(map(str, missing))})"
            found = self._table.search().where(where).select(self._read).limit(len(missing)).to_arrow()
            read = {study.row: study for study in self._studies(found)}
            known |= read
            self._kept = read if len(self._kept) > KEPT_STUDIES else self._kept | read
        return [known[row] for row in rows]

    def study(self, study_id: str) -> IndexedStudy:
        """The study of that id, by its first image.

        Raises:
            TableError: it is not in the index.
        """
        return self._studies(self._first(study_id, self._read))[0]

    def vector(self, study_id: str, side: Side) -> NDArray[np.float32]:
        """A study's own vector [D], of its first image or its report.

        Raises:
            TableError: it is not in the index, or has no report.
        """
        found = self._first(study_id, [side, "text_row"])
        if side == "text" and not found["text_row"][0].as_py():
            raise TableError(f"study {study_id!r} has no report")
        return np.asarray(found[side].to_pylist()[0], dtype=np.float32)

    def thumbnail(self, row: int) -> bytes | None:
        """The JPEG of the image in `row`, or None where there is none."""
        found = self._table.search().where(f"row = {int(row)}").select(["thumbnail"]).limit(1).to_arrow()
        content: bytes | None = found["thumbnail"].to_pylist()[0] if found.num_rows else None
        return content or None

    def study_at(self, row: int) -> IndexedStudy:
        """The study in `row`.

        Raises:
            TableError: there is none.
        """
        found = self._table.search().where(f"row = {int(row)}").select(self._read).limit(1).to_arrow()
        if not found.num_rows:
            raise TableError(f"the index has no row {row}")
        return self._studies(found)[0]

    def image_file(self, study: IndexedStudy, view: int) -> Path | None:
        """Where the original image of a study's `view` (0, 1, …) was when it was indexed; None beyond its last."""
        return Path(study.image_files[view]) if 0 <= view < len(study.image_files) else None

    @property
    def _read(self) -> list[str]:
        return [*_COLUMNS, *(f"column_{i}" for i in range(len(self.columns)))]

    def _first(self, study_id: str, columns: list[str]) -> pa.Table:
        wanted = f"study_id = {quoted(study_id)} AND position = 0"
        found = self._table.search().where(wanted).select(columns).limit(1).to_arrow()
        if not found.num_rows:
            raise TableError(f"study {study_id!r} is not in the index")
        return found

    def _studies(self, table: pa.Table) -> list[IndexedStudy]:
        # Several images of a study may be among the rows, so that ids may repeat here.
        numbered = pa.table(
            {
                "study_id": pa.array(map(str, range(len(table)))),
                "findings": table["findings"],
                "read": table["read"],
            }
        )
        annotations = annotations_from_table(numbered)
        rows = table.select([c for c in self._read if c != "findings"]).to_pylist()
        plain = ("row", "study_id", "patient_id", "view", "split", "read", "report_findings", "report_impression")
        return [
            IndexedStudy(
                **{name: row[name] for name in plain},
                findings=annotation.findings,
                has_thumbnail=row["has_thumbnail"],
                views=tuple(row["views"]),
                image_files=tuple(row["image_files"]),
                columns={name: row[f"column_{i}"] for i, name in enumerate(self.columns)},
            )
            for row, annotation in zip(rows, annotations, strict=True)
        ]


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


def read_facts(folder: Path) -> dict[str, Any]:
    """What `index.json` says; raises a `TableError` where it is missing or of another format."""
    path = folder / FACTS_NAME
    if not path.exists():
        raise TableError(f"no index in {folder}; make one with: medtrim index CHECKPOINT STUDIES -o {folder}")
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(f"{path} cannot be read ({error})") from error
    if facts.get("format") != FORMAT:
        raise TableError(f"{path} has format {facts.get('format')}, this version reads {FORMAT}: build it again")
    return facts
