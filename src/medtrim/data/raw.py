"""From what a reader found to studies: cleaned cells, sections, merged rows, rejects with their reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from medtrim.data.boundary import UnusableError, check_text
from medtrim.data.study_builder import StudyBuilder
from medtrim.data.views import IMAGE_VIEWS, views_of
from medtrim.errors import ConfigError
from medtrim.types import Reject, Sections, Study
from medtrim.types.study_table import StudyTable

SplitSections = Callable[[str], Sections]
Patients = Literal["required", "optional", "study"]
PATIENTS: tuple[Patients, ...] = ("required", "optional", "study")
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
    """One row or file as found.

    Attributes:
        views: of each image, or empty where none is known; `view` is then the study's.
        text: a whole report, whose sections are still to be found.
        problem: why the record cannot be used at all.
    """

    source: str
    study_id: str = ""
    patient_id: str = ""
    images: tuple[str, ...] = ()
    view: str = ""
    views: tuple[str, ...] = ()
    findings: str = ""
    impression: str = ""
    text: str = ""
    split: str = ""
    labels: Mapping[str, object] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CorpusReading:
    """The usable studies in the order of their source, and every record that could not be used.

    Attributes:
        warnings: what was expected of the whole and is missing: images, reports, an official split.
        notes: what a user of the archive should know.
    """

    studies: StudyTable
    rejects: tuple[Reject, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def split_name(name: str) -> str:
    """`train`, `val` or `test` for the spellings in use ("valid", "validate", "dev" …), other names as they are."""
    return SPLIT_NAMES.get(name.strip().lower(), name.strip().lower())


def assemble(
    records: Iterable[RawRecord],
    *,
    split_sections: SplitSections | None,
    patients: Patients,
    empty_reports: bool = False,
    textual: bool = False,
) -> CorpusReading:
    """Studies of `records`, each record either in a study or among the rejects.

    Rows that repeat a study with the same patient and report but another image are its further images, frontal ones
    first. Any other repetition of a study id is rejected; the first occurrence stays.

    Args:
        empty_reports: take studies without a report, as archives of labels have them.
        textual: label cells came as text.
    """
    if patients not in PATIENTS:
        raise ConfigError(f"patients must be one of {', '.join(PATIENTS)}, not {patients!r}")
    studies = StudyBuilder(textual=textual)
    rows: dict[str, int] = {}
    sources: list[str] = []
    rejects: list[Reject] = []
    for record in records:
        outcome = _study(record, split_sections, patients, empty_reports)
        if isinstance(outcome, str):
            rejects.append(Reject(record.study_id, record.source, outcome))
            continue
        row = rows.get(outcome.study_id)
        if row is None:
            rows[outcome.study_id] = len(studies)
            sources.append(record.source)
            studies.add(outcome)
        elif _same_study(first := studies[row], outcome):
            studies[row] = _merged(first, outcome)
        else:
            rejects.append(Reject(record.study_id, record.source, f"duplicate study id, first at {sources[row]}"))
    return CorpusReading(studies.finish(), tuple(rejects))


def _study(
    record: RawRecord, split_sections: SplitSections | None, patients: Patients, empty_reports: bool
) -> Study | str:
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
    if not findings and not impression and record.text.strip():
        if split_sections is None:
            raise ConfigError("the corpus holds whole reports: pass split_sections to find their sections")
        sections = split_sections(record.text)
        findings, impression, unread = sections.findings.strip(), sections.impression.strip(), sections.unread
        if not findings and not impression:
            return "report has neither a findings nor an impression section"
    elif not findings and not impression and not empty_reports:
        return "empty report"
    try:
        check_text("".join((record.study_id, patient_id, findings, impression, record.view, *record.images)))
    except UnusableError as error:
        return str(error)
    labels = dict(record.labels)
    if any(record.views):
        labels[IMAGE_VIEWS] = list(record.views)
    return Study(
        study_id=record.study_id,
        patient_id=patient_id,
        images=record.images,
        view=record.views[0] if record.views else record.view,
        findings=findings,
        impression=impression,
        split=split_name(record.split),
        labels=labels,
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


def _merged(first: Study, other: Study) -> Study:
    """`first` with the images of `other` behind its own."""
    labels = dict(first.labels)
    views = [*views_of(first), *views_of(other)]
    if any(views):
        labels[IMAGE_VIEWS] = views
    return replace(first, images=first.images + other.images, labels=labels)
