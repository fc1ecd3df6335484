"""The page of an agent: drawn from the last look at each environment, and drawn again when there was another one."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.agent.status_board import AgentStatus, EnvironmentStatus, StatusBoard
from gitops_ml.control.agent.web.answers import HTML, Answer, Get, Question, refusal
from gitops_ml.control.backoff import ENVIRONMENT
from gitops_ml.control.environment.view import View
from gitops_ml.control.page_facts import commit_facts, read_facts
from gitops_ml.core.text import clean_line, first_line
from gitops_ml.errors import GitopsError
from gitops_ml.page import names
from gitops_ml.page.facts import DeploymentFacts, EnvironmentFacts, Origin, Site
from gitops_ml.page.render import contents, script, style

POLL_SECONDS = 0.25
"""How soon a change is told."""
QUIET_SECONDS = 15.0
"""How often a stream without changes says that it is alive, so that no proxy between ends it."""
MOST_STREAMS = 50
"""Browsers that follow at once. Others see the page, and read it again by hand."""
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Cache-Control": "no-cache", "Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}

LineageOf = Callable[[Repository, DeploymentFacts], tuple[Origin, ...]]
Version = tuple[object, ...]


@dataclass
class _Drawn:
    """The pages of one state of the agent, drawn when they are first asked for."""

    version: Version
    draws: Mapping[str, Callable[[], str]]
    bodies: dict[str, bytes] = field(default_factory=dict)


class LivePage:
    """Answers for the page. Of environments that were not looked at yet it says what Git's records say.

    Args:
        clone: the clone that the agent reads.
        lineage_of: traces what serves in a deployment.
    """

    def __init__(self, board: StatusBoard, clone: Path, lineage_of: LineageOf) -> None:
        self._board, self._clone, self._lineage_of = board, clone, lineage_of
        self._drawn: _Drawn | None = None
        self._gathering = threading.Lock()
        self._streams = 0

    def answer(self, question: Question) -> Answer:
        """The page of a path, with an ETag; 304 for a client that has it."""
        path = question.path.get("path") or names.OVERVIEW
        path = f"{path}{names.OVERVIEW}" if path.endswith("/") else path
        if path in (names.STYLE, names.SCRIPT):
            text, kind = (style(), "text/css") if path == names.STYLE else (script(), "text/javascript")
            return _tagged(text.encode(), f"{kind}; charset=utf-8", question)
        body = self._body(path)
        return refusal(404, "there is no such page") if body is None else _tagged(body, HTML, question)

    def gets(self) -> Mapping[str, Get]:
        """The paths of the page: every path that nothing else answers."""
        return {"/{path:path}": self.answer}

    def routes(self) -> list[BaseRoute]:
        """The route of the events, which the framework has to stream."""
        return [Route(f"/{names.EVENTS}", self._events)]

    def _body(self, path: str) -> bytes | None:
        drawn = self._present()
        if path not in drawn.draws:
            return None
        if path not in drawn.bodies:
            drawn.bodies[path] = drawn.draws[path]().encode("utf-8", "replace")
        return drawn.bodies[path]

    def _present(self) -> _Drawn:
        with self._gathering:
            status = self._board.read()
            version = _version(status)
            if self._drawn is None or self._drawn.version != version:
                self._drawn = _Drawn(version, contents(self._site(status), self._trace))
            return self._drawn

    def _site(self, status: AgentStatus) -> Site:
        views = [environment.view for environment in status.environments.values() if environment.view]
        with Repository.open(self._clone) as repo:
            environments = [
                _facts(repo, status.commit, name, status.environments[name]) for name in sorted(status.environments)
            ]
            commits = commit_facts(repo, environments)
        absent = dict.fromkeys(sorted(status.absent - status.environments.keys()), "its environment.yaml is gone")
        return Site(
            project=views[0].desired.project if views else "gitops-ml",
            commit=status.commit,
            at=max((view.snapshot.at for view in views), default=datetime.now(UTC)),
            environments=tuple(environments),
            commits=commits,
            unreadable=absent,
            live=True,
            notice=f"Git cannot be read: {clean_line(status.outage)}" if status.outage else "",
        )

    def _trace(self, deployment: DeploymentFacts) -> tuple[Origin, ...]:
        with Repository.open(self._clone) as repo:
            return self._lineage_of(repo, deployment)

    async def _events(self, request: Request) -> Response:
        if self._streams >= MOST_STREAMS:
            return Response("too many follow the page already", 503, {"Retry-After": "60"})
        return StreamingResponse(self._changes(request), 200, _HEADERS, "text/event-stream")

    async def _changes(self, request: Request) -> AsyncIterator[str]:
        self._streams += 1
        try:
            told: Version | None = None
            silent = 0.0
            while not await request.is_disconnected():
                version = _version(self._board.read())
                silent += POLL_SECONDS
                if version != told:
                    told, silent = version, 0.0
                    yield "event: changed\ndata: 1\n\n"
                elif silent >= QUIET_SECONDS:
                    silent = 0.0
                    yield ":\n\n"
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._streams -= 1


def _version(status: AgentStatus) -> Version:
    """What the page depends on. A look is known by its time: comparing two of them would take longer."""
    return (
        status.commit,
        status.outage,
        status.absent,
        tuple((name, one.looked_at, _trouble(one)) for name, one in sorted(status.environments.items())),
    )


def _trouble(status: EnvironmentStatus) -> str:
    trouble = status.trouble.get(ENVIRONMENT)
    return first_line(trouble.message) if trouble else ""


def _facts(repo: Repository, commit: str, name: str, status: EnvironmentStatus) -> EnvironmentFacts:
    """What was seen last; of an environment that the agent has not seen yet, what Git says."""
    trouble = _trouble(status)
    observed = status.view or GitopsError(trouble or "no look has ended yet")
    try:
        return read_facts(repo, commit, name, observed, trouble)
    except GitopsError as error:
        if isinstance(observed, View):
            raise
        return EnvironmentFacts(name=name, commit=commit, engine="", unanswered=f"{observed.what}; {first_line(error)}")


def _tagged(body: bytes, kind: str, question: Question) -> Answer:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**_HEADERS, "ETag": tag}
    known = [each.strip().removeprefix("W/") for each in question.headers.get("if-none-match", "").split(",")]
    return Answer(b"", kind, 304, headers) if tag in known else Answer(body, kind, 200, headers)
