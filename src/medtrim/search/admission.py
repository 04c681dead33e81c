"""How much the server takes on: bodies within a size and a time, and a bounded queue before the model."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field

from medtrim.search.guard import App, Message, Receive, Scope, Send, refuse

MAX_UPLOAD = 64 * 2**20
"""Largest upload in bytes; an uncompressed 16-bit chest radiograph has about 20 million."""

QUEUED_PATHS = "/api/"
_LENGTH_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server takes on at a time.

    Attributes:
        max_body: largest body of one request, bytes.
        max_buffered: bytes of all bodies that are held at a time; further uploads are answered 429.
        stall: seconds that a body may pause.
        body: seconds in which a body must be there.
        running: requests that are answered at a time, by the number of processors: more only wait for each other.
        queued: requests that wait for that; further ones are answered 429.
    """

    max_body: int = MAX_UPLOAD
    max_buffered: int = 8 * MAX_UPLOAD
    stall: float = 10.0
    body: float = 120.0
    running: int = field(default_factory=lambda: max(2, os.cpu_count() or 1))
    queued: int = 256


class _Refused(Exception):  # noqa: N818 - a signal, not an error
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Admission:
    """ASGI middleware that takes a whole body before anything is computed, then queues the request.

    A slow sender holds its own bytes and nothing else; a slow reader holds its answer and nothing else. Pages and
    probes are never queued.
    """

    def __init__(self, app: App, *, limits: Limits) -> None:
        self.app, self.limits = app, limits
        self.buffered = self.waiting = self.running = 0
        self._slots = asyncio.Semaphore(limits.running)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take in and pass on one request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        chunks: list[bytes] = []
        try:
            complete = await self._take(scope, receive, chunks)
            if not complete:  # the client has gone
                return
            await self._pass(scope, b"".join(chunks), receive, send)
        except _Refused as refusal:
            retry = ((b"retry-after", b"1"),) if refusal.status == 429 else ()
            await refuse(send, refusal.status, refusal.reason, *retry, (b"connection", b"close"))
        finally:
            self.buffered -= sum(map(len, chunks))

    async def _take(self, scope: Scope, receive: Receive, chunks: list[bytes]) -> bool:
        """Read the body into `chunks`; False where the client goes away before its end."""
        too_large = _Refused(413, f"more than the {self.limits.max_body:,} bytes allowed")
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > _LENGTH_DIGITS or int(announced) > self.limits.max_body:
            raise too_large
        size = 0
        try:
            async with asyncio.timeout(self.limits.body):
                while True:
                    async with asyncio.timeout(self.limits.stall):
                        message = await receive()
                    if message["type"] == "http.disconnect":
                        return False
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > self.limits.max_body:
                        raise too_large
                    if self.buffered + len(chunk) > self.limits.max_buffered:
                        raise _Refused(429, "too many uploads at a time")
                    chunks.append(chunk)
                    self.buffered += len(chunk)
                    if not message.get("more_body", False):
                        return True
        except TimeoutError as error:
            raise _Refused(408, "the body did not arrive in time") from error

    async def _pass(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Hand the request on, queued where it asks for work."""
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        if not scope["path"].startswith(QUEUED_PATHS):
            await self.app(scope, replay, send)
            return
        if self._slots.locked() and self.waiting >= self.limits.queued:
            raise _Refused(429, "the server is busy; try again in a moment")
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self.running -= 1
                self._slots.release()

        async def released(message: Message) -> None:
            release()  # the work is done: who reads slowly keeps nobody waiting
            await send(message)

        try:
            await self.app(scope, replay, released)
        finally:
            release()
