"""What the audit's page reads of annotations and studies: records of the shown ones only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from medtrim.errors import TableError
from medtrim.types import Annotation, Study, schemas
from medtrim.types.tables import annotations_from_table, check_unique, read_table, studies_from_table


@dataclass(frozen=True)
class ShownStudies:
    """The studies table in the order of the corpus; `reports` are findings and impression of each study."""

    table: pa.Table
    reports: tuple[str, ...]

    def studies(self, study_ids: Sequence[str]) -> dict[str, Study]:
        """Records of some studies."""
        return {s.study_id: s for s in studies_from_table(_select(self.table, study_ids))}


def read_shown_studies(path: Path | str, study_ids: Sequence[str]) -> ShownStudies:
    """Read the studies table of a corpus.

    Raises:
        TableError: a study of the corpus is not in it.
    """
    table = read_table(path, schemas.STUDIES, table="studies").select(schemas.STUDIES.names)
    check_unique(table["study_id"].to_pylist(), table="studies")
    rows = pc.index_in(pa.array(study_ids, pa.string()), table["study_id"])
    if rows.null_count:
        unknown = [s for s, row in zip(study_ids, rows.to_pylist(), strict=True) if row is None]
        raise TableError(f"studies: {len(unknown)} annotated study(ies) are missing: {', '.join(unknown[:5])}")
    table = table.take(rows)
    sections = [table[name].to_pylist() for name in ("findings", "impression")]
    reports = tuple(" ".join(part for part in both if part) for both in zip(*sections, strict=True))
    return ShownStudies(table, reports)


def read_shown_annotations(path: Path | str, study_ids: Sequence[str]) -> dict[str, Annotation]:
    """Records of some studies of an annotations table."""
    table = read_table(path, schemas.ANNOTATIONS, table="annotations")
    return {a.study_id: a for a in annotations_from_table(_select(table, study_ids))}


def _select(table: pa.Table, study_ids: Sequence[str]) -> pa.Table:
    return table.filter(pc.is_in(table["study_id"], pa.array(study_ids, pa.string())))
