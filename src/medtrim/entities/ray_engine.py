"""The same annotation on Ray Data (extra `ray`): for corpora that several machines share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from medtrim.entities.columnar import BatchRecognizer
from medtrim.entities.ontology import Ontology, load_ontology
from medtrim.types.ray_map import ray_map


class _Annotator:
    """Reads each distinct sentence once for as long as it lives."""

    def __init__(self, ontology: Ontology) -> None:
        self._recognizer = BatchRecognizer(ontology)

    def __call__(self, table: pa.Table) -> pa.Table:
        return pa.Table.from_batches([self._recognizer.annotate(batch) for batch in table.to_batches()])


def annotate_with_ray(
    batches: Iterable[pa.RecordBatch], *, ontology: Ontology | None = None, workers: int = 2
) -> Iterator[pa.RecordBatch]:
    """Annotations of `batches` in their order, equal row for row to `annotate_batches`.

    Runs on the Ray cluster that is initialised, or starts a local one with `workers` processes. The corpus is
    handed over in windows, so that memory does not grow with it.

    Raises:
        ConfigError: Ray is not installed.
    """
    tables = (pa.Table.from_batches([batch]) for batch in batches if len(batch))
    for table in ray_map(tables, _Annotator, ontology or load_ontology(), workers=workers):
        yield from table.combine_chunks().to_batches()
