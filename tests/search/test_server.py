from __future__ import annotations

import base64
import io
import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medtrim.data import load_image
from medtrim.search.admission import Limits
from medtrim.search.audit import AuditTrail
from medtrim.search.index import build_index
from medtrim.search.searcher import Searcher
from medtrim.search.server import create_app
from medtrim.search.store import StudyIndex
from medtrim.types import Annotation, Study

Corpus = tuple[Path, list[Study], list[Annotation]]
HERE = "http://127.0.0.1:8017"


@pytest.fixture(scope="module")
def client(searcher: Searcher) -> Iterator[TestClient]:
    with TestClient(create_app(searcher, limits=Limits(max_body=50_000)), base_url=HERE) as client:
        yield client


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    for path, kind in (("/", "text/html"), ("/app.js", "text/javascript"), ("/app.css", "text/css")):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert "http://" not in answer.text
        assert "https://" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
    script = client.get("/app.js").text
    assert "innerHTML" not in script
    assert "style=" not in client.get("/").text


def test_about_names_size_and_diseases(client: TestClient) -> None:
    about = client.get("/api/about").json()
    assert about["studies"] == 6
    assert about["diseases"][0] == "edema"


def test_search_by_text(client: TestClient) -> None:
    answer = client.post("/api/search", json={"text": "Large left pleural effusion.", "k": 6}).json()
    assert answer["chips"]["must"][0]["disease"] == "pleural effusion"
    hits = {hit["study_id"]: hit for hit in answer["hits"]}
    assert hits["s0"]["marks"][0]["verdict"] == "agrees"
    assert hits["s1"]["conflicts"] == ["side", "severity"]
    assert hits["s0"]["report"][0]["parts"] == [{"text": "Large left pleural effusion.", "findings": []}]
    picture = client.get(f"/api/studies/{hits['s0']['row']}/thumbnail")
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8")


def test_search_by_image(client: TestClient, corpus: Corpus) -> None:
    root, studies, _ = corpus
    content = (root / studies[1].images[0]).read_bytes()
    answer = client.post("/api/search/image?k=2&against=image", content=content)
    assert answer.status_code == 200
    assert answer.json()["hits"][0]["study_id"] == "s1"
    assert len(answer.json()["hits"]) == 2


def test_words_and_image_together_are_weighted(client: TestClient, corpus: Corpus) -> None:
    root, studies, _ = corpus
    image = base64.b64encode((root / studies[1].images[0]).read_bytes()).decode()

    def similarities(body: dict[str, object]) -> dict[str, float]:
        hits = client.post("/api/search", json={**body, "mode": "embedding", "k": 6}).json()["hits"]
        return {hit["study_id"]: hit["similarity"] for hit in hits}

    words = {"text": "Mild pulmonary edema.", "must": [], "must_not": [], "like": []}
    both = {**words, "image": image}
    assert similarities({**both, "image_weight": 1}) == pytest.approx(similarities({"image": image}), abs=1e-5)
    assert similarities({**both, "image_weight": 0}) == pytest.approx(similarities(words), abs=1e-5)
    assert similarities(both) != pytest.approx(similarities(words), abs=1e-5)


def test_a_previews_small_picture_asks_the_same_as_the_file(client: TestClient, corpus: Corpus) -> None:
    root, studies, _ = corpus
    content = (root / studies[1].images[0]).read_bytes()
    preview = client.post("/api/preview", content=content).json()
    assert (preview["width"], preview["height"]) == (72, 80)
    assert base64.b64decode(preview["preview"]).startswith(b"\x89PNG")
    small = client.post("/api/search", json={"image": preview["image"]}).json()["hits"]
    whole = client.post("/api/search/image", content=content).json()["hits"]
    assert [(h["study_id"], h["similarity"]) for h in small] == [(h["study_id"], h["similarity"]) for h in whole]


def test_chips_replace_what_is_read_from_the_words(client: TestClient) -> None:
    body = {"text": "Large left pleural effusion.", "must": [], "must_not": [{"disease": "pleural effusion"}]}
    answer = client.post("/api/search", json=body).json()
    assert answer["chips"]["must"] == []
    assert answer["chips"]["must_not"][0]["denied"] is True
    assert {hit["study_id"] for hit in answer["hits"]} == {"s2", "s3", "s'4", "s5"}
    edited = {"disease": "pleural effusion", "side": ["right"], "severity": ["small"]}
    answer = client.post("/api/search", json={"text": "Large left pleural effusion.", "must": [edited]}).json()
    assert answer["hits"][0]["study_id"] == "s1"
    assert answer["hits"][0]["fulfils"]


