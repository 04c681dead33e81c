"""Studies as rows of an Arrow table: a sequence whose records are made when they are asked for, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medtrim.types import schemas
from medtrim.types.record_table import RecordTable
from medtrim.types.records import Study

UNREAD = "\x00unread"
"""Column of `Study.unread` while studies are in memory; no studies table on disk has it."""

_SECTIONS = ["findings", "impression"]
_PATHS = schemas.STUDIES.field("images").type
# Rows that are Python objects at a time.
_ROWS = 4096


class StudyTable(RecordTable[Study]):
    """The studies of a table that `medtrim.types.tables.conform` has checked, in its order.

    A record exists only while it is looked at, so that memory holds the table's columns (about as many bytes as
    its texts) and no Python object a row. Iterating is fast, looking up single rows is not; `select` and the
    columns serve whole corpora.

    Example:
        >>> studies = read_studies("studies.parquet")
        >>> training = studies.select(pc.equal(studies.table["split"], "train"))
        >>> lengths = pc.utf8_length(training.reports())
    """

    KIND = "studies"

    def __iter__(self) -> Iterator[Study]:
        return iterate_studies(self.table)

    def select(self, kept: pa.Array | pa.ChunkedArray | NDArray[np.bool_]) -> StudyTable:
        """The rows for which `kept` [N] is true."""
        return StudyTable(self.table.filter(pa.array(kept) if isinstance(kept, np.ndarray) else kept))

    def replaced(self, column: str, values: pa.Array | pa.ChunkedArray) -> StudyTable:
        """The studies with other `values` [N] in a column."""
        return StudyTable(self.table.set_column(self.table.column_names.index(column), column, values))

    def texts(self, column: str) -> pa.ChunkedArray:
        """A text column of the schema [N]; empty where the table has none."""
        return pc.fill_null(self.table[column], "")

    def map_images(self, function: Callable[[str], str]) -> StudyTable:
        """The studies with `function` of each image path in its place."""
        return self.replaced(
            "images",
            pa.chunked_array([_mapped(chunk, function) for chunk in self.table["images"].chunks], _PATHS),
        )

    def reports(self) -> pa.ChunkedArray:
        """`Study.report` of every study [N]."""
        return pa.chunked_array(map(_reports, self._batches()), pa.string())

    def written(self) -> NDArray[np.bool_]:
        """Whether a study has a report [N]."""
        found = [pc.not_equal(_reports(batch), "").to_numpy(zero_copy_only=False) for batch in self._batches()]
        return np.concatenate([np.zeros(0, bool), *found])

    def _batches(self) -> list[pa.RecordBatch]:
        batches: list[pa.RecordBatch] = self.table.select(_SECTIONS).to_batches(max_chunksize=_ROWS)
        return batches


def _reports(batch: pa.RecordBatch) -> pa.Array:
    sections = [pc.utf8_trim_whitespace(pc.fill_null(batch.column(name), "")) for name in _SECTIONS]
    return pc.utf8_trim_whitespace(pc.binary_join_element_wise(*sections, " "))


def _mapped(lists: pa.ListArray, function: Callable[[str], str]) -> pa.ListArray:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    paths = pa.array(map(function, lists.flatten().to_pylist()), pa.string())
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32()), paths)


def iterate_studies(table: pa.Table) -> Iterator[Study]:
    """Records of a studies table that `conform` has checked, one after the other; ids may repeat."""
    names = [name for name in table.column_names if name not in schemas.STUDIES.names and name != UNREAD]
    for batch in table.to_batches(max_chunksize=_ROWS):
        fields = [batch.column(name).to_pylist() for name in schemas.STUDIES.names]
        labels: Any = zip(*(batch.column(name).to_pylist() for name in names), strict=True) if names else repeat(())
        unread = batch.column(UNREAD).to_pylist() if UNREAD in table.column_names else repeat(0)
        for values, kept, skipped in zip(zip(*fields, strict=True), labels, unread, strict=False):
            study_id, patient_id, images, view, findings, impression, split = values
            yield Study(
                study_id,
                patient_id,
                tuple(images or ()),
                view or "",
                findings or "",
                impression or "",
                split or "",
                dict(zip(names, kept, strict=True)),
                skipped,
            )
