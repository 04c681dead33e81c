from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from medtrim.errors import ConfigError
from medtrim.search.admission import Limits
from medtrim.search.guard import check_exposure, is_loopback
from medtrim.search.searcher import Searcher
from medtrim.search.server import create_app
from medtrim.types import Annotation, Study

Corpus = tuple[Path, list[Study], list[Annotation]]
TOKEN = "correct-horse-battery"
HERE = "http://127.0.0.1:8017"


@pytest.fixture
def client(searcher: Searcher) -> Iterator[TestClient]:
    with TestClient(create_app(searcher, limits=Limits(max_body=50_000)), base_url=HERE) as client:
        yield client


@pytest.fixture
def guarded(searcher: Searcher) -> Iterator[TestClient]:
    with TestClient(create_app(searcher, token=TOKEN), base_url="http://radiology.example") as client:
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
    answer = client.post("/api/search/text", json={"text": "Large left pleural effusion.", "k": 6}).json()
    assert answer["query"][0]["disease"] == "pleural effusion"
    hits = {hit["study_id"]: hit for hit in answer["hits"]}
    assert hits["s0"]["marks"][0]["verdict"] == "agrees"
    assert hits["s1"]["conflicts"] == ["side", "severity"]
    assert hits["s0"]["findings"] == "Large left pleural effusion."
    picture = client.get(f"/api/images/{hits['s0']['row']}")
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8")


def test_search_by_image(client: TestClient, corpus: Corpus) -> None:
    root, studies, _ = corpus
    content = (root / studies[1].images[0]).read_bytes()
    answer = client.post("/api/search/image?k=2&against=image", content=content)
    assert answer.status_code == 200
    assert answer.json()["hits"][0]["study_id"] == "s1"
    assert len(answer.json()["hits"]) == 2


def test_search_by_study_with_filter(client: TestClient) -> None:
    query = {"study_id": "s0", "using": "text", "against": "text", "disease": "pleural effusion", "side": "right"}
    answer = client.post("/api/search/study", json=query).json()
    assert [hit["study_id"] for hit in answer["hits"]] == ["s1"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/search/text", {"text": ""}, 422),
        ("/api/search/text", {"text": "   "}, 422),
        ("/api/search/text", {"text": "x" * 4001}, 422),
        ("/api/search/text", {"text": "x", "k": 0}, 422),
        ("/api/search/text", {"text": "x", "k": 101}, 422),
        ("/api/search/text", {"text": "x", "disease": "gout"}, 422),
        ("/api/search/text", {"text": "x", "extra": 1}, 422),
        ("/api/search/study", {"study_id": "nobody"}, 404),
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
    assert client.post("/api/search/text", content=chunks(), headers=as_json).status_code == 413


@pytest.mark.parametrize("length", ["-1", "many", "1e3"])
def test_a_length_that_is_no_number_is_refused(client: TestClient, length: str) -> None:
    answer = client.post("/api/search/image", content=b"0", headers={"content-length": length})
    assert answer.status_code == 413


def test_another_host_name_is_refused_without_a_token(searcher: Searcher) -> None:
    app = create_app(searcher)
    with TestClient(app, base_url="http://rebound.example") as client:
        assert client.get("/").status_code == 400
    for name in ("localhost:8017", "127.0.0.1", "[::1]:8017"):
        with TestClient(app, base_url=f"http://{name}") as client:
            assert client.get("/api/about").status_code == 200


@pytest.mark.parametrize("path", ["/", "/app.js", "/api/about", "/api/images/0", "/openapi.json", "/nowhere"])
def test_every_request_needs_the_token(guarded: TestClient, path: str) -> None:
    refused = guarded.get(path)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic")
    assert "content-security-policy" in refused.headers
    assert guarded.get(path, headers={"authorization": f"Bearer {TOKEN}"}).status_code in (200, 404)
    assert guarded.get(path, auth=("anyone", TOKEN)).status_code in (200, 404)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Digest {TOKEN}",
        "Basic !!!",
        "Basic " + base64.b64encode(b"anyone:wrong").decode(),
        "Basic " + base64.b64encode(TOKEN.encode()).decode(),
    ],
)
def test_a_wrong_token_is_refused(guarded: TestClient, header: str) -> None:
    assert guarded.get("/api/about", headers={"authorization": header}).status_code == 401
    assert (
        guarded.post("/api/search/text", json={"text": "x"}, headers={"authorization": header}).status_code == 401
    )


def test_nothing_that_is_asked_or_answered_is_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with caplog.at_level(logging.INFO):
        client.post("/api/search/text", json={"text": "Large left pleural effusion."})
        client.post("/api/search/study", json={"study_id": "s0"})
        client.post("/api/search/study", json={"study_id": "secret-id"})
    said = " ".join(r.getMessage() for r in caplog.records if not r.name.startswith("httpx"))
    assert "effusion" not in said
    assert "secret-id" not in said


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.0.0.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("pacs", False),
    ],
)
def test_loopback(host: str, here: bool) -> None:
    assert is_loopback(host) is here


@pytest.mark.parametrize(
    ("host", "token", "message"),
    [
        ("0.0.0.0", None, "give a token"),
        ("pacs", None, "give a token"),
        ("127.0.0.1", "short", "at least 16"),
        ("0.0.0.0", "ü" * 20, "ASCII"),
    ],
)
def test_an_open_door_is_refused(host: str, token: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_exposure(host, token)


def test_a_guarded_or_local_door_is_fine() -> None:
    check_exposure("127.0.0.1", None)
    check_exposure("0.0.0.0", TOKEN)
