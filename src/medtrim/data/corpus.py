"""One way in for every corpus: tables, folders of reports, Open-i's XML, MIMIC-CXR and CheXpert Plus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from medtrim.data.chexpert_plus import is_chexpert_plus, read_chexpert_plus
from medtrim.data.mimic import is_mimic, read_mimic
from medtrim.data.openi import ARCHIVES, read_openi
from medtrim.data.raw import CorpusReading, Patients, RawRecord, SplitSections, assemble
from medtrim.data.rows import read_rows, table_suffix
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
    layout = _detect(path, columns) if layout == "auto" else layout
    records = _records(path, layout, columns, image_root, patients, encoding)
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
    if layout == "mimic-cxr":
        return read_mimic(path, encoding=encoding)
    if layout == "chexpert-plus":
        return read_chexpert_plus(path, image_root=Path(image_root) if image_root else None, encoding=encoding)
    return read_table_records(path, columns=columns, patients=patients, encoding=encoding)


def _detect(path: Path, columns: Mapping[str, str] | None) -> Layout:
    if path.is_file():
        if path.name.lower().endswith(ARCHIVES):
            return "openi"
        if not table_suffix(path):
            raise TableError(f"{path}: neither a table nor an archive of reports")
        # A mapping by hand means that the table is to be read as the user says.
        return "chexpert-plus" if not columns and is_chexpert_plus(read_rows(path).columns) else "table"
    if is_mimic(path):
        return "mimic-cxr"
    if next(path.rglob("*.xml"), None) is not None:
        return "openi"
    if next(path.rglob("*.txt"), None) is not None:
        return "text"
    raise TableError(f"{path}: no reports found (.txt or .xml); for a table, name the file")
