"""A corpus of studies in, their annotations out: in one process, in several, always in the order given."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor

import pyarrow as pa

from medtrim.entities.columnar import BatchRecognizer
from medtrim.entities.ontology import Ontology, load_ontology
from medtrim.entities.recognizer import Recognizer
from medtrim.errors import ConfigError
from medtrim.types import Annotation, Study
from medtrim.types.processes import end_with_parent
from medtrim.types.ray_map import to_bytes
from medtrim.types.tables import Progress, annotations_from_table, no_progress

BATCH_SIZE = 2048
REPORTS = pa.schema([("study_id", pa.string()), ("findings", pa.string()), ("impression", pa.string())])


def annotate_corpus(
    studies: Iterable[Study],
    *,
    ontology: Ontology | None = None,
    workers: int = 1,
    progress: Progress = no_progress,
) -> Iterator[Annotation]:
    """Annotations in the order of `studies`, whatever the number of workers.

    For corpora that need not become Python objects, `annotate_batches` is many times faster.

    Raises:
        ConfigError: `workers` is below 1.
    """
    total = len(studies) if isinstance(studies, list | tuple) else 0
    done = 0
    if workers == 1:
        recognizer = Recognizer(ontology)
        for study in studies:
            yield recognizer.annotate(study)
            done += 1
            if done % 500 == 0 or done == total:
                progress(done, total)
        return
    for batch in annotate_batches(batches_of(studies), ontology=ontology, workers=workers):
        yield from annotations_from_table(pa.Table.from_batches([batch]))
        done += batch.num_rows
        progress(done, total)


def batches_of(studies: Iterable[Study], *, size: int = BATCH_SIZE) -> Iterator[pa.RecordBatch]:
    """`studies` as Arrow batches of `study_id`, `findings`, `impression`."""
    rows: list[Study] = []
    for study in studies:
        rows.append(study)
        if len(rows) == size:
            yield _batch(rows)
            rows = []
    if rows:
        yield _batch(rows)


def _batch(rows: list[Study]) -> pa.RecordBatch:
    columns = [[s.study_id for s in rows], [s.findings for s in rows], [s.impression for s in rows]]
    return pa.RecordBatch.from_arrays([pa.array(c, pa.string()) for c in columns], schema=REPORTS)


def annotate_batches(
    batches: Iterable[pa.RecordBatch], *, ontology: Ontology | None = None, workers: int = 1
) -> Iterator[pa.RecordBatch]:
    """Annotation batches (`schemas.ANNOTATIONS`) of batches with `study_id`, `findings` and `impression`.

    Batches come out in their order. At most two batches a worker are under way, so memory does not grow with the
    corpus; every worker reads each distinct sentence once.

    Raises:
        ConfigError: `workers` is below 1.
    """
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, not {workers}")
    ontology = ontology or load_ontology()
    if workers == 1:
        recognizer = BatchRecognizer(ontology)
        for batch in batches:
            yield recognizer.annotate(batch)
        return
    # Spawned, not forked: Arrow's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(ontology,)) as pool:
        under_way: deque[Future[bytes]] = deque()
        for batch in batches:
            under_way.append(pool.submit(_annotate, to_bytes(batch)))
            if len(under_way) > 2 * workers:
                yield _received(under_way.popleft().result())
        while under_way:
            yield _received(under_way.popleft().result())


_worker: BatchRecognizer | None = None


def _start(ontology: Ontology) -> None:
    global _worker
    end_with_parent()
    _worker = BatchRecognizer(ontology)


def _annotate(payload: bytes) -> bytes:
    if _worker is None:
        raise ConfigError("the worker was not started with an ontology")
    return to_bytes(_worker.annotate(_received(payload)))


def _received(payload: bytes) -> pa.RecordBatch:
    """The batch of `to_bytes`, also one without rows, which a table would lose."""
    with pa.ipc.open_stream(payload) as reader:
        return reader.read_next_batch()
