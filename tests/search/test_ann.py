"""The table's own search, for archives beyond memory: the neighbours that memory finds, and a measured recall."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lancedb
import pytest

from medtrim.search import ann, store
from medtrim.search.filters import Filters, Flag, Not, has_finding
from medtrim.search.index import build_index, publish
from medtrim.search.query import Query
from medtrim.search.searcher import Searcher
from medtrim.search.store import StudyIndex, read_facts
from medtrim.types import DEFAULT_CONTRADICTIONS, Annotation, Study

Corpus = tuple[Path, list[Study], list[Annotation]]
COPIES = 50
EFFUSION = has_finding("pleural effusion", ("left",), contradictions=DEFAULT_CONTRADICTIONS)


@pytest.fixture(scope="module")
def folder(corpus: Corpus, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 studies, indexed as archives beyond memory are: product codes need 256 rows to be learnt from."""
    root, studies, annotations = corpus
    many = [
        replace(s, study_id=f"{s.study_id}-{i:02d}", labels={"site": "AB"[i % 2]})
        for i in range(COPIES)
        for s in studies
    ]
    read = [replace(a, study_id=f"{a.study_id}-{i:02d}") for i in range(COPIES) for a in annotations]
    out = tmp_path_factory.mktemp("ann") / "index"
    build_index(checkpoint, many, read, out, root=root, thumbnail=0, copy_model=False, columns=("site",))
    facts = read_facts(out)
    table = lancedb.connect(out).open_table(facts["table"])
    facts["ann"] = ann.index_vectors(table, facts, fewest=0)
    publish(out, facts, table)
    return out


def test_recall_is_measured_and_kept(folder: Path) -> None:
    facts = read_facts(folder)["ann"]
    assert (facts["rows"], facts["cells"], facts["probes"], facts["filtered_probes"]) == (300, 17, 7, 14)
    assert 0.5 <= facts["recall@10"] <= 1
    assert 0.5 <= facts["filtered recall@10"] <= 1


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters("pleural effusion", "left"),
        Filters(columns={"site": "B"}),
        Filters(patient_id="p-s3", read=True),
    ],
)
@pytest.mark.parametrize("conditions", [(), (EFFUSION,), (Not(EFFUSION), Flag("text_row"))])
def test_the_table_finds_what_memory_finds(folder: Path, filters: Filters, conditions: tuple[object, ...]) -> None:
    index = StudyIndex(folder)
    vector = index.vector("s1-07", "text")
    exact = index.compare(vector, against="image", filters=filters, exact=True).nearest(conditions, 400)  # type: ignore[arg-type]
    few = index.compare(vector, against="image", filters=filters).nearest(conditions, 400)  # type: ignore[arg-type]
    index.facts["ann"] = None
    held = index.compare(vector, against="image", filters=filters).nearest(conditions, 400)  # type: ignore[arg-type]
    assert [n.study for n in exact] == [n.study for n in few]
    by_row = {n.study.row: n for n in held}
    assert by_row.keys() == {n.study.row for n in exact}
    for neighbour in exact:
        assert neighbour.study == by_row[neighbour.study.row].study
        assert neighbour.similarity == pytest.approx(by_row[neighbour.study.row].similarity, abs=1e-5)


def test_cells_are_probed_where_many_rows_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "FEW_ROWS", 10)
    index = StudyIndex(folder)
    asked = index.compare(index.vector("s0-00", "image"), against="image", filters=Filters("pleural effusion"))
    found = asked.nearest((), 10)
    assert len(found) == 10
    assert all("pleural effusion" in {f.disease for f in n.study.findings} for n in found)
    assert found[0].similarity == pytest.approx(1, abs=1e-4)


def test_an_index_is_kept_until_a_tenth_is_new(folder: Path) -> None:
    facts = read_facts(folder)
    table = lancedb.connect(folder).open_table(facts["table"])
    assert ann.index_vectors(table, facts, fewest=0) == facts["ann"]
    assert ann.index_vectors(table, facts) is None
    stale = facts | {"ann": facts["ann"] | {"rows": 200}}
    made = ann.index_vectors(table, stale, fewest=0)
    assert made is not None
    assert made["rows"] == 300


def test_searches_of_a_table_and_of_memory_agree(folder: Path) -> None:
    searcher = Searcher.open(StudyIndex(folder))
    query = Query("large left pleural effusion", k=5, exact=True)
    first = [(h.study.study_id, h.match) for h in searcher.search(query).hits]
    searcher.index.facts["ann"] = None
    assert [(h.study.study_id, h.match) for h in searcher.search(query).hits] == first
