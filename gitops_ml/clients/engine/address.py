"""Which engine is meant, and who says so: `engine:` of an environment, else what the Docker command line would use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker.context
import docker.tls
import msgspec
from docker.context.config import get_current_context_name
from docker.utils.config import find_config_file

from gitops_ml.errors import InputError

LOCAL = "unix:///var/run/docker.sock"
DECLARED = "`engine:` in environment.yaml"


class Address(msgspec.Struct, frozen=True):
    """An engine's address; `source` is the setting that names it. `tls` is what the SDK takes, False without TLS."""

    url: str
    source: str
    tls: Any = False


def config_file() -> str:
    """The configuration of the Docker command line, which the SDK reads too."""
    path: Any = find_config_file()
    return str(path or Path.home() / ".docker" / "config.json")


def resolve_address(declared: str | None, env: Mapping[str, str] | None = None) -> Address:
    """The engine declared as `unix://`, `ssh://user@host[:port][/path/to/socket]` or `tcp://host:port`.

    None means the caller's own, found as the Docker command line does: `DOCKER_HOST`, else the context that
    `DOCKER_CONTEXT` or `docker context use` names, else the local socket. TCP needs TLS, with the certificates of the
    context, of `DOCKER_CERT_PATH` or of `~/.docker`. Raises `InputError`.
    """
    env = os.environ if env is None else env
    if declared:
        return _checked(declared, DECLARED, env)
    if env.get("DOCKER_HOST"):
        return _checked(env["DOCKER_HOST"], "DOCKER_HOST", env)
    return _of_context(env)


def _of_context(env: Mapping[str, str]) -> Address:
    name = env.get("DOCKER_CONTEXT") or get_current_context_name() or "default"
    if name == "default":
        return Address(LOCAL, "the default Docker context")
    source = f"the Docker context {name!r}"
    try:
        context: Any = docker.context.ContextAPI.get_context(name)
        url, tls = (context.Host, context.TLSConfig) if context else (None, None)
    except Exception as error:  # the SDK raises whatever a malformed file makes it stumble over
        raise InputError(
            f"{source} cannot be read", why=str(error) or type(error).__name__, fix=f"docker context inspect {name}"
        ) from error
    if not url:
        raise InputError(
            f"{source} does not exist",
            why=f"DOCKER_CONTEXT or {config_file()} names it",
            fix="`docker context ls` lists them; `docker context use default`, or set `engine:` in environment.yaml",
        )
    return Address(url, source, tls) if tls else _checked(url, source, env)


def _checked(url: str, source: str, env: Mapping[str, str]) -> Address:
    if url.startswith("tcp://"):
        return Address(url, source, _tls_of_files(url, source, env))
    if url.startswith(("unix://", "ssh://")):
        return Address(url, source)
    fix = f"write unix://, ssh:// or tcp:// in {source}"
    if url.startswith("/"):
        fix = f"write unix://{url} in {source}"
    raise InputError(f"`{url}` is not an engine's address", why=f"{source} names it", fix=fix)


def _tls_of_files(url: str, source: str, env: Mapping[str, str]) -> docker.tls.TLSConfig:
    """The certificates for an engine on TCP. A TCP port without TLS gives root to everyone, so it is refused."""
    folder = Path(env.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    files = [folder / name for name in ("ca.pem", "cert.pem", "key.pem")]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise InputError(
            f"`{url}` of {source} needs TLS",
            why=f"missing: {', '.join(missing)}",
            fix="set DOCKER_CERT_PATH to the folder that has them",
        )
    ca, cert, key = map(str, files)
    return docker.tls.TLSConfig(client_cert=(cert, key), ca_cert=ca, verify=True)
