"""The engine's calls about images: pulling and building answer with a stream of progress, errors included."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from gitops_ml.clients.engine.errors import build_failed, failed
from gitops_ml.errors import EngineFailed

_SILENCE = 60.0


class ImageCalls:
    """Part of `Engine`, which has the client and translates what it raises."""

    _api: Any

    def _translate_errors(self, doing: str) -> AbstractContextManager[None]:
        raise NotImplementedError

    def image_id(self, reference: str) -> str | None:
        """The ID of an image by name or ID; None when it is not on the engine."""
        raise NotImplementedError

    def pull(self, reference: str, timeout: float = 300.0) -> str:
        """Fetch an image and return its ID. `timeout` bounds the whole, in seconds. Raises `EngineFailed`."""
        until = time.monotonic() + timeout
        doing = f"pulling {reference}"
        with self._translate_errors(doing):
            name, tag = _split(reference)
            url, params = self._api._url("/images/create"), {"fromImage": name, "tag": tag}
            with self._api._post(url, params=params, stream=True, timeout=min(timeout, _SILENCE)) as response:
                self._api._raise_for_status(response)
                for line in self._api._stream_helper(response, decode=True):
                    if "error" in line:
                        raise failed(doing, str(line["error"]))
                    if time.monotonic() > until:
                        raise failed(doing, f"not done within {timeout:.0f} s")
        return self._made(reference)

    def build(
        self,
        context: bytes,
        tag: str,
        *,
        labels: Mapping[str, str] | None = None,
        buildargs: Mapping[str, str] | None = None,
        timeout: float = 900.0,
    ) -> str:
        """Build an image from a tar of its context and return its ID.

        `timeout` is the longest silence, in seconds. Raises `EngineFailed` with the build's last lines.
        """
        said: list[str] = []
        with self._translate_errors(f"building {tag}"):
            lines = self._api.build(
                fileobj=io.BytesIO(context),
                custom_context=True,
                tag=tag,
                labels=dict(labels or {}),
                buildargs=dict(buildargs or {}),
                rm=True,
                forcerm=True,
                decode=True,
                timeout=timeout,
            )
            for line in lines:
                said += str(line.get("stream") or "").splitlines()
                if "error" in line:
                    last = "\n".join([text for text in said if text.strip()][-15:])
                    raise build_failed(tag, str(line["error"]), last)
        return self._made(tag)

    def load(self, archive: bytes, tag: str, timeout: float = 300.0) -> str:
        """Take an image in from an archive and return its ID. Raises `EngineFailed` when the engine refuses it.

        `timeout` is the longest silence, in seconds.
        """
        doing = f"loading {tag}"
        with self._translate_errors(doing):
            url, headers = self._api._url("/images/load"), {"Content-Type": "application/x-tar"}
            with self._api._post(
                url, data=archive, params={"quiet": "1"}, headers=headers, stream=True, timeout=timeout
            ) as response:
                self._api._raise_for_status(response)
                for line in self._api._stream_helper(response, decode=True):
                    if "error" in line:
                        raise failed(doing, str(line["error"]))
        return self._made(tag)

    def _made(self, reference: str) -> str:
        found = self.image_id(reference)
        if not found:
            raise EngineFailed(f"{reference} is not on the engine, though it was just made")
        return found


def _split(reference: str) -> tuple[str, str]:
    """(name, tag or digest), as the engine's pull call wants them apart."""
    if "@" in reference:
        name, _, digest = reference.partition("@")
        return name, digest
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")
