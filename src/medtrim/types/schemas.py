"""Arrow schemas of the tables that MedTrim writes and reads (one row a study; triplets: one row a triplet)."""

from __future__ import annotations

import pyarrow as pa

MENTION = pa.struct(
    [
        ("section", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("text", pa.string()),
        ("role", pa.string()),
    ]
)
FINDING = pa.struct(
    [
        ("disease", pa.string()),
        ("assertion", pa.string()),
        ("adjectives", pa.list_(pa.string())),
        ("directions", pa.list_(pa.string())),
        ("mentions", pa.list_(MENTION)),
        ("change", pa.string()),
        ("size_mm", pa.float64()),
    ]
)
STUDIES = pa.schema(
    [
        ("study_id", pa.string()),
        ("patient_id", pa.string()),
        ("images", pa.list_(pa.string())),
        ("view", pa.string()),
        ("findings", pa.string()),
        ("impression", pa.string()),
        ("split", pa.string()),
    ]
)
# `read` is false for a report in which nothing was recognised and normality is not stated.
ANNOTATIONS = pa.schema([("study_id", pa.string()), ("findings", pa.list_(FINDING)), ("read", pa.bool_())])
# Columns that tables of earlier versions lack, and what they stand for there.
DEFAULTS: dict[str, bool] = {"read": True}
TRIPLETS = pa.schema(
    [
        ("anchor", pa.string()),
        ("positive", pa.string()),
        ("negative", pa.string()),
        ("positive_score", pa.float64()),
        ("negative_score", pa.float64()),
    ]
)
REJECTS = pa.schema([("study_id", pa.string()), ("source", pa.string()), ("reason", pa.string())])


def embeddings(dimension: int) -> pa.Schema:
    """Schema of an embeddings table whose vectors have `dimension` components."""
    return pa.schema(
        [
            ("study_id", pa.string()),
            ("modality", pa.string()),
            ("vector", pa.list_(pa.float32(), dimension)),
        ]
    )
