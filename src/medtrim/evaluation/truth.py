"""Where the truth comes from: an annotations table, or a column of a studies table (the phantom's `truth`)."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medtrim.errors import TableError
from medtrim.types import Annotation, Contradictions, contradictions_of, schemas
from medtrim.types.tables import annotations_from_table, check_columns, conform, provenance_of


def annotations_of_column(path: Path | str, column: str) -> list[Annotation]:
    """The findings in `column` of the studies table at `path`, one annotation a study.

    Raises:
        TableError: the file or the column is missing, or the column holds no findings.
    """
    path = Path(path)
    if not path.exists():
        raise TableError(f"studies: {path} does not exist")
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(
            f"{path} is no Parquet table, and only such a one has a column of findings; bring the studies in with "
            "`medtrim data import`, or give the truth as an annotations table"
        ) from error
    check_columns(names, ["study_id", column], table="studies")
    table = pq.read_table(path, columns=["study_id", column]).rename_columns(["study_id", "findings"])
    table = conform(table, schemas.ANNOTATIONS, table=f"studies, column {column!r}")
    return annotations_from_table(table)


def contradictions_of_table(path: Path | str) -> Contradictions:
    """The contradictions that an annotations table carries in its provenance, or the default ontology's."""
    schema: pa.Schema = pq.read_schema(Path(path))
    provenance = provenance_of(schema.empty_table())
    return contradictions_of(provenance)
