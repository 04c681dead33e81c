"""Building an index on a local Ray cluster (run by `make test-ray`)."""

from dataclasses import replace
from pathlib import Path

import lancedb
import numpy as np
import pytest

from medtrim.search.index import build_index
from medtrim.search.store import read_facts
from medtrim.types import Annotation, Study
from medtrim.types.processes import Engine


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray's own start-up warns of settings of its own
def test_rows_equal_those_of_one_process(
    corpus: tuple[Path, list[Study], list[Annotation]],
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("medtrim.search.ingest.BATCH", 2)
    root, studies, annotations = corpus
    given = [replace(studies[0], images=("missing.png",)), *studies[1:]]
    tables, builds = [], []
    for engine in Engine:
        out = tmp_path / engine
        builds.append(
            build_index(checkpoint, given, annotations, out, root=root, copy_model=False, engine=engine, workers=2)
        )
        tables.append(lancedb.connect(out).open_table(read_facts(out)["table"]).to_arrow())
    plain, shared = tables
    assert builds[0].rejects == builds[1].rejects
    assert len(builds[0].rejects) == 1
    assert len(plain) == len(studies) - 1
    vectors = ("image", "text")
    names = [name for name in plain.column_names if name not in vectors]
    assert shared.select(names).to_pylist() == plain.select(names).to_pylist()
    for side in vectors:
        ours, theirs = (np.array(t[side].to_pylist(), np.float32) for t in (shared, plain))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
