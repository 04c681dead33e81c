"""Indexes of the table: of its rows, and, where the vectors exceed memory, an approximate one with its recall.

IVF-PQ (Jégou et al. 2011) through LanceDB: vectors are grouped into cells and kept as product codes; a query scans
the codes of the nearest cells and compares the best candidates with the full vectors. Many cells are scanned, since
filters thin out the candidates: with few, half of the true neighbours are lost under a filter.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from lancedb.index import Bitmap, BTree, IvfPq, LabelList
from numpy.typing import NDArray

from medtrim.search.filters import Marked
from medtrim.search.store import RESIDENT_ROWS

FEWEST_LOOKED_UP = 50_000
"""Rows from which rows are found by an index of their number and study."""

PROBED, PROBED_FILTERED, REFINE = 0.4, 0.8, 10
"""Share of the cells that a query scans, without and with a filter; candidates a hit that are compared in full."""

STALE = 0.1
QUERIES, NEIGHBOURS = 50, 10
_KEYS = ("row", "study_id")
_SCALAR = {
    "patient_id": BTree,
    "date": BTree,
    "view": Bitmap,
    "read": Bitmap,
    "text_row": Bitmap,
    "facets": LabelList,
}


def index_keys(table: Any) -> None:
    """Index the numbers and study ids of a large table, so that a row is found without a scan."""
    if table.count_rows() >= FEWEST_LOOKED_UP:
        for name in _KEYS:
            table.create_index(name, config=BTree(), replace=True)


def index_vectors(table: Any, facts: dict[str, Any], *, fewest: int = RESIDENT_ROWS + 1) -> dict[str, Any] | None:
    """Build or refresh the approximate index of `table`, and indexes of the columns that it is filtered by.

    What was measured, or None where the archive has fewer than `fewest` rows and is compared in memory.

    An index that covers 90 % of the rows is kept: rows beyond it are compared in full. `recall@10` is the share of
    the true ten nearest images that the approximate search finds for reports of the archive; `filtered recall@10`
    the same among the studies of its most frequent finding.
    """
    rows = table.count_rows()
    if rows < fewest:
        return None
    before = facts.get("ann")
    if before and rows - before["rows"] < STALE * rows:
        return dict(before)
    cells = max(1, int(math.sqrt(rows)))
    for name in [*_SCALAR, *(f"column_{i}" for i in range(len(facts["columns"])))]:
        table.create_index(name, config=_SCALAR.get(name, BTree)(), replace=True)
    width = facts["dimension"]
    parts = width // 4 if width % 4 == 0 else width
    for side in ("image", "text"):
        table.create_index(
            side,
            config=IvfPq(distance_type="cosine", num_partitions=cells, num_sub_vectors=parts, max_iterations=15),
            replace=True,
        )
    found = {
        "rows": rows,
        "cells": cells,
        "probes": math.ceil(PROBED * cells),
        "filtered_probes": math.ceil(PROBED_FILTERED * cells),
        "refine": REFINE,
    }
    return found | measure_recall(table, found, facts)


def measure_recall(table: Any, ann: dict[str, Any], facts: dict[str, Any]) -> dict[str, float]:
    """Recall@10 of the approximate search for evenly spaced reports of the archive, with and without a filter."""
    step = max(1, table.count_rows() // QUERIES)
    asked = table.search().where(f"row % {step} = 0").select(["text"]).limit(QUERIES).to_arrow()["text"].to_pylist()
    counts = facts["counts"]["disease"]
    common = max(counts, key=lambda name: (counts[name], name))
    measured = {}
    for label, where in (("recall@10", None), ("filtered recall@10", Marked((common,)).sql)):
        shares = []
        probes = ann["filtered_probes" if where else "probes"]
        for vector in np.asarray(asked, dtype=np.float32):
            true = _rows(_nearest(table, vector, where).bypass_vector_index())
            near = _rows(_nearest(table, vector, where).nprobes(probes).refine_factor(ann["refine"]))
            shares.append(len({*true} & {*near}) / max(1, len(true)))
        measured[label] = round(float(np.mean(shares)), 4)
    return measured


def _nearest(table: Any, vector: NDArray[np.float32], where: str | None) -> Any:
    query = table.search(vector, vector_column_name="image").distance_type("cosine").select(["row", "_distance"])
    return query.where(where, prefilter=True) if where else query


def _rows(query: Any) -> list[int]:
    rows: list[int] = query.limit(NEIGHBOURS).to_arrow()["row"].to_pylist()
    return rows
