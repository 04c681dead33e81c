"""Filters, several views, one hit a patient, an index in Spanish, and two servers over one index."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest

from medtrim.entities import annotate_corpus, load_ontology
from medtrim.search import Filters
from medtrim.search.index import build_index
from medtrim.search.query import Query
from medtrim.search.searcher import Searcher
from medtrim.search.server import create_app
from medtrim.search.store import StudyIndex
from medtrim.search.wire import offered_filters
from medtrim.types import Annotation, Study

Corpus = tuple[Path, list[Study], list[Annotation]]
SPANISH = Path(__file__).parents[2] / "examples" / "ontology" / "spanish.yaml"


@pytest.fixture(scope="module")
def searcher(corpus: Corpus, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    """Six studies of three patients with dates and a site; the first has two views. Reports are in Spanish too."""
    root, studies, _ = corpus
    own = [
        replace(
            study,
            patient_id=f"p{i // 2}",
            view="PA",
            labels={"day": f"2024-0{i + 1}-01" if i else "", "site": "AB"[i % 2]},
        )
        for i, study in enumerate(studies)
    ]
    own[0] = replace(own[0], images=(*own[0].images, own[1].images[0]), view="")
    own[5] = replace(own[5], findings="Derrame pleural izquierdo severo.", impression="")
    ontology = load_ontology(SPANISH)
    out = tmp_path_factory.mktemp("filters") / "index"
    found = list(annotate_corpus(own, ontology=ontology))
    options = {"columns": ("site",), "date_column": "day", "ontology": ontology}
    build_index(checkpoint, own, found, out, root=root, thumbnail=0, copy_model=False, **options)  # type: ignore[arg-type]
    return Searcher.open(StudyIndex(out))


def found(searcher: Searcher, **options: object) -> list[str]:
    query = Query("xyzzy", mode="embedding", k=20, **options)  # type: ignore[arg-type]
    return sorted(hit.study.study_id for hit in searcher.search(query).hits)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(patient_id="p1"), ["s2", "s3"]),
        (Filters(since="2024-03-01"), ["s'4", "s2", "s3", "s5"]),
        (Filters(until="2024-03-01"), ["s1", "s2"]),
        (Filters(since="2024-03-01", until="2024-04-30"), ["s2", "s3"]),
        (Filters(columns={"site": "A"}), ["s'4", "s0", "s2"]),
        (Filters(columns={"site": "A"}, patient_id="p0"), ["s0"]),
        (Filters("pleural effusion", said="absent"), ["s2"]),
        (Filters(read=False), []),
    ],
)
def test_filters_hold_for_every_hit(searcher: Searcher, filters: Filters, expected: list[str]) -> None:
    assert found(searcher, filters=filters) == expected


def test_what_can_be_filtered_is_offered(searcher: Searcher) -> None:
    offered = {f.name: f for f in offered_filters(searcher.index)}
    assert {"patient_id", "since", "until", "reports", "column site"} <= offered.keys()
    assert offered["column site"].values == ["A", "B"]


def test_a_study_of_two_views_is_one_hit(searcher: Searcher) -> None:
    assert searcher.index.facts["rows"] == 7
    assert found(searcher) == ["s'4", "s0", "s1", "s2", "s3", "s5"]


def test_one_hit_a_patient_is_the_best(searcher: Searcher) -> None:
    every = [hit.study for hit in searcher.search(Query("xyzzy", mode="embedding", k=20)).hits]
    one = [h.study for h in searcher.search(Query("xyzzy", mode="embedding", k=20, one_per_patient=True)).hits]
    assert [s.study_id for s in one] == [
        next(s.study_id for s in every if s.patient_id == patient)
        for patient in dict.fromkeys(s.patient_id for s in every)
    ]
    assert len(one) == 3


def test_a_spanish_index_answers_spanish_words(searcher: Searcher) -> None:
    result = searcher.search(Query("derrame pleural izquierdo", k=6))
    assert [q.words for q in result.wanted.must] == ["left pleural effusion"]
    assert {h.study.study_id for h in result.hits if h.fulfils} == {"s0", "s5"}
    english = Searcher.open(StudyIndex(searcher.index.folder), ontology=load_ontology())
    assert not english.search(Query("derrame pleural izquierdo")).wanted


@contextmanager
def balanced(ports: list[int]) -> Iterator[int]:
    """A proxy that gives each connection to the next of `ports`; yields its own port."""
    turn, loop = cycle(ports), asyncio.new_event_loop()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
        await writer.wait_closed()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", next(turn))
        await asyncio.gather(copy(reader, back), copy(there, writer))

    async def end() -> None:
        server.close()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    server = loop.run_until_complete(asyncio.start_server(pass_on, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(end())
        loop.close()


def test_two_servers_over_one_index_answer_as_one(
    searcher: Searcher, serving_thread: Callable[..., AbstractContextManager[int]]
) -> None:
    folder = searcher.index.folder
    first, second = (create_app(Searcher.open(StudyIndex(folder))) for _ in range(2))
    with serving_thread(first) as one, serving_thread(second) as two, balanced([one, two]) as port:
        answers = []
        for _ in range(4):
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/api/search",
                data=json.dumps({"text": "derrame pleural"}).encode(),
                headers={"content-type": "application/json", "connection": "close"},
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                answers.append(json.load(answer))
        counted = []
        for own in (one, two):
            with urllib.request.urlopen(f"http://127.0.0.1:{own}/metrics", timeout=30) as page:
                counted.append(page.read().decode())
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0]["hits"]) == 6
    assert all("/api/search" in page for page in counted)  # both had their share
