"""Retrieval in four directions: own report, same diseases, same findings in every detail, contradictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Integer

from medtrim.errors import ConfigError, TableError
from medtrim.evaluation.bootstrap import PatientBootstrap, lower_median
from medtrim.evaluation.figures import Figure, QueryValues, figure_of, joined, make_figure, mean_values
from medtrim.evaluation.gallery import (
    EffectSum,
    GalleryEffect,
    Window,
    auc_effect,
    average_precision_effect,
    ndcg_effect,
    plain_precision_effect,
    precision_effect,
    recall_effect,
    window_effect,
)
from medtrim.evaluation.ranking import (
    ahead_of_own,
    average_precision,
    blocks,
    ndcg,
    precision_at,
    rank_without_own,
    similarities,
    unit,
)
from medtrim.evaluation.reference import Reference

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
    same_report: Integer[np.ndarray, " studies"] | None = None,
    text_prior: Float[np.ndarray, " studies"] | None = None,
) -> RetrievalResult:
    """Retrieval metrics of embeddings whose rows are those of `reference` and of `bootstrap`, in the same order.

    Rows carry no ids here: `medtrim.evaluation.evaluate_retrieval` and `EvaluationSet` match studies by id.

    Instance retrieval (across modalities only: within one, a query finds itself) has the query's own study in
    the gallery; everything else leaves it out. Every figure is given over all queries, over those with a disease
    and over normal ones.

    Args:
        same_report: a code of each study's report, equal where the texts are; then instance retrieval merges them:
            a text stands in the gallery once, and a text has found its own with any image that has this text.
        text_prior: at most 0, added to the cosine of each report where images look for reports.

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
        if direction == "i2t" and text_prior is not None:  # one dimension more adds it to every cosine
            source = np.column_stack([source, np.ones(len(source))])
            gallery = np.column_stack([gallery, text_prior])
        found = _direction(direction, source, gallery, reference, bootstrap, same_report)
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
    same_report: Integer[np.ndarray, " studies"] | None,
) -> RetrievalResult:
    figures: list[Figure] = []
    tables: list[QueryTable] = []

    def add(values: Sequence[QueryValues], queries: Integer[np.ndarray, " queries"], group: str, own: bool) -> None:
        figures.extend(
            figure_of(v, queries, bootstrap, direction=direction, group=group, own_in_gallery=own) for v in values
        )
        tables.append(QueryTable(direction, group, queries, tuple(values)))

    groups = {"abnormal": np.flatnonzero(~reference.is_normal), "normal": np.flatnonzero(reference.is_normal)}
    everyone = np.concatenate([*groups.values()])
    if direction[0] != direction[2]:
        merged = same_report if same_report is not None else np.arange(len(reference))
        own = {group: OwnRanks.of(source, gallery, rows, direction, merged) for group, rows in groups.items()}
        for group, rows, parts in (*((g, groups[g], [own[g]]) for g in groups), ("all", everyone, [*own.values()])):
            add([joined([part.values[i] for part in parts]) for i in range(len(CUTS))], rows, group, True)
            ranks = np.concatenate([part.ranks for part in parts])
            figures.append(_median_rank(ranks, rows, bootstrap, direction, group))
    found = {
        group: _semantic(source, gallery, rows, reference) + _separation(source, gallery, rows, reference)
        for group, rows in groups.items()
    }
    for group, rows in groups.items():
        add(found[group], rows, group, False)
    add([joined(parts) for parts in zip(*found.values(), strict=True)], everyone, "all", False)
    return RetrievalResult(tuple(figures), tuple(tables))


@dataclass(frozen=True)
class OwnRanks:
    """Rank of each query's own partner, and R@k of them."""

    ranks: Float64[np.ndarray, " queries"]
    values: tuple[QueryValues, ...]

    @classmethod
    def of(
        cls,
        source: Float64[np.ndarray, "studies dimension"],
        gallery: Float64[np.ndarray, "studies dimension"],
        queries: Integer[np.ndarray, " queries"],
        direction: str,
        report: Integer[np.ndarray, " studies"],
    ) -> OwnRanks:
        """Rank `queries` in the whole gallery; `report` is the code of each study's text, equal where it is to be
        merged: a text stands in the gallery once, and a text's own images are those of all studies that have it."""
        codes, first = np.unique(report, return_index=True)
        columns = first if direction[2] == "t" else np.arange(len(gallery))
        ranks: list[Float64[np.ndarray, " block"]] = []
        effects = {k: EffectSum(len(gallery)) for k in CUTS}
        for rows in blocks(queries, len(columns)):
            similarity = similarities(source[rows], gallery[columns])
            if len(codes) == len(report):
                own = rows
            elif direction[2] == "t":
                own = np.searchsorted(codes, report[rows])
            else:
                own = _best_of_the_text(similarity, report, rows)
            ahead = ahead_of_own(similarity, own)
            ranks.append(1.0 + ahead.sum(axis=1))
            for k in CUTS:
                effects[k].add(columns, recall_effect(ahead, ranks[-1], k))
        rank = np.concatenate(ranks) if ranks else np.zeros(0)
        return cls(
            rank, tuple(mean_values(f"R@{k}", (rank <= k).astype(np.float64), effects[k].total()) for k in CUTS)
        )


