"""A folder of `.txt` reports in MIMIC-CXR's layout: `…/p10/p10000032/s50414267.txt`, images in `s50414267/`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medtrim.data.boundary import LARGEST_REPORT, UnusableError, decoded, file_bytes
from medtrim.data.raw import RawRecord

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".dcm", ".dicom", ".tif", ".tiff")
_PATIENT = re.compile(r"p\d{3,}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReportText:
    """The text of a report file, or what keeps it from being read."""

    text: str
    problem: str = ""


def read_text(file: Path, encoding: str) -> ReportText:
    """A report file's text; a UTF-8 byte-order mark is dropped.

    Raises:
        TableError: there is no such encoding.
    """
    try:
        return ReportText(decoded(file_bytes(file, largest=LARGEST_REPORT), encoding))
    except UnusableError as error:
        return ReportText("", str(error))


def read_text_folder(path: Path, *, encoding: str = "utf-8") -> Iterator[RawRecord]:
    """Records of every `.txt` below `path`, in the order of their paths.

    The study id is the file's name without its suffix; the patient id is the nearest folder above it that is
    named like `p10000032`, and empty where there is none. Images are the files of a folder beside the report that
    bears the study's name, paths relative to `path`.
    """
    for file in sorted(path.rglob("*.txt")):
        if file.is_file():
            found = read_text(file, encoding)
            yield RawRecord(
                source=file.relative_to(path).as_posix(),
                study_id=file.stem,
                patient_id=patient_of(file),
                images=images_in(file.with_suffix(""), root=path),
                text=found.text,
                problem=found.problem,
            )


def patient_of(file: Path) -> str:
    """The nearest folder name above `file` that looks like `p10000032`; empty where there is none.

    MIMIC-CXR's outer folders, `p10` … `p19`, are too short to be taken for a patient.
    """
    return next((parent.name for parent in file.parents if _PATIENT.fullmatch(parent.name)), "")


def images_in(folder: Path, *, root: Path) -> tuple[str, ...]:
    """Image files of `folder`, sorted, as paths relative to `root`."""
    if not folder.is_dir():
        return ()
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
    return tuple(f.relative_to(root).as_posix() for f in files)
