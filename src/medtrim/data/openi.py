"""Open-i's (Indiana University) reports: XML files in a folder or a tar archive, read without unpacking.

The collection has one study a patient (Demner-Fushman et al., JAMIA 2016, doi:10.1093/jamia/ocv080), so the study's
id stands for the patient's.
"""

from __future__ import annotations

import re
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from medtrim.data.raw import RawRecord
from medtrim.errors import TableError

ARCHIVES = (".tgz", ".tar.gz", ".tar")
_LARGEST_REPORT = 8 * 2**20


def read_openi(path: Path, *, images: bool = False) -> Iterator[RawRecord]:
    """Records of every `.xml` report below `path` (folder or archive), by report number.

    The study id is the report's uId (`CXR4`). The MeSH codes become the label column `mesh`; no method reads it.
    With `images`, the parent images are listed as `<image id>.png`, as Open-i ships them.

    Raises:
        TableError: the archive is broken.
    """
    for name, content in sorted(_files(path), key=lambda file: _natural(file[0])):
        yield _record(name, content, images=images)


def _files(path: Path) -> Iterator[tuple[str, bytes | str]]:
    """(name, bytes), or (name, problem) where the file cannot be had."""
    if path.is_dir():
        for file in path.rglob("*.xml"):
            if not file.is_file():
                continue
            name = file.relative_to(path).as_posix()
            try:
                large = file.stat().st_size > _LARGEST_REPORT
                yield name, "file is too large for a report" if large else file.read_bytes()
            except OSError as error:
                yield name, f"file cannot be read ({error.strerror})"
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.lower().endswith(".xml"):
                    if member.size > _LARGEST_REPORT:
                        yield member.name, "file is too large for a report"
                        continue
                    stream = archive.extractfile(member)
                    yield member.name, stream.read() if stream else "archive member cannot be read"
    except (tarfile.TarError, OSError, EOFError) as error:
        raise TableError(f"{path} cannot be read as a tar archive ({error})") from error


def _record(name: str, content: bytes | str, *, images: bool) -> RawRecord:
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
    files = [f"{image.get('id')}.png" for image in root.iter("parentImage") if image.get("id")]
    return RawRecord(
        source=name,
        study_id=study_id,
        patient_id=study_id,
        images=tuple(files) if images else (),
        findings="\n".join(sections.get("FINDINGS", ())),
        impression="\n".join(sections.get("IMPRESSION", ())),
        labels={"mesh": [(e.text or "").strip() for e in root.iterfind(".//MeSH/major")]},
    )


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key under which report 2 comes before report 10."""
    parts = re.split(r"(\d+)", name)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts], name
