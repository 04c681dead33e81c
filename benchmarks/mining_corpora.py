"""Annotations for the mining benchmarks: real ones, and tables of any size with a real archive's repetition.

A hospital's archive repeats itself: most studies are normal, many have one of a few common findings, and new
combinations keep turning up. The tables drawn here keep a real table's share of normal studies; the others follow
a Pitman–Yor process (Pitman & Yor 1997), whose number of distinct values grows as a power of the number drawn, as
that of real annotations does. Its discount is the real table's share of abnormal annotations that occur once. A new
annotation recombines real ones: the diseases of one study, each described as in some study that has it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from medtrim.data import read_corpus
from medtrim.data.phantom import sample_case, write_report
from medtrim.entities import Recognizer, split_sections
from medtrim.types import DISEASES, Annotation, Finding, Study
from medtrim.types.tables import annotations_to_table, read_annotations


def counted(annotation: Annotation) -> tuple[Finding, ...]:
    """The findings that the default score counts, without their mentions."""
    return tuple(
        Finding(f.disease, f.assertion, f.adjectives, f.directions)
        for f in annotation.findings
        if f.disease in DISEASES and f.assertion != "absent"
    )


def resample(annotations: Sequence[Annotation], count: int, *, normal: float | None, seed: int) -> pa.Table:
    """An annotations table of `count` studies drawn after `annotations`; `normal` overrides their normal share."""
    rng = np.random.default_rng(seed)
    abnormal = [a for a in annotations if counted(a)]
    share = 1 - len(abnormal) / len(annotations) if normal is None else normal
    by_disease: dict[str, list[Finding]] = {}
    for annotation in abnormal:
        for finding in annotation.findings:
            if finding.disease in DISEASES and finding.assertion != "absent":
                by_disease.setdefault(finding.disease, []).append(finding)
    uses: dict[tuple[Finding, ...], int] = {}
    for annotation in abnormal:
        uses[counted(annotation)] = uses.get(counted(annotation), 0) + 1
    discount = sum(n == 1 for n in uses.values()) / len(uses)
    is_normal = rng.random(count) < share
    tables = _pitman_yor(int((~is_normal).sum()), discount, rng)
    drawn = [_recombine(abnormal, by_disease, rng) for _ in range(int(tables.max(initial=-1)) + 1)]
    values = annotations_to_table([Annotation("", ()), *(Annotation("", f) for f in drawn)])["findings"]
    rows = np.zeros(count, np.int64)
    rows[~is_normal] = tables + 1
    ids = pa.array([f"S{i:08}" for i in range(count)])
    return pa.table({"study_id": ids, "findings": values.take(pa.array(rows))})


def _recombine(
    abnormal: Sequence[Annotation], by_disease: dict[str, list[Finding]], rng: np.random.Generator
) -> tuple[Finding, ...]:
    model = abnormal[rng.integers(len(abnormal))]
    diseases = dict.fromkeys(f.disease for f in counted(model))
    return tuple(by_disease[d][rng.integers(len(by_disease[d]))] for d in diseases)


def _pitman_yor(count: int, discount: float, rng: np.random.Generator, *, concentration: float = 1.0) -> np.ndarray:
    """Table of each of `count` customers of a Chinese restaurant with this discount."""
    seat = np.zeros(count, np.int64)
    sizes = [0] * count
    tables = 0
    for n in range(count):
        table = -1
        if rng.random() * (n + concentration) >= concentration + discount * tables:
            # A random earlier customer's table comes in proportion to its size; keeping it with (size − discount) /
            # size makes that size − discount.
            while table < 0:
                candidate = int(seat[int(rng.random() * n)])
                if rng.random() * sizes[candidate] < sizes[candidate] - discount:
                    table = candidate
        if table < 0:
            table = tables
            tables += 1
        seat[n] = table
        sizes[table] += 1
    return seat


def real_annotations(path: Path | None) -> tuple[list[Annotation], str]:
    """Annotations to measure on and their name: a given table, else Open-i's reports, else phantom reports."""
    if path is not None:
        return read_annotations(path), path.name
    named = os.environ.get("MEDTRIM_SHARED")
    reports = (Path(named) if named else Path(__file__).parents[2] / "shared") / "data/openi/NLMCXR_reports_dev.tgz"
    recognizer = Recognizer()
    if reports.exists():
        studies = read_corpus(reports, split_sections=split_sections, patients="optional").studies
        return [recognizer.annotate(study) for study in studies], "Open-i, half of the collection"
    return phantom_annotations(2000)


def phantom_annotations(count: int) -> tuple[list[Annotation], str]:
    """Annotations that the recogniser reads from phantom reports, and their name."""
    rng, recognizer = np.random.default_rng(0), Recognizer()
    drawn = [write_report(sample_case(rng), rng) for _ in range(count)]
    return [
        recognizer.annotate(Study(f"phantom-{i}", "", findings=r.findings, impression=r.impression))
        for i, r in enumerate(drawn)
    ], "phantom reports"
