"""`POST /hooks/git`: a forge says that something was pushed, and the agent fetches at once.

The body is never read as data: it is only signed. So it is neither kept nor parsed, and a request that is sent again
causes one fetch more and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client.core import Metric
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gitops_ml.control.agent.web.answers import Answer, json_answer, refusal
from gitops_ml.control.agent.web.exposition import counter
from gitops_ml.control.agent.web.server import respond
from gitops_ml.errors import InputError

PATH = "/hooks/git"
SECRET = "GITOPS_ML_HOOK_SECRET"
LONGEST_BODY = 25 << 20
"""Bytes; GitHub sends no larger one (https://docs.github.com/webhooks/webhook-events-and-payloads#payload-cap)."""
BODY_SECONDS = 10.0
SHORTEST_SECRET = 16

SIGNATURES = ("x-hub-signature-256", "x-gitea-signature", "x-forgejo-signature", "x-gogs-signature", "x-signature-256")
"""Headers with the body's HMAC by SHA-256 in hexadecimal digits, with `sha256=` before it or not: GitHub's, Gitea's,
Forgejo's, Gogs', and one for whatever else sends hooks.
"""
TOKEN = "x-gitlab-token"
"""GitLab sends the secret itself."""
_DIGITS = re.compile(r"(?:sha256=)?([0-9a-fA-F]{64})")


def read_secret(environ: Mapping[str, str], file: Path | None) -> bytes | None:
    """The secret that forges share with the agent, from a file or an environment variable; None if neither is given.

    Raises `InputError` if it is too short to keep anybody out, or cannot be read.
    """
    if file is None and SECRET not in environ:
        return None
    place = SECRET if file is None else str(file)
    try:
        secret = environ[SECRET].encode() if file is None else file.read_bytes()
    except OSError as error:
        raise InputError(f"the secret of the hooks cannot be read from {place}", why=error.strerror or "") from error
    secret = secret.strip()
    if len(secret) < SHORTEST_SECRET:
        raise InputError(
            f"the secret of the hooks in {place} is too short",
            why=f"it has {len(secret)} bytes, and needs {SHORTEST_SECRET}",
            fix="openssl rand -hex 32 makes one; give it to the forge too",
        )
    return secret


class Hooks:
    """Answers hooks.

    Args:
        secret: what forges sign with.
        fetch_soon: lets the agent fetch. Neither waits nor raises; many calls at a time are one.
    """

    def __init__(self, secret: bytes, fetch_soon: Callable[[], None]) -> None:
        self._secret, self._fetch_soon = secret, fetch_soon
        self._counts = {"accepted": 0, "refused": 0}

    @property
    def route(self) -> Route:
        """The route at which hooks are received."""
        return Route(PATH, self._endpoint, methods=["POST"])

    def families(self) -> Iterator[Metric]:
        """How many hooks came."""
        samples = [((result,), count) for result, count in self._counts.items()]
        yield counter("gitops_ml_agent_hooks", "Requests to /hooks/git.", ("result",), samples)

    async def _endpoint(self, request: Request) -> Response:
        answer = await self._answer(request)
        self._counts["accepted" if answer.status == 202 else "refused"] += 1
        if answer.status == 202:
            self._fetch_soon()
        return respond(answer)

    async def _answer(self, request: Request) -> Answer:
        signatures = [value for name in SIGNATURES for value in request.headers.getlist(name)]
        tokens = request.headers.getlist(TOKEN)
        if not signatures and not tokens:
            return refusal(401, f"neither {SIGNATURES[0]} nor {TOKEN} nor another signature is in the headers")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > LONGEST_BODY:
            return refusal(413, f"the body is longer than {LONGEST_BODY} bytes")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                signature = await self._sign(request)
        except TimeoutError:
            return refusal(408, f"the body has not come within {BODY_SECONDS:g} s")
        except ClientDisconnect:
            return refusal(400, "the body has not come to its end")
        if signature is None:
            return refusal(413, f"the body is longer than {LONGEST_BODY} bytes")
        known = [hmac.compare_digest(token.encode("latin-1"), self._secret) for token in tokens]
        known += [hmac.compare_digest(_digits(each), signature) for each in signatures]
        if not any(known):
            return refusal(403, "the signature is not made with the agent's secret")
        return json_answer({"fetch": "begins"}, 202)

    async def _sign(self, request: Request) -> str | None:
        """The signature of the body, which is read piece by piece; None if it is too long."""
        signing, size = hmac.new(self._secret, digestmod=hashlib.sha256), 0
        async for piece in request.stream():
            size += len(piece)
            if size > LONGEST_BODY:
                return None
            signing.update(piece)
        return signing.hexdigest()


def _digits(signature: str) -> str:
    """The hexadecimal digits of a signature; empty if it has another form."""
    match = _DIGITS.fullmatch(signature.strip())
    return match[1].lower() if match else ""
