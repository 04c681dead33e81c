"""An index on disk: a LanceDB table of embeddings, findings and thumbnails, and the model that made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import lancedb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medtrim.errors import TableError
from medtrim.search.filters import NO_FILTERS, Filters
from medtrim.types import Annotation, Finding, schemas
from medtrim.types.tables import annotations_from_table

Side = Literal["image", "text"]
SIDES_OF_STUDY: tuple[Side, ...] = ("image", "text")
FORMAT = 2
FACTS_NAME, MODEL_NAME, TABLE_NAME = "index.json", "model", "studies"
_SPARE = 16
"""Rows fetched beyond k, so that equal distances at the cut are ordered by study id and not by storage."""

_COLUMNS = [
    "row",
    "study_id",
    "split",
    "findings",
    "report_findings",
    "report_impression",
    "image_files",
    "has_thumbnail",
]


def index_schema(dimension: int) -> pa.Schema:
    """Columns of the LanceDB table; `row` is a study's number in the index, `facets` what it is filtered by."""
    vector = pa.list_(pa.float32(), dimension)
    return pa.schema(
        [
            ("row", pa.int64()),
            ("study_id", pa.string()),
            ("image", vector),
            ("text", vector),
            ("findings", pa.list_(schemas.FINDING)),
            ("facets", pa.list_(pa.string())),
            ("report_findings", pa.string()),
            ("report_impression", pa.string()),
            ("split", pa.string()),
            ("image_files", pa.list_(pa.string())),
            ("thumbnail", pa.binary()),
            ("has_thumbnail", pa.bool_()),
        ]
    )


@dataclass(frozen=True, slots=True)
class IndexedStudy:
    """A study of the index. `row` names it where its id must not be named, such as in addresses of pictures."""

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

    @property
    def read(self) -> bool:
        """Whether the report says anything that is recognised; where not, the study is not known to be normal."""
        return bool(self.findings)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A found study and its cosine similarity to the query, in [-1, 1]."""

    study: IndexedStudy
    similarity: float


class StudyIndex:
    """An opened index. Reading only; any number of threads may ask at once."""

    def __init__(self, folder: Path | str) -> None:
        """Open the index in `folder`.

        Raises:
            TableError: there is none, or it was written by a version that this one does not read.
        """
        self.folder = Path(folder)
        self.facts = read_facts(self.folder)
        try:
            self._table: Any = lancedb.connect(self.folder).open_table(TABLE_NAME)
        except (ValueError, FileNotFoundError) as error:
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
        return tuple(self.facts["diseases"])

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
    ) -> list[Neighbour]:
        """The `k` studies whose `against` side is most similar to `vector` [D], ties by study id.

        `exclude` is the id of a study that is left out: the query's own.
        """
        filters.check(self.diseases)
        conditions = [c for c in (filters.where, _not(exclude)) if c]
        query = self._table.search(vector, vector_column_name=against).distance_type("cosine")
        if conditions:
            query = query.where(" AND ".join(conditions), prefilter=True)
        found = query.select([*_COLUMNS, "_distance"]).limit(k + _SPARE).to_arrow()
        distances = found["_distance"].to_pylist()
        neighbours = [Neighbour(s, 1.0 - d) for s, d in zip(_studies(found), distances, strict=True)]
        return sorted(neighbours, key=lambda n: (-n.similarity, n.study.study_id))[:k]

    def study(self, study_id: str) -> IndexedStudy:
        """The study of that id.

        Raises:
            TableError: it is not in the index.
        """
        return _studies(self._row_of(study_id, _COLUMNS))[0]

    def vector(self, study_id: str, side: Side) -> NDArray[np.float32]:
        """A study's own vector [D]; raises as `study`."""
        return np.asarray(self._row_of(study_id, [side])[side].to_pylist()[0], dtype=np.float32)

    def thumbnail(self, row: int) -> bytes | None:
        """The JPEG of the study in `row`, or None where there is none."""
        found = self._table.search().where(f"row = {int(row)}").select(["thumbnail"]).limit(1).to_arrow()
        content: bytes | None = found["thumbnail"].to_pylist()[0] if found.num_rows else None
        return content or None

    def study_at(self, row: int) -> IndexedStudy:
        """The study in `row`.

        Raises:
            TableError: there is none.
        """
        found = self._table.search().where(f"row = {int(row)}").select(_COLUMNS).limit(1).to_arrow()
        if not found.num_rows:
            raise TableError(f"the index has no row {row}")
        return _studies(found)[0]

    def image_file(self, study: IndexedStudy, view: int) -> Path | None:
        """Where the original image of a study's `view` (0, 1, …) was when it was indexed; None beyond its last."""
        if not 0 <= view < len(study.image_files):
            return None
        return Path(str(self.facts["image_root"])) / study.image_files[view]

    def _row_of(self, study_id: str, columns: list[str]) -> pa.Table:
        found = self._table.search().where(f"study_id = {_quoted(study_id)}").select(columns).limit(1).to_arrow()
        if not found.num_rows:
            raise TableError(f"study {study_id!r} is not in the index")
        return found


def read_facts(folder: Path) -> Mapping[str, Any]:
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


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _not(study_id: str) -> str:
    return f"study_id != {_quoted(study_id)}" if study_id else ""


def _studies(table: pa.Table) -> list[IndexedStudy]:
    annotations: list[Annotation] = annotations_from_table(table.select(["study_id", "findings"]))
    return [
        IndexedStudy(
            row=row["row"],
            study_id=row["study_id"],
            findings=annotation.findings,
            report_findings=row["report_findings"],
            report_impression=row["report_impression"],
            has_thumbnail=row["has_thumbnail"],
            split=row["split"],
            image_files=tuple(row["image_files"]),
        )
        for row, annotation in zip(
            table.select([c for c in _COLUMNS if c != "findings"]).to_pylist(), annotations, strict=True
        )
    ]
