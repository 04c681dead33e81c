"""An audit of mined triplets: what was mined, of whom, and what looks doubtful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Integer

from medtrim.errors import TableError
from medtrim.mining import audit_measures as measure
from medtrim.mining.pairs import pair_scores
from medtrim.mining.reading import EncodedCorpus, read_encoded
from medtrim.mining.recipe import read_recipe
from medtrim.types import Provenance, schemas
from medtrim.types.tables import provenance_of, read_table

# Near-identical reports are looked for among at most so many triplets.
COMPARED = 50_000


@dataclass(frozen=True)
class AuditInput:
    """Triplets as rows of their corpus, checked to belong to it."""

    corpus: EncodedCorpus
    provenance: Provenance | None
    indices: Integer[np.ndarray, "triplets 3"]
    positive_score: Float64[np.ndarray, " triplets"]
    negative_score: Float64[np.ndarray, " triplets"]
    kind: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """The figures, and for each triplet whether (and why) its negative is doubtful."""

    figures: Mapping[str, Any]
    unread: Bool[np.ndarray, " triplets"]
    near_identical: Bool[np.ndarray, " triplets"]


def read_audit_input(triplets: Path | str, annotations: Path | str) -> AuditInput:
    """Read triplets with the annotations they were mined from.

    Raises:
        TableError: the triplets are empty, name unknown studies, were mined from annotations of another ontology,
            or hold scores that these annotations do not give.
    """
    table = read_table(triplets, schemas.TRIPLETS, table="triplets")
    if not len(table):
        raise TableError(f"{triplets} holds no triplet")
    made = provenance_of(table)
    settings = read_recipe({"score": made.config.get("score", {})} if made else {}, source=str(triplets))
    corpus = read_encoded(annotations, settings.score)
    theirs, ours = made.ontology if made else None, corpus.ontology
    if theirs and ours and theirs != ours:
        raise TableError(
            f"{triplets} was mined from annotations of ontology {theirs.name} {theirs.version} "
            f"({theirs.hash[:12]}), but {annotations} was made with {ours.name} {ours.version} ({ours.hash[:12]})"
        )
    indices = np.stack([corpus_rows(corpus, table[role]) for role in measure.ROLES], axis=1)
    positive = table["positive_score"].to_numpy()
    negative = table["negative_score"].to_numpy()
    _check_scores(corpus, indices, positive, negative)
    kinds = (
        table["negative_kind"].to_pylist() if "negative_kind" in table.column_names else ["unknown"] * len(table)
    )
    return AuditInput(corpus, made, indices, positive, negative, tuple(kinds))


def corpus_rows(corpus: EncodedCorpus, ids: pa.ChunkedArray) -> Integer[np.ndarray, " triplets"]:
    """The corpus row of each id; a `TableError` names ids that are not there."""
    rows = pc.index_in(ids, pa.array(corpus.encoded.study_ids, pa.string()))
    if rows.null_count:
        unknown = pc.unique(ids.filter(pc.is_null(rows))).to_pylist()
        shown = ", ".join(map(repr, unknown[:5])) + (" …" if len(unknown) > 5 else "")
        raise TableError(f"triplets: {len(unknown)} study id(s) are not in the annotations: {shown}")
    return np.asarray(rows.to_numpy().astype(np.int64))


def _check_scores(corpus: EncodedCorpus, indices: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> None:
    distinct = corpus.encoded.inverse[indices]
    for role, column, stated in (("positive", 1, positive), ("negative", 2, negative)):
        scores = pair_scores(corpus.encoded, distinct[:, 0], distinct[:, column])
        wrong = np.flatnonzero(~(np.abs(scores - stated) < 1e-9))
        if len(wrong):
            pair = [corpus.encoded.study_ids[i] for i in indices[wrong[0], [0, column]]]
            raise TableError(
                f"triplets: {len(wrong)} {role} score(s) are not those of these annotations, first {pair[0]!r} and "
                f"{pair[1]!r}: {stated[wrong[0]]:.6f}, here {scores[wrong[0]]:.6f}. Were the annotations made anew?"
            )


def audit_triplets(data: AuditInput, *, reports: Sequence[str] | None = None, seed: int = 0) -> Audit:
    """Measure the triplets. `reports` (one a study, in the corpus's order) lets near-identical ones be found."""
    corpus, encoded, indices = data.corpus, data.corpus.encoded, data.indices
    unread = corpus.unread[indices[:, 2]]
    similar = np.zeros(len(indices), bool)
    compared = 0
    if reports is not None:
        compared = min(len(indices), COMPARED)
        rows = np.sort(np.random.default_rng(seed).choice(len(indices), compared, replace=False))
        similar[rows] = measure.near_identical(
            [reports[i] for i in indices[rows, 0]], [reports[i] for i in indices[rows, 2]]
        )
    kinds, sizes = np.unique(np.array(data.kind), return_counts=True)
    top = encoded.config.weights.total
    figures = {
        "mined": _making(data.provenance),
        "triplets": len(indices),
        "corpus": {
            "studies": len(encoded),
            "distinct_annotations": encoded.distinct,
            "normal": float(encoded.is_normal.mean()),
            "without_any_finding": int(corpus.unread.sum()),
        },
        "kinds": {str(k): int(n) for k, n in zip(kinds, sizes, strict=True)},
        "positive_score": measure.histogram(data.positive_score, low=0.0, high=top),
        "negative_score": measure.histogram(data.negative_score, low=0.0, high=top),
        "margin": measure.histogram(data.positive_score - data.negative_score, low=-top, high=top),
        "agreement": measure.agreement(encoded, indices, corpus.contradictions),
        "diseases": measure.disease_coverage(encoded, indices),
        "descriptors": measure.descriptor_coverage(encoded, indices),
        "uses": {role: measure.use_counts(encoded, indices[:, i]) for i, role in enumerate(measure.ROLES)},
        "doubtful_negatives": {
            "without_any_finding": float(unread.mean()),
            "scores_as_high_as_positive": float((data.negative_score >= data.positive_score).mean()),
            "near_identical_report": float(similar.sum() / compared) if compared else None,
            "reports_compared": compared,
        },
    }
    return Audit(figures, unread, similar)


def _making(made: Provenance | None) -> dict[str, Any]:
    """How the triplets were made; among `counts` are the anchors that gave nothing, by reason."""
    if made is None:
        return {"provenance": None}
    ontology = None if made.ontology is None else {"name": made.ontology.name, "version": made.ontology.version}
    return {
        "config": dict(made.config),
        "seed": made.seed,
        "ontology": ontology,
        "medtrim": made.medtrim,
        "counts": dict(made.extra.get("counts", {})),
    }