def test_the_original_picture_at_its_full_size(client: TestClient, corpus: Corpus) -> None:
    root, studies, _ = corpus
    hit = client.post("/api/search", json={"study_id": "s0", "k": 1}).json()["hits"][0]
    answer = client.get(f"/api/studies/{hit['row']}/image")
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content), formats=("PNG",)) as image:
        shown = np.asarray(image)
    study = next(s for s in studies if s.study_id == hit["study_id"])
    np.testing.assert_array_equal(shown, load_image(root / study.images[0]))
    assert client.get(f"/api/studies/{hit['row']}/image?view=1").status_code == 404
    assert client.get("/api/studies/99/image").status_code == 404


def test_an_original_that_is_no_longer_there_is_said_without_its_path(
    corpus: Corpus, checkpoint: Path, tmp_path: Path
) -> None:
    root, studies, annotations = corpus
    moved = tmp_path / "secret-folder"
    shutil.copytree(root, moved)
    index = StudyIndex(build_index(checkpoint, studies, annotations, tmp_path / "index", root=moved).folder)
    shutil.rmtree(moved)
    with TestClient(create_app(Searcher.open(index)), base_url=HERE) as client:
        answer = client.get("/api/studies/0/image")
    assert answer.status_code == 422
    assert answer.json() == {"error": "image file is missing"}


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"patient_id": "p-s3"}, {"s3"}),
        ({"reports": "not read"}, set()),
        ({"reports": "read", "disease": "edema"}, {"s'4", "s5"}),
        ({"disease": "pleural effusion", "said": "absent"}, {"s2"}),
        ({"views": ["PA"]}, set()),
    ],
)
def test_filters(client: TestClient, filters: dict[str, object], found: set[str]) -> None:
    body = {"text": "x-ray", "k": 50, **filters}
    assert {hit["study_id"] for hit in client.post("/api/search", json=body).json()["hits"]} == found


@pytest.mark.parametrize("filters", [{"columns": {"site": "a"}}, {"since": "yesterday"}, {"reports": "maybe"}])
def test_unknown_filters_are_refused(client: TestClient, filters: dict[str, object]) -> None:
    assert client.post("/api/search", json={"text": "x-ray", **filters}).status_code == 422


def test_search_by_study_with_filter(client: TestClient) -> None:
    query = {"study_id": "s0", "using": "text", "against": "text", "disease": "pleural effusion", "side": "right"}
    answer = client.post("/api/search", json=query).json()
    assert [hit["study_id"] for hit in answer["hits"]] == ["s1"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/search", {"text": ""}, 422),
        ("/api/search", {"text": "   "}, 422),
        ("/api/search", {"text": "x" * 4001}, 422),
        ("/api/search", {"text": "x", "k": 0}, 422),
        ("/api/search", {"text": "x", "k": 101}, 422),
        ("/api/search", {"text": "x", "disease": "gout"}, 422),
        ("/api/search", {"text": "x", "extra": 1}, 422),
        ("/api/search", {"study_id": "nobody"}, 404),
    ],
)
def test_bad_queries_are_answered_with_the_reason(
    client: TestClient, path: str, body: dict[str, object], status: int
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status
    assert answer.json()


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 422), (b"GIF89a nonsense", 422), (b"\x89PNG\r\n\x1a\n" + b"0" * 60, 422), (b"0" * 50_001, 413)],
)
def test_bad_uploads_are_refused(client: TestClient, content: bytes, status: int) -> None:
    answer = client.post("/api/search/image", content=content)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_body_without_announced_length_is_cut_off(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b"0" * 10_000

    assert client.post("/api/search/image", content=chunks()).status_code == 413
    as_json = {"content-type": "application/json"}
    assert client.post("/api/search", content=chunks(), headers=as_json).status_code == 413


@pytest.mark.parametrize("length", ["-1", "many", "1e3"])
def test_a_length_that_is_no_number_is_refused(client: TestClient, length: str) -> None:
    answer = client.post("/api/search/image", content=b"0", headers={"content-length": length})
    assert answer.status_code == 413


HOSTILE = [
    b'{"text": "\\ud800 patient 4711"}',
    b'{"text": "x", "\\udfff4711": 1}',
    b'{"text": "x", "k": NaN}',
    b'{"text": "x", "k": 1e999}',
    b'{"text": "x", "k": -Infinity}',
    b'{"text": "x", "k": ' + b"9" * 6000 + b"}",
    b'{"text": "x", "k": 9223372036854775808}',
    b'{"text": "4711\xff"}',
    b'{"text": ["4711"]}',
    b'{"text": "4711", "text": {}}',
    b"[" * 100_000,
    b'{"a":' * 20_000,
    b"\xef\xbb\xbf{}",
    b'"4711"',
    b"null",
    b"",
]


@pytest.mark.parametrize("path", ["/api/search", "/api/search/image", "/api/preview"])
@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_no_body_gives_a_500_or_reaches_the_log(
    client: TestClient, path: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="medtrim"), caplog.at_level(logging.DEBUG, logger="asyncio"):
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 404, 413, 422)
    assert set(answer.json()) == {"error"}
    assert "content-security-policy" in answer.headers
    assert "4711" not in "".join(r.getMessage() + (r.exc_text or "") for r in caplog.records)


