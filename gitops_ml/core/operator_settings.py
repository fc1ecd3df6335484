"""What the host's operator decides: settings of the process that reconciles, outside the repository.

Whoever may merge into the repository could change what stands there. So what a declaration may reach on a host, or on
the networks around the host, and with which key is signed, is decided by environment variables of the process. This is
the one list of them.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Mapping

import msgspec

from gitops_ml.core.addresses import HostRule, parse_rules, why_refused
from gitops_ml.core.declaration.checks import HttpCheck, PrometheusCheck
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.errors import InputError

SECRETS_UNDER, ALLOW_COMMANDS, CHECK_HOSTS, DVC_REMOTES, SIGNING_KEY = (
    "GITOPS_ML_SECRETS_UNDER",
    "GITOPS_ML_ALLOW_COMMANDS",
    "GITOPS_ML_CHECK_HOSTS",
    "GITOPS_ML_DVC_REMOTES",
    "GITOPS_ML_SIGNING_KEY",
)
DEFAULT_SECRETS = "/etc/gitops-ml/secrets"
_HOST = re.compile(r"(?P<scheme>https?)://(?P<host>\[[^\]]+\]|[^/:?#]+)(:(?P<port>\d+))?(?=[/?#]|$)")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]|/[^/]|[^/:@]+@[^/:]+:[^:]")
_YES, _NO = ("1", "true", "yes"), ("", "0", "false", "no")


class OperatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a declaration may ask of this host.

    `secrets_under`: folders on the engine's host below which `secrets:` may name files. `allow_commands`: whether
    `verify.command` runs. `check_hosts`: what `verify.http` and `verify.prometheus` may ask; None means every host but
    those that `addresses.why_refused` names. `dvc_remotes`: the beginnings of addresses from which DVC's remotes and
    imports may be read; None means every one but those that `reach.why_unreachable` names. `signing_key`: the file of
    the SSH key that signs what channels publish; empty means that nothing is signed.
    """

    secrets_under: tuple[str, ...] = (DEFAULT_SECRETS,)
    allow_commands: bool = False
    check_hosts: tuple[HostRule, ...] | None = None
    dvc_remotes: tuple[str, ...] | None = None
    signing_key: str = ""


def read_settings(environ: Mapping[str, str]) -> OperatorSettings:
    """Read the settings from environment variables. Raises `InputError` for a value that means nothing."""
    hosts = environ.get(CHECK_HOSTS)
    return OperatorSettings(
        secrets_under=_folders(environ.get(SECRETS_UNDER) or DEFAULT_SECRETS),
        allow_commands=_switch(ALLOW_COMMANDS, environ.get(ALLOW_COMMANDS, "")),
        check_hosts=None if hosts is None else parse_rules(CHECK_HOSTS, hosts),
        dvc_remotes=None if (remotes := environ.get(DVC_REMOTES)) is None else _addresses(remotes),
        signing_key=_key(environ.get(SIGNING_KEY, "")),
    )


def _key(path: str) -> str:
    if path and not path.startswith("/"):
        raise InputError(
            f"{SIGNING_KEY} names {path}",
            why="it must name the file of an SSH key by its absolute path",
            fix=f"export {SIGNING_KEY}=/etc/gitops-ml/channel_key",
        )
    return path


def _addresses(text: str) -> tuple[str, ...]:
    addresses = tuple(address for address in re.split(r"[,\s]+", text) if address)
    for address in addresses:
        if not _ADDRESS.match(address):
            raise InputError(
                f"{DVC_REMOTES} names {address}",
                why="an entry is the beginning of an address, or an absolute folder; entries are separated by commas",
                fix=f"export {DVC_REMOTES}=s3://bucket/models,/mnt/dvc,git@github.com:team",
            )
    return addresses


def _folders(text: str) -> tuple[str, ...]:
    folders = tuple(folder for folder in text.split(":") if folder)
    for folder in folders:
        if not folder.startswith("/") or posixpath.normpath(folder) == "/":
            raise InputError(
                f"{SECRETS_UNDER} names {folder}",
                why="it must name absolute folders below /, separated by colons",
                fix=f"export {SECRETS_UNDER}={DEFAULT_SECRETS}",
            )
    return tuple(posixpath.normpath(folder) for folder in folders)


def _switch(name: str, value: str) -> bool:
    if value.lower() not in _YES + _NO:
        raise InputError(f"{name} is {value!r}", why="it is a switch", fix=f"export {name}=1, or unset {name}")
    return value.lower() in _YES


def require_permitted(name: str, deployment: Deployment, settings: OperatorSettings) -> None:
    """Check that the operator permits what the declaration of `name` asks of the host. Raises `InputError`."""
    require_secrets(name, deployment.secrets, settings)
    commands = ", ".join(check.name for check in deployment.verify.command)
    if commands and not settings.allow_commands:
        raise InputError(
            f"{name}: verify.command {commands} may not run on this host",
            why=f"commands are off unless the host's operator sets {ALLOW_COMMANDS}",
            fix=f"export {ALLOW_COMMANDS}=1 where gitops-ml runs, or remove verify.command",
        )
    asking: list[HttpCheck | PrometheusCheck] = [*deployment.verify.http, *deployment.verify.prometheus]
    for check in asking:
        refusal = _literal_refusal(check.url, settings)
        if refusal:
            raise InputError(
                f"{name}: the check {check.name} may not ask {check.url}",
                why=refusal,
                fix=f"correct `url:`, or have the operator name the address in {CHECK_HOSTS}",
            )


def _literal_refusal(url: str, settings: OperatorSettings) -> str:
    """Why the address that a URL names may not be asked. Names are judged when they are resolved."""
    match = _HOST.match(url)
    if not match:
        return ""
    port = int(match["port"] or (443 if match["scheme"] == "https" else 80))
    try:
        address = ipaddress.ip_address(match["host"].strip("[]"))
    except ValueError:
        return ""
    return why_refused(str(address), port, address, settings.check_hosts)


def require_secrets(name: str, secrets: Mapping[str, str], settings: OperatorSettings) -> None:
    """Check that the files of `secrets` are below a folder that the operator names. Raises `InputError`.

    The paths are on the engine's host. Links there are followed: only who may write into the folder can make one.
    """
    for key, path in secrets.items():
        plain = path == posixpath.normpath(path)
        if not plain or not any(path.startswith(f"{folder}/") for folder in settings.secrets_under):
            folders = " or ".join(settings.secrets_under)
            raise InputError(
                f"{name}: secrets.{key} is {path}",
                why=f"the host's operator permits files below {folders}" if plain else "it is not written out plainly",
                fix=f"put the file below {folders}, or have the operator set {SECRETS_UNDER}",
            )
