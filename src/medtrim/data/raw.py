"""From what a reader found to studies: cleaned cells, sections, merged rows, rejects with their reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from medtrim.errors import ConfigError
from medtrim.types import Reject, Sections, Study

SplitSections = Callable[[str], Sections]
Patients = Literal["required", "optional", "study"]
PATIENTS: tuple[Patients, ...] = ("required", "optional", "study")

# Cells that writers of tables leave where there is nothing.
EMPTY_CELLS = frozenset({"", "nan", "none", "null", "n/a", "na", "<na>", "nat"})
SPLIT_NAMES: Mapping[str, str] = {
    "training": "train",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "testing": "test",
}


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One row or file as found. `text` is a whole report; `problem` says why the record cannot be used at all."""

    source: str
    study_id: str = ""
    patient_id: str = ""
    images: tuple[str, ...] = ()
    view: str = ""
    findings: str = ""
    impression: str = ""
    text: str = ""
    split: str = ""
    labels: Mapping[str, object] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CorpusReading:
    """The usable studies in the order of their source, and every record that could not be used."""

    studies: tuple[Study, ...]
    rejects: tuple[Reject, ...]


def cell(value: object) -> str:
    """A table cell as text, trimmed: NaN, None and their spellings are empty, 5.0 is "5"."""
    if value is None or value != value:  # NaN alone differs from itself
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    return "" if text.lower() in EMPTY_CELLS else text


def split_name(name: str) -> str:
    """`train`, `val` or `test` for the spellings in use ("valid", "validate", "dev" …), other names as they are."""
    return SPLIT_NAMES.get(name.strip().lower(), name.strip().lower())


def assemble(
    records: Iterable[RawRecord], *, split_sections: SplitSections | None, patients: Patients
) -> CorpusReading:
    """Studies of `records`, each record either in a study or among the rejects.

    Rows that repeat a study with the same patient and report but another image are its further images. Any
    other repetition of a study id is rejected; the first occurrence stays.
    """
    if patients not in PATIENTS:
        raise ConfigError(f"patients must be one of {', '.join(PATIENTS)}, not {patients!r}")
    studies: dict[str, Study] = {}
    sources: dict[str, str] = {}
    rejects: list[Reject] = []
    for record in records:
        outcome = _study(record, split_sections, patients)
        if isinstance(outcome, str):
            rejects.append(Reject(record.study_id, record.source, outcome))
            continue
        first = studies.get(outcome.study_id)
        if first is None:
            studies[outcome.study_id], sources[outcome.study_id] = outcome, record.source
        elif _same_study(first, outcome):
            studies[outcome.study_id] = replace(first, images=first.images + outcome.images)
        else:
            reason = f"duplicate study id, first at {sources[outcome.study_id]}"
            rejects.append(Reject(record.study_id, record.source, reason))
    return CorpusReading(tuple(studies.values()), tuple(rejects))


def _study(record: RawRecord, split_sections: SplitSections | None, patients: Patients) -> Study | str:
    """The study that `record` describes, or why there is none."""
    if record.problem:
        return record.problem
    if not record.study_id:
        return "no study id"
    patient_id = record.study_id if patients == "study" else record.patient_id
    if patients == "required" and not patient_id:
        return "no patient id"
    findings, impression = record.findings.strip(), record.impression.strip()
    unread = 0
    if not findings and not impression:
        if not record.text.strip():
            return "empty report"
        if split_sections is None:
            raise ConfigError("the corpus holds whole reports: pass split_sections to find their sections")
        sections = split_sections(record.text)
        findings, impression, unread = sections.findings.strip(), sections.impression.strip(), sections.unread
    if not findings and not impression:
        return "report has neither a findings nor an impression section"
    if "\x00" in findings or "\x00" in impression:
        return "report holds NUL characters: wrong encoding"
    return Study(
        study_id=record.study_id,
        patient_id=patient_id,
        images=record.images,
        view=record.view,
        findings=findings,
        impression=impression,
        split=split_name(record.split),
        labels=dict(record.labels),
        unread=unread,
    )


def _same_study(first: Study, other: Study) -> bool:
    return (
        first.patient_id == other.patient_id
        and first.findings == other.findings
        and first.impression == other.impression
        and bool(other.images)
        and not set(first.images) & set(other.images)
    )
