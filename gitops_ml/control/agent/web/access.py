"""Who may read what the agent answers: names that lead to this agent, and users that a proxy has let in."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gitops_ml.control.agent.web.answers import Answer, refusal
from gitops_ml.control.agent.web.server import respond
from gitops_ml.core.text import clean_line


@dataclass(frozen=True)
class Access:
    """What a request has to have.

    A page of a stranger can have its own name resolve to this machine, and would then read the agent's answers in a
    browser behind the firewall (DNS rebinding, https://crypto.stanford.edu/dns/dns-rebinding.pdf). The `Host` header
    tells: it holds the stranger's name. Such names have a dot, so addresses and names without a dot are taken.

    Args:
        names: names with a dot under which the agent may be asked.
        user_header: the header in which a proxy names the user that it let in; without it, the page is refused. Empty
            where no proxy does that.
    """

    names: frozenset[str] = frozenset()
    user_header: str = ""

    def refusal(self, headers: Headers, *, page: bool) -> Answer | None:
        """Why a request is refused, if it is. `page`: it asks for what people read."""
        host = _host(headers.get("host", ""))
        if "." in host and host not in self.names and not _is_address(host):
            return refusal(403, f"Host is {clean_line(host, 100)!r}; the agent takes names by --host")
        if page and self.user_header and not headers.get(self.user_header, "").strip():
            return refusal(401, f"the proxy names no user in {self.user_header}")
        return None


class Guard:
    """Refuses requests before any route sees them.

    Args:
        machines: paths that programs ask, which know no users: metrics and health.
        unguarded: paths that judge a request by its signature.
    """

    def __init__(self, app: ASGIApp, access: Access, machines: Collection[str], unguarded: Collection[str]) -> None:
        self._app, self._access, self._machines, self._unguarded = app, access, machines, unguarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in self._unguarded:
            refused = self._access.refusal(Headers(scope=scope), page=scope["path"] not in self._machines)
            if refused:
                await respond(refused)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _host(header: str) -> str:
    """The host of a `Host` header, without port, brackets and the dot at its end."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].rstrip(".").lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
