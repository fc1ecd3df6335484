"""One server that a probe asks, over one connection, within bounds of bytes and time. Standard library only."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from gitops_ml.serving.probe_answers import (
    MAX_ANSWER_BYTES,
    MAX_JSON_BYTES,
    MAX_METADATA_BYTES,
    NotYet,
    TargetError,
    error_text,
    metadata_of,
    outputs_of,
    reason_of,
    require_json,
    require_version,
)

CHECK_HEADER = "X-Gitops-Ml-Check"
"""Tells our server that the request is no user's, so that its metrics leave it out."""
CONNECT_SECONDS = 1.0
GRACE_SECONDS = 5.0
"""How long after the deadline a target's thread may still run: a name may be resolving."""


class ProbeTarget:
    """One model server, over one kept-alive connection."""

    def __init__(self, spec: dict[str, Any], deadline: float) -> None:
        url = urlsplit(spec["url"])
        self._host, self._port = url.hostname or "", url.port or 80
        self._path = url.path.rstrip("/") + model_path(spec)
        self._health: str | None = spec.get("health")
        self._version_path: str | None = spec.get("version_path")
        self._expect: dict[str, str] = spec.get("expect") or {}
        self._deadline = deadline
        self._connection: http.client.HTTPConnection | None = None

    def metadata(self, deadline: float) -> dict[str, Any]:
        """Ask for the model's metadata, once.

        Of an image that is not ours, only the path is known that answers 200 when it is ready, and for an embedded
        model perhaps the one that answers with what is loaded; the metadata is empty.

        Args:
            deadline: by time.monotonic(), for this answer.

        Raises:
            NotYet: no answer, or not 200.
            TargetError: it answers for another version or digest than expected; waiting fixes nothing.
        """
        if self._health is None:
            return metadata_of(self._get(self._path, "metadata", deadline), self._expect)
        self._get(self._health, self._health, deadline)
        if self._version_path is not None:
            body = self._get(self._version_path, self._version_path, deadline)
            require_version(body, self._expect, self._version_path)
        return {}

    def _get(self, path: str, name: str, deadline: float) -> bytes:
        """The answer at a path. Raises `NotYet` when there is none, or another status than 200."""
        try:
            status, body = self._ask("GET", path, MAX_METADATA_BYTES, deadline)
        except (OSError, http.client.HTTPException) as error:
            raise NotYet(reason_of(error)) from error
        if status != 200:
            raise NotYet(f"{name}: HTTP {status}: {error_text(body)}")
        return body

    def exchange(self, method: str, path: str, body: bytes) -> bytes:
        """The JSON that an application answers to a request of its own form, as it sent it.

        Raises:
            TargetError: no answer in time, a status other than 2xx, or no JSON within the bounds.
        """
        try:
            status, answer = self._ask(method, path, MAX_JSON_BYTES, self._deadline, body)
        except (OSError, http.client.HTTPException) as error:
            raise TargetError(reason_of(error)) from error
        if not 200 <= status < 300:
            raise TargetError(f"HTTP {status}: {error_text(answer)}")
        require_json(answer)
        return answer

    def infer(self, body: bytes, rows: int) -> dict[str, list[Any]]:
        """Outputs by name, row-major, for one inference request of `rows` rows.

        Raises:
            TargetError: no answer in time, not 200, not of the protocol, or not that many rows.
        """
        try:
            status, answer = self._ask("POST", f"{self._path}/infer", MAX_ANSWER_BYTES, self._deadline, body)
        except (OSError, http.client.HTTPException) as error:
            raise TargetError(reason_of(error)) from error
        if status != 200:
            raise TargetError(f"HTTP {status}: {error_text(answer)}")
        return outputs_of(answer, rows)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, limit: int, deadline: float, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the answer; of a body longer than `limit` bytes, the first `limit` + 1."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    self._host, self._port, timeout=min(left, CONNECT_SECONDS)
                )
                self._connection.connect()
            with _cut_off(self._connection.sock, deadline):
                headers = {"Content-Type": "application/json"} if body is not None else {}
                self._connection.request(method, path, body, {**headers, CHECK_HEADER: "1"})
                response = self._connection.getresponse()
                answer = response.status, response.read(limit + 1)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError | http.client.HTTPException) and time.monotonic() >= deadline:
                raise TimeoutError("the deadline has passed") from error
            raise
        if time.monotonic() >= deadline:
            self.close()  # what was read may be cut off
            raise TimeoutError("the deadline has passed")
        if response.will_close or not response.isclosed():
            self.close()
        return answer


@contextlib.contextmanager
def _cut_off(connection: socket.socket, deadline: float) -> Iterator[None]:
    """Shut the connection down at the deadline. A socket's own timeout does not bound an answer that trickles."""

    def shut_down() -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    left = max(0.0, deadline - time.monotonic())
    connection.settimeout(left + GRACE_SECONDS)
    timer = threading.Timer(left, shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def model_path(spec: Mapping[str, Any]) -> str:
    """The path under which a target of a job answers for its model."""
    return f"/v2/models/{quote(spec.get('model', ''), safe='')}"
