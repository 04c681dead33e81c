"""Which column of a table is which field of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from medtrim.data.raw import Patients
from medtrim.errors import ConfigError, TableError
from medtrim.types.settings import nearest

# Names in use for each field, preferred first; compared without case, blanks, dots and hyphens.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "study_id": ("study_id", "studyid", "study", "uid", "accession_number", "accession", "dicom_id", "image_id"),
    "patient_id": ("patient_id", "patientid", "patient", "subject_id", "subjectid", "subject", "mrn"),
    "images": ("images", "image", "image_path", "image_paths", "path", "paths", "filename", "file_name", "file"),
    "view": ("view", "view_position", "viewposition", "projection"),
    "findings": ("findings", "section_findings", "findings_section"),
    "impression": ("impression", "impressions", "section_impression", "impression_section", "conclusion"),
    "text": ("text", "report", "report_text", "reporttext", "caption", "note"),
    "split": ("split", "fold", "subset", "partition"),
}
FIELDS = tuple(ALIASES)


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Field → the table's own column name; `labels` are the columns that are no field, in the table's order."""

    fields: Mapping[str, str]
    labels: tuple[str, ...]


def map_columns(
    found: Iterable[str], *, columns: Mapping[str, str] | None, patients: Patients, table: str
) -> ColumnMap:
    """Find every field among the columns `found`; `columns` (field → column) has precedence over the known names.

    `text`, a whole report, is looked for only where there is neither a findings nor an impression column.

    Raises:
        ConfigError: `columns` names a field that does not exist.
        TableError: a column named in `columns` is not there, or the study (or image), patient or report columns
            are missing; the message lists them and what was found.
    """
    found = list(found)
    chosen = _explicit(found, columns or {}, table)
    taken = set(chosen.values())
    by_name = {_plain(name): name for name in reversed(found) if name not in taken}
    for field, names in ALIASES.items():
        if field in chosen or (field == "text" and {"findings", "impression"} & chosen.keys()):
            continue
        match = next((by_name[_plain(name)] for name in names if _plain(name) in by_name), None)
        if match is not None and match not in taken:
            chosen[field] = match
            taken.add(match)
    _require(found, chosen, patients, table)
    return ColumnMap(chosen, tuple(name for name in found if name not in taken))


def _explicit(found: list[str], columns: Mapping[str, str], table: str) -> dict[str, str]:
    # The singular is what a table with one image a study calls its column.
    columns = {"images" if field == "image" else field: column for field, column in columns.items()}
    unknown = [field for field in columns if field not in FIELDS]
    if unknown:
        raise ConfigError(
            f"columns: unknown field {unknown[0]!r}; the fields are {', '.join(FIELDS)} "
            "(other columns are kept as they are)"
        )
    absent = [name for name in columns.values() if name not in found]
    if absent:
        raise TableError(f"{table}: no column {absent[0]!r}{nearest(absent[0], found)}")
    return dict(columns)


def _require(found: list[str], chosen: Mapping[str, str], patients: Patients, table: str) -> None:
    missing = []
    if not {"study_id", "images"} & chosen.keys():
        missing.append("study_id (or images, whose file names then name the studies)")
    if patients == "required" and "patient_id" not in chosen:
        missing.append("patient_id (needed to split by patient)")
    if not {"findings", "impression", "text"} & chosen.keys():
        missing.append("findings, impression or text (the report)")
    if missing:
        raise TableError(
            f"{table}: missing column {'; '.join(missing)}. Columns found: {', '.join(found) or 'none'}. "
            "Name a column with --column findings=NAME of `medtrim data import`, whose table every command reads"
        )


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
