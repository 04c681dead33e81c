"""Retrieval by what the query is about: by disease and by descriptor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medtrim.evaluation import PatientBootstrap
from medtrim.evaluation.result import QUERIES
from medtrim.evaluation.statistics import SeedPool
from medtrim.experiments.execute import EVALUATION
from medtrim.experiments.rows import Row
from medtrim.experiments.run_suite import SuiteRun
from medtrim.experiments.schema import Suite
from medtrim.types import DISEASES, Annotation
from medtrim.types.tables import read_annotations, read_studies, read_table

METRICS = ("disease P@10", "fine P@10", "conflict-free @R", "wrong side @R", "wrong severity @R")
DIRECTIONS = ("i2t", "t2i")
# A share of fewer queries than this is not shown.
LEAST = 10
_SCHEMA = pa.schema(
    [
        ("study_id", pa.string()),
        ("direction", pa.string()),
        ("queries", pa.string()),
        ("metric", pa.string()),
        ("numerator", pa.float64()),
        ("denominator", pa.float64()),
    ]
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class QueryGroups:
    """Test studies by id, and which of them are in each group (`disease: …`, `descriptor: …`)."""

    study_ids: tuple[str, ...]
    patients: tuple[str, ...]
    members: Mapping[str, NDArray[np.bool_]]


def query_groups(study_ids: Sequence[str], patients: Sequence[str], truth: Mapping[str, Annotation]) -> QueryGroups:
    """Groups with at least `LEAST` studies: those that have a disease of the label set, or a descriptor of one."""
    words: dict[str, list[int]] = {}
    for row, study_id in enumerate(study_ids):
        held = [f for f in truth[study_id].findings if f.assertion != "absent" and f.disease in DISEASES]
        named = {f"disease: {f.disease}" for f in held}
        named |= {f"descriptor: {word}" for f in held for word in (*f.adjectives, *f.directions)}
        for name in sorted(named):
            words.setdefault(name, []).append(row)
    members = {}
    for name, rows in sorted(words.items()):
        if len(rows) >= LEAST:
            members[name] = np.isin(np.arange(len(study_ids)), rows)
    return QueryGroups(tuple(study_ids), tuple(patients), members)


def breakdown(done: SuiteRun) -> Iterator[Row]:
    """Rows of every method, direction, metric and group, pooled over seeds."""
    section = done.suite.evaluation
    folders: dict[str, dict[int, list[Path]]] = {}
    for run, outcome in done.finished():
        by_seed = folders.setdefault(run.spec.method, {})
        by_seed.setdefault(run.spec.seed, []).append(outcome.job.folder / EVALUATION)
    evaluated = {
        study_id
        for by_seed in folders.values()
        for path in next(iter(by_seed.values()))
        for study_id in read_table(path / QUERIES, _SCHEMA, table="queries")["study_id"].to_pylist()
    }
    studies = sorted(
        (s for s in read_studies(done.corpus.studies) if s.study_id in evaluated), key=lambda s: s.study_id
    )
    if not studies:
        return
    truth = {a.study_id: a for a in read_annotations(done.corpus.reference)}
    groups = query_groups([s.study_id for s in studies], [s.patient_id for s in studies], truth)
    if not groups.members:
        return
    patients = PatientBootstrap(groups.patients, resamples=section.resamples, seed=section.seed)
    for method, by_seed in folders.items():
        yield from _of_method(done.suite, method, list(by_seed.values()), groups, patients)


def _of_method(
    suite: Suite, method: str, by_seed: Sequence[Sequence[Path]], groups: QueryGroups, patients: PatientBootstrap
) -> Iterator[Row]:
    seeds = SeedPool(len(by_seed), suite.evaluation.seed_variation)
    tables = [_query_values([path / QUERIES for path in folds], groups) for folds in by_seed]
    for direction, metric in tables[0]:
        shares = [group_shares(*table[direction, metric], groups, patients) for table in tables]
        for column, name in enumerate(groups.members):
            counts = shares[0].counts[column]
            if counts < LEAST:
                continue
            estimate = seeds.pool(
                [s.values[column] for s in shares], np.stack([s.replicates[:, column] for s in shares])
            )
            yield Row(
                kind="breakdown",
                method=method,
                task="retrieval",
                metric=metric,
                value=estimate.value,
                low=estimate.low,
                high=estimate.high,
                n=counts,
                direction=direction,
                queries="abnormal",
                label=name,
                spread=estimate.spread,
            )


@dataclass(frozen=True)
class GroupShares:
    """Σ numerator / Σ denominator by group [groups], its replicates [resamples groups], and queries in it."""

    values: Floats
    replicates: Floats
    counts: tuple[int, ...]


def group_shares(
    numerator: Floats, denominator: Floats, groups: QueryGroups, patients: PatientBootstrap
) -> GroupShares:
    """The metric of each group; queries that leave it undefined (NaN) count in none."""
    rows = np.arange(len(numerator))
    defined = np.isfinite(denominator)
    masks = np.stack([m & defined for m in groups.members.values()], axis=1).astype(np.float64)
    top = masks * np.where(defined, numerator, 0.0)[:, None]
    bottom = masks * np.where(defined, denominator, 0.0)[:, None]
    sums = patients.sums(np.concatenate([top, bottom], axis=1), rows)
    above, below = np.split(sums, 2, axis=1)
    return GroupShares(
        _ratio(top.sum(axis=0), bottom.sum(axis=0)),
        _ratio(above, below),
        tuple(int(count) for count in masks.sum(axis=0)),
    )


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0))


def _query_values(folds: Sequence[Path], groups: QueryGroups) -> dict[tuple[str, str], tuple[Floats, Floats]]:
    """(direction, metric) → numerator and denominator by study, NaN where a study is no query of it.

    A study is a query in one of `folds` alone, of which there is one without cross-validation.
    """
    row_of = {study_id: i for i, study_id in enumerate(groups.study_ids)}
    rows = [row for path in folds for row in read_table(path, _SCHEMA, table="queries").to_pylist()]
    found: dict[tuple[str, str], tuple[Floats, Floats]] = {
        (d, m): (np.full(len(row_of), np.nan), np.full(len(row_of), np.nan)) for d in DIRECTIONS for m in METRICS
    }
    for row in rows:
        key = row["direction"], row["metric"]
        if key in found and row["queries"] == "abnormal":
            place = row_of[row["study_id"]]
            found[key][0][place], found[key][1][place] = row["numerator"], row["denominator"]
    return found
