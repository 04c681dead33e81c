"""The Ray engine on a local cluster (run by `make test-ray`)."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from medtrim.entities import annotate_batches
from medtrim.entities.corpus import batches_of
from medtrim.types import Study, schemas
from medtrim.types.yamlfile import read_yaml

TABLE = read_yaml(Path(__file__).with_name("hard_cases.yaml"))


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray's own start-up warns of settings of its own
def test_rows_equal_those_of_the_process_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    from medtrim.entities.ray_engine import annotate_with_ray

    monkeypatch.setattr("medtrim.types.ray_map.WINDOW", 2)  # 5,000 studies are two windows

    texts = [row["text"] for rows in TABLE.values() for row in rows]
    studies = [
        Study(f"s{k}", "p", findings=texts[k % len(texts)], impression=texts[-k % len(texts)]) for k in range(5000)
    ]
    plain = pa.Table.from_batches(list(annotate_batches(batches_of(studies))), schema=schemas.ANNOTATIONS)
    rows = pa.Table.from_batches(list(annotate_with_ray(batches_of(studies), workers=2)))
    assert rows.to_pylist() == plain.to_pylist()
