"""CheXpert-style labels, one column a disease: 1 for present, 0 absent, -1 uncertain, blank not said."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medtrim.errors import TableError
from medtrim.types import DISEASES, Annotation, Assertion, Finding
from medtrim.types.tables import check_columns, check_unique

_ASSERTION: dict[float, Assertion] = {1.0: "present", 0.0: "absent", -1.0: "uncertain"}
_STRENGTH: dict[Assertion, int] = {"present": 2, "uncertain": 1, "absent": 0}
# CheXpert's column for tubes, lines and implants; "No Finding" follows from the others.
_NAMES = {**{disease: disease for disease in DISEASES}, "support devices": "device"}


def read_labels(path: Path | str) -> list[Annotation]:
    """The labels of a CSV or Parquet table as annotations without descriptors or mentions.

    A study's column `study_id` names it; columns are matched to diseases whatever their case; others are ignored.

    Raises:
        TableError: the table cannot be read, has no `study_id` or no label column, an id repeats, or a label is
            none of 1, 0, -1 and blank.
    """
    path = Path(path)
    rows = _rows(path)
    columns = list(rows[0]) if rows else []
    check_columns(columns, ["study_id"], table=path.name)
    diseases = {name: _NAMES[name.strip().lower()] for name in columns if name.strip().lower() in _NAMES}
    if not diseases:
        raise TableError(f"{path.name}: no column is named after a disease; expected some of {', '.join(_NAMES)}")
    found = [_annotation(row, diseases, source=path.name) for row in rows]
    check_unique((a.study_id for a in found), table=path.name)
    return found


def study_level(annotations: Iterable[Annotation], diseases: Sequence[str]) -> list[Annotation]:
    """Each study's strongest finding of each of `diseases` (present before uncertain before absent), bare.

    That is what a label says: descriptors are dropped, the mentions of the finding are kept.
    """
    found: list[Annotation] = []
    for annotation in annotations:
        strongest: dict[str, Finding] = {}
        for finding in annotation.findings:
            old = strongest.get(finding.disease)
            if old is None or _STRENGTH[finding.assertion] > _STRENGTH[old.assertion]:
                strongest[finding.disease] = finding
        bare = (
            Finding(d, strongest[d].assertion, mentions=strongest[d].mentions) for d in diseases if d in strongest
        )
        found.append(Annotation(annotation.study_id, tuple(bare), annotation.read))
    return found


def _rows(path: Path) -> list[dict[str, object]]:
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return list(pq.read_table(path).to_pylist())
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [dict(row) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowInvalid) as error:
        raise TableError(f"labels: {path} cannot be read ({type(error).__name__})") from error


def _annotation(row: Mapping[str, object], diseases: Mapping[str, str], *, source: str) -> Annotation:
    study_id = str(row["study_id"] or "").strip()
    if not study_id:
        raise TableError(f"{source}: a row has no study id")
    findings = []
    for column, disease in diseases.items():
        value = row[column]
        if value is None or not str(value).strip() or str(value).strip().lower() == "nan":
            continue
        try:
            assertion = _ASSERTION[float(str(value))]
        except (ValueError, KeyError) as error:
            raise TableError(
                f"{source}: study {study_id!r}: {column} is {value!r}, expected 1, 0, -1 or blank"
            ) from error
        findings.append(Finding(disease, assertion))
    return Annotation(study_id, tuple(findings))
