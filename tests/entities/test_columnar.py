"""Arrow batches against the plain recogniser, row for row."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from medtrim.entities import Recognizer
from medtrim.entities.columnar import BatchRecognizer
from medtrim.types import Study, schemas
from medtrim.types.tables import annotations_to_table
from medtrim.types.yamlfile import read_yaml

TABLE = read_yaml(Path(__file__).with_name("hard_cases.yaml"))
TEXTS = [row["text"] for rows in TABLE.values() for row in rows]


def studies() -> list[Study]:
    made = [Study(f"s{k}", "p", findings=t, impression=TEXTS[-k]) for k, t in enumerate(TEXTS)]
    long = " ".join(TEXTS)
    return [*made, Study("none", "p"), Study("long", "p", findings=long, impression="\n\n".join(TEXTS)), *made[:3]]


def batch(rows: list[Study]) -> pa.RecordBatch:
    columns = {
        "study_id": [s.study_id for s in rows],
        "findings": [s.findings or None for s in rows],
        "impression": [s.impression for s in rows],
    }
    return pa.RecordBatch.from_pydict(columns, schema=pa.schema([(name, pa.string()) for name in columns]))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_batches_equal_the_plain_recogniser(size: int) -> None:
    rows = studies()
    recognizer, batches = Recognizer(), BatchRecognizer()
    parts = [batches.annotate(batch(rows[k : k + size])) for k in range(0, len(rows), size)]
    found = pa.Table.from_batches(parts, schema=schemas.ANNOTATIONS)
    assert found.to_pylist() == annotations_to_table(recognizer.annotate(s) for s in rows).to_pylist()
    found.validate(full=True)


def test_an_empty_batch_has_no_rows() -> None:
    assert BatchRecognizer().annotate(batch([])).num_rows == 0


def test_starting_the_store_anew_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = studies()
    whole = BatchRecognizer().annotate(batch(rows))
    monkeypatch.setattr("medtrim.entities.columnar.MAX_UNITS", 5)
    forgetful = BatchRecognizer()
    parts = [forgetful.annotate(batch(rows[k : k + 3])) for k in range(0, len(rows), 3)]
    assert json.dumps(pa.Table.from_batches(parts).to_pylist()) == json.dumps(whole.to_pylist())
