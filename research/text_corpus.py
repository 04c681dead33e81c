"""Reports with expert codes, ready to ask whether a similarity of texts follows the codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medtrim.data import assign_splits, read_corpus
from medtrim.data.boundary import EMPTY_CELLS
from medtrim.entities import annotate_corpus, split_sections
from medtrim.errors import TableError
from medtrim.types import Annotation, Study
from medtrim.types.tables import Progress, no_progress
from medtrim.types.yamlfile import load_yaml

FRACTIONS: Mapping[str, float] = {"train": 0.6, "val": 0.15, "test": 0.25}
# Open-i's marks of reports that the coders did not index.
UNINDEXED = ("no indexing", "technical quality")
NORMAL = "normal"


@dataclass(frozen=True)
class CodedReports:
    """Distinct reports with their codes; row i of everything is study i.

    Attributes:
        studies: with a split each.
        codes: terms of each report, see `terms_of`.
        annotations: what the recogniser read.
        counts: how many records were read, left out and why, and how many a split.
    """

    studies: tuple[Study, ...]
    codes: tuple[tuple[str, ...], ...]
    annotations: tuple[Annotation, ...]
    counts: Mapping[str, int]

    def rows(self, split: str) -> NDArray[np.int64]:
        """The rows of a split."""
        return np.array([i for i, s in enumerate(self.studies) if s.split == split], np.int64)

    def overlap(self, rows: NDArray[np.int64], *, covered: bool = False) -> NDArray[np.float64]:
        """Jaccard index of the terms of each pair among `rows`: |A ∩ B| / |A ∪ B|; 0 where both are empty.

        With `covered`, only terms of the headings that the meta-entity score has a disease for.
        """
        terms = [covered_terms(self.codes[i]) if covered else self.codes[i] for i in rows]
        column = {term: j for j, term in enumerate(sorted({t for listed in terms for t in listed}))}
        has = np.zeros((len(rows), len(column)))
        for at, listed in enumerate(terms):
            has[at, [column[t] for t in listed]] = 1.0
        shared = has @ has.T
        size = has.sum(axis=1)
        union = size[:, None] + size[None, :] - shared
        return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))

    def is_covered(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each report has a term of a covered heading."""
        return np.array([bool(covered_terms(self.codes[i])) for i in rows], np.bool_)

    def is_abnormal(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each report has a code other than `normal`."""
        return np.array([self.codes[i] != (NORMAL,) for i in rows], np.bool_)


def terms_of(codes: Sequence[str]) -> tuple[str, ...]:
    """The terms of codes such as `Opacity/lung/base/left`: each heading, and heading/qualifier for each qualifier.

    Two reports with the same heading and other qualifiers are thereby somewhat alike, and more so the more
    qualifiers they share.
    """
    terms: set[str] = set()
    for code in codes:
        heading, *qualifiers = (part.strip().lower() for part in code.split("/"))
        if heading:
            terms |= {heading, *(f"{heading}/{q}" for q in qualifiers if q)}
    return tuple(sorted(terms))


@cache
def covered_headings() -> frozenset[str]:
    """The headings that stand for diseases of the meta-entity score."""
    text = Path(__file__).parent.joinpath("covered_headings.yaml").read_text(encoding="utf-8")
    return frozenset(load_yaml(text, source="covered_headings.yaml"))


def covered_terms(terms: Sequence[str]) -> tuple[str, ...]:
    """Those of `terms` (of one report) whose heading is covered, by itself or by one of its qualifiers."""
    known = covered_headings()
    headings = {t.split("/")[0] for t in terms if t in known}
    return tuple(t for t in terms if t.split("/")[0] in headings)


def read_coded_reports(
    path: Path | str, *, codes: str = "mesh", split_seed: int = 0, progress: Progress = no_progress
) -> CodedReports:
    """Read reports and codes, leave out what cannot be judged, keep one of each text, split by patient.

    Left out are reports without text, without codes or marked as not indexed, and every report but the first
    whose text (case and spaces apart) occurred before: equal texts are alike to any method, and on both sides
    of a split they would be seen before.

    Args:
        path: Open-i's archive or folder, or any table of reports.
        codes: label column with the codes: a list, or text with `;` between them.

    Raises:
        TableError: no report has both text and codes.
    """
    reading = read_corpus(path, split_sections=split_sections, patients="optional")
    counts = {"read": len(reading.studies) + len(reading.rejects), "unusable": len(reading.rejects)}
    kept: list[Study] = []
    terms: list[tuple[str, ...]] = []
    seen: set[str] = set()
    counts |= {"without codes": 0, "repeated text": 0}
    for study in reading.studies:
        found = _codes(study.labels.get(codes))
        if not found or any(mark in code for code in found for mark in UNINDEXED):
            counts["without codes"] += 1
            continue
        text = " ".join(study.report.lower().split())
        if text in seen:
            counts["repeated text"] += 1
            continue
        seen.add(text)
        kept.append(_with_patient(study))
        terms.append(found)
    if not kept:
        raise TableError(f"{path}: no report with text and codes in column {codes!r}")
    studies = assign_splits(kept, fractions=FRACTIONS, seed=split_seed, overwrite=True)
    annotations = tuple(annotate_corpus(studies, progress=progress))
    made = CodedReports(tuple(studies), tuple(terms), annotations, counts)
    sizes = {split: len(made.rows(split)) for split in FRACTIONS}
    abnormal = {f"{split} abnormal": int(made.is_abnormal(made.rows(split)).sum()) for split in FRACTIONS}
    return CodedReports(made.studies, made.codes, made.annotations, {**counts, **sizes, **abnormal})


def _codes(cell: object) -> tuple[str, ...]:
    listed = cell if isinstance(cell, list | tuple) else str(cell or "").split(";")
    return terms_of([str(code) for code in listed if str(code).strip().lower() not in EMPTY_CELLS])


def _with_patient(study: Study) -> Study:
    return study if study.patient_id else replace(study, patient_id=study.study_id)
