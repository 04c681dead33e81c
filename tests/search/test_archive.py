"""An archive that lives: added to, changed, killed while it is written, and read all the while."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medtrim.errors import ConfigError, TableError
from medtrim.search import index as writing
from medtrim.search import ingest, store
from medtrim.search.encoder import QueryEncoder
from medtrim.search.index import add_studies, build_index, check_model, compact_index, delete_studies
from medtrim.search.ingest import count_rows
from medtrim.search.query import Query
from medtrim.search.searcher import Searcher
from medtrim.search.store import StudyIndex, read_facts
from medtrim.types import Annotation, Finding, Provenance, Study
from medtrim.types.outputs import sole_writer
from medtrim.types.tables import annotations_to_table, studies_to_table, write_table

Corpus = tuple[Path, list[Study], list[Annotation]]
MANY = 24


@pytest.fixture
def index(corpus: Corpus, checkpoint: Path, tmp_path: Path) -> Path:
    root, studies, annotations = corpus
    build_index(checkpoint, studies[:2], annotations, tmp_path / "index", root=root, copy_model=False, thumbnail=0)
    return tmp_path / "index"


def ids(index: Path) -> list[str]:
    opened = StudyIndex(index)
    return sorted(opened._table.search().select(["study_id"]).limit(1000).to_arrow()["study_id"].to_pylist())


def counted(index: Path) -> None:
    """The facts say what a count of all rows says."""
    opened = StudyIndex(index)
    everything = count_rows(opened._table.to_arrow(), opened.columns)
    assert (opened.facts["studies"], opened.facts["rows"]) == (everything.studies, everything.rows)
    assert opened.facts["text_rows"] == everything.text_rows
    assert {k: v for k, v in opened.facts["counts"].items() if v} == {
        k: dict(v) for k, v in everything.counts.items() if v
    }


def test_studies_are_added_once_changed_and_deleted(index: Path, corpus: Corpus) -> None:
    root, studies, annotations = corpus
    first = add_studies(index, studies[:4], annotations, root=root)
    assert (first.studies, first.present) == (2, 2)
    again = add_studies(index, studies[:4], annotations, root=root)
    assert (again.studies, again.present) == (0, 4)
    counted(index)
    changed = [Annotation("s0", (Finding("fracture", "present"),))]
    update = add_studies(index, [replace(studies[0], findings="Rib fracture.")], changed, root=root, replace=True)
    assert (update.studies, update.removed) == (1, 1)
    assert ids(index) == ["s0", "s1", "s2", "s3"]
    assert StudyIndex(index).study("s0").report_findings == "Rib fracture."
    assert "fracture" in StudyIndex(index).diseases
    counted(index)
    with pytest.raises(TableError, match="1 of 2 studies are not in the index"):
        delete_studies(index, ["s0", "nobody"])
    assert delete_studies(index, ["s0", "s3"]).removed == 2
    assert ids(index) == ["s1", "s2"]
    counted(index)


def test_nothing_is_published_but_what_is_new(index: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    root, studies, annotations = corpus
    monkeypatch.setattr(ingest, "BATCH", 2)
    monkeypatch.setattr(writing, "BATCHES", 1)
    published, publish = [], writing.publish

    def counting(folder: Path, facts: dict[str, Any], table: Any) -> None:
        published.append(facts["studies"])
        publish(folder, facts, table)

    monkeypatch.setattr(writing, "publish", counting)
    blind = [replace(studies[0], study_id=name, images=()) for name in ("b0", "b1")]
    known = [*annotations, *(Annotation(s.study_id) for s in blind)]
    add_studies(index, [*studies, *blind], known, root=root)
    assert published == [4, 6]
    mark = StudyIndex(index).mark
    again = add_studies(index, [*studies, *blind], known, root=root)
    assert (again.studies, len(again.rejects), StudyIndex(index).mark) == (0, 2, mark)


def test_compacting_removes_the_deleted_from_the_disk(index: Path, corpus: Corpus) -> None:
    root, studies, annotations = corpus
    secret = replace(studies[2], findings="Unmistakable words.")
    add_studies(index, [secret], annotations, root=root)
    delete_studies(index, ["s2"])

    def on_disk() -> bool:
        return any(b"Unmistakable words" in p.read_bytes() for p in index.rglob("*") if p.is_file())

    assert on_disk()
    compact_index(index)
    assert not on_disk()
    assert ids(index) == ["s0", "s1"]


def test_a_searcher_takes_up_what_is_published(index: Path, corpus: Corpus, checkpoint: Path) -> None:
    root, studies, annotations = corpus
    searcher = Searcher.open(StudyIndex(index))
    assert not searcher.reload()
    add_studies(index, studies, annotations, root=root)
    assert len(searcher.search(Query("effusion", mode="embedding")).hits) == 6
    delete_studies(index, ["s0"])
    compact_index(index)  # the files that the searcher has open are gone
    assert len(searcher.search(Query("effusion", mode="embedding")).hits) == 5
    build_index(checkpoint, studies[:3], annotations, index, root=root)
    assert len(searcher.search(Query("effusion", mode="embedding")).hits) == 3
    assert len(searcher.index) == 3


def test_a_large_archive_is_taken_up_beside_the_searches(
    index: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, studies, annotations = corpus
    monkeypatch.setattr(store, "WHOLE_ROWS", 1)  # as if six studies were many: float16, and read in a thread
    searcher = Searcher.open(StudyIndex(index))
    question = Query("effusion", mode="embedding")
    assert len(searcher.search(question).hits) == 2
    add_studies(index, studies, annotations, root=root)
    delete_studies(index, ["s0"])
    compact_index(index)  # the files of the version that is served are gone: what is read from them is awaited
    assert len(searcher.search(question).hits) in (2, 5)
    until = time.monotonic() + 120
    while len(found := searcher.search(question).hits) != 5 and time.monotonic() < until:
        time.sleep(0.01)
    again = Searcher.open(StudyIndex(index)).search(question).hits
    assert [(h.study.study_id, h.similarity) for h in found] == [(h.study.study_id, h.similarity) for h in again]


def test_two_writers_exclude_each_other(index: Path, corpus: Corpus) -> None:
    root, studies, annotations = corpus
    with sole_writer(index):
        with pytest.raises(ConfigError, match="is being written by process"):
            add_studies(index, studies, annotations, root=root)
        with pytest.raises(ConfigError, match="is being written by process"):
            delete_studies(index, ["s0"])


def test_an_index_is_its_owners_alone(index: Path) -> None:
    assert index.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o077 for p in index.rglob("*")} == {0}


def test_another_model_of_the_same_width_is_refused(index: Path, checkpoint: Path, tmp_path: Path) -> None:
    facts = read_facts(index)
    assert check_model(index, facts) == checkpoint.absolute()
    with pytest.raises(ConfigError, match="not the one that the index was built with"):
        check_model(index, facts | {"fingerprint": "0" * 64})


def test_unpublished_rows_of_a_killed_writer_are_taken_back(
    index: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, studies, annotations = corpus
    monkeypatch.setattr(writing, "publish", lambda *_: None)
    add_studies(index, studies, annotations, root=root)
    (index / "studies-9.lance").mkdir()
    monkeypatch.undo()
    assert ids(index) == ["s0", "s1"]
    delete_studies(index, ["s1"])
    assert ids(index) == ["s0"]
    assert not (index / "studies-9.lance").exists()
    counted(index)


# Forks a writer for each line it reads. Lance has threads, which no fork survives, so the writers import it; most
# of what that takes is `lance_namespace`, which has none.
WRITERS = """
import os, sys, traceback
from pathlib import Path
import lance_namespace
from medtrim import data, models
from medtrim.types.tables import read_annotations, read_studies

