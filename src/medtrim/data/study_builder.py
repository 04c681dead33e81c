"""Studies gathered into an Arrow table block by block, so that a corpus is never all Python objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from medtrim.data.label_columns import LabelColumn
from medtrim.data.views import frontal_first
from medtrim.types import Study, schemas
from medtrim.types.study_table import UNREAD, StudyTable

_BLOCK = 4096
_SCHEMA = schemas.STUDIES.append(pa.field(UNREAD, pa.int64()))


class StudyBuilder:
    """Takes studies one after the other, with their labels as they were found, and gives their table.

    Args:
        textual: labels came as text, as in CSV, so that a column may be one of numbers all the same.
    """

    def __init__(self, *, textual: bool) -> None:
        self._textual = textual
        self._open: list[Study] = []
        self._blocks: list[pa.RecordBatch] = []
        self._labels: dict[str, LabelColumn] = {}
        self._changed: dict[int, Study] = {}

    def __len__(self) -> int:
        return len(self._blocks) * _BLOCK + len(self._open)

    def add(self, study: Study) -> None:
        """Append a study."""
        self._open.append(study)
        if len(self._open) == _BLOCK:
            self._close()

    def __getitem__(self, row: int) -> Study:
        """The study that was added as number `row`."""
        if row in self._changed:
            return self._changed[row]
        block, place = divmod(row, _BLOCK)
        if block == len(self._blocks):
            return self._open[place]
        (study,) = StudyTable(pa.Table.from_batches([self._blocks[block].slice(place, 1)]))
        labels = {name: column[row] for name, column in self._labels.items()}
        return replace(study, labels={name: value for name, value in labels.items() if value is not None})

    def __setitem__(self, row: int, study: Study) -> None:
        """Put another study in the place of number `row`."""
        if row >= len(self._blocks) * _BLOCK:
            self._open[row % _BLOCK] = study
        else:
            self._changed[row] = study

    def finish(self) -> StudyTable:
        """The table of all studies, each with its frontal images first; a label column has one type."""
        if self._open:
            self._close()
        changed = {row: frontal_first(study) for row, study in self._changed.items()}
        for row, study in changed.items():
            for name, value in study.labels.items():
                self._label(name)[row] = value
        for number in sorted({row // _BLOCK for row in changed}):
            studies = list(StudyTable(pa.Table.from_batches([self._blocks[number]])))
            self._blocks[number] = _core([changed.get(number * _BLOCK + i, s) for i, s in enumerate(studies)])
        table = pa.Table.from_batches(self._blocks, schema=_SCHEMA)
        self._blocks = []
        for name in list(self._labels):
            table = table.append_column(name, self._labels.pop(name).finish(textual=self._textual))
        return StudyTable(table)

    def _close(self) -> None:
        studies = [frontal_first(s) for s in self._open]
        for name in dict.fromkeys(name for s in studies for name in s.labels):
            self._label(name)
        for name, column in self._labels.items():
            column.append([s.labels.get(name) for s in studies])
        self._blocks.append(_core(studies))
        self._open = []

    def _label(self, name: str) -> LabelColumn:
        """The column of a label, which no study of the closed blocks has where it is new."""
        if name not in self._labels:
            self._labels[name] = LabelColumn([len(block) for block in self._blocks])
        return self._labels[name]


def _core(studies: Sequence[Study]) -> pa.RecordBatch:
    """The columns that are no labels."""
    fields = [[getattr(s, f.name) for s in studies] for f in schemas.STUDIES] + [[s.unread for s in studies]]
    arrays = [pa.array(values, f.type) for values, f in zip(fields, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)
