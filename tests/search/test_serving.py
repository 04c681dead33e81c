"""The server's sockets, with a small application behind them instead of a model."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
import uvicorn

from medtrim.errors import ConfigError
from medtrim.search import serving
from medtrim.search.admission import Admission, Limits
from medtrim.search.guard import Guard
from medtrim.search.serving import bind

ASK = b"GET /api/about HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await asyncio.sleep(0.5 if scope["path"] == "/api/slow" else 0)
    body = b'{"ok": true}'
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def guarded() -> Guard:
    return Guard(Admission(answer, limits=Limits(stall=0.3)), token=None, observe=lambda *_: None)


@contextmanager
def serve() -> Iterator[int]:
    """Run the server in a thread; yields its port."""
    bound = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        guarded(), http=serving.Connection, ws="none", log_level="critical", lifespan="off", access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def ask(port: int, content: bytes = ASK) -> bytes:
    """Everything that is answered until the server ends the connection or its first answer is complete."""
    with closing(connect(port)) as client:
        client.sendall(content)
        received = b""
        with suppress(ConnectionResetError):  # how a close looks where bytes were left unread
            while b'{"' not in received and (part := client.recv(65536)):
                received += part
        return received


def is_closed(client: socket.socket) -> bool:
    """Whether the server ends the connection within ten seconds."""
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_connections_that_send_no_head_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_TIMEOUT", 0.3)
    with serve() as port:
        silent, half, second_half = connect(port), connect(port), connect(port)
        half.sendall(b"POST /api/search HTTP/1.1\r\nHost: 127")
        second_half.sendall(ASK)
        assert second_half.recv(65536).startswith(b"HTTP/1.1 200")
        second_half.sendall(b"GET / HT")  # kept alive, then half a head
        dripping = connect(port)
        for byte in b"GET / HTTP/1.1\r\nX-Slow: 12345678901234567890":
            try:
                dripping.sendall(bytes([byte]))
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(0.02)
        for client in (silent, half, second_half, dripping):
            with closing(client):
                assert is_closed(client)
        assert ask(port).startswith(b"HTTP/1.1 200")


def test_an_answer_that_takes_longer_than_a_head_may_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_TIMEOUT", 0.2)
    with serve() as port:
        assert ask(port, ASK.replace(b"/api/about", b"/api/slow")).startswith(b"HTTP/1.1 200")


def test_idle_and_half_sent_connections_block_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 40)
    with serve() as port:
        idle = [connect(port) for _ in range(60)]
        for client in idle[::2]:
            client.sendall(b"GET /api/about HTTP/1.1\r\n")
        assert ask(port).startswith(b"HTTP/1.1 200")
        assert ask(port).startswith(b"HTTP/1.1 200")
        for client in idle:
            client.close()


def test_a_stalled_upload_is_answered_408() -> None:
    with serve() as port:
        head = b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc"
        assert ask(port, head).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "junk",
    [
        b"patient 4711\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /?q=4711 HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n4711",
        b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " + b"9" * 4000 + b"\r\n\r\n",
        b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz4711\r\n",
        b"GET /" + b"a" * 200_000,
    ],
)
def test_what_is_no_http_is_answered_400_and_logged_without_its_text(
    junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with serve() as port:
        received = ask(port, junk)
    status = received.split(b" ")[1:2]
    assert status in ([b"400"], [b"413"], [])  # none: the connection was ended
    if status:
        assert b"content-security-policy" in received
    said = "".join(r.getMessage() + (r.exc_text or "") for r in caplog.records)
    assert "4711" not in said
    assert "Traceback" not in said


def test_port_0_is_a_real_one_and_a_taken_one_is_said() -> None:
    with closing(bind("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
        assert port > 0
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {port}"):
            bind("127.0.0.1", port)
    with pytest.raises(ConfigError, match="cannot listen on no.such.host.invalid"):
        bind("no.such.host.invalid", 0)


SERVER = """
import sys
sys.path.insert(0, {folder!r})
from test_serving import bind, guarded, serving
bound = bind("127.0.0.1", 0)
print(bound.getsockname()[1], flush=True)
serving.run_server(guarded(), bound)
print("ended", flush=True)
"""


def test_sigterm_ends_the_server_though_an_upload_stalls() -> None:
    folder = os.path.dirname(__file__)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER.format(folder=folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = int(process.stdout.readline())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20) as ready:
            assert json.load(ready) == {"ok": True}
        with closing(connect(port)) as stalled, closing(connect(port)) as half, closing(connect(port)) as busy:
            stalled.sendall(b"POST /api/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\npatient 4711")
            half.sendall(b"GET / HT")
            busy.sendall(ASK.replace(b"/api/about", b"/api/slow"))
            time.sleep(0.1)
            clock = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert busy.recv(65536).startswith(b"HTTP/1.1 200")  # what was being answered is answered
            process.wait(timeout=10)
            assert time.monotonic() - clock < 10
        said = process.stderr.read()
        assert not re.search("4711|Traceback", said), said
