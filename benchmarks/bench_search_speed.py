"""Speed of one nearest-neighbour query against brute force in the same run, and the recall that it costs.

    python benchmarks/bench_search_speed.py 200000 [--folder FOLDER] [--queries 40]

Vectors are drawn around 500 centres (128 dimensions, unit length); queries are archive vectors with noise. Nothing
but the vectors, the facets and the row's columns is stored. Times are of `StudyIndex.nearest` with 100 neighbours:
what one condition of a search costs, findings of the neighbours included.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medtrim.search.ann import index_vectors
from medtrim.search.filters import Filters, facets
from medtrim.search.store import FACTS_NAME, FORMAT, StudyIndex, index_schema
from medtrim.types import DEFAULT_CONTRADICTIONS, DISEASES, Annotation, Finding
from medtrim.types.jsonfile import write_json
from medtrim.types.tables import annotations_to_table

DIMENSION, CENTRES, BATCH = 128, 500, 20_000
SIDES = (("left",), ("right",), ())
FILTERS = {
    "no filter": Filters(),
    "disease": Filters("pleural effusion"),
    "disease and side": Filters("pleural effusion", "left"),
    "view": Filters(views=("LATERAL",)),
}


def batches(count: int, rng: np.random.Generator) -> Iterator[pa.RecordBatch]:
    """Rows of `count` studies with one image each, a finding in four of five."""
    schema = index_schema(DIMENSION)
    centres = rng.standard_normal((CENTRES, DIMENSION)).astype(np.float32)
    kinds = [Finding(d, "present", (), s) for d in DISEASES for s in SIDES]
    marks = [facets([f]) for f in kinds] + [facets([])]
    findings = annotations_to_table([*(Annotation("x", (f,)) for f in kinds), Annotation("x")])["findings"]
    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        chosen = np.where(rng.random(n) < 0.8, rng.integers(0, len(kinds), n), len(kinds))
        sides = [
            unit(centres[rng.integers(0, CENTRES, n)] + 1.2 * rng.standard_normal((n, DIMENSION))) for _ in "it"
        ]
        ids = [f"s{i:09d}" for i in range(start, start + n)]
        text = pa.array([""] * n)
        empty = pa.array([[]] * n, type=pa.list_(pa.string()))
        columns: dict[str, Any] = {
            "row": pa.array(range(start, start + n), type=pa.int64()),
            "study_id": pa.array(ids),
            "patient_id": pa.array(ids),
            "position": pa.array([0] * n, type=pa.int32()),
            "text_row": pa.array([True] * n),
            "image": vectors(sides[0]),
            "text": vectors(sides[1]),
            "read": pa.array([True] * n),
            "findings": findings.combine_chunks().take(pa.array(chosen)),
            "facets": pa.array(marks, type=pa.list_(pa.string())).take(pa.array(chosen)),
            "view": pa.array(np.where(rng.random(n) < 0.2, "LATERAL", "PA")),
            "views": empty,
            "image_files": empty,
            "thumbnail": pa.array([None] * n, type=pa.binary()),
            "has_thumbnail": pa.array([False] * n),
        }
        yield pa.RecordBatch.from_arrays([columns.get(f.name, text) for f in schema], schema=schema)


def unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Rows of length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def vectors(rows: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """An Arrow column of the rows."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), DIMENSION)


def build(folder: Path, count: int) -> StudyIndex:
    """A synthetic index, and on the terminal what it cost."""
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    table = lancedb.connect(folder).create_table(
        "studies-1", data=batches(count, rng), schema=index_schema(DIMENSION)
    )
    ingest = time.perf_counter() - start
    plain = size(folder)
    facts: dict[str, Any] = {"columns": [], "dimension": DIMENSION, "ann": None}
    facts["counts"] = {"disease": dict.fromkeys(DISEASES, 1), "view": {"PA": 1, "LATERAL": 1}}
    start = time.perf_counter()
    facts["ann"] = index_vectors(table, facts, fewest=0)
    spent = time.perf_counter() - start
    facts |= {"format": FORMAT, "table": "studies-1", "version": table.version, "studies": count, "rows": count}
    axes = {axis: dict(levels) for axis, levels in DEFAULT_CONTRADICTIONS.axes.items()}
    facts |= {"text_rows": count, "most_images": 1, "noise": {}, "contradictions": axes}
    write_json(folder / FACTS_NAME, facts)
    print(f"{count:,} rows: ingest {count / ingest:,.0f} rows/s, indexes {spent:.0f} s; {facts['ann']}")
    print(f"disk {plain / 2**20:.0f} MiB, indexes {(size(folder) - plain) / 2**20:.0f} MiB more")
    return StudyIndex(folder)


def size(folder: Path) -> int:
    """Bytes of all files in `folder`."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def main() -> None:
    """Build, then time approximate and exact queries in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int)
    parser.add_argument("--folder", type=Path, help="where the index is built and kept")
    parser.add_argument("--queries", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch) / "index"
        index = StudyIndex(folder) if (folder / FACTS_NAME).exists() else build(folder, arguments.rows)
        rng = np.random.default_rng(1)
        asked = [index.vector(f"s{i:09d}", "image") for i in rng.integers(0, arguments.rows, arguments.queries)]
        asked = list(unit(np.stack(asked) + 0.03 * rng.standard_normal((len(asked), DIMENSION))))
        print(f"{'filter':<18}{'p50 ms':>8}{'p95 ms':>8}{'exact p50':>10}{'ratio':>7}{'recall@10':>11}")
        for name, filters in FILTERS.items():
            spent: dict[bool, list[float]] = {False: [], True: []}
            shares = []
            for vector in asked:
                found = {}
                for exact in (False, True):
                    start = time.perf_counter()
                    near = index.nearest(vector, against="image", k=100, filters=filters, exact=exact)
                    spent[exact].append(1000 * (time.perf_counter() - start))
                    found[exact] = {n.study.study_id for n in near[:10]}
                shares.append(len(found[True] & found[False]) / len(found[True]))
            middle, exact_middle = np.median(spent[False]), np.median(spent[True])
            print(
                f"{name:<18}{middle:>8.1f}{np.quantile(spent[False], 0.95):>8.1f}{exact_middle:>10.1f}"
                f"{exact_middle / middle:>7.1f}{np.mean(shares):>11.4f}"
            )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


if __name__ == "__main__":
    main()
