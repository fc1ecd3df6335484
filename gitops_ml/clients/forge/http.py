"""Requests to a forge's API: bounded in time, tried again where that is safe, and with errors that say what to do.

`requests` comes with the Docker SDK. PyGithub and python-gitlab were weighed: for six calls each they bring their own
retries, time-outs and errors, 0.3 s of imports, and no answer for Gitea. What has to be the same for all three (when to
wait, what to print, where the token may go) is here once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
from requests.auth import AuthBase

from gitops_ml.artifacts.decoding import decode
from gitops_ml.core.text import clean_line
from gitops_ml.errors import ForgeRefused, ForgeUnavailable

T = TypeVar("T")
CONNECT_SECONDS, READ_SECONDS, CALL_SECONDS = 10.0, 30.0, 60.0
"""To connect, between two chunks, and for a whole answer: a trickling one is never silent for long."""
WAIT_SECONDS = 120.0
"""The longest that one call waits because the forge asks to."""
MAX_BYTES = 64 << 20
PAGE = 50
"""Entries of a list in one answer: Gitea gives no more."""
_MAX_PAGES = 100
_PAUSES = (1.0, 2.0, 4.0)
_AGAIN = (500, 502, 503, 504)


class Account(NamedTuple):
    """Where a forge's API is, and as whom it is asked.

    Args:
        name: how messages call the forge.
        api: the address that paths are added to, without a `/` at its end.
        scheme: the word before the token in the header `Authorization`.
        variables: the variables that a token is read from, for messages.
    """

    name: str
    api: str
    token: str
    scheme: str
    variables: str


class _Token(AuthBase):
    """Puts the token into a request, so that neither a `.netrc` nor a redirect changes who is told what."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


