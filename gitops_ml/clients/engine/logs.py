"""The engine's calls about logs and events: what containers write, and what happens to them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import msgspec

from gitops_ml.core.text import MAX_TEXT, clean

_LOG_SECONDS = 10.0
_LOG_BYTES = 1 << 20
"""The end of a log that is read: more than the text that is kept of it."""
_LONGEST_SILENCE = 600.0
"""Seconds without an event, after which a connection may have died unnoticed."""


class LogCalls:
    """Part of `Engine`, which has the client and translates the client's errors."""

    _api: Any

    def _translate_errors(self, doing: str) -> AbstractContextManager[None]:
        raise NotImplementedError

    def _or_none_if_gone(self, doing: str, call: Callable[[], Any]) -> Any:
        raise NotImplementedError

    def past_events(self, since: int, until: datetime) -> list[dict[str, Any]]:
        """The events that the engine remembers; `since` in nanoseconds, `until` before the engine's own now."""
        seconds = f"{since // 10**9}.{since % 10**9:09d}"
        with self._translate_errors("reading its events"):
            stream = self._api.events(since=seconds, until=f"{until.timestamp():.6f}")
            return list(msgspec.json.Decoder().decode_lines(b"".join(stream)))

    def events_to_come(self, actions: Sequence[str]) -> Any:
        """The events of these actions, as they happen: lines of JSON with `close()`. 10 minutes without any end it."""
        with self._translate_errors("following its events"), self._api.allow_silence(_LONGEST_SILENCE):
            return self._api.events(filters={"event": list(actions)})

    def logs(self, container: str, tail: int = 50, limit: int = MAX_TEXT) -> str:
        """The last lines of stdout and stderr; empty when the container is gone.

        They are cleaned, since a model may write anything into its log, and cut to their last `limit` characters.
        """
        doing = f"reading logs of {container[:12]}"
        with self._translate_errors(doing):
            stream = self._or_none_if_gone(
                doing, lambda: self._api.logs(container, tail=tail, stream=True, follow=False)
            )
            return clean(_end_of(stream).decode(errors="replace"), limit) if stream else ""

    def follow(self, container: str, since: float, tail: int) -> Any:
        """The container's stdout from `since` (epoch seconds) on, as it grows: chunks of bytes with `close()`.

        Of the lines that exist already only the last `tail` are read. Without that limit the engine reads its whole
        log, which took 2.7 s for 73 MB. Each line begins with the engine's own time of it. Raises `EngineFailed`,
        `EngineUnavailable`.
        """
        with self._translate_errors(f"following the log of {container[:12]}"):
            return self._api.logs(
                container, stdout=True, stderr=False, stream=True, follow=True, timestamps=True, since=since, tail=tail
            )

    def read_log(self, container: str, since: float, tail: int, limit: int) -> bytes:
        """The end of the container's stdout from `since` (epoch seconds) on, as it is now: at most `tail` lines.

        Each line begins with the engine's own time of it. A longer log than `limit` bytes loses its beginning, and a
        little more than `limit` is left of it. Empty when the container is gone.
        """
        doing = f"reading the log of {container[:12]}"
        with self._translate_errors(doing):
            stream = self._or_none_if_gone(
                doing,
                lambda: self._api.logs(
                    container, stderr=False, stream=True, follow=False, timestamps=True, since=since, tail=tail
                ),
            )
            return _end_of(stream, limit) if stream else b""


def _end_of(stream: Any, limit: int = _LOG_BYTES) -> bytes:
    """The last `limit` bytes of a log, or what of it came within `_LOG_SECONDS`."""
    deadline = time.monotonic() + _LOG_SECONDS
    chunks: deque[bytes] = deque()
    size = 0
    for chunk in stream:
        chunks.append(chunk)
        size += len(chunk)
        while size - len(chunks[0]) > limit:
            size -= len(chunks.popleft())
        if time.monotonic() > deadline:
            stream.close()
            break
    return b"".join(chunks)
