"""The SDK's low-level client, as we use it, and what it reads of the user's `~/.docker/config.json`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import docker
import docker.auth
import docker.errors

from gitops_ml.clients.engine.address import config_file
from gitops_ml.errors import EngineFailed, InputError

_silence: ContextVar[float | None] = ContextVar("_silence", default=None)
_MALFORMED = (AttributeError, TypeError, ValueError, LookupError)
"""What the SDK raises for a config.json that is not as it expects."""


class Client(docker.APIClient):
    """The SDK's client with four additions: its requests are counted, each of them has a time-out, credentials are
    asked for only where an image is pulled, and an engine is trusted for its own authority alone.

    The SDK waits for ever in its calls that stream (`pull`, `load_image`, `events`).
    """

    calls = 0
    _auth_configs: docker.auth.AuthConfig

    def __init__(self, **settings: Any) -> None:
        """Connect. Raises `InputError` for a config.json that the SDK cannot use, and what the SDK raises."""
        try:
            super().__init__(**settings)
        except docker.errors.InvalidConfigFile as error:
            raise _unusable(error) from error
        except docker.errors.DockerException as error:
            if isinstance(error.__cause__, AttributeError | TypeError):  # HttpHeaders, first used in a request
                raise _unusable(error.__cause__) from error
            raise
        except _MALFORMED as error:
            raise _unusable(error) from error

    def send(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        kwargs["timeout"] = _silence.get() or kwargs.get("timeout") or self.timeout
        return super().send(*args, **kwargs)

    def merge_environment_settings(
        self, url: str | bytes | None, proxies: Any, stream: bool | None, verify: Any, cert: Any
    ) -> Any:
        """Let the engine's `ca.pem` win: `requests` would take `REQUESTS_CA_BUNDLE` in its place."""
        verify = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, verify, cert)

    def credentials(self, repository: str) -> dict[str, Any]:
        """The user's credentials for a repository's registry; empty without any.

        Raises `InputError`, and `EngineFailed` when the helper that keeps them fails.
        """
        registry, _ = docker.auth.resolve_repository_name(repository)
        try:
            return docker.auth.resolve_authconfig(self._auth_configs, registry) or {}
        except docker.errors.DockerException as error:
            raise EngineFailed(
                f"no credentials for {registry}",
                why=str(error),
                fix=f"install the helper that credsStore or credHelpers name in {config_file()}, or remove it",
            ) from error
        except _MALFORMED as error:
            raise _unusable(error) from error

    def _set_auth_headers(self, headers: dict[str, str]) -> None:
        """Send no credentials with a build: its base is on the engine already, so nothing is pulled."""

    @contextmanager
    def allow_silence(self, seconds: float) -> Iterator[None]:
        """The longest silence of the engine in the requests of this block."""
        token = _silence.set(seconds)
        try:
            yield
        finally:
            _silence.reset(token)


def _unusable(error: BaseException) -> InputError:
    return InputError(
        f"{config_file()} cannot be used",
        why=f"the Docker SDK stumbles over it: {error}",
        fix="correct it, or set DOCKER_CONFIG to an empty folder; gitops-ml needs it for pulling alone",
    )
