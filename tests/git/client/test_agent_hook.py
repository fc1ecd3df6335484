"""From a push to the pass that plans it, by a hook: a real remote, the agent's real threads and HTTP server."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.agent.loop import Agent
from gitops_ml.control.agent.passes import last_fetched, read_tip
from gitops_ml.control.agent.threads import Threads
from gitops_ml.control.agent.turns import PassResult
from gitops_ml.control.agent.web.routes import make_server
from tests.git.conftest import commit_file, git

SECRET = "sixteen bytes at least"


class NotedPasses:
    """Passes that note which commit each begins with, and when."""

    def __init__(self, clone: Path) -> None:
        self.clone = clone
        self.began: dict[str, float] = {}

    def run(self, resting: frozenset[str]) -> PassResult:
        at = time.monotonic()
        with Repository.open(self.clone) as repo:
            self.began.setdefault(last_fetched(repo), at)
        return PassResult()

    def close(self) -> None: ...


def test_a_pushed_commit_is_planned_within_two_seconds_by_a_hook(project: Path, other: Callable[[str], Path]) -> None:
    first = commit_file(project, "environments/dev/environment.yaml", "schema: 1\n")
    git(project, "push", "-q", "origin", "HEAD:main")
    passes = NotedPasses(project)
    agent = Agent(
        read_tip=lambda: read_tip(project),
        passes_over=lambda _: passes,
        world=Threads(),
        report=lambda _: None,
        interval=600.0,
    )
    server = make_server(agent, ("127.0.0.1", 0), 600.0, SECRET.encode())
    server.start()
    running = threading.Thread(target=agent.run)
    running.start()
    try:
        wait_for(passes, first)
        colleague = other("colleague")
        commit = commit_file(colleague, "environments/dev/models/churn.yaml", "schema: 1\n")
        git(colleague, "push", "-q", "origin", "HEAD:main")
        pushed = time.monotonic()
        hook = urllib.request.Request(f"http://{server.address}/hooks/git", b"{}", {"X-Gitlab-Token": SECRET})
        with urllib.request.urlopen(hook, timeout=10) as answer:
            assert answer.status == 202
        wait_for(passes, commit)
        took = passes.began[commit] - pushed
        print(f"{took:.2f} s from the push to the pass")
        assert took < 2
    finally:
        agent.stop()
        running.join(60)
        server.close()


def wait_for(passes: NotedPasses, commit: str) -> None:
    deadline = time.monotonic() + 30
    while commit not in passes.began:
        assert time.monotonic() < deadline, "no pass at the commit within 30 s"
        time.sleep(0.01)
