from __future__ import annotations

import base64
import json
import stat
import threading
from datetime import datetime
from pathlib import Path

import pytest

from medtrim.errors import ConfigError
from medtrim.search.audit import AuditTrail

Headers = list[tuple[bytes, bytes]]


def scope(headers: Headers) -> dict[str, object]:
    return {"headers": headers, "client": ("10.0.0.7", 1234)}


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_appended_and_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for _ in range(2):
        trail = AuditTrail(path)
        trail.record(scope([]), request="search", studies=["s\n1", "s2"])
        trail.close()
    lines = read(path)
    assert len(lines) == 2
    assert lines[0]["studies"] == ["s\n1", "s2"]
    assert lines[0]["client"] == "10.0.0.7"
    assert datetime.fromisoformat(str(lines[0]["time"])).tzinfo is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("user_header", "headers", "user"),
    [
        ("", [], ""),
        ("", [(b"authorization", b"Basic " + base64.b64encode(b"ada:secret"))], "ada"),
        ("", [(b"authorization", b"Bearer secret")], ""),
        ("X-Remote-User", [(b"x-remote-user", b"grace")], "grace"),
        ("X-Remote-User", [(b"authorization", b"Basic " + base64.b64encode(b"ada:secret"))], ""),
        ("X-Remote-User", [(b"x-remote-user", b"\xff\x1b[31m")], "\ufffd\x1b[31m"),
    ],
)
def test_who_asked(tmp_path: Path, user_header: str, headers: Headers, user: str) -> None:
    trail = AuditTrail(tmp_path / "audit.jsonl", user_header=user_header)
    trail.record(scope(headers), request="search", studies=[])
    trail.close()
    content = (tmp_path / "audit.jsonl").read_text()
    assert read(tmp_path / "audit.jsonl")[0]["user"] == user
    assert "secret" not in content
    assert "\x1b" not in content


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path / "audit.jsonl")

    def work(name: str) -> None:
        for _ in range(50):
            trail.record(scope([]), request="search", studies=[name * 200])

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trail.close()
    assert len(read(tmp_path / "audit.jsonl")) == 200


def test_a_trail_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        AuditTrail(tmp_path / "no" / "such" / "folder")
