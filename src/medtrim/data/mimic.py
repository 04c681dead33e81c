"""MIMIC-CXR(-JPG) as PhysioNet ships it: lists beside `files/p10/p10000032/s50414267/…`.

MIMIC-CXR-JPG (Johnson et al., doi:10.13026/8360-t248): `mimic-cxr-2.0.0-metadata.csv.gz` names images and views.
MIMIC-CXR (doi:10.13026/C2JT1Q): `cxr-record-list.csv.gz` names DICOM files and `cxr-study-list.csv.gz` reports.
Reports come from `mimic_cxr_sectioned.csv` (made by the dataset's own `create_section_files.py`) where it is there,
else from `s50414267.txt`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from sys import intern

from medtrim.data.boundary import UnusableError, cell_text, path_text
from medtrim.data.raw import RawRecord
from medtrim.data.rows import Row, read_rows
from medtrim.data.text_folder import ReportText, read_text
from medtrim.data.views import view_name, view_order
from medtrim.errors import TableError
from medtrim.types.tables import check_columns

METADATA, RECORDS, STUDIES = "mimic-cxr-2.0.0-metadata.csv", "cxr-record-list.csv", "cxr-study-list.csv"
_SPLIT, _LABELS, _SECTIONS = "mimic-cxr-2.0.0-split.csv", "mimic-cxr-2.0.0-chexpert.csv", "mimic_cxr_sectioned.csv"
_TEXT_ROOTS = (".", "mimic-cxr-reports", "reports")
_SUFFIXES = (".jpg", ".dcm", ".png")
# Between the parts of a text; no cell that can be used has it.
_GAP = "\0"


@dataclass(frozen=True, slots=True)
class _Image:
    dicom_id: str
    path: str
    view: str


@dataclass(slots=True)
class _Sources:
    """Everything about the studies but their images, by study number."""

    splits: dict[str, str] = field(default_factory=dict)
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()
    sections: dict[str, tuple[str, str]] = field(default_factory=dict)
    reports: dict[str, str] = field(default_factory=dict)
    problems: list[RawRecord] = field(default_factory=list)


def is_mimic(path: Path) -> bool:
    """Whether `path` is MIMIC-CXR's root folder: it holds the metadata file or the record list."""
    return _find(path, METADATA) is not None or _find(path, RECORDS) is not None


def read_mimic(
    path: Path, *, report_root: Path | None = None, encoding: str = "utf-8"
) -> tuple[Iterator[RawRecord], tuple[str, ...]]:
    """Records of every study, with its images, split and CheXpert labels, and what a user should know.

    Lists are read at once and reports as the records are asked for, so that their texts are never held together.

    Study and patient ids are written as in the folders, `s50414267` and `p10000032`. Without the metadata file, the
    view of an image is its DICOM header's.

    Args:
        report_root: folder with the reports, where they lie apart from the images.

    Raises:
        TableError: neither the metadata file nor the record list is there, or a file lacks columns.
    """
    sources = _sources(path)
    studies = _images(path, sources)
    roots = [*([report_root, report_root.parent] if report_root else []), *(path / name for name in _TEXT_ROOTS)]
    warnings = _warnings(path, sources)
    for key, images in studies.items():  # the studies pass through one dictionary, which empties as they do
        studies[key] = f"{sources.splits.get(key.partition(_GAP)[2], '')}\n{images}"
    sources.splits.clear()
    return chain(sources.problems, _records(path, sources, studies, roots, encoding)), warnings


def _records(
    path: Path, sources: _Sources, studies: dict[str, str], roots: list[Path], encoding: str
) -> Iterator[RawRecord]:
    suffix = ""
    for key in list(studies):
        subject, study = key.split(_GAP)
        split, *listed = studies.pop(key).split("\n")
        folder = f"files/p{subject[:2]}/p{subject}/s{study}"
        images = [_Image(*image.split(_GAP)) for image in listed]
        found = [_Image(i.dicom_id, i.path or f"{folder}/{i.dicom_id}", i.view) for i in images]
        found = [_with_header_view(path, i) if not i.view and i.path.endswith(".dcm") else i for i in found]
        found.sort(key=lambda i: (view_order(i.view), i.dicom_id))
        paths = []
        for image in found:
            suffix = _suffix_of(path, image.path, suffix) or suffix
            paths.append(image.path if image.path.endswith(_SUFFIXES) else f"{image.path}{suffix or '.jpg'}")
        findings, impression = sources.sections.get(study, ("", ""))
        report = ReportText("")
        if not findings and not impression:
            report = _report(roots, sources.reports.get(study) or f"{folder}.txt", encoding)
        labels = sources.labels.get(study)
        name = f"s{study}"
        yield RawRecord(
            source=name,
            study_id=name if study else "",
            patient_id=f"p{subject}" if subject else "",
            images=tuple(paths),
            views=tuple(i.view for i in found),
            findings=findings,
            impression=impression,
            text=report.text,
            split=split,
            labels=dict(zip(sources.label_names, labels, strict=True)) if labels else {},
            problem=report.problem,
        )


