"""CheXpert Plus: one CSV with a row an image, `df_chexpert_plus_240401.csv` (Chambon et al., arXiv:2405.19538)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from medtrim.data.columns import ColumnMap
from medtrim.data.raw import RawRecord, cell
from medtrim.data.rows import read_rows
from medtrim.data.table import record_of, with_tidy_labels
from medtrim.types.tables import check_columns

_FIELDS = {
    "patient_id": "deid_patient_id",
    "images": "path_to_image",
    "findings": "section_findings",
    "impression": "section_impression",
    "text": "report",
    "split": "split",
}
_REQUIRED = ("path_to_image", "deid_patient_id", "section_findings", "section_impression")
_STUDY = re.compile(r"patient\d+/study\d+")
# Other report sections and paths are no labels; who reads a label column should not find report text in it.
_NO_LABELS = re.compile(r"section_.*|path_to_dcm|frontal_lateral|ap_pa|patient_report_date_order")


def is_chexpert_plus(columns: Iterable[str]) -> bool:
    """Whether a table with `columns` is CheXpert Plus."""
    return set(_REQUIRED) <= set(columns)


def read_chexpert_plus(path: Path, *, image_root: Path | None = None, encoding: str = "utf-8") -> list[RawRecord]:
    """Records of every image; `raw.assemble` joins those of a study, frontal ones first.

    The study id is `patient42142/study5`, from the image's path. Where `image_root` holds the PNG edition, the
    table's `.jpg` paths become `.png`. The view is `AP`, `PA` or `Lateral`.

    Raises:
        TableError: columns are missing.
    """
    table = read_rows(path, encoding=encoding)
    check_columns(table.columns, _REQUIRED, table=path.name)
    fields = {field: name for field, name in _FIELDS.items() if name in table.columns}
    labels = tuple(c for c in table.columns if c not in fields.values() and not _NO_LABELS.fullmatch(c))
    mapping = ColumnMap(fields, labels)
    records = []
    for row in table.rows:
        record = record_of(row, mapping)
        found = _STUDY.search(record.images[0].replace("\\", "/")) if record.images else None
        lateral = cell(row.cells.get("frontal_lateral")).lower() == "lateral"
        view = "Lateral" if lateral else cell(row.cells.get("ap_pa")) or cell(row.cells.get("frontal_lateral"))
        records.append(replace(record, study_id=found.group() if found else "", view=view))
    if image_root is not None:
        records = _with_suffix(records, image_root)
    first: dict[str, int] = {}
    for i, record in enumerate(records):
        first.setdefault(record.study_id, i)
    records.sort(key=lambda r: (first[r.study_id], r.view == "Lateral"))
    return with_tidy_labels(records, textual=True)


def _with_suffix(records: list[RawRecord], root: Path) -> list[RawRecord]:
    """Take `.png` for `.jpg` where that is what the first image is at hand as."""
    sample = next((r.images[0] for r in records if r.images), "")
    if not sample or (root / sample).exists() or not (root / sample).with_suffix(".png").exists():
        return records
    return [replace(r, images=tuple(str(PurePosixPath(i).with_suffix(".png")) for i in r.images)) for r in records]
