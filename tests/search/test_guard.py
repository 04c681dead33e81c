from __future__ import annotations

import base64
import logging
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from medtrim.errors import ConfigError
from medtrim.search.guard import Guard, check_exposure, check_viewer, describe_failure, is_loopback
from medtrim.search.searcher import Searcher
from medtrim.search.server import create_app

TOKEN = "correct-horse-battery"
HERE = "http://127.0.0.1:8017"


@pytest.fixture(scope="module")
def client(searcher: Searcher) -> Iterator[TestClient]:
    with TestClient(create_app(searcher), base_url=HERE) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(searcher: Searcher) -> Iterator[TestClient]:
    with TestClient(create_app(searcher, token=TOKEN), base_url="http://radiology.example") as client:
        yield client


def test_another_host_name_is_refused_without_a_token(searcher: Searcher) -> None:
    app = create_app(searcher)
    with TestClient(app, base_url="http://rebound.example") as client:
        assert client.get("/").status_code == 400
    for name in ("localhost:8017", "127.0.0.1", "[::1]:8017"):
        with TestClient(app, base_url=f"http://{name}") as client:
            assert client.get("/api/about").status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/app.js", "/api/about", "/api/studies/0/thumbnail", "/openapi.json", "/nowhere"]
)
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
    assert guarded.post("/api/search", json={"text": "x"}, headers={"authorization": header}).status_code == 401


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


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1"},
        {"origin": "null"},
        {"origin": "http://[broken"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": HERE, "sec-fetch-site": "cross-site"},
    ],
)
def test_a_page_of_another_origin_cannot_ask(client: TestClient, headers: dict[str, str]) -> None:
    """A form or script elsewhere can send requests without reading answers, and each would cost a decoding."""
    for path in ("/api/search/image", "/api/search", "/nowhere"):
        refused = client.post(path, content=b"x", headers=headers)
        assert refused.status_code == 403
        assert "content-security-policy" in refused.headers


@pytest.mark.parametrize("headers", [{}, {"origin": HERE}, {"origin": HERE, "sec-fetch-site": "same-origin"}])
def test_the_page_itself_and_programs_can_ask(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/api/search", json={"text": "x"}, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_need_no_token_and_say_nothing(guarded: TestClient, path: str) -> None:
    answer = guarded.get(path)
    assert answer.status_code == 200
    assert set(answer.json()) == {"status"}
    assert guarded.get("/metrics").status_code == 401


def test_an_unforeseen_error_is_answered_and_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: object, receive: object, send: object) -> None:
        raise ZeroDivisionError("patient 4711: large effusion")

    seen: list[tuple[str, int]] = []
    guard = Guard(broken, token=None, observe=lambda path, status, _: seen.append((path, status)))
    with caplog.at_level(logging.DEBUG):
        answer = TestClient(guard, base_url=HERE).get("/api/about?secret=1")
    assert answer.status_code == 500
    assert "content-security-policy" in answer.headers
    assert seen == [("/api/about", 500)]
    said = "".join(r.getMessage() + (r.exc_text or "") for r in caplog.records if r.name.startswith("medtrim"))
    assert "ZeroDivisionError at test_guard.py" in said
    assert "4711" not in said + answer.text
    assert "secret" not in said + answer.text
    assert all(r.exc_info is None for r in caplog.records)


def test_a_failure_is_described_from_its_innermost_frame() -> None:
    def inner() -> None:
        raise ValueError("the patient")

    try:
        inner()
    except ValueError as error:
        said = describe_failure(error)
    assert said.startswith("ValueError at test_guard.py:")
    assert " inner < test_guard.py:" in said


@pytest.mark.parametrize(
    "address", ["javascript:alert({study_id})", "https://pacs.example/", "pacs/{study_id}", ""]
)
def test_a_viewer_that_is_no_web_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="viewer's address"):
        check_viewer(address)
    check_viewer("https://pacs.example/viewer?StudyInstanceUIDs={study_id}")
