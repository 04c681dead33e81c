"""Speed of a search in a large archive: the nearest neighbours alone, and whole answers over HTTP.

    python benchmarks/bench_search_speed.py 1000000 --model demo/runs/medtrim/model [--folder FOLDER] [--ann]

Image and report vectors are drawn around 500 centres; reports are three dozen short ones that the recogniser reads.
One table gives times of the nearest ten and their recall against brute force; the other times of answers of
`medtrim serve`: words (a disease, with a side, severity, zone or a denied disease) and pictures (noise of the
model's size), with and without filters, no query asked twice. --ann builds the approximate index whatever the size.
"""

from __future__ import annotations

import argparse
import http.client
import io
import itertools
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import lancedb
import numpy as np
import psutil
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from bench_server import start_server
from medtrim.entities import Recognizer, load_ontology
from medtrim.models import load_checkpoint
from medtrim.search import index as writing
from medtrim.search.ann import index_vectors
from medtrim.search.encoder import QueryEncoder
from medtrim.search.filters import Filters, facets
from medtrim.search.resident import encode_finding
from medtrim.search.store import FACTS_NAME, StudyIndex, index_schema
from medtrim.search.studies import IndexedStudy, encode_study
from medtrim.types import Annotation
from medtrim.types.jsonfile import write_json

CENTRES, BATCH = 500, 20_000
NOUNS = (
    "pleural effusion",
    "pneumothorax",
    "consolidation",
    "atelectasis",
    "rib fracture",
    "lung nodule",
    "pneumonia",
)
REPORTS = (
    *(f"{size} {side} {noun}." for size in ("Small", "Large") for side in ("left", "right") for noun in NOUNS),
    *(f"{grade} cardiomegaly. No pleural effusion." for grade in ("Mild", "Moderate", "Severe")),
    *(f"{grade} pulmonary edema with small bilateral effusions." for grade in ("Mild", "Severe")),
    *["No acute cardiopulmonary abnormality. The lungs are clear, the heart is normal in size."] * 12,
)
FILTERS: dict[str, tuple[Filters, dict[str, Any]]] = {
    "none": (Filters(), {}),
    "disease": (Filters("pleural effusion"), {"disease": "pleural effusion"}),
    "disease and side": (Filters("pneumothorax", "left"), {"disease": "pneumothorax", "side": "left"}),
    "view": (Filters(views=("LATERAL",)), {"views": ["LATERAL"]}),
    "dates and site": (
        Filters(since="2021-06-01", until="2022-05-31", columns={"site": "B"}),
        {"since": "2021-06-01", "until": "2022-05-31", "columns": {"site": "B"}},
    ),
    "patient": (Filters(patient_id="p000007"), {"patient_id": "p000007"}),
}


def batches(count: int, width: int, rng: np.random.Generator) -> Iterator[pa.RecordBatch]:
    """Rows of `count` studies with one image each."""
    recognizer = Recognizer()
    schema = index_schema(width, 1)
    centres = rng.standard_normal((CENTRES, width)).astype(np.float32)
    read = [Annotation(str(i), tuple(recognizer.annotate_text(report))) for i, report in enumerate(REPORTS)]
    strings = pa.list_(pa.string())
    said = pa.array([[encode_finding(f) for f in a.findings] for a in read], type=strings)
    marks = pa.array([facets(a.findings) for a in read], type=strings)
    texts = pa.array(
        [
            encode_study(
                IndexedStudy(
                    0,
                    "sNUMBER",
                    a.findings,
                    report,
                    "",
                    False,
                    view="PA",
                    views=("PA",),
                    image_files=("/a/NUMBER.png",),
                )
            )
            for a, report in zip(read, REPORTS, strict=True)
        ]
    )
    days = np.arange("2020-01-01", "2024-01-01", dtype="datetime64[D]").astype(str)
    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        chosen = pa.array(rng.integers(0, len(REPORTS), n))
        numbers = np.arange(start, start + n)
        sides = [unit(centres[rng.integers(0, CENTRES, n)] + 1.2 * rng.standard_normal((n, width))) for _ in "it"]
        columns: dict[str, Any] = {
            "row": pa.array(numbers),
            "study_id": pa.array([f"s{i:09d}" for i in numbers]),
            "patient_id": pa.array([f"p{i // 4:06d}" for i in numbers]),
            "position": pa.array(np.zeros(n, dtype=np.int32)),
            "text_row": pa.array(np.ones(n, dtype=bool)),
            "image": vectors(sides[0]),
            "text": vectors(sides[1]),
            "read": pa.array(np.ones(n, dtype=bool)),
            "said": said.take(chosen),
            "facets": marks.take(chosen),
            "view": pa.array(np.where(rng.random(n) < 0.2, "LATERAL", "PA")),
            "date": pa.array(days[rng.integers(0, len(days), n)]),
            "study": pa.array(
                [
                    shown.replace("NUMBER", f"{i:09d}")
                    for i, shown in zip(numbers, texts.take(chosen).to_pylist(), strict=True)
                ]
            ),
            "thumbnail": pa.array([None] * n, type=pa.binary()),
            "column_0": pa.array(np.array(["A", "B", "C"])[rng.integers(0, 3, n)]),
        }
        text = pa.array([""] * n)
        yield pa.RecordBatch.from_arrays([columns.get(f.name, text) for f in schema], schema=schema)


def unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Rows of length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def vectors(rows: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """An Arrow column of the rows."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def build(folder: Path, count: int, model: Path, *, ann: bool) -> None:
    """A synthetic index of `model`'s width, and on the terminal what it cost."""
    encoder = QueryEncoder(load_checkpoint(model))
    facts = writing.first_facts(1, model.absolute(), encoder.dimension, load_ontology(), columns=("site",))
    facts["date_column"] = "date"
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / facts["ontology"], dict(load_ontology().data))
    table = lancedb.connect(folder).create_table(facts["table"], schema=index_schema(encoder.dimension, 1))
    spent = 0.0
    for batch in batches(count, encoder.dimension, rng):
        start = time.perf_counter()
        writing.append_rows(facts, table, pa.Table.from_batches([batch]), next_row=facts["next_row"] + len(batch))
        spent += time.perf_counter() - start
    table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
    plain, start = size(folder), time.perf_counter()
    writing.finish(facts, table)
    if ann:
        facts["ann"] = index_vectors(table, facts, fewest=0)
    writing.publish(folder, facts, table)
    indexed = time.perf_counter() - start
    print(f"{count:,} rows without embedding: {count / spent:,.0f} rows/s; indexes {indexed:.0f} s")
    print(
        f"disk {plain / 2**20:.0f} MiB, indexes {(size(folder) - plain) / 2**20:.0f} MiB more; ann {facts['ann']}"
    )
    print(f"peak memory of building {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


def size(folder: Path) -> int:
    """Bytes of all files in `folder`."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def measure_neighbours(index: StudyIndex, queries: int) -> None:
    """Times of the nearest ten and their recall, by filter."""
    start = time.perf_counter()
    if not index.facts["ann"]:
        index.resident("image")
    print(f"\nread into memory in {time.perf_counter() - start:.1f} s")
    rng = np.random.default_rng(1)
    everything = index._table.search().select(["row", "image"]).limit(index.facts["rows"]).to_arrow()
    all_rows = everything["row"].to_numpy()
    exact = everything["image"].combine_chunks().flatten().to_numpy().reshape(-1, index.dimension)
    chosen = exact[rng.integers(0, len(exact), queries)]
    asked = unit(chosen + 0.03 * rng.standard_normal(chosen.shape))
    print(f"{'neighbours, filter':<22}{'rows':>9}{'p50 ms':>8}{'p95 ms':>8}{'recall@10':>11}")
    for name, (filters, _) in FILTERS.items():
        where = " AND ".join(c.sql for c in filters.conditions(index.columns)) or "true"
        found = index._table.search().where(where).select(["row"]).limit(len(exact)).to_arrow()["row"].to_numpy()
        kept = np.flatnonzero(np.isin(all_rows, found))
        similarities = exact[kept] @ asked.T
        spent, shares = [], []
        for number, vector in enumerate(asked):
            start = time.perf_counter()
            near = index.compare(vector, against="image", filters=filters).nearest((), 10)
            spent.append(1000 * (time.perf_counter() - start))
            true = all_rows[kept[np.argsort(-similarities[:, number])[:10]]]
            shares.append(len({*true.tolist()} & {n.study.row for n in near}) / min(10, len(true)))
        cuts = np.quantile(spent, [0.5, 0.95])
        print(f"{name:<22}{len(kept):>9,}{cuts[0]:>8.1f}{cuts[1]:>8.1f}{np.mean(shares):>11.4f}")


def queries_in_words(rng: np.random.Generator) -> list[str]:
    """Queries in words, in a random order, each once."""
    found = [
        " ".join(w for w in words if w)
        for words in itertools.product(
            ("", "small", "large", "moderate", "tiny"), ("", "left", "right", "bilateral"), NOUNS
        )
    ]
    found += [f"{a} and {b}" for a, b in itertools.combinations(NOUNS, 2)]
    found += [f"{a}, no {b}" for a, b in itertools.permutations(NOUNS, 2)]
    found += [
        f"{side} {zone} lobe {noun}" for side in ("left", "right") for zone in ("upper", "lower") for noun in NOUNS
    ]
    return [found[i] for i in rng.permutation(len(found))]


def measure_answers(folder: Path, queries: int, side: int) -> None:
    """Times of answers over HTTP, by kind of query and filter; no query is asked twice."""
    process, port = start_server(folder)
    rng = np.random.default_rng(2)
    words = iter(queries_in_words(rng))
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

        def ask(path: str, body: bytes, kind: str) -> float:
            start = time.perf_counter()
            connection.request("POST", path, body=body, headers={"content-type": kind})
            answer = connection.getresponse()
            content = answer.read()
            spent = 1000 * (time.perf_counter() - start)
            if answer.status != 200:
                raise RuntimeError(content)
            return spent

        def by_words(options: dict[str, Any]) -> float:
            return ask("/api/search", json.dumps({"text": next(words), **options}).encode(), "application/json")

        def by_picture(options: dict[str, Any]) -> float:
            stream = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (side, side), dtype=np.uint8)).save(stream, "PNG")
            plain = {name: value for name, value in options.items() if name != "columns"}
            address = "&".join(
                f"{name}={quote(str(v))}"
                for name, value in plain.items()
                for v in (value if isinstance(value, list) else [value])
            )
            return ask(f"/api/search/image?{address}", stream.getvalue(), "application/octet-stream")

        kinds: dict[str, Callable[[dict[str, Any]], float]] = {"words": by_words, "picture": by_picture}
        start = time.perf_counter()
        by_words({})
        print(f"\nfirst answer after {time.perf_counter() - start:.1f} s")
        print(f"{'answers, filter':<30}{'p50 ms':>8}{'p95 ms':>8}{'largest':>9}")
        for kind, run in kinds.items():
            everything = {name: [run(options) for _ in range(queries)] for name, (_, options) in FILTERS.items()}
            everything["all"] = [spent for found in everything.values() for spent in found]
            for name, found in everything.items():
                cuts = np.quantile(found, [0.5, 0.95, 1])
                print(f"{kind + ', ' + name:<30}{cuts[0]:>8.1f}{cuts[1]:>8.1f}{cuts[2]:>9.1f}", flush=True)
        print(f"the server's memory {psutil.Process(process.pid).memory_info().rss / 2**20:.0f} MiB")
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    """Build where there is no index, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int)
    parser.add_argument("--model", type=Path, default=Path("demo/runs/medtrim/model"), help="a checkpoint")
    parser.add_argument("--folder", type=Path, help="where the index is built and kept")
    parser.add_argument("--ann", action="store_true", help="build the approximate index whatever the size")
    parser.add_argument("--queries", type=int, default=30, help="of each kind under each filter")
    parser.add_argument("--only", choices=["build", "neighbours", "answers"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch) / "index"
        if not (folder / FACTS_NAME).exists():
            build(folder, arguments.rows, arguments.model, ann=arguments.ann)
        if arguments.only in (None, "neighbours"):
            measure_neighbours(StudyIndex(folder), arguments.queries)
        if arguments.only in (None, "answers"):
            measure_answers(folder, arguments.queries, load_checkpoint(arguments.model).image_size)


if __name__ == "__main__":
    main()
