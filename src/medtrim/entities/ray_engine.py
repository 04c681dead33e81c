"""The same annotation on Ray Data (extra `ray`): for corpora that several machines share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa

from medtrim.entities.columnar import BatchRecognizer
from medtrim.entities.corpus import BATCH_SIZE
from medtrim.entities.ontology import Ontology, load_ontology
from medtrim.errors import ConfigError

# Batches handed to Ray at once: the driver never holds more of the corpus than this.
WINDOW = 128


class _Annotator:
    """A Ray actor: reads each distinct sentence once for as long as it lives."""

    def __init__(self, ontology: Ontology) -> None:
        self._recognizer = BatchRecognizer(ontology)

    def __call__(self, table: pa.Table) -> pa.Table:
        return pa.Table.from_batches([self._recognizer.annotate(_one_batch(table))])


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def annotate_with_ray(
    batches: Iterable[pa.RecordBatch], *, ontology: Ontology | None = None, workers: int = 2
) -> Iterator[pa.RecordBatch]:
    """Annotations of `batches` in their order, equal row for row to `annotate_batches`.

    Runs on the Ray cluster that is initialised, or starts a local one with `workers` processes. The corpus is
    handed over in windows, so that memory does not grow with it.

    Raises:
        ConfigError: Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError("--engine ray needs Ray: install medtrim[ray]") from error
    started = not ray.is_initialized()
    if started:
        ray.init(num_cpus=workers + 1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    context: Any = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    ontology = ontology or load_ontology()
    source = iter(batches)
    try:
        while tables := [pa.Table.from_batches([batch]) for batch in islice(source, WINDOW)]:
            data = ray.data.from_arrow(tables).map_batches(
                _Annotator,
                fn_constructor_args=(ontology,),
                batch_format="pyarrow",
                batch_size=BATCH_SIZE,
                compute=ray.data.ActorPoolStrategy(size=workers),
            )
            found: Iterator[Any] = iter(data.iter_batches(batch_format="pyarrow", batch_size=BATCH_SIZE))
            for table in found:
                yield from table.combine_chunks().to_batches()
    finally:
        if started:
            ray.shutdown()
