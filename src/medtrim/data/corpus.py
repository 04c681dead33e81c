"""One way in for every corpus: tables, folders of reports, Open-i's XML, MIMIC-CXR, the archives of `layouts/`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medtrim.data.archive import read_archive
from medtrim.data.layout import detect, layout_names, load_layout
from medtrim.data.mimic import is_mimic, read_mimic
from medtrim.data.openi import ARCHIVES, read_openi
from medtrim.data.picture_store import PictureStore
from medtrim.data.raw import CorpusReading, Patients, RawRecord, SplitSections, assemble
from medtrim.data.rows import PARQUET, UNREAD_TABLES, table_suffix
from medtrim.data.table import read_table_records
from medtrim.data.text_folder import read_text_folder
from medtrim.data.views import VIEWS, View, choose_views
from medtrim.errors import ConfigError, TableError
from medtrim.types import Provenance, Reject, schemas
from medtrim.types.study_table import StudyTable
from medtrim.types.tables import read_table

Layout = str
NO_IMAGE = "no image was found"
LAYOUTS: tuple[str, ...] = ("auto", "table", "text", "openi", "mimic-cxr", *layout_names())


def read_corpus(
    path: Path | str,
    *,
    split_sections: SplitSections | None = None,
    layout: Layout = "auto",
    columns: Mapping[str, str] | None = None,
    image_root: Path | str | None = None,
    report_root: Path | str | None = None,
    patients: Patients = "required",
    view: View = "all",
    encoding: str = "utf-8",
    pictures: PictureStore | None = None,
    empty_reports: bool = False,
) -> CorpusReading:
    """Read a corpus of reports (and image paths) into studies; whatever cannot be used is a reject with its reason.

    Args:
        path: a table (`.csv`, `.tsv`, `.xlsx`, `.jsonl`, `.json`, `.parquet`), a folder of `.txt` reports, Open-i's
            reports as a folder of `.xml` or a tar archive, or the root folder or table of a public archive.
        split_sections: finds the findings and impression sections; needed where reports come whole.
        layout: what `path` is; `auto` looks.
        columns: field (`study_id`, `patient_id`, `images`, `view`, `findings`, `impression`, `text`, `split`) →
            column of the table, where the names differ from the usual ones.
        image_root: folder that relative image paths start from; they become absolute. Without it they stay as
            they are, relative to the corpus's folder.
        report_root: folder with MIMIC-CXR's reports, where they lie apart from the images.
        patients: `required` rejects studies without a patient; `optional` leaves them empty; `study` takes each
            study for a patient of its own.
        view: keep images of that view only; a study that has images, but none of it, is rejected.
        encoding: of text files; a byte-order mark takes precedence.
        pictures: where images go that the table holds itself; such rows are rejected without.
        empty_reports: take studies without a report, which are rejected otherwise.

    Raises:
        TableError: the path is missing or holds no corpus, or the table lacks columns.
        ConfigError: an option has an unknown value.
    """
    path = Path(path)
    if layout not in LAYOUTS:
        raise ConfigError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    if view not in VIEWS:
        raise ConfigError(f"view must be one of {', '.join(VIEWS)}, not {view!r}")
    if not path.exists():
        raise TableError(f"{path} does not exist")
    layout = _detect(path, columns, encoding) if layout == "auto" else layout
    root = Path(image_root).absolute() if image_root is not None else None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    labels_only = False
    textual = True
    records: Iterable[RawRecord]
    if layout == "table" and not columns and _is_studies_table(path):
        return _finished(_read_studies(path, patients), view, root, reports=False)
    if layout == "openi":
        records, textual = read_openi(path, image_root=root), False
    elif layout == "text":
        records = read_text_folder(path, encoding=encoding)
    elif layout == "mimic-cxr":
        records, warnings = read_mimic(
            path, report_root=Path(report_root) if report_root else None, encoding=encoding
        )
    elif layout == "table":
        records, textual = read_table_records(
            path, columns=columns, patients=patients, encoding=encoding, pictures=pictures
        )
        empty_reports = empty_reports or _is_studies_table(path)
    else:
        described = load_layout(layout)
        records, textual = read_archive(path, described, image_root=root, encoding=encoding)
        notes = (described.note,) if described.note else ()
        labels_only = described.labels_only
        empty_reports = empty_reports or described.empty_reports
    reading = assemble(
        records, split_sections=split_sections, patients=patients, empty_reports=empty_reports, textual=textual
    )
    if not reading.studies and not reading.rejects:
        raise TableError(f"{path} holds no record")
    found = _finished(reading, view, root, reports=not labels_only)
    return replace(found, warnings=(*warnings, *found.warnings), notes=notes)


def _finished(reading: CorpusReading, view: View, root: Path | None, *, reports: bool) -> CorpusReading:
    """`reading` with the images of `view`, below `root` where there is one, and what is missing from all of it."""
    studies, passed_over = choose_views(reading.studies, view)
    missing = []
    if reports and studies and not reading.studies.written().any():
        missing.append("no report was found")
    lengths = pc.list_value_length(reading.studies.table["images"])
    if studies and not pc.any(pc.greater(pc.fill_null(lengths, 0), 0)).as_py():
        missing.append(NO_IMAGE)
    if root is not None:
        studies = studies.map_images(partial(os.path.join, root))
    return CorpusReading(studies, (*reading.rejects, *passed_over), tuple(missing))


def _read_studies(path: Path, patients: Patients) -> CorpusReading:
    """The studies of a table that MedTrim wrote: its cells were looked at when it was made."""
    table = read_table(path, schemas.STUDIES, table="studies")
    if patients == "study":
        table = table.set_column(table.column_names.index("patient_id"), "patient_id", table["study_id"])
    ids, owners = (pc.fill_null(table[name], "") for name in ("study_id", "patient_id"))
    nameless = pc.equal(ids, "").to_numpy()
    ownerless = pc.equal(owners, "").to_numpy() & (patients == "required")
    usable = np.flatnonzero(~nameless & ~ownerless)
    codes = pc.dictionary_encode(ids.combine_chunks()).indices.to_numpy()
    first = usable[np.unique(codes[usable], return_index=True)[1]]
    kept = np.zeros(len(table), bool)
    kept[first] = True
    rejects = []
    for row in np.flatnonzero(~kept).tolist():
        reason = "no study id" if nameless[row] else "no patient id" if ownerless[row] else "duplicate study id"
        rejects.append(Reject(ids[row].as_py(), f"{path.name}:{row}", reason))
    if not len(table):
        raise TableError(f"{path} holds no record")
    table = table.set_column(table.column_names.index("patient_id"), "patient_id", owners)
    return CorpusReading(StudyTable(table if kept.all() else table.filter(pa.array(kept))), tuple(rejects))


def _is_studies_table(path: Path) -> bool:
    """Whether `path` is a studies table of MedTrim's, whose studies were looked at when it was made."""
    if path.suffix.lower() not in PARQUET:
        return False
    try:
        made = Provenance.from_metadata(pq.read_schema(path).metadata)
    except (pa.ArrowInvalid, OSError):
        return False
    return made is not None and made.kind == "studies"


def _detect(path: Path, columns: Mapping[str, str] | None, encoding: str) -> Layout:
    if not path.is_dir() and path.name.lower().endswith(ARCHIVES):
        return "openi"
    if path.is_dir() and is_mimic(path):
        return "mimic-cxr"
    # A mapping by hand means that the table is to be read as the user says.
    if not columns and (found := detect(path, encoding=encoding)):
        return found
    if not path.is_dir():
        if not table_suffix(path) and path.suffix.lower() not in UNREAD_TABLES:
            raise TableError(f"{path}: neither a table nor an archive of reports")
        return "table"
    if next(path.rglob("*.xml"), None) is not None:
        return "openi"
    if next(path.rglob("*.txt"), None) is not None:
        return "text"
    raise TableError(f"{path}: no reports found (.txt or .xml); for a table, name the file")
