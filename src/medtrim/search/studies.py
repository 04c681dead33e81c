"""A study as an index shows it, and as one text in the table: a row is then read from one place of the disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from medtrim.types import Finding, Mention


@dataclass(frozen=True, slots=True)
class IndexedStudy:
    """A study of the index by one of its images.

    Args:
        row: names the image where ids must not be named, such as in addresses of pictures.
        view: of this image; `views` are those of all the study's images.
        read: whether something is recognised in the report; where not, the study is not known to be normal.
        columns: the further columns that were named at indexing.
        image_files: where the study's images were when it was indexed.
    """

    row: int
    study_id: str
    findings: tuple[Finding, ...]
    report_findings: str
    report_impression: str
    has_thumbnail: bool
    patient_id: str = ""
    view: str = ""
    views: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    image_files: tuple[str, ...] = ()
    read: bool = True


def encode_study(study: IndexedStudy) -> str:
    """The study as JSON, without its row."""
    values = {f.name: getattr(study, f.name) for f in fields(study) if f.name not in ("row", "findings")}
    return json.dumps(values | {"findings": [asdict(f) for f in study.findings]}, ensure_ascii=False)


def decode_study(row: int, text: str) -> IndexedStudy:
    """The study of `encode_study` in `row`."""
    values = json.loads(text)
    for name in ("views", "image_files"):
        values[name] = tuple(values[name])
    values["findings"] = tuple(_finding(found) for found in values["findings"])
    return IndexedStudy(row, **values)


def _finding(values: dict[str, object]) -> Finding:
    mentions: list[dict[str, object]] = values.pop("mentions")  # type: ignore[assignment]
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Finding(mentions=tuple(Mention(**m) for m in mentions), **plain)  # type: ignore[arg-type]
