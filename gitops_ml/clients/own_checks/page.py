"""Getting one page for a team's own check, from nowhere but where the host's operator permits.

The address that a connection really goes to is checked, after the name was resolved and at each redirect: so neither a
name that changes its address in between nor a redirect leads elsewhere. No proxy is asked, since it would resolve names
by itself.
"""

from __future__ import annotations

import functools
import http.client
import ipaddress
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from gitops_ml.clients import background
from gitops_ml.core.addresses import Address, HostRule, why_refused

MOST_BYTES = 4 << 20
"""Bytes that are read of an answer; more is cut off."""
_PIECE = 1 << 16


class UnansweredError(Exception):
    """A page or a command gave no usable answer; the message says why."""


class PageRequest(NamedTuple):
    """A page to get.

    Args:
        patience: seconds for the whole answer.
        rules: the operator's allow-list, if there is one.
        endpoint: the model's own URL, whose host and port may be asked whatever the allow-list says.
        follow: follow redirects within the same host.
    """

    url: str
    patience: float
    rules: tuple[HostRule, ...] | None = None
    endpoint: str = ""
    follow: bool = True


def get_page(request: PageRequest, go_on: Callable[[], None]) -> tuple[int, bytes]:
    """Status and body of a page. Raises `UnansweredError`, also after the request's patience.

    A socket's time-out does not bound a slowly trickling answer, so the answer is read in the background.
    """
    reading = _Reading(request)
    try:
        return background.result_within(background.begin(reading.read), request.patience, go_on)
    except TimeoutError as error:
        raise UnansweredError(f"no answer within {request.patience:g} s") from error
    finally:
        reading.close()


class _Reading:
    """The reading of one page, which another thread may end by `close`."""

    def __init__(self, request: PageRequest) -> None:
        self._request = request
        self._deadline = time.monotonic() + request.patience
        self._sockets: list[socket.socket] = []
        self._closed = False

    def close(self) -> None:
        """End the reading: its thread must not outlive a server that trickles for ever."""
        self._closed = True
        for opened in self._sockets:
            try:
                opened.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it is closed already

    def read(self) -> tuple[int, bytes]:
        """Raises `UnansweredError`."""
        opener = urllib.request.OpenerDirector()
        for handler in (
            _Http(functools.partial(_Connection, self._connect)),
            _Https(functools.partial(_TlsConnection, self._connect)),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPDefaultErrorHandler(),
            *([_SameHost()] if self._request.follow else []),
        ):
            opener.add_handler(handler)
        opener.addheaders = [("User-Agent", "gitops-ml"), ("Accept", "*/*")]
        try:
            return self._open(opener)
        except UnansweredError:
            raise
        except Exception as error:  # of the network, of HTTP, or of a URL that is none
            raise UnansweredError(_reason(error)) from error

    def _open(self, opener: urllib.request.OpenerDirector) -> tuple[int, bytes]:
        try:
            answer = opener.open(self._request.url, timeout=self._request.patience)
        except urllib.error.HTTPError as error:
            answer = error
        if answer is None:
            raise UnansweredError(f"{self._request.url} is no http:// or https:// address")
        with answer:
            target = answer.headers.get("Location")
            if self._request.follow and 300 <= answer.status < 400 and target:
                where = urlsplit(target).hostname or target
                raise UnansweredError(f"it redirects to {where}, and redirects to other hosts are not followed")
            return int(answer.status), self._body(answer)

    def _body(self, answer: Any) -> bytes:
        pieces: list[bytes] = []
        left = MOST_BYTES
        while left > 0 and time.monotonic() < self._deadline and (piece := answer.read1(min(left, _PIECE))):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _connect(self, host: str, port: int) -> socket.socket:
        """Connect to the first address that may be asked and answers. Raises `UnansweredError` and `OSError`."""
        trouble: Exception | None = None
        for family, kind, protocol, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            address = ipaddress.ip_address(str(place[0]).partition("%")[0])
            refusal = self._refusal(host, port, address)
            if refusal:
                trouble = trouble or UnansweredError(f"it may not be asked: {refusal}")
                continue
            opened = socket.socket(family, kind, protocol)
            opened.settimeout(max(0.01, self._deadline - time.monotonic()))
            try:
                opened.connect(place)
            except OSError as error:
                opened.close()
                trouble = error
                continue
            self._sockets.append(opened)
            if self._closed:
                self.close()
            return opened
        raise trouble or UnansweredError(f"{host} has no address")

    def _refusal(self, host: str, port: int, address: Address) -> str:
        own = urlsplit(self._request.endpoint)
        rules = None if (own.hostname, own.port) == (host, port) else self._request.rules
        return why_refused(host, port, address, rules)


class _Connection(http.client.HTTPConnection):
    def __init__(self, open_socket: Callable[[str, int], socket.socket], host: str, **settings: Any) -> None:
        super().__init__(host, **settings)
        self._open_socket = open_socket

    def connect(self) -> None:
        self.sock = self._open_socket(self.host, self.port)


class _TlsConnection(http.client.HTTPSConnection):
    def __init__(self, open_socket: Callable[[str, int], socket.socket], host: str, **settings: Any) -> None:
        super().__init__(host, **settings)
        self._open_socket = open_socket

    def connect(self) -> None:
        context = ssl.create_default_context()
        self.sock = context.wrap_socket(self._open_socket(self.host, self.port), server_hostname=self.host)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, connection: Any) -> None:
        super().__init__()
        self._connection = connection

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, connection: Any) -> None:
        super().__init__()
        self._connection = connection

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects within one host: what another host says is no answer of the one that was asked."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        asked, target = urlsplit(req.full_url), urlsplit(newurl)
        if target.scheme not in ("http", "https") or target.hostname != asked.hostname:
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return "no answer in time" if isinstance(reason, TimeoutError) else f"no answer: {reason}"
