"""The Docker engine: every call that we make of it.

The calls go through the SDK's low-level client. The SDK's objects inspect a container whenever one is made, so that the
number of calls would grow with the number of containers. The SDK's errors leave here as ours. A call that finds its
work done (removed, started, stopped) succeeds, since every mutation may be repeated after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Self

import docker
import docker.credentials.errors
import docker.errors
import requests
import urllib3

from gitops_ml.clients.engine.address import Address, resolve_address
from gitops_ml.clients.engine.config import container_config, offered_gpus
from gitops_ml.clients.engine.errors import failed, unavailable
from gitops_ml.clients.engine.exec import ExecCalls
from gitops_ml.clients.engine.images import ImageCalls
from gitops_ml.clients.engine.logs import LogCalls
from gitops_ml.clients.engine.networks import NetworkCalls, label_filter
from gitops_ml.clients.engine.sdk import Client
from gitops_ml.clients.engine.ssh import Tunnel
from gitops_ml.clients.engine.types import EngineInfo, NameTaken
from gitops_ml.core.generation import ContainerSpec
from gitops_ml.errors import EngineFailed, EngineUnavailable, InputError

TIMEOUT = 60.0
_LOST = (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)


class Engine(ImageCalls, NetworkCalls, ExecCalls, LogCalls):
    """One Docker engine. Make it with `connect`, and close it; it is a context manager."""

    def __init__(self, client: Any, address: Address, tunnel: Tunnel | None = None) -> None:
        super().__init__()
        self._api = client
        self._tunnel = tunnel
        self._address = address
        self.url = address.url

    @classmethod
    def connect(cls, url: str | None, timeout: float = TIMEOUT) -> Self:
        """Connect to the engine at `unix://`, `ssh://user@host[:port][/path/to/socket]` or `tcp://host:port`.

        None means the caller's own engine; see `resolve_address`. Raises `InputError` and `EngineUnavailable`.
        """
        address = resolve_address(url)
        tunnel, base = None, address.url
        if base.startswith("ssh://"):
            tunnel = Tunnel.open(address, timeout=min(timeout, 30.0))
            base = f"unix://{tunnel.socket}"
        try:
            client = Client(base_url=base, version="auto", timeout=int(timeout), tls=address.tls)
        except (InputError, docker.errors.DockerException, *_LOST) as error:
            if tunnel:
                tunnel.close()
            if isinstance(error, InputError):
                raise
            raise unavailable(address, str(error)) from error
        return cls(client, address, tunnel)

    def close(self) -> None:
        self.close_shells()
        self._api.close()
        if self._tunnel:
            self._tunnel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def calls(self) -> int:
        """How many requests the engine has been sent so far."""
        return int(self._api.calls)

    @contextmanager
    def _translate_errors(self, doing: str) -> Iterator[None]:
        """Translate the SDK's errors. `doing` names the thing, as in `creating prod.churn`."""
        try:
            yield
        except docker.errors.APIError as error:
            raise failed(doing, str(error.explanation or error)) from error
        except (docker.errors.DockerException, docker.credentials.errors.StoreError) as error:
            raise failed(doing, str(error)) from error
        except _LOST as error:
            raise unavailable(self._address, f"{doing}: {error}") from error

    def _or_none_if_gone(self, doing: str, call: Callable[[], Any]) -> Any:
        """The call's answer; None where the object does not exist (any more)."""
        with self._translate_errors(doing):
            try:
                return call()
            except docker.errors.NotFound:
                return None

    def finish_starts(self, labels: Mapping[str, str]) -> None:
        """Finish what a killed pass began to start, of the containers with these labels.

        A container is started by one call, so there is nothing to finish.
        """

    # --- looking --------------------------------------------------------------------------------------------

    def info(self) -> EngineInfo:
        """The engine's identity, and its clock."""
        with self._translate_errors("asking for its identity"):
            info = self._api.info()
        return EngineInfo(
            id=info["ID"],
            name=info["Name"],
            version=info["ServerVersion"],
            now=datetime.fromisoformat(info["SystemTime"]),
            cpus=info["NCPU"],
            memory=info["MemTotal"],
            gpus=offered_gpus(info),
            containerd_store=["driver-type", "io.containerd.snapshotter.v1"] in (info.get("DriverStatus") or ()),
        )

    def list_containers(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """Every container, in any state, that carries all of these labels: entries of the engine's list."""
        with self._translate_errors("listing containers"):
            return list(self._api.containers(all=True, filters={"label": label_filter(labels)}))

    def list_images(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        with self._translate_errors("listing images"):
            return list(self._api.images(filters={"label": label_filter(labels)}))

    def inspect_container(self, container: str) -> dict[str, Any] | None:
        """The whole of one container; None when the container is gone."""
        inspected: dict[str, Any] | None = self._or_none_if_gone(
            f"inspecting {container[:40]}", lambda: self._api.inspect_container(container)
        )
        return inspected

    def inspect_image(self, image: str) -> dict[str, Any] | None:
        """The whole of one image; None when the engine does not have the image."""
        inspected: dict[str, Any] | None = self._or_none_if_gone(
            f"inspecting {image[:60]}", lambda: self._api.inspect_image(image)
        )
        return inspected

    def image_id(self, reference: str) -> str | None:
        image = self.inspect_image(reference)
        return str(image["Id"]) if image else None

    def state(self, container: str) -> str | None:
        """`created`, `running`, `exited` …; None when the container is gone."""
        inspected = self.inspect_container(container)
        return str(inspected["State"]["Status"]) if inspected else None

    def wait(self, container: str, timeout: float) -> int | None:
        """The exit code of an ended container; None when it is gone, or still runs after `timeout` seconds."""
        try:
            ended = self._or_none_if_gone("waiting", lambda: self._api.wait(container, timeout=timeout))
        except EngineUnavailable as error:
            if isinstance(error.__cause__, requests.Timeout | requests.ConnectionError):
                return self._exit_code(container)
            raise
        return int(ended["StatusCode"]) if ended else None

    def _exit_code(self, container: str) -> int | None:
        """The exit code by an inspection: a busy engine may need longer than `wait` waits, for an ended one too."""
        inspected = self.inspect_container(container)
        ended = inspected is not None and inspected["State"]["Status"] in ("exited", "dead")
        return int(inspected["State"]["ExitCode"]) if inspected and ended else None

    # --- containers -----------------------------------------------------------------------------------------

    def create(self, spec: ContainerSpec) -> str:
        """Make a container and return its ID. Raises `NameTaken` when the name is in use."""
        with self._translate_errors(f"creating {spec.name}"):
            try:
                created = self._api.create_container_from_config(container_config(spec), spec.name)
            except docker.errors.APIError as error:
                if error.status_code == 409 and "is already in use" in str(error.explanation):
                    raise NameTaken(
                        f"a container named {spec.name} exists already", fix=f"docker inspect {spec.name}"
                    ) from error
                raise
        return str(created["Id"])

    def start(self, container: str, name: str = "") -> None:
        with self._translate_errors(f"starting {name or container[:12]}"):
            self._api.start(container)

    def stop(self, container: str, grace: float) -> None:
        """Send SIGTERM, and SIGKILL after `grace` seconds."""
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
        """Remove a container and its anonymous volumes; `force`: with SIGKILL first if the container runs."""
        try:
            self._or_none_if_gone(
                f"removing {container[:12]}",
                lambda: self._api.remove_container(container, v=volumes, force=force),
            )
        except EngineFailed as error:
            if "already in progress" not in str(error):
                raise

    def remove_image(self, reference: str, *, force: bool = False) -> bool:
        """Remove an image; False when a container still uses the image. `force`: also if it has several names."""
        with self._translate_errors(f"removing image {reference[:60]}"):
            try:
                self._api.remove_image(reference, force=force)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):
                    raise
                return error.status_code == 404
        return True
