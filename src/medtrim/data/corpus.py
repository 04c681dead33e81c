"""One way in for every corpus: tables, folders of reports, Open-i's XML, MIMIC-CXR and CheXpert Plus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from medtrim.data.openi import ARCHIVES, read_openi
from medtrim.data.raw import CorpusReading, Patients, RawRecord, SplitSections, assemble
from medtrim.data.rows import table_suffix
from medtrim.data.table import read_table_records
from medtrim.data.text_folder import read_text_folder
from medtrim.errors import ConfigError, TableError

Layout = Literal["auto", "table", "text", "openi", "mimic-cxr", "chexpert-plus"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


def read_corpus(
    path: Path | str,
    *,
    split_sections: SplitSections | None = None,
    layout: Layout = "auto",
    columns: Mapping[str, str] | None = None,
    image_root: Path | str | None = None,
    patients: Patients = "required",
    encoding: str = "utf-8",
) -> CorpusReading:
    """Read a corpus of reports (and image paths) into studies; whatever cannot be used is a reject with its reason.

    Args:
        path: a table (`.csv`, `.tsv`, `.jsonl`, `.json`, `.parquet`), a folder of `.txt` reports, Open-i's reports
            as a folder of `.xml` or a tar archive, or MIMIC-CXR's root folder.
        split_sections: finds the findings and impression sections; needed where reports come whole.
        layout: what `path` is; `auto` looks.
        columns: field (`study_id`, `patient_id`, `images`, `view`, `findings`, `impression`, `text`, `split`) →
            column of the table, where the names differ from the usual ones.
        image_root: folder that relative image paths start from; they become absolute. Without it they stay as
            they are, relative to the corpus's folder.
        patients: `required` rejects studies without a patient; `optional` leaves them empty; `study` takes each
            study for a patient of its own.
        encoding: of text files; a byte-order mark takes precedence.

    Raises:
        TableError: the path is missing or holds no corpus, or the table lacks columns.
        ConfigError: an option has an unknown value.
    """
    path = Path(path)
    if layout not in LAYOUTS:
        raise ConfigError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    if not path.exists():
        raise TableError(f"{path} does not exist")
    records = _records(path, _detect(path) if layout == "auto" else layout, columns, image_root, patients, encoding)
    reading = assemble(records, split_sections=split_sections, patients=patients)
    if not reading.studies and not reading.rejects:
        raise TableError(f"{path} holds no record")
    if image_root is None:
        return reading
    root = Path(image_root).absolute()
    rooted = tuple(replace(s, images=tuple(str(root / image) for image in s.images)) for s in reading.studies)
    return CorpusReading(rooted, reading.rejects)


def _records(
    path: Path,
    layout: Layout,
    columns: Mapping[str, str] | None,
    image_root: Path | str | None,
    patients: Patients,
    encoding: str,
) -> Iterable[RawRecord]:
    if layout == "openi":
        return read_openi(path, images=image_root is not None)
    if layout == "text":
        return read_text_folder(path, encoding=encoding)
    return read_table_records(path, columns=columns, patients=patients, encoding=encoding)


def _detect(path: Path) -> Layout:
    if path.is_file():
        if path.name.lower().endswith(ARCHIVES):
            return "openi"
        if table_suffix(path):
            return "table"
        raise TableError(f"{path}: neither a table nor an archive of reports")
    for pattern, layout in (("*.xml", "openi"), ("*.txt", "text")):
        if next(path.rglob(pattern), None) is not None:
            return layout  # type: ignore[return-value]
    raise TableError(f"{path}: no reports found (.txt or .xml); for a table, name the file")
