from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medtrim.data import load_image
from medtrim.errors import ConfigError, TableError
from medtrim.search import Filters
from medtrim.search.query import Query
from medtrim.search.searcher import Searcher, SearchResult
from medtrim.types import Annotation, Study

Corpus = tuple[Path, list[Study], list[Annotation]]


def ask(searcher: Searcher, text: str = "", **options: Any) -> SearchResult:
    return searcher.search(Query(text, **({"mode": "embedding"} | options)))


def ids(result: SearchResult) -> list[str]:
    return [hit.study.study_id for hit in result.hits]


def test_neighbours_are_those_of_a_plain_sort(searcher: Searcher, corpus: Corpus) -> None:
    _, studies, _ = corpus
    query = searcher.encoder.texts(["Mild pulmonary edema."])[0]
    for against in ("image", "text"):
        vectors = {s.study_id: searcher.index.vector(s.study_id, against) for s in studies}
        expected = sorted(vectors, key=lambda s: (-float(vectors[s] @ query), s))
        result = ask(searcher, "Mild pulmonary edema.", against=against, k=6)
        assert ids(result) == expected
        similarities = [hit.similarity for hit in result.hits]
        np.testing.assert_allclose(similarities, [vectors[s] @ query for s in expected], atol=1e-5)


def test_a_studys_own_image_finds_it_first(searcher: Searcher, corpus: Corpus) -> None:
    root, studies, _ = corpus
    for study in studies:
        result = ask(searcher, image=load_image(root / study.images[0]), k=1)
        assert ids(result) == [study.study_id]
        assert result.hits[0].similarity == pytest.approx(1, abs=1e-5)
        assert result.hits[0].agreement.marks[0].relation == "neutral"


def test_a_study_is_not_its_own_neighbour(searcher: Searcher) -> None:
    result = ask(searcher, study_id="s'4", k=6)
    assert len(result.hits) == 5
    assert "s'4" not in ids(result)
    marks = {hit.study.study_id: hit.agreement.marks[0] for hit in result.hits}
    assert marks["s5"].conflicts == ("severity",)
    assert marks["s0"].relation == "extra"


def test_what_a_text_says_is_compared(searcher: Searcher) -> None:
    result = ask(searcher, "Large left pleural effusion.", k=6)
    by_id = {hit.study.study_id: hit.agreement for hit in result.hits}
    assert by_id["s0"].marks[0].relation == "agrees"
    assert by_id["s1"].conflicts == ("side", "severity")
    assert by_id["s3"].missing == ("pleural effusion",)


def test_a_text_without_findings_is_compared_with_nothing(searcher: Searcher) -> None:
    result = ask(searcher, "comparison with the previous film")
    assert result.findings == ()
    assert {mark.relation for hit in result.hits for mark in hit.agreement.marks} == {"neutral"}


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(), {"s0", "s1", "s2", "s3", "s'4", "s5"}),
        (Filters("pleural effusion"), {"s0", "s1"}),
        (Filters("pleural effusion", "left"), {"s0"}),
        (Filters("", "right"), {"s1", "s3"}),
        (Filters("no finding"), {"s2"}),
        (Filters("edema", "left"), set()),
    ],
)
def test_filters(searcher: Searcher, filters: Filters, found: set[str]) -> None:
    assert set(ids(ask(searcher, "x-ray", filters=filters, k=50))) == found


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (Filters("gout"), "no study of the index reports 'gout'; it has: edema, pleural effusion"),
        (Filters("x') OR (1=1"), "no study of the index reports"),
        (Filters("", "up"), "side must be one of left, right"),
        (Filters("no finding", "left"), "has no side"),
    ],
)
def test_unknown_filters_are_refused(searcher: Searcher, filters: Filters, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        ask(searcher, "x-ray", filters=filters)
    assert message in str(raised.value)


def test_bad_queries_are_refused(searcher: Searcher) -> None:
    with pytest.raises(ConfigError, match="empty"):
        ask(searcher, "  \n")
    for k in (0, 101):
        with pytest.raises(ConfigError, match="number of results"):
            ask(searcher, "x-ray", k=k)
    with pytest.raises(TableError, match="not in the index"):
        ask(searcher, study_id="x' OR '1'='1")


def test_texts_beyond_the_models_length_are_cut(searcher: Searcher) -> None:
    assert len(ask(searcher, "effusion " * 5000, k=3).hits) == 3
