"""The SDK's low-level client, as we use it, and how it finds its certificates."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import docker
import docker.tls

from gitops_ml.errors import InputError

_silence: ContextVar[float | None] = ContextVar("_silence", default=None)


class Client(docker.APIClient):
    """The SDK's client with two additions: its requests are counted, and each of them has a time-out.

    The SDK waits for ever in its calls that stream (`pull`, `load_image`, `events`).
    """

    calls = 0

    def send(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        kwargs["timeout"] = _silence.get() or kwargs.get("timeout") or self.timeout
        return super().send(*args, **kwargs)

    @contextmanager
    def allow_silence(self, seconds: float) -> Iterator[None]:
        """The longest silence of the engine in the requests of this block."""
        token = _silence.set(seconds)
        try:
            yield
        finally:
            _silence.reset(token)


def tls_settings(url: str) -> docker.tls.TLSConfig:
    """The certificates for an engine on TCP. A TCP port without TLS gives root to everyone, so it is refused."""
    folder = Path(os.environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    files = [folder / name for name in ("ca.pem", "cert.pem", "key.pem")]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise InputError(
            f"`{url}` needs TLS",
            why=f"missing: {', '.join(missing)}",
            fix="set DOCKER_CERT_PATH to the folder that has them",
        )
    ca, cert, key = map(str, files)
    return docker.tls.TLSConfig(client_cert=(cert, key), ca_cert=ca, verify=True)
