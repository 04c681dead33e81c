"""What stands between the network and the index: who may ask, and what browsers may do with the answers."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medtrim.errors import ConfigError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MIN_TOKEN = 16
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
PROBES = ("/healthz", "/readyz")
"""What a load balancer asks; answered without a token, since the answer is the status alone."""

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_log = logging.getLogger(__name__)

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


def check_viewer(address: str) -> None:
    """Refuse an address of the hospital's viewer that leads nowhere, or runs as a script in the page.

    Raises:
        ConfigError: it is not http(s), or `{study_id}` is not in it.
    """
    if not address.startswith(("http://", "https://")) or "{study_id}" not in address:
        raise ConfigError(f"the viewer's address must be http(s) with {{study_id}} in it, not {address!r}")


class Guard:
    """ASGI middleware around the server: token, host name, origin, headers, and errors that nobody foresaw.

    With a token, every request but `PROBES` must carry it: as `Authorization: Bearer TOKEN`, or as the password of
    HTTP Basic authentication (any user name), which browsers ask for. It is compared in constant time.
    Without one, the request must name a loopback host: a page elsewhere cannot rebind its own name to this server.
    A request that changes or computes something (POST) is refused where a page of another origin sends it.
    """

    def __init__(
        self,
        app: App,
        *,
        token: str | None,
        observe: Callable[[str, int, float], None],
        hosts: tuple[str, ...] = LOOPBACK_NAMES,
    ) -> None:
        """Guard `app`; `observe` is told path, status and seconds of every answer."""
        self.app, self.hosts, self.observe = app, hosts, observe
        self.token = token.encode() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False
        clock = time.perf_counter()

        async def headed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self.observe(scope["path"], message["status"], time.perf_counter() - clock)
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        headers = dict(scope["headers"])
        if self.token is not None:
            if scope["path"] not in PROBES and not self._authorized(headers.get(b"authorization", b"")):
                challenge = (b"www-authenticate", b'Basic realm="MedTrim", charset="UTF-8"')
                await refuse(headed, 401, "a token is needed", challenge)
                return
        elif _name(headers.get(b"host", b"")) not in self.hosts:
            await refuse(headed, 400, "unknown host name")
            return
        if scope["method"] not in _SAFE_METHODS and _is_foreign(headers):
            await refuse(headed, 403, "requests from pages of another origin are refused")
            return
        try:
            await self.app(scope, receive, headed)
        except Exception as error:  # noqa: BLE001 - the outermost frame: uvicorn would log the error with its text
            _log.error("a request failed: %s", describe_failure(error))
            if not started:
                await refuse(headed, 500, "the server failed; its log names the place")

    def _authorized(self, header: bytes) -> bool:
        scheme, credentials = _credentials(header)
        if scheme == b"bearer":
            return hmac.compare_digest(credentials, self.token or b"")
        if scheme == b"basic":
            return hmac.compare_digest(credentials.partition(b":")[2], self.token or b"")
        return False


def user_name(headers: dict[bytes, bytes]) -> str:
    """The user name of HTTP Basic authentication, or an empty string."""
    scheme, credentials = _credentials(headers.get(b"authorization", b""))
    return credentials.partition(b":")[0].decode("utf-8", "replace") if scheme == b"basic" else ""


def describe_failure(error: BaseException) -> str:
    """Type and place of an error, without its message, source lines and values: they may quote what was asked.

    >>> try:
    ...     int("patient 7")
    ... except ValueError as error:
    ...     "patient" in describe_failure(error)
    False
    """
    frames = traceback.extract_tb(error.__traceback__, limit=-8)
    places = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    return f"{type(error).__name__} at {places}"


async def refuse(send: Send, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
    """Answer with `status` and the reason as JSON."""
    body = json.dumps({"error": reason}).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fields, *headers]})
    await send({"type": "http.response.body", "body": body})


def _credentials(header: bytes) -> tuple[bytes, bytes]:
    """Scheme and credentials of an Authorization header; Basic ones decoded."""
    scheme, _, credentials = header.partition(b" ")
    scheme, credentials = scheme.lower(), credentials.strip()
    if scheme == b"basic":
        try:
            credentials = base64.b64decode(credentials, validate=True)
        except (binascii.Error, ValueError):
            return b"", b""
    return scheme, credentials


def _name(host: bytes) -> str:
    """The host name of a Host header, without its port."""
    text = host.decode("latin-1").lower()
    return text[: text.index("]") + 1] if text.startswith("[") and "]" in text else text.partition(":")[0]


def _is_foreign(headers: dict[bytes, bytes]) -> bool:
    """Whether a browser says that the request comes from a page that this server did not send."""
    if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
        return True
    origin = headers.get(b"origin")
    if origin is None:  # no browser, or one that keeps to itself: Origin goes with every POST of a page elsewhere
        return False
    try:
        place = urlsplit(origin.decode("latin-1")).netloc
    except ValueError:
        return True
    return place.lower() != headers.get(b"host", b"").decode("latin-1").lower()
