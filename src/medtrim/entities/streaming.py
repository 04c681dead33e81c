"""Streaming a studies table: batches of reports as they are needed, never the whole table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medtrim.entities.corpus import BATCH_SIZE, REPORTS
from medtrim.types import Provenance, Reject, Study, schemas


class StudyStream:
    """The reports of a studies table that MedTrim wrote, batch by batch.

    Rows that cannot be used are in `rejects` once the batches are drawn. Of what was read only the study ids are
    kept, to refuse duplicates.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._seen: set[str] = set()
        self.rejects: list[Reject] = []
        self.rows = int(pq.ParquetFile(self._path).metadata.num_rows)

    @staticmethod
    def accepts(path: Path | str) -> bool:
        """Whether `path` is a studies table with provenance; other tables go through `medtrim.data`."""
        path = Path(path)
        if path.suffix.lower() != ".parquet" or not path.is_file():
            return False
        try:
            schema = pq.read_schema(path)
        except pa.ArrowInvalid:
            return False
        made = Provenance.from_metadata(schema.metadata)
        return made is not None and all(name in schema.names for name in schemas.STUDIES.names)

    def batches(self, *, size: int = BATCH_SIZE) -> Iterator[pa.RecordBatch]:
        """Batches of `study_id`, `findings`, `impression`, the two sections trimmed."""
        first = 0
        for batch in pq.ParquetFile(self._path).iter_batches(size, columns=list(REPORTS.names)):
            columns = {name: batch.column(batch.schema.get_field_index(name)) for name in REPORTS.names}
            for name in ("findings", "impression"):
                columns[name] = pc.utf8_trim_whitespace(pc.fill_null(columns[name].cast(pa.string()), ""))
            columns["study_id"] = pc.fill_null(columns["study_id"].cast(pa.string()), "")
            usable = self._usable(columns, first)
            first += batch.num_rows
            whole = pa.RecordBatch.from_arrays([columns[name] for name in REPORTS.names], schema=REPORTS)
            yield whole.filter(pa.array(usable, pa.bool_()))

    def studies(self) -> Iterator[Study]:
        """The usable reports as studies, in their order; the table is read anew."""
        for batch in StudyStream(self._path).batches():
            for row in batch.to_pylist():
                yield Study(row["study_id"], "", findings=row["findings"], impression=row["impression"])

    def _usable(self, columns: dict[str, pa.Array], first: int) -> list[bool]:
        usable: list[bool] = []
        rows = zip(*(columns[name].to_pylist() for name in REPORTS.names), strict=True)
        for number, (study_id, findings, impression) in enumerate(rows, start=first + 1):
            reason = ""
            if not study_id:
                reason = "no study id"
            elif study_id in self._seen:
                reason = "duplicate study id"
            elif not findings and not impression:
                reason = "report has neither a findings nor an impression section"
            elif "\x00" in findings or "\x00" in impression:
                reason = "report holds NUL characters: wrong encoding"
            if reason:
                self.rejects.append(Reject(study_id, f"{self._path.name}: row {number}", reason))
            else:
                self._seen.add(study_id)
            usable.append(not reason)
        return usable
