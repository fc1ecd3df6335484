"""Whether a DVC remote or a Git repository may be read at the addresses that its host's name has now.

A name may resolve to an address that only the machine itself should ask. DVC's libraries look names up by themselves,
so this look-up comes just before theirs.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection

from gitops_ml.core.addresses import why_refused
from gitops_ml.core.reach import host_of, why_unreachable


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