def _best_of_the_text(
    similarity: Float64[np.ndarray, "queries gallery"],
    report: Integer[np.ndarray, " gallery"],
    rows: Integer[np.ndarray, " queries"],
) -> Integer[np.ndarray, " queries"]:
    """The most similar of the studies with the query's text (ties: the first)."""
    return np.asarray(np.where(report[rows][:, None] == report[None, :], similarity, -np.inf).argmax(axis=1))


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
) -> list[QueryValues]:
    """Disease metrics, and those of findings in every detail, of `queries` in blocks."""
    columns: dict[str, list[QueryValues]] = {}
    effects: dict[str, GalleryEffect] = {}
    for rows in blocks(queries, len(gallery)) if len(queries) else [queries]:
        ranked = rank_without_own(similarities(source[rows], gallery), rows)
        values = _relevance(ranked, reference.disease_set, rows, "disease")
        values += _relevance(ranked, reference.fine, rows, "fine") + _detail(ranked, rows, reference)
        for value in values:
            name, effect = value.metric, value.gallery
            columns.setdefault(name, []).append(replace(value, gallery=None))
            if effect is not None:  # of the whole gallery, so that one is kept and not one a block
                effects[name] = effects[name] + effect if name in effects else effect
    return [replace(joined(parts), gallery=effects.get(name)) for name, parts in columns.items()]


def _relevance(
    ranked: Integer[np.ndarray, "queries others"],
    codes: Integer[np.ndarray, " studies"],
    rows: Integer[np.ndarray, " queries"],
    name: str,
) -> list[QueryValues]:
    """P@k and mAP where relevant means an equal code."""
    studies = len(codes)
    relevant = codes[ranked] == codes[rows][:, None]
    total = relevant.sum(axis=1)
    values = [
        mean_values(
            f"{name} P@{k}",
            precision_at(relevant, k, total),
            precision_effect(ranked, relevant, k, total, studies),
        )
        for k in CUTS
    ]
    values.append(
        mean_values(
            f"plain {name} P@{DEPTH}",
            relevant[:, :DEPTH].sum(axis=1) / DEPTH,
            plain_precision_effect(ranked, relevant, DEPTH, studies),
        )
    )
    effect = average_precision_effect(ranked, relevant, total, studies)
    return [*values, mean_values(f"{name} mAP", average_precision(relevant, total), effect)]


def _detail(
    ranked: Integer[np.ndarray, "queries others"], rows: Integer[np.ndarray, " queries"], reference: Reference
) -> list[QueryValues]:
    """nDCG@10, and among the first R = min(10, number of fine matches): conflict rates and the conflict-free share.

    Studies are alike where they have a disease in common or are both normal. A fixed top 10 would punish a perfect
    ranking, because fine matches run out.
    """
    studies = len(reference)
    gains = reference.gains(rows)
    gains[np.arange(len(rows)), rows] = -1.0
    deep = DEPTH + 1
    ideal = -np.sort(-gains, axis=1)[:, : min(deep, ranked.shape[1])]
    ideal = np.pad(np.maximum(ideal, 0.0), ((0, 0), (0, deep - ideal.shape[1])))
    gains = np.take_along_axis(gains, ranked, axis=1)
    depth = min(DEPTH, ranked.shape[1])
    values = [
        mean_values(
            f"nDCG@{DEPTH}",
            ndcg(gains[:, :depth], ideal[:, :depth]),
            ndcg_effect(ranked, gains, ideal, DEPTH, studies),
        )
    ]
    top = ranked[:, :deep]
    match = reference.fine[ranked] == reference.fine[rows][:, None]
    window = Window(ranked, match, match.sum(axis=1), DEPTH)
    inside = np.arange(top.shape[1])[None, :] < window.size[:, None]
    shares = reference.shares_disease(rows, top)
    conflicts = {axis: reference.conflicts(axis, rows, top) & shares for axis in CONFLICT_AXES}
    defined = np.where(window.matches > 0, 1.0, np.nan)
    for axis, conflict in conflicts.items():
        # Over all queries together: a query that retrieves one related study must not count like one with ten.
        numerator, denominator = ((mark & inside).sum(axis=1) * defined for mark in (conflict, shares))
        effect = window_effect(window, conflict, shares, studies)
        values.append(QueryValues(f"wrong {axis} @R", numerator, denominator, effect))
    alike = shares | (reference.is_normal[rows][:, None] & reference.is_normal[top])
    free = alike & ~conflicts["side"] & ~conflicts["severity"]
    share = np.divide(
        (free & inside).sum(axis=1), window.size, out=np.full(len(rows), np.nan), where=window.size > 0
    )
    return [*values, mean_values("conflict-free @R", share, window_effect(window, free, None, studies))]


def _separation(
    source: Float64[np.ndarray, "studies dimension"],
    gallery: Float64[np.ndarray, "studies dimension"],
    queries: Integer[np.ndarray, " queries"],
    reference: Reference,
) -> list[QueryValues]:
    """`disease AUC` and `attribute AUC` of each query against the other studies of the gallery.

    Disease: P(a study with the query's disease set is more similar than one with another). Attribute: the same
    among the studies with the query's disease set, those that match in every descriptor against those that do not.
    AUCs are taken within a query, as a ranking is: pooled over all queries, image→text and text→image would be
    the same number by construction. NaN for a query whose gallery has one kind only.
    """
    values = {name: np.full(len(queries), np.nan) for name in ("disease AUC", "attribute AUC")}
    effects = {name: EffectSum(len(gallery)) for name in values}
    done = 0
    for rows in blocks(queries, len(gallery)):
        similarity = similarities(source[rows], gallery)
        for i, row in enumerate(rows, start=done):
            others = np.delete(np.arange(len(gallery)), row)
            scores = similarity[i - done][others]
            alike = reference.disease_set[others] == reference.disease_set[row]
            exact = reference.fine[others] == reference.fine[row]
            for name, kept, positive in (
                ("disease AUC", slice(None), alike),
                ("attribute AUC", alike, exact[alike]),
            ):
                values[name][i], *effect = auc_effect(scores[kept], positive)
                effects[name].add(others[kept], *effect)
        done += len(rows)
    return [mean_values(name, found, effects[name].total()) for name, found in values.items()]
