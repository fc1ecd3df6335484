"""The hosts of an environment that runs on several equal ones: what they are called, and which of them come first.

`edge@leeds` is the full name of the environment `edge` on its host `leeds`. Wherever an environment is named, it can be
such a full name. The full name of an environment with one engine is its name.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

LOCAL_ENGINE = "unix:///var/run/docker.sock"
Wave = (
    Annotated[int, Meta(ge=1, le=10_000)]
    | Annotated[str, Meta(pattern=r"^(100|[1-9][0-9]?)%$(?!\n)", description="a share of the hosts, such as 25%")]
)


def full_name(environment: str, host: str) -> str:
    """The full name of an environment; `host` is empty where it has one engine."""
    return f"{environment}@{host}" if host else environment


def split_full_name(name: str) -> tuple[str, str]:
    """The environment and the host of a full name; the host is empty if it names none."""
    environment, _, host = name.partition("@")
    return environment, host


def declared_by(name: str) -> str:
    """What declares an environment of this full name: its file, or the host in it."""
    environment, host = split_full_name(name)
    file = f"environments/{environment}/environment.yaml"
    return f"`{host}` of {file}" if host else file


def same_engine(engine: str) -> str:
    """An engine's address, equal for every spelling of one engine.

    Spellings differ in the user, the default port or socket, and `/run` for `/var/run`.
    """
    scheme, _, address = engine.partition("://")
    host, slash, path = address.partition("/")
    path = posixpath.normpath(slash + path or "/")
    path = f"/var{path}" if path.startswith("/run/") else path
    if scheme == "unix":
        return f"unix://{path}"
    host = host.rpartition("@")[2].lower()
    if scheme == "tcp":
        return f"tcp://{host}"
    path = "" if path in ("/", LOCAL_ENGINE.removeprefix("unix://")) else path
    return f"ssh://{host.removesuffix(':22')}{path}"


def host_name(engine: str) -> str:
    """The name of the host with this engine: `leeds` for `ssh://deploy@leeds`. It is part of paths in Git."""
    address = same_engine(engine).partition("://")[2]
    return re.sub(r"[^a-z0-9.]+", "-", address.lower()).strip("-.")


def require_hosts(engines: Sequence[str]) -> None:
    """Check that each engine is another host. Raises `ValueError`, in words for the file that has `engines`."""
    if not engines:
        raise ValueError("`engines` is empty, and needs at least one address, such as [ssh://deploy@leeds]")
    names = [host_name(engine) for engine in engines]
    for name, engine in zip(names, engines, strict=True):
        if not name:
            raise ValueError(f"`engines` has {engine!r}, which names no host")
        if names.count(name) > 1:
            raise ValueError(f"`engines` has the host `{name}` twice")


def earlier_hosts(hosts: Sequence[str], host: str, waves: Sequence[int | str]) -> Sequence[str]:
    """The hosts whose waves come before the wave of `host`.

    Args:
        hosts: all hosts that take part, in the order of their declaration.
        waves: how many hosts have the candidate after each wave, as counts or shares; all others follow the last.
    """
    ends = [math.ceil(len(hosts) * int(w[:-1]) / 100) if isinstance(w, str) else w for w in waves]
    place = hosts.index(host)
    return hosts[: max((end for end in ends if end <= place), default=0)]
