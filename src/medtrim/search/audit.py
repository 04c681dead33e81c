"""The audit trail: who was shown which studies, and when; nothing of what was asked or of what they say."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from medtrim.errors import ConfigError
from medtrim.search.guard import Scope, user_name


class AuditTrail:
    """A file that is only ever appended to: one JSON object a line, readable by its owner alone.

    `{"time": "2026-03-04T05:06:07.890+00:00", "user": "ada", "client": "10.0.0.7", "request": "search",
    "studies": ["s1", "s2"]}`
    """

    def __init__(self, path: Path | str, *, user_header: str = "") -> None:
        """Open the trail, made if it is not there.

        `user_header` names a header in which a proxy says who the user is; without it the name is the one given in
        HTTP Basic authentication, which is not checked.

        Raises:
            ConfigError: it cannot be written.
        """
        self.user_header = user_header.lower().encode("latin-1", "replace")
        self._lock = threading.Lock()
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"the audit trail {path} cannot be written ({error.strerror})") from error

    def record(self, scope: Scope, *, request: str, studies: Sequence[str]) -> None:
        """Write one line for the request of the ASGI `scope` and wait until it is on the disk.

        Raises:
            OSError: it cannot be written; then nothing must be shown.
        """
        headers = dict(scope["headers"])
        user = (
            headers.get(self.user_header, b"").decode("utf-8", "replace")
            if self.user_header
            else user_name(headers)
        )
        client = (scope.get("client") or ("",))[0]
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": moment, "user": user, "client": client, "request": request, "studies": list(studies)}
        content = (json.dumps(line) + "\n").encode()
        with self._lock:
            while content:  # a full disk or a signal may end a write early
                content = content[os.write(self._file, content) :]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
