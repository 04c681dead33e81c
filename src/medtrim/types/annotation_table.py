"""Annotations as rows of an Arrow table: a sequence whose records are made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from medtrim.types import schemas
from medtrim.types.record_table import RecordTable
from medtrim.types.records import Annotation, Finding, Mention

# Rows that are Python objects at a time; an annotation is some 17 KB as objects.
ROWS = 1024


class AnnotationTable(RecordTable[Annotation]):
    """The annotations of a table that `medtrim.types.tables.conform` has checked, in its order.

    A record exists only while it is looked at: as Python objects an annotation takes some 17 KB, in Arrow 2 KB.

    Example:
        >>> annotations = read_annotations("annotations.parquet")
        >>> first = annotations[0].findings
    """

    KIND = "annotations"

    def __init__(self, table: pa.Table) -> None:
        super().__init__(table.select(schemas.ANNOTATIONS.names))

    def __iter__(self) -> Iterator[Annotation]:
        for batch in self.table.to_batches(max_chunksize=ROWS):
            for row in batch.to_pylist():
                findings = tuple(_finding(f) for f in row["findings"] or ())
                yield Annotation(row["study_id"], findings, row["read"] is not False)

    def by_id(self) -> Mapping[str, Annotation]:
        """The annotations by their study ids."""
        return _ById(self)


class _ById(Mapping[str, Annotation]):
    def __init__(self, annotations: AnnotationTable) -> None:
        self._annotations = annotations
        self._rows = {study_id: row for row, study_id in enumerate(annotations.study_ids)}

    def __getitem__(self, study_id: str) -> Annotation:
        return self._annotations[self._rows[study_id]]

    def __contains__(self, study_id: object) -> bool:
        return study_id in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _finding(row: Mapping[str, Any]) -> Finding:
    return Finding(
        disease=row["disease"],
        assertion=row["assertion"],
        adjectives=tuple(row["adjectives"] or ()),
        directions=tuple(row["directions"] or ()),
        mentions=tuple(Mention(**m) for m in row["mentions"] or ()),
        change=row.get("change"),
        size_mm=row.get("size_mm"),
    )
