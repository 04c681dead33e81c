"""Running the server: its socket, deadlines for requests, a bounded number of connections, a prompt end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from medtrim.errors import ConfigError
from medtrim.search.guard import HEADERS, App
from medtrim.types.processes import end_with_parent

HEAD_TIMEOUT = 10.0
"""Seconds in which the head of a request must be there; also how long an idle connection is kept."""

MAX_CONNECTIONS = 512
"""Open connections; beyond it the one that has been idle longest is closed. Systems commonly allow 1,024 files."""

PORT_VARIABLE = "MEDTRIM_SHARED_PORT"
STOP_TIMEOUT = 8
"""Seconds that running requests have to end after SIGTERM; uploads under way are dropped at once."""


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 connection, which by itself waits for the head of a request forever."""

    _deadline: asyncio.TimerHandle | None = None
    _idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline for the first head; close the longest idle connection if there are too many."""
        super().connection_made(transport)
        # asyncio does so for sockets that name their protocol, which accepted ones do not: without it the second
        # packet of an answer waits 40 ms for the first to be acknowledged.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch()
        if len(self.connections) > MAX_CONNECTIONS:
            idle = [c for c in self.connections if isinstance(c, Connection) and c.is_idle and c is not self]
            oldest = min(idle, key=lambda c: c._idle_since, default=self)
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._stop_watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Start, keep or end the deadline as the bytes begin, continue or complete a head."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Count idle time from here."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    @property
    def is_idle(self) -> bool:
        """Whether no request of this connection is being received or answered."""
        return self.cycle is None or self.cycle.response_complete

    def shutdown(self) -> None:
        """End the connection unless an answer is being made: an upload that has stalled would hold the end up."""
        if not self.is_idle and self.cycle.more_body:
            self.transport.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, with the headers of every other answer."""
        body = msg.encode("ascii")
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *HEADERS,
        ]
        with suppress(h11.LocalProtocolError):  # an answer has begun already
            self.transport.write(self.conn.send(h11.Response(status_code=400, headers=headers)) or b"")
            self.transport.write(self.conn.send(h11.Data(data=body)) or b"")
        self.transport.close()

    def _watch(self) -> None:
        if not self.is_idle:
            self._stop_watch()
        elif self._deadline is None:
            self._idle_since = self.loop.time()
            self._deadline = self.loop.call_later(HEAD_TIMEOUT, self.transport.abort)

    def _stop_watch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bind(host: str, port: int, *, shared: bool = False, listen: bool = True) -> socket.socket:
    """A listening socket; port 0 takes a free one. Several processes may bind a `shared` port.

    Raises:
        ConfigError: the address is unknown or taken.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        if listen:
            return socket.create_server(address[:2], family=family, backlog=512, reuse_port=shared)
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        bound.bind(address[:2])
        return bound
    except OSError as error:
        raise ConfigError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


def run_server(app: App, bound: socket.socket, *, certificate: Path | None = None, key: Path | None = None) -> None:
    """Serve `app` on a socket of `bind` until SIGINT or SIGTERM; ends within `STOP_TIMEOUT` and a little."""
    config: dict[str, Any] = {
        "http": Connection,
        "ws": "none",
        "access_log": False,
        "log_level": "warning",
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": int(HEAD_TIMEOUT),
        "timeout_graceful_shutdown": STOP_TIMEOUT,
        "ssl_certfile": os.fspath(certificate) if certificate else None,
        "ssl_keyfile": os.fspath(key) if key else None,
    }
    with suppress(KeyboardInterrupt):
        uvicorn.Server(uvicorn.Config(app, **config)).run(sockets=[bound])


def run_workers(count: int, port: int, command: Sequence[str]) -> None:
    """Run `count` processes of `command` that share `port` (see `worker_port`); the system deals connections out.

    Ends when told to (SIGINT, SIGTERM), or with the first of them.

    Raises:
        ConfigError: a process has ended by itself.
    """
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    environment = {**os.environ, PORT_VARIABLE: str(port)}
    workers = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        while not told.wait(0.2) and all(worker.poll() is None for worker in workers):
            pass
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(STOP_TIMEOUT + 5)
    if not told.is_set():
        raise ConfigError("a process of the server has ended; what it said is above")


def worker_port() -> int:
    """The port that a process of `run_workers` shares; it ends with its parent. 0 in any other process."""
    port = int(os.environ.pop(PORT_VARIABLE, "0"))
    if port:
        end_with_parent()
    return port
