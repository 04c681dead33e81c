"""Annotations from wherever the user has them: a file, a table in memory, or records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

from medtrim.errors import TableError
from medtrim.types import schemas
from medtrim.types.provenance import Provenance, contradictions_of
from medtrim.types.records import Annotation
from medtrim.types.tables import annotations_from_table, check_unique, conform, provenance_of, read_table
from medtrim.types.vocabulary import Contradictions


@runtime_checkable
class ArrowStream(Protocol):
    """Whatever exports Arrow data (pandas, Polars, PyArrow, DuckDB …): the PyCapsule interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A capsule with an Arrow C stream."""


AnnotationSource: TypeAlias = Path | str | ArrowStream | Sequence[Annotation]


@dataclass(frozen=True, slots=True)
class LoadedAnnotations:
    """Annotations in the order of their source, and what their provenance says of the ontology behind them."""

    annotations: tuple[Annotation, ...]
    contradictions: Contradictions
    provenance: Provenance | None = None

    @property
    def study_ids(self) -> tuple[str, ...]:
        """The ids, in order; none is repeated."""
        return tuple(a.study_id for a in self.annotations)


def load_annotations(source: AnnotationSource) -> LoadedAnnotations:
    """The annotations of a Parquet file, of a table in memory (one row a study), or of records.

    Raises:
        TableError: the file or its columns are missing or of the wrong type, an id repeats, or `source` is
            something else.
    """
    if isinstance(source, Path | str):
        table = read_table(source, schemas.ANNOTATIONS, table="annotations")
    elif isinstance(source, ArrowStream):
        table = conform(pa.table(source), schemas.ANNOTATIONS, table="annotations")
    else:
        records = tuple(source)
        odd = next((r for r in records if not isinstance(r, Annotation)), None)
        if odd is not None:
            raise TableError(
                f"annotations hold {type(odd).__name__}; allowed are the path of an annotations table, the table "
                "itself, or Annotation records. `medtrim.annotate` makes a table of report texts"
            )
        check_unique((a.study_id for a in records), table="annotations")
        return LoadedAnnotations(records, contradictions_of(None))
    if nameless := table["study_id"].null_count:
        raise TableError(f"annotations: {nameless} row(s) without a study id")
    made = provenance_of(table)
    return LoadedAnnotations(tuple(annotations_from_table(table)), contradictions_of(made), made)
