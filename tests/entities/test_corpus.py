"""Corpora: order, batches, workers, hash seed, killed runs."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medtrim.entities import Recognizer, annotate_batches, annotate_corpus, load_ontology
from medtrim.entities.corpus import batches_of
from medtrim.entities.writing import ROW_GROUP, write_annotations
from medtrim.errors import ConfigError
from medtrim.types import Study
from medtrim.types.tables import provenance_of, read_annotations
from medtrim.types.yamlfile import read_yaml

TABLE = read_yaml(Path(__file__).with_name("hard_cases.yaml"))
TEXTS = [row["text"] for rows in TABLE.values() for row in rows]

# Writes the corpus of this file and prints the SHA-256 of the table; run under different hash seeds.
SCRIPT = """
import hashlib, sys
from pathlib import Path
from medtrim.entities import annotate_batches, load_ontology
from medtrim.entities.corpus import batches_of
from medtrim.entities.writing import write_annotations
from medtrim.types import Study
from medtrim.types.yamlfile import read_yaml

if __name__ == "__main__":
    texts = [row["text"] for rows in read_yaml(sys.argv[1]).values() for row in rows]
    studies = [Study(f"s{k}", "p", findings=t, impression=texts[-k]) for k, t in enumerate(texts)]
    batches = annotate_batches(batches_of(studies, size=int(sys.argv[3])), workers=int(sys.argv[4]))
    write_annotations(batches, sys.argv[2], load_ontology())
    print(hashlib.sha256(Path(sys.argv[2]).read_bytes()).hexdigest())
"""


def corpus(count: int) -> list[Study]:
    return [
        Study(f"s{k}", "p", findings=TEXTS[k % len(TEXTS)], impression=TEXTS[-k % len(TEXTS)]) for k in range(count)
    ]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_annotations_come_in_the_order_of_the_studies() -> None:
    studies = corpus(50)
    recognizer = Recognizer()
    assert list(annotate_corpus(studies)) == [recognizer.annotate(s) for s in studies]


def test_progress_ends_at_the_total() -> None:
    calls: list[tuple[int, int]] = []
    list(annotate_corpus(corpus(501), progress=lambda done, total: calls.append((done, total))))
    assert calls == [(500, 501), (501, 501)]


def test_workers_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        list(annotate_batches([], workers=0))


def test_the_same_bytes_for_any_hash_seed_batch_size_and_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "write.py"
    script.write_text(SCRIPT)
    table = Path(__file__).with_name("hard_cases.yaml")
    elsewhere = [
        subprocess.run(
            [sys.executable, str(script), str(table), str(tmp_path / f"{seed}.parquet"), size, workers],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        for seed, size, workers in (("1", "7", "1"), ("2", "30", "2"))
    ]
    monkeypatch.setattr(sys, "argv", ["-c", str(table), str(tmp_path / "here.parquet"), "2048", "1"])
    exec(SCRIPT, {"__name__": "__main__"})
    here = capsys.readouterr().out
    assert len(here.strip()) == 64
    assert elsewhere == [here, here]


def test_row_groups_do_not_depend_on_the_batches(tmp_path: Path) -> None:
    ontology = load_ontology()
    studies = corpus(ROW_GROUP + 100)
    for size in (1000, ROW_GROUP + 100):
        written = write_annotations(
            annotate_batches(batches_of(studies, size=size)), tmp_path / f"{size}.parquet", ontology
        )
        assert written.reports == len(studies)
    assert digest(tmp_path / "1000.parquet") == digest(tmp_path / f"{ROW_GROUP + 100}.parquet")
    assert pq.ParquetFile(tmp_path / "1000.parquet").metadata.num_row_groups == 2


def test_the_table_carries_the_ontology_and_its_contradictions(tmp_path: Path) -> None:
    ontology = load_ontology()
    path = tmp_path / "a.parquet"
    written = write_annotations(annotate_batches(batches_of(corpus(5))), path, ontology)
    made = provenance_of(pq.read_table(path))
    assert made is not None
    assert made.ontology == ontology.ref
    assert made.extra["contradictions"]["side"] == {"left": 0, "right": 1}
    assert len(read_annotations(path)) == 5
    assert sum(written.findings.values()) == sum(len(a.findings) for a in read_annotations(path))


def test_a_failed_run_leaves_the_old_table_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    ontology = load_ontology()
    write_annotations(annotate_batches(batches_of(corpus(3))), path, ontology)
    before = digest(path)

    def broken() -> Iterator[pa.RecordBatch]:
        yield from annotate_batches(batches_of(corpus(3)))
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        write_annotations(broken(), path, ontology)
    assert digest(path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


KILLED = """
import sys, time
from medtrim.entities import annotate_batches, load_ontology
from medtrim.entities.corpus import batches_of
from medtrim.entities.writing import write_annotations
from medtrim.types import Study
from medtrim.types.outputs import sole_writer

def slowly():
    for k in range(40):
        print(k, flush=True)
        if k == int(sys.argv[2]):
            time.sleep(600)
        for j in range(500):
            yield Study(f"s{k}-{j}", "p", findings="Small left effusion. No pneumothorax.")

with sole_writer(sys.argv[1]):
    write_annotations(annotate_batches(batches_of(slowly(), size=500)), sys.argv[1], load_ontology())
"""


def test_killed_and_run_again_gives_the_same_table(tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text(KILLED)
    path, whole = tmp_path / "killed" / "a.parquet", tmp_path / "whole" / "a.parquet"
    victim = subprocess.Popen([sys.executable, str(script), str(path), "20"], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    while victim.stdout.readline().strip() != "20":
        assert victim.poll() is None
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert victim.returncode == -signal.SIGKILL
    assert not path.exists(), "half a table must not carry the table's name"
    for target in (path, whole):
        subprocess.run([sys.executable, str(script), str(target), "-1"], check=True, stdout=subprocess.DEVNULL)
    assert digest(path) == digest(whole)
    assert [p.name for p in path.parent.iterdir()] == ["a.parquet"]
