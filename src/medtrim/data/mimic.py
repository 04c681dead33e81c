"""MIMIC-CXR(-JPG) as PhysioNet ships it: `mimic-cxr-2.0.0-*.csv.gz` beside `files/p10/p10000032/s50414267/…`.

Johnson et al., MIMIC-CXR-JPG, doi:10.13026/8360-t248. Reports come from `mimic_cxr_sectioned.csv` (made by the
dataset's own `create_section_files.py`) where it is there, else from `s50414267.txt`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from medtrim.data.raw import RawRecord, cell
from medtrim.data.rows import read_rows
from medtrim.data.table import with_tidy_labels
from medtrim.data.text_folder import ReportText, read_text
from medtrim.errors import TableError
from medtrim.types.tables import check_columns

METADATA = "mimic-cxr-2.0.0-metadata.csv"
_SPLIT, _LABELS, _SECTIONS = "mimic-cxr-2.0.0-split.csv", "mimic-cxr-2.0.0-chexpert.csv", "mimic_cxr_sectioned.csv"
_TEXT_ROOTS = (".", "mimic-cxr-reports", "reports")
_SUFFIXES = (".jpg", ".dcm", ".png")
# A study's first image is the one that most uses take: frontal before lateral, PA before AP.
_VIEW_ORDER = {"PA": 0, "AP": 1}


@dataclass(frozen=True, slots=True)
class _Image:
    dicom_id: str
    view: str


def is_mimic(path: Path) -> bool:
    """Whether `path` is MIMIC-CXR's root folder: it holds the metadata file."""
    return _find(path, METADATA) is not None


def read_mimic(path: Path, *, encoding: str = "utf-8") -> list[RawRecord]:
    """Records of every study of the metadata file, with its images, split and CheXpert labels.

    Study and patient ids are written as in the folders, `s50414267` and `p10000032`.

    Raises:
        TableError: the metadata file is missing, or a file lacks columns.
    """
    metadata = _find(path, METADATA)
    if metadata is None:
        raise TableError(f"{path}: {METADATA} (or .gz) is not there; is this MIMIC-CXR's root folder?")
    images: dict[tuple[str, str], list[_Image]] = {}
    for row in _rows(metadata, ("dicom_id", "subject_id", "study_id")):
        key = cell(row["subject_id"]), cell(row["study_id"])
        images.setdefault(key, []).append(_Image(cell(row["dicom_id"]), cell(row.get("ViewPosition"))))
    splits = {cell(r["study_id"]): cell(r["split"]) for r in _optional(path, _SPLIT, ("study_id", "split"))}
    labels = {
        cell(r["study_id"]): {k: v for k, v in r.items() if k not in ("study_id", "subject_id")}
        for r in _optional(path, _LABELS, ("study_id",))
    }
    sections = {
        cell(r["study"]).removeprefix("s"): (cell(r["findings"]), cell(r["impression"]))
        for r in _optional(path, _SECTIONS, ("study", "findings", "impression"))
    }
    records = []
    suffix = ""
    for (subject, study), found in images.items():
        folder = f"files/p{subject[:2]}/p{subject}/s{study}"
        found.sort(key=lambda i: (_VIEW_ORDER.get(i.view.upper(), 2), i.dicom_id))
        suffix = suffix or _suffix_of(path, folder, found[0].dicom_id)
        findings, impression = sections.get(study, ("", ""))
        report = ReportText("") if findings or impression else _report(path, folder, encoding)
        records.append(
            RawRecord(
                source=f"s{study}",
                study_id=f"s{study}" if study else "",
                patient_id=f"p{subject}" if subject else "",
                images=tuple(f"{folder}/{i.dicom_id}{suffix or '.jpg'}" for i in found),
                view=found[0].view,
                findings=findings,
                impression=impression,
                text=report.text,
                split=splits.get(study, ""),
                labels=labels.get(study, {}),
                problem=report.problem,
            )
        )
    return with_tidy_labels(records, textual=True)


def _report(path: Path, folder: str, encoding: str) -> ReportText:
    """A study's report; empty where there is none."""
    for root in _TEXT_ROOTS:
        file = path / root / f"{folder}.txt"
        if file.is_file():
            return read_text(file, encoding)
    return ReportText("")


def _suffix_of(path: Path, folder: str, dicom_id: str) -> str:
    return next((s for s in _SUFFIXES if (path / folder / f"{dicom_id}{s}").exists()), "")


def _find(path: Path, name: str) -> Path | None:
    return next((f for f in (path / name, path / f"{name}.gz") if f.is_file()), None)


def _optional(path: Path, name: str, wanted: tuple[str, ...]) -> Iterator[Mapping[str, str]]:
    file = _find(path, name)
    return _rows(file, wanted) if file else iter(())


def _rows(file: Path, wanted: tuple[str, ...]) -> Iterator[Mapping[str, str]]:
    table = read_rows(file)
    check_columns(table.columns, wanted, table=file.name)
    for row in table.rows:
        if row.problem:
            raise TableError(f"{row.source}: {row.problem}")
        yield row.cells
