"""Work handed to Ray Data (extra `ray`), for corpora that several machines share: tables in, tables out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa

from medtrim.errors import ConfigError

# Tables handed over at a time: the driver never holds more of a corpus than this.
WINDOW = 128


class Worker(Protocol):
    """Made once in each Ray actor, then called with one table after the other."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """The result of one table."""


def ray_map(
    tables: Iterable[pa.Table], worker: type[Worker], *arguments: object, workers: int, gpus: float = 0
) -> Iterator[pa.Table]:
    """`worker(*arguments)(table)` of each table, in the order of `tables`.

    A table is never split or joined with another, so that rows and batches are those of one process.

    Args:
        workers: Ray actors.
        gpus: of each actor.

    Raises:
        ConfigError: Ray is not installed, or `workers` is below 1.
    """
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, not {workers}")
    source = iter(tables)
    with ray_cluster(workers):
        import ray.data

        context: Any = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        while payloads := [to_bytes(table) for table in islice(source, WINDOW)]:
            rows = pa.table({"payload": pa.array(payloads, pa.large_binary())})
            data = ray.data.from_arrow([rows.slice(i, 1) for i in range(len(rows))]).map_batches(
                _Actor,
                fn_constructor_args=(worker, arguments),
                batch_format="pyarrow",
                batch_size=1,
                num_gpus=gpus or None,
                compute=ray.data.ActorPoolStrategy(size=workers),
            )
            done: Iterable[Any] = data.iter_batches(batch_format="pyarrow", batch_size=None)
            for batch in done:
                yield from (from_bytes(payload.as_py()) for payload in batch["payload"])


class _Actor:
    def __init__(self, worker: type[Worker], arguments: tuple[object, ...]) -> None:
        self._worker = worker(*arguments)

    def __call__(self, batch: pa.Table) -> pa.Table:
        done = [to_bytes(self._worker(from_bytes(payload.as_py()))) for payload in batch["payload"]]
        return pa.table({"payload": pa.array(done, pa.large_binary())})


@contextmanager
def ray_cluster(workers: int) -> Iterator[None]:
    """Ray as the caller started it (or RAY_ADDRESS names it), else a local one that ends with the block.

    Raises:
        ConfigError: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError("--engine ray needs Ray: pip install 'medtrim[ray]'") from error
    if ray.is_initialized():
        yield
        return
    # One more than workers: Ray Data's own tasks need a place too.
    cpus = None if os.environ.get("RAY_ADDRESS") else workers + 1
    ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        yield
    finally:
        ray.shutdown()


def to_bytes(rows: pa.Table | pa.RecordBatch) -> bytes:
    """`rows` as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write(rows)
    return bytes(sink.getvalue())


def from_bytes(payload: bytes) -> pa.Table:
    """The table of `to_bytes`."""
    with pa.ipc.open_stream(payload) as reader:
        return reader.read_all()
