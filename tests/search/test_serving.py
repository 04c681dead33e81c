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

PATIENCE = 120  # s, for what has to come: a busy machine is no fault of the server
ASK = b"GET /api/about HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    if scope["path"] == "/api/slow":
        sys.stdout.write("slow\n")
        sys.stdout.flush()
        await asyncio.sleep(0.5)
    body = b'{"ok": true}'
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def guarded(stall: float = 0.3) -> Guard:
    return Guard(Admission(answer, limits=Limits(stall=stall)), token=None, observe=lambda *_: None)


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
        thread.join(PATIENCE)
    assert not thread.is_alive()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def answer_on(client: socket.socket, content: bytes = ASK) -> bytes:
    """Everything that is answered until the server ends the connection or its first answer is complete."""
    received = b""
    with suppress(BrokenPipeError, ConnectionResetError):  # how a close looks where bytes were left unread
        client.sendall(content)
        while b'{"' not in received and (part := client.recv(65536)):
            received += part
    return received


def ask(port: int, content: bytes = ASK) -> bytes:
    """`answer_on` a connection of its own."""
    with closing(connect(port)) as client:
        return answer_on(client, content)


def is_closed(client: socket.socket) -> bool:
    """Whether the server ends the connection."""
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_connections_that_send_no_head_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as port:
        second_half = connect(port)
        assert answer_on(second_half).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(serving, "HEAD_TIMEOUT", 0.3)
        silent, half, dripping = connect(port), connect(port), connect(port)
        # By now they may have been ended: then sending fails.
        with suppress(BrokenPipeError, ConnectionResetError):
            second_half.sendall(b"GET / HT")  # kept alive, then half a head
        with suppress(BrokenPipeError, ConnectionResetError):
            half.sendall(b"POST /api/search HTTP/1.1\r\nHost: 127")
        with suppress(BrokenPipeError, ConnectionResetError):
            for byte in b"GET / HTTP/1.1\r\nX-Slow: 12345678901234567890":
                dripping.sendall(bytes([byte]))
                time.sleep(0.02)
        for client in (silent, half, second_half, dripping):
            with closing(client):
                assert is_closed(client)
        monkeypatch.undo()
        assert ask(port).startswith(b"HTTP/1.1 200")


def test_an_answer_that_takes_longer_than_a_head_may_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_TIMEOUT", 0.2)
    with serve() as port:
        # A busy machine may send a head too late; an answer that is cut off is cut off every time.
        answers = (ask(port, ASK.replace(b"/api/about", b"/api/slow")) for _ in range(10))
        assert any(answer.startswith(b"HTTP/1.1 200") for answer in answers)


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
serving.HEAD_TIMEOUT = 1000
serving.run_server(guarded(stall=1000), bound)
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
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE) as ready:
            assert json.load(ready) == {"ok": True}
        with closing(connect(port)) as stalled, closing(connect(port)) as half, closing(connect(port)) as busy:
            stalled.sendall(b"POST /api/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\npatient 4711")
            half.sendall(b"GET / HT")
            busy.sendall(ASK.replace(b"/api/about", b"/api/slow"))
            assert process.stdout.readline() == "slow\n"
            process.send_signal(signal.SIGTERM)
            assert busy.recv(65536).startswith(b"HTTP/1.1 200")  # what was being answered is answered
            process.wait(PATIENCE)
        said = process.stderr.read()
        assert not re.search("4711|Traceback", said), said


def test_answers_do_not_wait_for_their_first_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    made = serving.Connection.connection_made

    def watched(self: serving.Connection, transport: Any) -> None:
        made(self, transport)
        seen.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(serving.Connection, "connection_made", watched)
    with serve() as port, connect(port) as client:
        client.sendall(ASK)
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert seen == [1]


def test_several_processes_share_a_port() -> None:
    with closing(bind("127.0.0.1", 0, shared=True, listen=False)) as reserved:
        port = reserved.getsockname()[1]
        with (
            closing(bind("127.0.0.1", port, shared=True)) as one,
            closing(bind("127.0.0.1", port, shared=True)) as two,
        ):
            assert one.getsockname() == two.getsockname()
            with socket.create_connection(("127.0.0.1", port)):
                pass
        with pytest.raises(ConfigError, match="cannot listen"):
            bind("127.0.0.1", port)


def test_the_server_ends_with_the_first_of_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    script = "import os, sys, time; os.environ['MEDTRIM_SHARED_PORT'] == '81' or sys.exit(3); time.sleep(0.3)"
    try:
        with pytest.raises(ConfigError, match="a process of the server has ended"):
            serving.run_workers(2, 81, [sys.executable, "-c", script])
    finally:
        signal.signal(signal.SIGINT, handlers[0])
        signal.signal(signal.SIGTERM, handlers[1])
    monkeypatch.setenv(serving.PORT_VARIABLE, "81")
    monkeypatch.setattr(serving, "end_with_parent", lambda: None)
    assert (serving.worker_port(), serving.worker_port()) == (81, 0)
