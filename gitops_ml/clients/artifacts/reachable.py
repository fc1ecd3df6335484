"""Whether a DVC remote or a Git repository may be read at the addresses that its host's name has now.

A name may resolve to an address that only the machine itself should ask. DVC's libraries look names up by themselves,
so this look-up comes just before theirs.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection
from typing import NamedTuple

from gitops_ml.clients.artifacts.dvc_config import Remote
from gitops_ml.core.addresses import why_refused
from gitops_ml.core.operator_settings import DVC_REMOTES
from gitops_ml.core.reach import host_of, why_unreachable

_FILE_URL = "file://"


class Refusal(NamedTuple):
    """Why a DVC remote may not be read, and what makes it readable."""

    why: str
    fix: str


def refusal_of(
    remote: Remote, why: Callable[[str, Collection[str] | None], str], permitted: Collection[str] | None
) -> Refusal | None:
    """Why a DVC remote may not be read, by `why` (`why_unreachable`, or `why_unreachable_now`); None if it may."""
    if remote.url.startswith(_FILE_URL):
        path = remote.url.removeprefix(_FILE_URL)
        return Refusal(
            why=f"DVC takes {remote.url} for a folder named `file:`, below the one that it runs in",
            fix=f"dvc remote modify {remote.name} url {path}, commit and push .dvc/config, then dvc push",
        )
    reason = next(filter(None, (why(address, permitted) for address in remote.addresses)), "")
    fix = f"have the host's operator name the remote in {DVC_REMOTES}; or correct its url"
    return Refusal(reason, fix) if reason else None


def why_unreachable_now(url: str, permitted: Collection[str] | None) -> str:
    """As `why_unreachable`, also for the addresses that the host's name has now; empty if nothing is against it.

    A name that the operator permits, or that cannot be looked up, has nothing against it.
    """
    reason = why_unreachable(url, permitted)
    host = host_of(url)
    if reason or permitted is not None or not host:
        return reason
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ""
    addresses = [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
    refusals = (why_refused(host, 0, address, None) for address in addresses)
    return next((f"{refusal}; {host} resolves to it" for refusal in refusals if refusal), "")
