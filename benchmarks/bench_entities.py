"""How fast OBER reads: against a plain nested-loop reference, and on a corpus of the size of MIMIC-CXR.

    python benchmarks/bench_entities.py [--reports 227000] [--workers 2] [--skip-reference]

1. Cold, in one process, on the real Open-i reports: load the ontology, read every report. The reference applies the
   same rules by nested loops (benchmarks/nested_loop.py); both must find the same.
2. A corpus made by resampling the sentences of those reports, streamed through two processes as Arrow batches, with
   the highest resident memory of all processes, at two corpus sizes.
3. The same corpus from a studies table to an annotations table on disk, as `medtrim annotate` does it.

Without the Open-i reports ($MEDTRIM_SHARED, or ../shared) the sentences come from phantom reports.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))

from medtrim.data import read_corpus
from medtrim.entities import Recognizer, annotate_batches, load_ontology, split_sections
from medtrim.entities.corpus import BATCH_SIZE, REPORTS
from medtrim.entities.ontology import Ontology, _default
from medtrim.entities.streaming import StudyStream
from medtrim.entities.tokens import sentence_bounds
from medtrim.entities.writing import write_annotations
from medtrim.types import Provenance, Study, schemas
from nested_loop import NestedLoopRecognizer


def real_reports() -> tuple[str, list[Study]]:
    """The Open-i reports, or phantom reports where there are none."""
    named = os.environ.get("MEDTRIM_SHARED")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared"
    archive = folder / "data" / "openi" / "NLMCXR_reports_dev.tgz"
    if archive.is_file():
        reading = read_corpus(archive, split_sections=split_sections, patients="optional")
        return "Open-i", list(reading.studies)
    from medtrim.data.phantom import sample_case, write_report

    rng = np.random.default_rng(0)
    sections = [write_report(sample_case(rng), rng) for _ in range(2000)]
    return "phantom", [
        Study(str(k), "", findings=s.findings, impression=s.impression) for k, s in enumerate(sections)
    ]


def sentences(studies: list[Study], section: str) -> list[str]:
    """Every sentence of one section, repetitions included, so that resampling keeps their frequencies."""
    texts = [getattr(study, section) for study in studies]
    return [text[start:end] for text in texts for start, end in sentence_bounds(text)]


def resampled(studies: list[Study], count: int, seed: int) -> Iterator[pa.RecordBatch]:
    """`count` reports of resampled sentences, each with the number of sentences of a real report."""
    rng = np.random.default_rng(seed)
    pools = {name: sentences(studies, name) for name in ("findings", "impression")}
    lengths = {
        name: [len(sentence_bounds(getattr(study, name))) for study in studies]
        for name in ("findings", "impression")
    }
    for first in range(0, count, BATCH_SIZE):
        size = min(BATCH_SIZE, count - first)
        like = rng.integers(len(studies), size=size)
        columns: list[list[str]] = [[f"r{first + k}" for k in range(size)]]
        for name, pool in pools.items():
            sizes = [lengths[name][k] for k in like]
            drawn = iter(rng.integers(len(pool), size=sum(sizes)).tolist())
            columns.append([" ".join(pool[next(drawn)] for _ in range(n)) for n in sizes])
        yield pa.RecordBatch.from_arrays([pa.array(c, pa.string()) for c in columns], schema=REPORTS)


def cpu_seconds() -> float:
    """CPU time of this process and its ended children: what a wall clock hides on a busy machine."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


class PeakMemory:
    """The highest resident memory of this process and its children while the block runs, in MiB."""

    def __enter__(self) -> PeakMemory:
        self.mib = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._stop.wait(0.1):
            total = 0
            for process in [own, *own.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.mib = max(self.mib, total / 2**20)


def against_the_reference(studies: list[Study]) -> None:
    """Cold reading of the real reports by both recognisers."""
    found, times = [], []
    for kind in (Recognizer, NestedLoopRecognizer):
        _default.cache_clear()
        begun = time.perf_counter()
        recognizer = kind(load_ontology())
        found.append([recognizer.annotate(study) for study in studies])
        times.append(time.perf_counter() - begun)
    if found[0] != found[1]:
        raise SystemExit("the recogniser and its reference disagree")
    fast, plain = times
    print(f"  ours {fast:.2f} s ({len(studies) / fast:,.0f} reports/s), nested loops {plain:.2f} s "
          f"({len(studies) / plain:,.0f} reports/s): {plain / fast:.0f} times faster, same findings")  # fmt: skip


def in_memory(batches: list[pa.RecordBatch], workers: int, ontology: Ontology) -> None:
    """Arrow in, Arrow out; the output is dropped as it comes."""
    count = sum(batch.num_rows for batch in batches)
    begun, cpu = time.perf_counter(), cpu_seconds()
    rows = findings = 0
    with PeakMemory() as peak:
        for batch in annotate_batches(batches, ontology=ontology, workers=workers):
            rows += batch.num_rows
            findings += len(batch.column(1).flatten())
    taken, cpu = time.perf_counter() - begun, cpu_seconds() - cpu
    held = sum(batch.nbytes for batch in batches) / 2**20
    print(f"  {rows:,} reports, {findings:,} findings in {taken:.1f} s: {count / taken:,.0f} reports/s "
          f"({cpu:.1f} s of CPU), "
          f"peak {peak.mib:,.0f} MiB in all processes (of which the input {held:,.0f} MiB)")  # fmt: skip


def on_disk(studies: list[Study], count: int, workers: int, ontology: Ontology, folder: Path) -> None:
    """From a studies table on disk to an annotations table on disk, streaming."""
    source = folder / "studies.parquet"
    schema = schemas.STUDIES.with_metadata(Provenance("studies").to_metadata())
    with pq.ParquetWriter(source, schema, compression="zstd") as writer:
        for batch in resampled(studies, count, seed=1):
            rows = pa.table(batch.columns, names=batch.schema.names)
            for field in schemas.STUDIES:
                if field.name not in rows.column_names:
                    rows = rows.append_column(field, pa.nulls(len(rows), field.type))
            writer.write_table(rows.select(schemas.STUDIES.names).cast(schemas.STUDIES))
    begun, cpu = time.perf_counter(), cpu_seconds()
    with PeakMemory() as peak:
        stream = StudyStream(source)
        annotated = annotate_batches(stream.batches(), ontology=ontology, workers=workers)
        written = write_annotations(annotated, folder / "annotations.parquet", ontology)
    taken, cpu = time.perf_counter() - begun, cpu_seconds() - cpu
    size = (folder / "annotations.parquet").stat().st_size / 2**20
    print(f"  {written.reports:,} reports in {taken:.1f} s: {count / taken:,.0f} reports/s ({cpu:.1f} s of CPU), "
          f"peak {peak.mib:,.0f} MiB in all processes, table of {size:,.0f} MiB")  # fmt: skip


def main() -> None:
    """Run the parts and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=227_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--skip-reference", action="store_true")
    options = parser.parse_args()
    source, studies = real_reports()
    ontology = load_ontology()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} before the start; {len(studies):,} {source} reports")
    if not options.skip_reference:
        print("cold, one process, against nested loops:")
        against_the_reference(studies)
    print(f"Arrow batches, {options.workers} processes:")
    for count in (options.reports // 4, options.reports):
        in_memory(list(resampled(studies, count, seed=0)), options.workers, ontology)
    print(f"studies table to annotations table, {options.workers} processes:")
    with tempfile.TemporaryDirectory() as folder:
        for count in (options.reports // 4, options.reports):
            on_disk(studies, count, options.workers, ontology, Path(folder))


if __name__ == "__main__":
    main()
