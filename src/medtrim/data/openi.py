"""Open-i's (Indiana University) reports: XML files in a folder or a tar archive, read without unpacking.

The collection has one study a patient (Demner-Fushman et al., JAMIA 2016, doi:10.1093/jamia/ocv080), so the study's
id stands for the patient's.
"""

from __future__ import annotations

import re
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path

from medtrim.data.boundary import LARGEST_REPORT, UnusableError, file_bytes
from medtrim.data.raw import RawRecord
from medtrim.data.rows import read_rows
from medtrim.data.views import view_name
from medtrim.errors import TableError

ARCHIVES = (".tgz", ".tar.gz", ".tar")


PROJECTIONS = "indiana_projections.csv"


def read_openi(path: Path, *, image_root: Path | None = None) -> Iterator[RawRecord]:
    """Records of every `.xml` report below `path` (folder or archive), by report number.

    The study id is the report's uId (`CXR4`). The MeSH codes become the label column `mesh`; no method reads it.
    The parent images are `<image id>.png` in `image_root`, or in the folder `path` where PNG files lie; without
    either, records have no images. The reports do not say which view an image is; `indiana_projections.csv` of the
    collection's Kaggle edition does, where it lies beside the images or the reports.

    Raises:
        TableError: the archive is broken.
    """
    folder = image_root or (path if path.is_dir() and next(path.glob("*.png"), None) is not None else None)
    beside = path if path.is_dir() else path.parent
    views = next((_views(p / PROJECTIONS) for p in (folder, beside) if p and (p / PROJECTIONS).is_file()), {})
    for name, content in sorted(_files(path), key=lambda file: _natural(file[0])):
        yield _record(name, content, images=folder is not None, views=views)


def _views(file: Path) -> dict[str, str]:
    """Image id without its `CXR4_` → view, of `indiana_projections.csv` (`1_IM-0001-4001.dcm.png`)."""
    rows = [row.cells for row in read_rows(file).rows if not row.problem]
    return {str(r.get("filename", "")).split(".")[0]: view_name(str(r.get("projection", ""))) for r in rows}


def _files(path: Path) -> Iterator[tuple[str, bytes | str]]:
    """(name, bytes), or (name, problem) where the file cannot be had."""
    if path.is_dir():
        for file in path.rglob("*.xml"):
            name = file.relative_to(path).as_posix()
            try:
                yield name, file_bytes(file, largest=LARGEST_REPORT)
            except UnusableError as error:
                yield name, str(error)
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.lower().endswith(".xml"):
                    if member.size > LARGEST_REPORT:
                        yield member.name, f"file has more than the {LARGEST_REPORT:,} bytes allowed"
                        continue
                    stream = archive.extractfile(member)
                    yield member.name, stream.read() if stream else "archive member cannot be read"
    except (tarfile.TarError, OSError, EOFError) as error:
        raise TableError(f"{path} cannot be read as a tar archive ({error})") from error


def _record(name: str, content: bytes | str, *, images: bool, views: Mapping[str, str]) -> RawRecord:
    if isinstance(content, str):
        return RawRecord(source=name, problem=content)
    try:
        root = ET.fromstring(content)
    except (ET.ParseError, ValueError, LookupError) as error:
        return RawRecord(source=name, problem=f"malformed XML ({error})")
    uid = root.find(".//uId")
    study_id = (uid.get("id") or "").strip() if uid is not None else ""
    if not study_id:
        return RawRecord(source=name, problem="report has no uId")
    sections: dict[str, list[str]] = {}
    for element in root.iter("AbstractText"):
        text = "".join(element.itertext()).strip()
        if text:
            sections.setdefault((element.get("Label") or "").upper(), []).append(text)
    ids = [str(image.get("id")) for image in root.iter("parentImage") if image.get("id")] if images else []
    return RawRecord(
        source=name,
        study_id=study_id,
        patient_id=study_id,
        images=tuple(f"{image}.png" for image in ids),
        views=tuple(views.get(image.partition("_")[2], "") for image in ids),
        findings="\n".join(sections.get("FINDINGS", ())),
        impression="\n".join(sections.get("IMPRESSION", ())),
        labels={"mesh": [(e.text or "").strip() for e in root.iterfind(".//MeSH/major")]},
    )


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key under which report 2 comes before report 10."""
    parts = re.split(r"(\d+)", name)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts], name