@pytest.mark.parametrize("row", ["-1", "9223372036854775807", "9223372036854775808", "1e3", "NaN", "%00", "99999"])
def test_no_address_gives_a_500(client: TestClient, row: str) -> None:
    answer = client.get(f"/api/studies/{row}/thumbnail")
    assert answer.status_code in (404, 422)
    assert "content-security-policy" in answer.headers


@given(text=st.text(max_size=60), disease=st.text(max_size=20), study=st.text(min_size=1, max_size=30))
def test_any_characters_can_be_asked_for(client: TestClient, text: str, disease: str, study: str) -> None:
    for body in (
        {"text": text, "disease": disease},
        {"study_id": study},
        {"text": text, "must": [{"other": [text]}]},
    ):
        encoded = json.dumps(body).encode()
        answer = client.post("/api/search", content=encoded, headers={"content-type": "application/json"})
        assert answer.status_code in (200, 404, 422)


def test_refusals_are_json_with_the_headers_of_every_answer(client: TestClient) -> None:
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("DELETE", "/api/about", 405),
        ("GET", "/api/search", 405),
        ("TRACE", "/", 405),
    ):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert set(answer.json()) == {"error"}
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_metrics_count_answers_without_naming_what_was_asked(client: TestClient) -> None:
    client.post("/api/search", json={"study_id": "secret-id"})
    client.get("/secret-path")
    page = client.get("/metrics").text
    assert re.search(r'medtrim_requests_total\{path="/api/search",status="404"\} [1-9]', page)
    assert re.search(r'medtrim_requests_total\{path="other",status="404"\} [1-9]', page)
    assert "medtrim_studies 6.0" in page
    assert "process_resident_memory_bytes" in page
    assert "secret" not in page


def test_the_audit_trail_says_who_was_shown_what(searcher: Searcher, tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path / "audit.jsonl", user_header="X-Remote-User")
    try:
        with TestClient(create_app(searcher, audit=trail), base_url=HERE) as client:
            query = {"text": "Large left pleural effusion.", "k": 2}
            hits = client.post("/api/search", json=query, headers={"x-remote-user": "ada"}).json()["hits"]
            client.get(f"/api/studies/{hits[0]['row']}/image")
            client.post("/api/search", json={"text": ""})
    finally:
        trail.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    found = [hit["study_id"] for hit in hits]
    assert [line["studies"] for line in lines] == [found, found[:1]]
    assert [line["request"] for line in lines] == ["search", "picture"]
    assert lines[0]["user"] == "ada"
    assert "effusion" not in str(lines)


def test_nothing_is_shown_that_cannot_be_recorded(searcher: Searcher, tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path / "audit.jsonl")
    trail.close()
    with TestClient(create_app(searcher, audit=trail), base_url=HERE) as client:
        answer = client.post("/api/search", json={"text": "Large left pleural effusion."})
    assert answer.status_code == 503
    assert "hits" not in answer.text


def test_nothing_that_is_asked_or_answered_is_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with caplog.at_level(logging.INFO):
        client.post("/api/search", json={"text": "Large left pleural effusion."})
        client.post("/api/search", json={"study_id": "s0"})
        client.post("/api/search", json={"study_id": "secret-id"})
    said = " ".join(r.getMessage() for r in caplog.records if not r.name.startswith("httpx"))
    assert "effusion" not in said
    assert "secret-id" not in said