class Api:
    """The API of one forge.

    Args:
        headers: headers of every request.
    """

    def __init__(self, account: Account, headers: Mapping[str, str] | None = None) -> None:
        self.account = account
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": "gitops-ml", "Accept": "application/json", **(headers or {})})
        self._session.auth = _Token(f"{account.scheme} {account.token}")

    def get(self, path: str, kind: type[T], **query: str | int) -> T:
        """Ask for one thing. Raises `ForgeRefused`, also where the answer has another shape, and `ForgeUnavailable`."""
        return self._parsed(path, kind, self.call("GET", path, query=query))

    def pages(self, path: str, kind: type[T], limit: str = "per_page", **query: str | int) -> list[T]:
        """Ask for all pages of a list.

        Args:
            limit: the name of the parameter for the length of a page.
        """
        entries: list[T] = []
        for page in range(1, _MAX_PAGES + 1):
            answer = self.call("GET", path, query={**query, limit: PAGE, "page": page})
            entries += (part := self._parsed(path, list[kind], answer))  # type: ignore[valid-type]
            if len(part) < PAGE:
                break
        return entries

    def send(self, method: str, path: str, kind: type[T], body: Mapping[str, Any]) -> T:
        """Create or change one thing. Raises as `get`."""
        return self._parsed(path, kind, self.call(method, path, body=body))

    def send_if_there(self, method: str, path: str, kind: type[T], body: Mapping[str, Any]) -> T | None:
        """Change one thing; None where it is gone. Raises as `get`."""
        content = self.call(method, path, body=body)
        return None if content is None else self._parsed(path, kind, content)

    def call(
        self, method: str, path: str, *, query: Mapping[str, str | int] | None = None, body: Any = None
    ) -> bytes | None:
        """Make one request. Returns the answer's content, None for 404 and 410.

        It is made again after an error of the forge's own, unless that could do something twice, and when the forge
        asks to wait, within bounds.
        """
        waited, pauses = 0.0, iter(_PAUSES)
        while True:
            try:
                status, headers, content = self._once(method, path, query, body)
            except requests.RequestException as error:
                pause = next(pauses, None) if method == "GET" else None
                if pause is None:
                    raise self._silent(error) from error
                pause_for(pause)
                continue
            if status < 300:
                return content
            if status in (404, 410):
                return None
            asked = _asked_to_wait(status, headers)
            again = next(pauses, None) if status in _AGAIN and method != "POST" and asked is None else None
            pause = asked if asked is not None else again
            if pause is None or waited + pause > WAIT_SECONDS:
                raise self._refusal(status, headers, content, method, path)
            waited += pause
            pause_for(pause)

    def missing(self, path: str) -> ForgeRefused:
        """The error where something that must exist does not, for anybody or for this token."""
        return ForgeRefused(
            f"{self.account.name} has no {path}, or hides it from this token",
            why="a forge answers 404 for what a token may not see",
            fix=f"look at the remote's address, and at the rights of the token in {self.account.variables}",
        )

    def _once(
        self, method: str, path: str, query: Mapping[str, str | int] | None, body: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        deadline = time.monotonic() + CALL_SECONDS
        with self._session.request(
            method,
            f"{self.account.api}{path}",
            params=dict(query or {}),
            data=None if body is None else msgspec.json.encode(body),
            headers={} if body is None else {"Content-Type": "application/json"},
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as answer:
            content = bytearray()
            for chunk in answer.iter_content(1 << 16):
                content += chunk
                if time.monotonic() > deadline:
                    raise requests.Timeout(f"the answer took more than {CALL_SECONDS:.0f} s")
                if len(content) > MAX_BYTES:
                    raise requests.ConnectionError(f"the answer is longer than {MAX_BYTES >> 20} MB")
            return answer.status_code, answer.headers, bytes(content)

    def _parsed(self, path: str, kind: type[T], content: bytes | None) -> T:
        if content is None:
            raise self.missing(path)
        try:
            return decode(content, kind)
        except msgspec.MsgspecError as error:
            raise ForgeRefused(
                f"{self.account.api}{path} does not answer as {self.account.name} does",
                why=clean_line(str(error), 200),
                fix="name the forge and its API: --forge github, gitlab or gitea, or KIND=URL",
            ) from error

    def _silent(self, error: requests.RequestException) -> ForgeUnavailable:
        host = urlsplit(self.account.api).netloc
        return ForgeUnavailable(
            f"{self.account.name} at {host} does not answer",
            why=self._without_token(str(error)),
            fix="run it again; behind a proxy, set HTTPS_PROXY",
        )

    def _refusal(
        self, status: int, headers: Mapping[str, str], content: bytes, method: str, path: str
    ) -> ForgeRefused | ForgeUnavailable:
        name, variables = self.account.name, self.account.variables
        what = f"{name} answered {status} to {method} {path}"
        why = self._without_token(_message(content))
        if status == 401:
            return ForgeRefused(what, why=why, fix=f"put a valid token into {variables}: this one is wrong or expired")
        limited = _asked_to_wait(status, headers) is not None or "rate limit" in why.lower()
        if status == 403 and not limited:
            return ForgeRefused(
                what,
                why=why,
                fix=f"give the token in {variables} the right to write pull requests and comments (a job of a fork "
                "has none)",
            )
        if 300 <= status < 400:
            there = clean_line(headers.get("Location", ""), 200)
            return ForgeRefused(what, why=f"it has moved: {there}", fix="git remote set-url origin <its new address>")
        if status in (403, 429) or status >= 500:
            return ForgeUnavailable(what, why=why, fix="run it again later")
        return ForgeRefused(what, why=why, fix="put right what it says, and run it again")

    def _without_token(self, text: str) -> str:
        token = self.account.token
        return clean_line(text.replace(token, "***") if token else text, 300)


def pause_for(seconds: float) -> None:
    """Wait before a request is made again."""
    time.sleep(seconds)


def _asked_to_wait(status: int, headers: Mapping[str, str]) -> float | None:
    """For how many seconds the forge asks to wait; None where it does not.

    GitHub limits rates by 403 too: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api.
    """
    if status not in (403, 429, 503):
        return None
    after = headers.get("Retry-After", "")
    if after.isdecimal():
        return float(after)
    reset = headers.get("X-RateLimit-Reset", headers.get("RateLimit-Reset", ""))
    left = headers.get("X-RateLimit-Remaining", headers.get("RateLimit-Remaining", ""))
    if left == "0" and reset.isdecimal():
        return max(1.0, float(reset) - time.time())
    return 30.0 if status == 429 else None


def _message(content: bytes) -> str:
    """What an answer says of an error: each of the forges has its own words for the field."""
    try:
        answer = msgspec.json.decode(content)
    except msgspec.MsgspecError:
        return clean_line(content.decode("utf-8", "replace"), 200)
    if not isinstance(answer, dict):
        return clean_line(str(answer), 200)
    parts = [answer[key] for key in ("message", "error", "error_description", "errors") if answer.get(key)]
    return clean_line("; ".join(part if isinstance(part, str) else str(part) for part in parts), 300)
