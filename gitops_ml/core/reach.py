"""Which DVC remotes and Git repositories may be read for a version's bytes.

Their addresses come from the repository: whoever merges could name any host, any folder of this one, and forms of a Git
address that run programs (`ext::…`, https://git-scm.com/docs/gitremote-helpers).
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gitops_ml.core.addresses import why_refused

HOST_OPTIONS = frozenset(
    [
        "bearer_token_command",
        "configpath",
        "credentialpath",
        "gdrive_service_account_json_file_path",
        "gdrive_user_credentials_file",
    ]
)
"""Options of DVC remotes that only the host's operator may set: a program (WebDAV's `bearer_token_command`), files in
which clouds' libraries look for a program that gives credentials (AWS's `credential_process`,
https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html), and a file that DVC writes."""
_ENDPOINTS = frozenset(["endpointurl", "oss_endpoint", "connection_string", "data_proxy_target"])
"""Options of DVC remotes that name a host to ask."""
_AZURE_ACCOUNT = re.compile(r"[A-Za-z0-9-]*")
_IN_CONNECTION_STRING = re.compile(r"https?://[^;\s]+", re.IGNORECASE)

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_SCP = re.compile(r"(?P<host>[^/:]+@[^/:]+):(?P<path>(?!:).*)", re.DOTALL)
_SCP_HOST = re.compile(r"(?P<host>[^/:]{2,}):(?!:)")
_BUCKETS = {"abfs", "abfss", "adl", "azure", "file", "gdrive", "gs", "oss", "remote", "s3"}
"""Schemes of addresses that begin with a bucket, a container or nothing instead of a host."""
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_SHELL = re.compile(r"""[\s`$'"\\;&|<>(){}]""")
"""What OpenSSH refuses in names of hosts and users: its `ProxyCommand` and `Match exec` give both to a shell."""


def plain_address(url: str) -> str:
    """An address as entries of the operator's list are compared with it: without user, credentials and last slashes.

    `git@host:path` becomes `ssh://host/path`.
    """
    if match := _SCP.fullmatch(url):
        url = f"ssh://{match['host']}/{match['path'].lstrip('/')}"
    if match := _URL.fullmatch(url):
        host = match["authority"].rpartition("@")[2].lower()
        return f"{match['scheme'].lower()}://{host}{match['rest']}".rstrip("/")
    return posixpath.normpath(url) if url else url


def why_unreachable(url: str, permitted: Collection[str] | None) -> str:
    """Why nothing may be read from `url`, a DVC remote's or a Git repository's; empty if it may.

    Args:
        permitted: the beginnings of addresses that the operator permits; None permits every host but link-local and
            metadata addresses.
    """
    if any(ord(c) < 32 or ord(c) == 127 for c in url) or url.startswith("-"):
        return "it is no plain address"
    if _HELPER.match(url):
        return "an address of this form runs a program"
    address = plain_address(url)
    match = _URL.fullmatch(address)
    host = match["authority"] if match else ""
    if host.startswith("-") or (match and match["scheme"] == "ssh" and _SHELL.search(_authority(url))):
        return "it is no plain address"
    if permitted is not None:
        return "" if _below(address, permitted) else "it is not among those that the host's operator permits"
    return _refused_address(host)


def asked_addresses(options: Mapping[str, Any]) -> Iterator[str]:
    """The addresses that the options of a DVC remote name beside its URL."""
    for key, value in options.items():
        name = str(key).lower()
        if value and name in _ENDPOINTS:
            yield str(value)
        if name == "connection_string":
            yield from _IN_CONNECTION_STRING.findall(str(value))
        # Azure's library makes `https://<account_name>.blob.core.windows.net` of it, so a slash ends the host.
        if name == "account_name" and not _AZURE_ACCOUNT.fullmatch(str(value)):
            yield f"https://{value}"


def host_of(url: str) -> str:
    """The host that an address names, without its port; empty for a folder, or what is in a cloud's bucket."""
    if match := _URL.fullmatch(plain_address(url)):
        return _host(match["authority"]) if match["scheme"] not in _BUCKETS else ""
    match = _SCP_HOST.match(url)
    return match["host"] if match else ""


def _authority(url: str) -> str:
    """The user and the host of an ssh address in either form."""
    match = _SCP.fullmatch(url)
    if match:
        return match["host"]
    match = _URL.fullmatch(url)
    return match["authority"] if match else ""


def _below(address: str, permitted: Collection[str]) -> bool:
    path = re.sub("%2e", ".", re.split("[?#]", address)[0], flags=re.IGNORECASE)
    if ".." in path.split("/"):
        return False
    entries = [plain_address(entry) for entry in permitted]
    return any(address == entry or address.startswith(f"{entry}/") for entry in entries)


def _refused_address(authority: str) -> str:
    """Why an address written as numbers is not asked."""
    host = _host(authority)
    try:
        return why_refused(host, 0, ipaddress.ip_address(host), None)
    except ValueError:
        return ""


def _host(authority: str) -> str:
    return re.sub(r":\d*$", "", authority).strip("[]")