folder, table, annotations, root = map(Path, sys.argv[1:])
for _ in sys.stdin:
    writer = os.fork()
    if not writer:
        try:
            from medtrim.search import index, ingest
            ingest.BATCH, index.BATCHES = 2, 1
            print("writing", os.getpid(), flush=True)
            index.add_studies(folder, read_studies(table), read_annotations(annotations), root=root, replace=True)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]), flush=True)
"""


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_lose_and_double_nothing(index: Path, corpus: Corpus, tmp_path: Path, kills: int) -> None:
    root, studies, annotations = corpus
    more = [replace(studies[i % 6], study_id=f"m{i:02d}") for i in range(MANY)]
    read = [replace(annotations[i % 6], study_id=f"m{i:02d}") for i in range(MANY)]
    write_table(studies_to_table(more), tmp_path / "studies.parquet", Provenance("studies"))
    write_table(annotations_to_table(read), tmp_path / "annotations.parquet", Provenance("annotations"))
    inputs = [str(p) for p in (index, tmp_path / "studies.parquet", tmp_path / "annotations.parquet", root)]
    generator = random.Random(kills)
    everything = {s.study_id for s in more} | {"s0", "s1"}
    seen = {"s0", "s1"}
    command = [sys.executable, "-c", WRITERS, *inputs]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as writers:
        assert writers.stdin is not None
        assert writers.stdout is not None
        for number in range(kills + 1):
            writers.stdin.write("\n")
            word, writer = writers.stdout.readline().split()
            assert word == "writing", "the writer ended before it began; its error is above"
            if number < kills:
                time.sleep(generator.uniform(0.02, 0.5))
                with suppress(ProcessLookupError):  # it has ended
                    os.kill(int(writer), signal.SIGKILL)
            code = int(writers.stdout.readline().removeprefix("ended"))
            there = ids(index)
            assert len(there) == len(set(there))
            assert seen <= set(there) <= everything
            seen = set(there)
    assert code == 0
    assert seen == everything
    counted(index)


def test_encoders_say_whether_a_text_is_cut(searcher: Searcher) -> None:
    encoder: QueryEncoder = searcher.encoder
    assert not encoder.is_cut("effusion")
    assert encoder.is_cut("effusion " * 500)
    notices = searcher.search(Query("effusion " * 500)).notices
    assert "text cut" in [n.code for n in notices]
