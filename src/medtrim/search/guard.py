"""What stands between the network and the index: who may ask, how much they may send, and what browsers may do."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from medtrim.errors import ConfigError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MIN_TOKEN = 16
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

# Nothing is loaded from or sent to anywhere else; no framing; nothing kept by caches or sent as referrer.
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, token: str | None) -> None:
    """Refuse to serve other machines without a token, or with one that can be guessed.

    Raises:
        ConfigError: the host is not this machine and there is no token, or the token is too short.
    """
    if token is not None and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable()):
        raise ConfigError(f"the token must have at least {MIN_TOKEN} printable ASCII characters")
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"other machines can reach {host}: give a token (--token or MEDTRIM_TOKEN), or serve 127.0.0.1"
        )


class _TooLarge(Exception):  # noqa: N818 - a signal, not an error
    """The body has outgrown the limit."""


class Guard:
    """ASGI middleware around the server: token, host name, size of the body, headers.

    With a token, every request must carry it: as `Authorization: Bearer TOKEN`, or as the password of HTTP Basic
    authentication (any user name), which browsers ask for by themselves. It is compared in constant time.
    Without one, the request must name a loopback host: a page elsewhere cannot rebind its own name to this server.
    """

    def __init__(
        self, app: App, *, token: str | None, max_body: int, hosts: tuple[str, ...] = LOOPBACK_NAMES
    ) -> None:
        self.app, self.max_body, self.hosts = app, max_body, hosts
        self.token = token.encode() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = dict(scope["headers"])
        if self.token is not None:
            if not self._authorized(headers.get(b"authorization", b"")):
                challenge = (b"www-authenticate", b'Basic realm="MedTrim", charset="UTF-8"')
                await _refuse(send, 401, "a token is needed", challenge)
                return
        elif _name(headers.get(b"host", b"")) not in self.hosts:
            await _refuse(send, 400, "unknown host name")
            return
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self.max_body:
            await _refuse(send, 413, f"more than the {self.max_body:,} bytes allowed")
            return
        await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, ending it where its body outgrows the limit whatever it announced."""
        received = 0
        started = refused = False

        async def counted() -> Message:
            nonlocal received, refused
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_body and not started:
                refused = True
                await _refuse(send, 413, f"more than the {self.max_body:,} bytes allowed")
                raise _TooLarge
            return message

        async def headed(message: Message) -> None:
            nonlocal started
            if refused:
                return
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        with suppress(_TooLarge):  # it is answered already
            await self.app(scope, counted, headed)

    def _authorized(self, header: bytes) -> bool:
        scheme, _, credentials = header.partition(b" ")
        if scheme.lower() == b"bearer":
            return hmac.compare_digest(credentials.strip(), self.token or b"")
        if scheme.lower() == b"basic":
            try:
                _, _, password = base64.b64decode(credentials.strip(), validate=True).partition(b":")
            except (binascii.Error, ValueError):
                return False
            return hmac.compare_digest(password, self.token or b"")
        return False


def _name(host: bytes) -> str:
    """The host name of a Host header, without its port."""
    text = host.decode("latin-1").lower()
    return text[: text.index("]") + 1] if text.startswith("[") and "]" in text else text.partition(":")[0]


async def _refuse(send: Send, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
    body = ('{"error": "' + reason + '"}').encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fields, *headers, *HEADERS]})
    await send({"type": "http.response.body", "body": body})
