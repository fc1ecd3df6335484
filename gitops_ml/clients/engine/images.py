"""The engine's calls that make images. The engine answers with a stream of progress, errors included."""

from __future__ import annotations

import contextlib
import io
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from gitops_ml.clients.engine.errors import build_failed, failed, push_failed
from gitops_ml.core.text import clean
from gitops_ml.errors import EngineFailed, GitopsError

_SILENCE = 60.0
_LAST_LINES = 15
_STEP_IMAGE = re.compile(r" ---> ([0-9a-f]{12})$", re.MULTILINE)
"""How the classic builder names the image that a step has made."""


class ImageCalls:
    """Part of `Engine`, which has the client and translates the client's errors."""

    _api: Any

    def _translate_errors(self, doing: str) -> AbstractContextManager[None]:
        raise NotImplementedError

    def image_id(self, reference: str) -> str | None:
        """The ID of an image by name or ID; None when the engine does not have the image."""
        raise NotImplementedError

    def inspect_image(self, image: str) -> dict[str, Any] | None:
        """The whole of one image; None when the engine does not have the image."""
        raise NotImplementedError

    def remove_image(self, reference: str, *, force: bool = False) -> bool:
        """Remove an image; False when a container still uses the image."""
        raise NotImplementedError

    def pull(self, reference: str, timeout: float = 300.0) -> str:
        """Fetch an image and return its ID. Raises `EngineFailed`, and `InputError` for a malformed config.json.

        Args:
            timeout: seconds for the whole.
        """
        doing = f"pulling {reference}"
        with self._translate_errors(doing), self._api.allow_silence(min(timeout, _SILENCE)):
            name, tag = _split(reference)
            credentials = self._api.credentials(name)
            progress = self._api.pull(name, tag=tag, stream=True, decode=True, auth_config=credentials)
            _require_done(progress, doing, until=time.monotonic() + timeout)
        return self._require_image(reference)

    def push(self, image: str, repository: str, tag: str, timeout: float = 300.0) -> str:
        """Put an image into its registry, and return its reference there, by digest. It is sent only what it lacks.

        Raises `EngineFailed`, and `InputError` for a malformed config.json.

        Args:
            timeout: seconds for the whole.
        """
        name = f"{repository}:{tag}"
        digest = ""
        with self._translate_errors(f"pushing {name}"), self._api.allow_silence(min(timeout, _SILENCE)):
            self._api.tag(image, repository, tag)
            credentials = self._api.credentials(repository)
            until = time.monotonic() + timeout
            for step in self._api.push(repository, tag=tag, stream=True, decode=True, auth_config=credentials):
                if "error" in step or time.monotonic() > until:
                    raise push_failed(name, str(step.get("error") or "it takes too long"))
                digest = (step.get("aux") or {}).get("Digest") or digest
        return f"{repository}@{digest}"

    def build(
        self,
        context: bytes | Iterator[bytes],
        tag: str,
        *,
        dockerfile: str = "Dockerfile",
        labels: Mapping[str, str] | None = None,
        buildargs: Mapping[str, str] | None = None,
        network: str = "none",
        timeout: float = 900.0,
    ) -> str:
        """Build an image from a tar of its context and return its ID. Raises `EngineFailed` with the last lines.

        Nothing is taken from the engine's cache: the classic builder reads every image there is to look for a step that
        it has done before, and fails when another process removes one meanwhile.

        Args:
            context: the tar, whole or in pieces.
            dockerfile: a path in it.
            network: the network of the build's steps: `none` or `default`.
            timeout: the longest silence of the build, in seconds.
        """
        lines: list[str] = []
        step_image = ""
        with self._translate_errors(f"building {tag}"):
            progress = self._api.build(
                fileobj=io.BytesIO(context) if isinstance(context, bytes) else context,
                custom_context=True,
                tag=tag,
                dockerfile=dockerfile,
                labels=dict(labels or {}),
                buildargs=dict(buildargs or {}),
                network_mode=network,
                nocache=True,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=timeout,
            )
            for step in progress:
                text = clean(str(step.get("stream") or ""))
                step_image = made[1] if (made := _STEP_IMAGE.match(text)) else step_image
                lines = [*lines, *(line for line in text.splitlines() if line.strip())][-_LAST_LINES:]
                if "error" in step:
                    self._remove_unnamed(step_image)
                    raise build_failed(tag, str(step["error"]), "\n".join(lines))
        return self._require_image(tag)

    def _remove_unnamed(self, image: str) -> None:
        """Remove what a failed build has made so far; an image that has a name, such as the build's base, is kept."""
        with contextlib.suppress(GitopsError):
            inspected = self.inspect_image(image) if image else None
            if inspected and not inspected["RepoTags"] and not inspected["RepoDigests"]:
                self.remove_image(image)

    def load(self, archive: Iterator[bytes], tag: str, timeout: float = 300.0) -> str:
        """Take an image in from the pieces of an archive, and return its ID. Raises `EngineFailed` when it is refused.

        Args:
            timeout: the longest silence of the engine, in seconds.
        """
        doing = f"loading {tag}"
        with self._translate_errors(doing), self._api.allow_silence(timeout):
            _require_done(self._api.load_image(archive, quiet=True), doing)
        return self._require_image(tag)

    def _require_image(self, reference: str) -> str:
        image = self.image_id(reference)
        if not image:
            raise EngineFailed(f"{reference} is not on the engine, though it was just made")
        return image


def _require_done(progress: Iterable[Mapping[str, Any]], doing: str, until: float | None = None) -> None:
    """Read the engine's progress to its end. Raises `EngineFailed` for an error, or after `until` (monotonic)."""
    for step in progress:
        if "error" in step:
            raise failed(doing, str(step["error"]))
        if until is not None and time.monotonic() > until:
            raise failed(doing, "it takes too long")


def _split(reference: str) -> tuple[str, str]:
    """(name, tag or digest), as the engine's pull call wants them."""
    if "@" in reference:
        name, _, digest = reference.partition("@")
        return name, digest
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")