def _warnings(path: Path, sources: _Sources) -> tuple[str, ...]:
    if sources.splits:
        return ()
    return (f"{path} holds no {_SPLIT}(.gz): patients are split by --split, not as MIMIC-CXR's publisher does",)


def _images(path: Path, sources: _Sources) -> dict[str, str]:
    """Subject and study → images, a line each, from the metadata file or else the record list.

    Texts, since of a third of a million images objects would take 100 MB.
    """
    found: dict[str, str] = {}
    file = _find(path, METADATA) or _find(path, RECORDS)
    if file is None:
        raise TableError(
            f"{path}: neither {METADATA} nor {RECORDS} (or .gz) is there; is this MIMIC-CXR's root folder?"
        )
    listed = {} if file.name.startswith(METADATA) else {"path": True}
    for cells in _rows(file, ("dicom_id", "subject_id", "study_id", *listed), sources):
        view = cell_text(cells.get("ViewPosition")) or cell_text(cells.get("ViewCodeSequence_CodeMeaning"))
        place = path_text(cells["path"]) if listed else ""
        key = f"{cell_text(cells['subject_id'])}{_GAP}{cell_text(cells['study_id'])}"
        image = _GAP.join((cell_text(cells["dicom_id"]), place, view_name(view)))
        found[key] = f"{found[key]}\n{image}" if key in found else image
    return found


def _sources(path: Path) -> _Sources:
    found = _Sources()
    for cells in _optional(path, _SPLIT, ("study_id", "split"), found):
        found.splits[cell_text(cells["study_id"])] = intern(cell_text(cells["split"]))
    for cells in _optional(path, _LABELS, ("study_id",), found):
        found.label_names = tuple(name for name in cells if name not in ("study_id", "subject_id"))
        found.labels[cell_text(cells["study_id"])] = tuple(intern(cells[name]) for name in found.label_names)
    for cells in _optional(path, _SECTIONS, ("study", "findings", "impression"), found):
        findings, impression = cell_text(cells["findings"]), cell_text(cells["impression"])
        # The publisher's own fallback for reports without headings.
        findings = findings if findings or impression else cell_text(cells.get("last_paragraph"))
        found.sections[cell_text(cells["study"]).removeprefix("s")] = findings, impression
    for cells in _optional(path, STUDIES, ("study_id", "path"), found):
        found.reports[cell_text(cells["study_id"])] = path_text(cells["path"])
    return found


def _with_header_view(path: Path, image: _Image) -> _Image:
    """`image` with the view that its DICOM header names, if it has one."""
    from medtrim.data.dicom import header_view  # pydicom takes a while to import

    return _Image(image.dicom_id, image.path, view_name(header_view(path / image.path)))


def _report(roots: list[Path], name: str, encoding: str) -> ReportText:
    """A study's report; empty where there is none."""
    for root in roots:
        if (root / name).is_file():
            return read_text(root / name, encoding)
    return ReportText("")


def _suffix_of(path: Path, image: str, likely: str) -> str:
    """The suffix under which an image is there, `likely` looked for first; empty where it is not there."""
    if PurePosixPath(image).suffix in _SUFFIXES:
        return ""
    order = sorted(_SUFFIXES, key=lambda s: s != likely)
    return next((s for s in order if (path / f"{image}{s}").exists()), "")


def _find(path: Path, name: str) -> Path | None:
    return next((f for f in (path / name, path / f"{name}.gz") if f.is_file()), None)


def _optional(path: Path, name: str, wanted: tuple[str, ...], sources: _Sources) -> Iterator[Mapping[str, str]]:
    file = _find(path, name)
    return _rows(file, wanted, sources) if file else iter(())


def _rows(file: Path, wanted: tuple[str, ...], sources: _Sources) -> Iterator[Mapping[str, str]]:
    """The cells of every row that can be used; the others are noted as problems."""
    table = read_rows(file)
    check_columns(table.columns, wanted, table=file.name)
    for row in table.rows:
        problem = row.problem or _problem_of(row, wanted)
        if problem:
            sources.problems.append(RawRecord(row.source, problem=problem))
        else:
            yield row.cells


def _problem_of(row: Row, wanted: tuple[str, ...]) -> str:
    try:
        for value in row.cells.values():
            cell_text(value)
        ids = [name for name in wanted if name.endswith("_id") or name == "study"]
        missing = next((name for name in ids if not cell_text(row.cells.get(name))), "")
    except UnusableError as error:
        return str(error)
    return f"no {missing}" if missing else ""
