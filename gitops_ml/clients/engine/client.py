"""The Docker engine: every call that we make of it, and the only module that imports its SDK.

The SDK's low-level client is used: its objects inspect a container each time they are made, which would make
the number of calls grow with the number of containers. Errors leave here as ours. Removing, starting or
stopping what is already so is no error, since every mutation may be repeated after a crash.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.tls
import msgspec
import requests
import urllib3

from gitops_ml.clients.engine.config import container_config
from gitops_ml.clients.engine.errors import failed, unavailable
from gitops_ml.clients.engine.exec import InsideCalls
from gitops_ml.clients.engine.images import ImageCalls
from gitops_ml.clients.engine.networks import NetworkCalls, label_filter
from gitops_ml.clients.engine.ssh import Tunnel
from gitops_ml.clients.engine.types import EngineInfo, NameTaken
from gitops_ml.core.generation import ContainerSpec
from gitops_ml.errors import EngineFailed, EngineUnavailable, InputError

TIMEOUT = 60.0
_LOST = (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)


class _Client(docker.APIClient):
    """Counts its requests: the number that must not grow with the number of containers."""

    calls = 0

    def send(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return super().send(*args, **kwargs)


class Engine(ImageCalls, NetworkCalls, InsideCalls):
    """One Docker engine. Make it with `connect`, and close it; it is a context manager."""

    def __init__(self, client: Any, url: str, tunnel: Tunnel | None = None) -> None:
        super().__init__()
        self._api = client
        self._tunnel = tunnel
        self.url = url

    @classmethod
    def connect(cls, url: str | None, timeout: float = TIMEOUT) -> Engine:
        """The engine at `unix://`, `ssh://user@host[:port][/path/to/socket]` or `tcp://host:port`.

        TCP is spoken with TLS, with the certificates in `DOCKER_CERT_PATH` or `~/.docker`. None means the
        caller's own: `DOCKER_HOST`, else the local socket. Raises `InputError` and `EngineUnavailable`.
        """
        url = url or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        tunnel, base = None, url
        tls: docker.tls.TLSConfig | bool = False
        if url.startswith("ssh://"):
            tunnel = Tunnel.open(url, timeout=min(timeout, 30.0))
            base = f"unix://{tunnel.socket}"
        elif url.startswith("tcp://"):
            tls = _tls(url)
        elif not url.startswith("unix://"):
            raise InputError(f"`{url}` is no engine", fix="write unix://, ssh:// or tcp:// in `engine:`")
        try:
            client = _Client(base_url=base, version="auto", timeout=int(timeout), tls=tls)
        except (docker.errors.DockerException, *_LOST) as error:
            if tunnel:
                tunnel.close()
            raise unavailable(url, str(error)) from error
        return cls(client, url, tunnel)

    def close(self) -> None:
        self.close_shells()
        self._api.close()
        if self._tunnel:
            self._tunnel.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def calls(self) -> int:
        """How many requests were sent to the engine so far."""
        return int(self._api.calls)

    @contextmanager
    def _translate_errors(self, doing: str) -> Iterator[None]:
        """Translates what the SDK raises. `doing` names the thing, as in `creating prod.churn`."""
        try:
            yield
        except docker.errors.APIError as error:
            raise failed(doing, str(error.explanation or error)) from error
        except docker.errors.DockerException as error:
            raise failed(doing, str(error)) from error
        except _LOST as error:
            raise unavailable(self.url, f"{doing}: {error}") from error

    def _or_none_if_gone(self, doing: str, call: Callable[[], Any]) -> Any:
        """The call's answer; None where the object is not there (any more)."""
        with self._translate_errors(doing):
            try:
                return call()
            except docker.errors.NotFound:
                return None

    # --- looking --------------------------------------------------------------------------------------------

    def info(self) -> EngineInfo:
        """Who the engine is, and its clock."""
        with self._translate_errors("asking who it is"):
            told = self._api.info()
        return EngineInfo(
            id=told["ID"],
            name=told["Name"],
            version=told["ServerVersion"],
            now=datetime.fromisoformat(told["SystemTime"]),
            cpus=told["NCPU"],
            memory=told["MemTotal"],
        )

    def list_containers(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """Every container, in any state, that carries all of these labels: as the engine's list tells it."""
        with self._translate_errors("listing containers"):
            return list(self._api.containers(all=True, filters={"label": label_filter(labels)}))

    def list_images(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        with self._translate_errors("listing images"):
            return list(self._api.images(filters={"label": label_filter(labels)}))

    def inspect_container(self, container: str) -> dict[str, Any] | None:
        """The whole of one container; None when it is gone."""
        found: dict[str, Any] | None = self._or_none_if_gone(
            f"inspecting {container[:40]}", lambda: self._api.inspect_container(container)
        )
        return found

    def inspect_image(self, image: str) -> dict[str, Any] | None:
        """The whole of one image; None when it is not on the engine."""
        found: dict[str, Any] | None = self._or_none_if_gone(
            f"inspecting {image[:60]}", lambda: self._api.inspect_image(image)
        )
        return found

    def image_id(self, reference: str) -> str | None:
        found = self.inspect_image(reference)
        return str(found["Id"]) if found else None

    def state(self, container: str) -> str | None:
        """`created`, `running`, `exited` …; None when it is gone."""
        found = self.inspect_container(container)
        return str(found["State"]["Status"]) if found else None

    def past_events(self, since: int, until: datetime) -> list[dict[str, Any]]:
        """What the engine remembers having done; `since` in nanoseconds, `until` before its own now."""
        seconds = f"{since // 10**9}.{since % 10**9:09d}"
        with self._translate_errors("reading its events"):
            url = self._api._url("/events")
            params = {"since": seconds, "until": f"{until.timestamp():.6f}"}
            with self._api._get(url, params=params, stream=True) as response:
                return list(msgspec.json.Decoder().decode_lines(response.content))

    def logs(self, container: str, tail: int = 50) -> str:
        """The last lines of stdout and stderr; empty when it is gone."""
        told = self._or_none_if_gone(f"reading logs of {container[:12]}", lambda: self._api.logs(container, tail=tail))
        return (told or b"").decode(errors="replace")

    def follow(self, container: str, since: float, tail: int) -> Any:
        """The container's log from `since` (epoch seconds) on, as it grows: chunks of bytes with `close()`.

        Of what is there already the last `tail` lines are looked at: without that the engine reads its whole log, which
        took it 2.7 s for 73 MB. Each line of stdout begins with the engine's own time of it. Raises `EngineFailed`,
        `EngineUnavailable`.
        """
        with self._translate_errors(f"following the log of {container[:12]}"):
            return self._api.logs(
                container, stdout=True, stderr=False, stream=True, follow=True, timestamps=True, since=since, tail=tail
            )

    def wait(self, container: str, timeout: float) -> int | None:
        """The exit code of an ended container; None when it is gone, or runs on after `timeout` seconds."""
        try:
            ended = self._or_none_if_gone("waiting", lambda: self._api.wait(container, timeout=timeout))
        except EngineUnavailable as error:
            if isinstance(error.__cause__, requests.Timeout | requests.ConnectionError):
                return None
            raise
        return int(ended["StatusCode"]) if ended else None

    # --- containers -----------------------------------------------------------------------------------------

    def create(self, spec: ContainerSpec) -> str:
        """Make a container and return its ID. Raises `NameTaken` when its name is in use."""
        with self._translate_errors(f"creating {spec.name}"):
            try:
                made = self._api.create_container_from_config(container_config(spec), spec.name)
            except docker.errors.APIError as error:
                if error.status_code == 409 and "is already in use" in str(error.explanation):
                    raise NameTaken(
                        f"a container named {spec.name} is there already", fix=f"docker inspect {spec.name}"
                    ) from error
                raise
        return str(made["Id"])

    def start(self, container: str, name: str = "") -> None:
        with self._translate_errors(f"starting {name or container[:12]}"):
            self._api.start(container)

    def stop(self, container: str, grace: float) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds."""
        self._or_none_if_gone(f"stopping {container[:12]}", lambda: self._api.stop(container, timeout=round(grace)))

    def kill(self, container: str) -> None:
        try:
            self._or_none_if_gone(f"killing {container[:12]}", lambda: self._api.kill(container))
        except EngineFailed:
            if self.state(container) == "running":
                raise

    def rename(self, container: str, name: str) -> None:
        with self._translate_errors(f"renaming {container[:12]} to {name}"):
            self._api.rename(container, name)

    def remove(self, container: str, *, force: bool = False, volumes: bool = True) -> None:
        """Remove a container, and its anonymous volumes."""
        try:
            self._or_none_if_gone(
                f"removing {container[:12]}",
                lambda: self._api.remove_container(container, v=volumes, force=force),
            )
        except EngineFailed as error:
            if "already in progress" not in str(error):
                raise

    def remove_image(self, reference: str) -> bool:
        """Remove an image; False when a container still has it."""
        with self._translate_errors(f"removing image {reference[:60]}"):
            try:
                self._api.remove_image(reference)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):
                    raise
                return error.status_code == 404
        return True


def _tls(url: str) -> docker.tls.TLSConfig:
    """The certificates for an engine on TCP. Without them it is refused: such a port is root for everyone."""
    found = Path(os.environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    files = [found / name for name in ("ca.pem", "cert.pem", "key.pem")]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise InputError(
            f"`{url}` needs TLS",
            why=f"not there: {', '.join(missing)}",
            fix="set DOCKER_CERT_PATH to their directory",
        )
    ca, cert, key = map(str, files)
    return docker.tls.TLSConfig(client_cert=(cert, key), ca_cert=ca, verify=True)
