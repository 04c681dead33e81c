from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from medtrim.search.admission import Admission, Limits

Message = dict[str, Any]


class Exchange:
    """One request whose body arrives as the test says, and what was answered."""

    def __init__(self, path: str = "/api/search", headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}
        self.arriving: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []

    def part(self, body: bytes, *, more: bool = False) -> Exchange:
        self.arriving.put_nowait({"type": "http.request", "body": body, "more_body": more})
        return self

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    def run(self, admission: Admission) -> asyncio.Task[None]:
        return asyncio.ensure_future(admission(self.scope, self.arriving.get, self.send))


def echo(gate: asyncio.Event | None = None) -> Callable[..., Awaitable[None]]:
    """An application that answers with the body's length; under /api/ it waits for `gate`."""

    async def app(scope: Message, receive: Any, send: Any) -> None:
        message = await receive()
        if gate is not None and scope["path"].startswith("/api/"):
            await gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(len(message["body"])).encode()})

    return app


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_body_in_parts_arrives_whole() -> None:
    async def scenario() -> None:
        admission = Admission(echo(), limits=Limits())
        request = Exchange().part(b"abc", more=True).part(b"de")
        await request.run(admission)
        assert request.sent[1]["body"] == b"5"
        assert (admission.buffered, admission.running, admission.waiting) == (0, 0, 0)

    asyncio.run(scenario())


def test_a_body_that_pauses_or_takes_too_long_is_answered_408() -> None:
    async def scenario() -> None:
        stalled = Exchange().part(b"abc", more=True)
        await stalled.run(Admission(echo(), limits=Limits(stall=0.02)))
        assert stalled.status == 408
        assert stalled.headers[b"connection"] == b"close"

        admission = Admission(echo(), limits=Limits(stall=5, body=0.1))
        dripping = Exchange()
        task = dripping.run(admission)
        while not task.done():
            dripping.part(b"a", more=True)
            await asyncio.sleep(0.005)
        assert dripping.status == 408
        assert admission.buffered == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("length", [b"11", b"-1", b"many", b"1e3", b"9" * 5000, b""])
def test_a_length_out_of_bounds_is_refused_before_anything_is_read(length: bytes) -> None:
    async def scenario() -> None:
        request = Exchange(headers=((b"content-length", length),))
        await request.run(Admission(echo(), limits=Limits(max_body=10)))
        assert request.status == 413

    asyncio.run(scenario())


def test_a_body_that_outgrows_its_limit_is_cut_off() -> None:
    async def scenario() -> None:
        request = Exchange().part(b"12345", more=True).part(b"67890", more=True).part(b"x", more=True)
        await request.run(Admission(echo(), limits=Limits(max_body=10)))
        assert request.status == 413

    asyncio.run(scenario())


def test_a_client_that_goes_away_is_forgotten() -> None:
    async def scenario() -> None:
        admission = Admission(echo(), limits=Limits())
        request = Exchange().part(b"abc", more=True)
        request.arriving.put_nowait({"type": "http.disconnect"})
        await request.run(admission)
        assert request.sent == []
        assert admission.buffered == 0

    asyncio.run(scenario())


def test_uploads_beyond_what_is_held_at_a_time_are_answered_429() -> None:
    async def scenario() -> None:
        admission = Admission(echo(), limits=Limits(max_body=10, max_buffered=12))
        first, second = Exchange().part(b"12345678", more=True), Exchange().part(b"12345678")
        waiting = first.run(admission)
        await settle()
        await second.run(admission)
        assert second.status == 429
        assert int(second.headers[b"retry-after"]) >= 1
        first.part(b"9")
        await waiting
        assert first.sent[1]["body"] == b"9"
        assert admission.buffered == 0

    asyncio.run(scenario())


def test_the_queue_is_bounded_and_pages_and_probes_pass_it() -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        admission = Admission(echo(gate), limits=Limits(running=2, queued=3))
        requests = [Exchange().part(b"") for _ in range(7)]
        tasks = [r.run(admission) for r in requests]
        await settle()
        assert (admission.running, admission.waiting) == (2, 3)
        assert [r.status for r in requests] == [None] * 5 + [429] * 2
        for path in ("/", "/healthz", "/metrics"):
            probe = Exchange(path=path).part(b"")
            await probe.run(admission)
            assert probe.status == 200
        gate.set()
        await asyncio.gather(*tasks)
        assert [r.status for r in requests] == [200] * 5 + [429] * 2
        assert (admission.running, admission.waiting) == (0, 0)

    asyncio.run(scenario())


def test_a_slow_reader_keeps_nobody_waiting() -> None:
    async def scenario() -> None:
        admission = Admission(echo(), limits=Limits(running=1))
        slow, quick = Exchange().part(b""), Exchange().part(b"")
        reading = asyncio.Event()

        async def slowly(message: Message) -> None:
            await reading.wait()
            slow.sent.append(message)

        task = asyncio.ensure_future(admission(slow.scope, slow.arriving.get, slowly))
        await settle()
        await asyncio.wait_for(quick.run(admission), 5)
        assert quick.status == 200
        reading.set()
        await task
        assert slow.status == 200

    asyncio.run(scenario())


def test_a_slot_is_given_back_when_the_application_fails() -> None:
    async def broken(scope: object, receive: object, send: object) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        admission = Admission(broken, limits=Limits(running=1))
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await Exchange().part(b"abc").run(admission)
        assert (admission.buffered, admission.running, admission.waiting) == (0, 0, 0)

    asyncio.run(scenario())
