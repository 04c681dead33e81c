"""Retrieval in four directions: own report, same diseases, same findings in every detail, and what goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Integer

from medtrim.errors import ConfigError, TableError
from medtrim.evaluation.blocks import blocks
from medtrim.evaluation.bootstrap import PatientBootstrap, lower_median
from medtrim.evaluation.figures import Figure, QueryValues, figure_of, make_figure, mean_values
from medtrim.evaluation.ranking import (
    average_precision,
    ndcg,
    own_rank,
    precision_at,
    rank_without_own,
    similarities,
    unit,
)
from medtrim.evaluation.reference import Reference
from medtrim.evaluation.separation import separation

Direction = Literal["i2t", "t2i", "i2i", "t2t"]
DIRECTIONS: tuple[Direction, ...] = ("i2t", "t2i", "i2i", "t2t")
DIRECTION_NAMES = {"i2t": "image→text", "t2i": "text→image", "i2i": "image→image", "t2t": "text→text"}
CUTS = (1, 5, 10)
DEPTH = 10
CONFLICT_AXES = ("side", "severity", "zone")


@dataclass(frozen=True)
class QueryTable:
    """Every per-query value of one direction: `values[metric]` has an entry for each of `queries` (rows)."""

    direction: str
    group: str
    queries: Integer[np.ndarray, " queries"]
    values: tuple[QueryValues, ...]


@dataclass(frozen=True)
class RetrievalResult:
    """The figures of all directions and the per-query values they were made from."""

    figures: tuple[Figure, ...]
    queries: tuple[QueryTable, ...]


def retrieval_figures(
    image: Float[np.ndarray, "studies dimension"],
    text: Float[np.ndarray, "studies dimension"],
    reference: Reference,
    bootstrap: PatientBootstrap,
    *,
    directions: Sequence[str] = DIRECTIONS,
) -> RetrievalResult:
    """Retrieval metrics of embeddings whose rows are those of `reference` and of `bootstrap`, in the same order.

    Rows carry no ids here: `medtrim.evaluation.evaluate_retrieval` and `EvaluationSet` match studies by id.

    Instance retrieval (across modalities only: within one, a query finds itself) has the query's own study in
    the gallery; everything else leaves it out. Headline figures are of abnormal queries, normal ones are apart.

    Raises:
        TableError: rows do not match, or there are fewer than two studies. ConfigError: unknown direction.
    """
    if len(image) != len(reference) or len(text) != len(reference) or len(bootstrap.patient_of) != len(reference):
        raise TableError(f"embeddings of {len(image)} images and {len(text)} texts for {len(reference)} studies")
    if len(reference) < 2:
        raise TableError("retrieval needs at least two studies")
    unknown = [d for d in directions if d not in DIRECTIONS]
    if unknown:
        raise ConfigError(f"direction must be among {', '.join(DIRECTIONS)}, not {unknown[0]!r}")
    for name, vectors in (("image", image), ("text", text)):
        if not np.isfinite(vectors).all():
            raise TableError(f"{name} embeddings hold numbers that are not finite")
    side = {"i": unit(image), "t": unit(text)}
    figures: list[Figure] = []
    tables: list[QueryTable] = []
    for direction in directions:
        source, gallery = side[direction[0]], side[direction[2]]
        found = _direction(direction, source, gallery, reference, bootstrap)
        figures += found.figures
        tables += found.queries
    return RetrievalResult(tuple(figures), tuple(tables))


def top_studies(
    image: Float[np.ndarray, "studies dimension"],
    text: Float[np.ndarray, "studies dimension"],
    queries: Integer[np.ndarray, " queries"],
    *,
    direction: str,
    k: int,
) -> Integer[np.ndarray, "queries k"]:
    """Rows of the k best studies of each query without its own, as `retrieval_figures` ranks them."""
    side = {"i": unit(image), "t": unit(text)}
    similarity = similarities(side[direction[0]][queries], side[direction[2]])
    return rank_without_own(similarity, queries)[:, :k]


def _direction(
    direction: str,
    source: Float64[np.ndarray, "studies dimension"],
    gallery: Float64[np.ndarray, "studies dimension"],
    reference: Reference,
    bootstrap: PatientBootstrap,
) -> RetrievalResult:
    abnormal, normal = np.flatnonzero(~reference.is_normal), np.flatnonzero(reference.is_normal)
    figures: list[Figure] = []
    tables: list[QueryTable] = []

    def add(values: Sequence[QueryValues], queries: Integer[np.ndarray, " queries"], group: str, own: bool) -> None:
        figures.extend(
            figure_of(v, queries, bootstrap, direction=direction, group=group, own_in_gallery=own) for v in values
        )
        tables.append(QueryTable(direction, group, queries, tuple(values)))

    if direction[0] != direction[2]:
        ranks = np.concatenate(
            [own_rank(similarities(source[rows], gallery), rows) for rows in blocks(np.arange(len(source)))]
        )
        for group, rows in (("abnormal", abnormal), ("normal", normal), ("all", np.arange(len(source)))):
            add(_instance(ranks[rows]), rows, group, True)
            figures.append(_median_rank(ranks[rows], rows, bootstrap, direction, group))
    for group, rows in (("abnormal", abnormal), ("normal", normal)):
        add(_semantic(source, gallery, rows, reference, fine=group == "abnormal"), rows, group, False)
    add(separation(source, gallery, abnormal, reference), abnormal, "abnormal", False)
    return RetrievalResult(tuple(figures), tuple(tables))


def _instance(ranks: Float64[np.ndarray, " queries"]) -> list[QueryValues]:
    return [mean_values(f"R@{k}", (ranks <= k).astype(np.float64)) for k in CUTS]


def _median_rank(
    ranks: Float64[np.ndarray, " queries"],
    rows: Integer[np.ndarray, " queries"],
    bootstrap: PatientBootstrap,
    direction: str,
    group: str,
) -> Figure:
    replicates = bootstrap.median(ranks, rows)
    return make_figure(
        "retrieval",
        "median rank",
        lower_median(ranks),
        replicates,
        n=len(rows),
        patients=bootstrap.patients_of(rows),
        direction=direction,
        queries=group,
        own_in_gallery=True,
    )


def _semantic(
    source: Float64[np.ndarray, "studies dimension"],
    gallery: Float64[np.ndarray, "studies dimension"],
    queries: Integer[np.ndarray, " queries"],
    reference: Reference,
    *,
    fine: bool,
) -> list[QueryValues]:
    """Disease metrics, and with `fine` those of findings in every detail, of `queries` in blocks."""
    columns: dict[str, list[QueryValues]] = {}
    for rows in blocks(queries):
        ranked = rank_without_own(similarities(source[rows], gallery), rows)
        values = _relevance(ranked, reference.disease_set, rows, "disease")
        if fine:
            values += _relevance(ranked, reference.fine, rows, "fine") + _detail(ranked, rows, reference)
        for value in values:
            columns.setdefault(value.metric, []).append(value)
    return [
        QueryValues(
            metric,
            np.concatenate([v.numerator for v in parts]),
            np.concatenate([v.denominator for v in parts]),
        )
        for metric, parts in columns.items()
    ]


def _relevance(
    ranked: Integer[np.ndarray, "queries others"],
    codes: Integer[np.ndarray, " studies"],
    rows: Integer[np.ndarray, " queries"],
    name: str,
) -> list[QueryValues]:
    """P@k and mAP where relevant means an equal code."""
    relevant = codes[ranked] == codes[rows][:, None]
    total = relevant.sum(axis=1)
    values = [mean_values(f"{name} P@{k}", precision_at(relevant, k, total)) for k in CUTS]
    return [*values, mean_values(f"{name} mAP", average_precision(relevant, total))]


def _detail(
    ranked: Integer[np.ndarray, "queries others"], rows: Integer[np.ndarray, " queries"], reference: Reference
) -> list[QueryValues]:
    """nDCG@10, and among the first R = min(10, number of fine matches): conflict rates and the conflict-free share.

    A fixed top 10 would punish a perfect ranking, because fine matches run out.
    """
    depth = min(DEPTH, ranked.shape[1])
    gains = reference.gains(rows)
    gains[np.arange(len(rows)), rows] = -1.0
    top = ranked[:, :depth]
    ideal = -np.partition(-gains, depth - 1, axis=1)[:, :depth]
    values = [mean_values(f"nDCG@{DEPTH}", ndcg(np.take_along_axis(gains, top, axis=1), -np.sort(-ideal, axis=1)))]
    matches = (reference.fine[ranked] == reference.fine[rows][:, None]).sum(axis=1)
    inside = np.arange(depth)[None, :] < np.minimum(DEPTH, matches)[:, None]
    shares = reference.shares_disease(rows, top) & inside
    conflicts = {axis: reference.conflicts(axis, rows, top) & shares for axis in CONFLICT_AXES}
    defined = np.where(matches > 0, 1.0, np.nan)
    for axis, conflict in conflicts.items():
        # Over all queries together: a query that retrieves one related study must not count like one with ten.
        values.append(QueryValues(f"wrong {axis} @R", conflict.sum(axis=1) * defined, shares.sum(axis=1) * defined))
    free = shares & ~conflicts["side"] & ~conflicts["severity"]
    share = np.divide(free.sum(axis=1), inside.sum(axis=1), out=np.full(len(rows), np.nan), where=matches > 0)
    return [*values, mean_values("conflict-free @R", share)]
