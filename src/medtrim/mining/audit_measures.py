"""What an audit measures of mined triplets, one function a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Integer

from medtrim.mining.conflicts import ConflictFinder
from medtrim.mining.encoding import EncodedStudies
from medtrim.mining.sets import SetTable
from medtrim.types import DEFAULT_CONTRADICTIONS, Contradictions

ROLES = ("anchor", "positive", "negative")
BINS = 40
USES = (0, 1, 2, 3, 6, 11, 31, 101, 1001)


def histogram(values: Float64[np.ndarray, " values"], *, low: float, high: float) -> dict[str, Any]:
    """Counts in `BINS` equal bins from `low` to `high`, with mean and quartiles."""
    counts, edges = np.histogram(values, bins=BINS, range=(low, high))
    quartiles = np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else np.full(3, np.nan)
    return {
        "edges": [round(float(e), 6) for e in edges],
        "counts": counts.tolist(),
        "mean": float(values.mean()) if len(values) else None,
        "quartiles": [float(q) for q in quartiles] if len(values) else None,
    }


def use_counts(encoded: EncodedStudies, rows: Integer[np.ndarray, " triplets"]) -> dict[str, Any]:
    """How often each study of the corpus is used in one role."""
    uses = np.bincount(rows, minlength=len(encoded))
    most = np.lexsort((np.arange(len(uses)), -uses))[:10]
    upper = [*(b - 1 for b in USES[1:]), None]
    return {
        "studies": int((uses > 0).sum()),
        "share_of_corpus": float((uses > 0).mean()),
        "most": int(uses.max()),
        "mean_of_used": float(uses[uses > 0].mean()),
        "histogram": [
            {
                "from": low,
                "to": high,
                "studies": int(((uses >= low) & (uses <= (uses.max() if high is None else high))).sum()),
            }
            for low, high in zip(USES, upper, strict=True)
        ],
        "most_used": [{"study_id": encoded.study_ids[i], "uses": int(uses[i])} for i in most if uses[i]],
    }


def disease_coverage(encoded: EncodedStudies, indices: Integer[np.ndarray, "triplets 3"]) -> list[dict[str, Any]]:
    """For each counted disease and `no finding`: studies that have it, and its share of each role."""
    has = np.concatenate([encoded.has, ~encoded.has.any(axis=1, keepdims=True)], axis=1)
    corpus = encoded.counts @ has
    shares = [has[encoded.inverse[column]].mean(axis=0) for column in indices.T]
    names = [*encoded.config.diseases, "no finding"]
    return [
        {
            "disease": name,
            "studies": int(corpus[d]),
            **{f"{role}_share": float(share[d]) for role, share in zip(ROLES, shares, strict=True)},
        }
        for d, name in enumerate(names)
    ]


def descriptor_coverage(
    encoded: EncodedStudies, indices: Integer[np.ndarray, "triplets 3"]
) -> list[dict[str, Any]]:
    """For each descriptor of a counted finding: studies that have it, and how many are anchors."""
    is_anchor = np.zeros(len(encoded), bool)
    is_anchor[indices[:, 0]] = True
    studies = encoded.counts
    anchors = np.bincount(encoded.inverse[is_anchor], minlength=encoded.distinct)
    rows = []
    for kind, sets, codes in (
        ("adjective", encoded.adjective_sets, encoded.adjective_codes),
        ("direction", encoded.direction_sets, encoded.direction_codes),
    ):
        for name, has in zip(sets.vocabulary, _has_words(sets, codes), strict=True):
            rows.append(
                {"kind": kind, "descriptor": name, "studies": int(studies @ has), "anchors": int(anchors @ has)}
            )
    return sorted(rows, key=lambda r: (r["kind"], -r["studies"], r["descriptor"]))


def _has_words(sets: SetTable, codes: np.ndarray) -> Bool[np.ndarray, "words distinct"]:
    """Whether any of a distinct annotation's sets holds each word of the vocabulary."""
    member = np.zeros((len(sets.vocabulary), len(sets) + 1), bool)
    for row in range(len(sets)):
        for name in sets.members(row):
            member[sets.vocabulary.index(name), row] = True
    return np.asarray(member[:, codes].any(axis=2))  # code −1 is the last column, which has no word


def agreement(
    encoded: EncodedStudies,
    indices: Integer[np.ndarray, "triplets 3"],
    contradictions: Contradictions = DEFAULT_CONTRADICTIONS,
) -> dict[str, Any]:
    """What anchors share with their positives and negatives.

    Shares of the triplets: `same_diseases`, `same_descriptors` (the whole counted annotation is equal),
    `shares_disease`, `normal`, and per axis of the contradictions, `conflict_<axis>`.
    """
    distinct = encoded.inverse[indices]
    has, sets = np.asarray(encoded.has), encoded.disease_codes
    normal = np.logical_not(has.any(axis=1))
    result: dict[str, Any] = {}
    anchor = distinct[:, 0]
    for role, other in (("positive", distinct[:, 1]), ("negative", distinct[:, 2])):
        shared = np.logical_and(has[anchor], has[other]).any(axis=1)
        found = {
            "same_diseases": sets[anchor] == sets[other],
            "same_descriptors": anchor == other,
            "shares_disease": shared,
            "normal": normal[other],
        }
        for axis in contradictions.axes:
            finder = ConflictFinder(encoded, contradictions, axes=[axis])
            found[f"conflict_{axis}"] = finder.pairs(anchor, other)
        result[role] = {name: float(np.mean(values)) for name, values in found.items()}
    return result


def near_identical(ours: Sequence[str], theirs: Sequence[str], *, least: float = 0.9) -> Bool[np.ndarray, " pairs"]:
    """Whether two reports hold nearly the same words: Jaccard index of their word sets at or above `least`.

    Two empty reports are not near-identical: nothing is known of either.
    """
    cache: dict[str, frozenset[str]] = {}

    def words(report: str) -> frozenset[str]:
        if report not in cache:
            letters = "".join(c if c.isalnum() else " " for c in report.lower())
            cache[report] = frozenset(letters.split())
        return cache[report]

    found = np.zeros(len(ours), bool)
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        x, y = words(a), words(b)
        found[i] = bool(x and y) and len(x & y) >= least * len(x | y)
    return found
