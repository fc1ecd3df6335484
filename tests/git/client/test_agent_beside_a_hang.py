"""The agent's real passes over two environments: the engine of one never answers, and the other has its turns."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gitops_ml.control.agent.loop import Agent
from gitops_ml.control.agent.passes import EnvironmentPasses, read_tip
from gitops_ml.control.agent.status_board import EnvironmentStatus
from gitops_ml.control.agent.threads import Threads
from gitops_ml.control.environment.hosts import Hosts
from tests.git.conftest import commit_file, git

WITHIN = 60.0  # seconds


def until(holds: Callable[[], object]) -> None:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < WITHIN
        time.sleep(0.02)


@contextmanager
def running_agent(clone: Path, lines: list[str]) -> Iterator[Agent]:
    hosts = Hosts()
    agent = Agent(
        read_tip=lambda: read_tip(clone),
        passes_over=lambda name: EnvironmentPasses(clone, name, lines.append, agent.stopping, hosts),
        world=Threads(),
        report=lines.append,
        interval=0.2,
    )
    loop = threading.Thread(target=agent.run, daemon=True)
    loop.start()
    try:
        yield agent
    finally:
        agent.stop()
        loop.join(WITHIN)
        assert not loop.is_alive()


def test_an_engine_that_never_answers_takes_no_turn_of_another_environment(project: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{folder}/silent.sock")
        silent.listen()
        silent.settimeout(WITHIN)
        commit_file(project, "environments/project.yaml", "schema: 1\nname: shop\n")
        for name, engine, port in (("hangs", "silent", 8081), ("lost", "nobody", 8082)):
            text = f"schema: 1\nengine: unix://{folder}/{engine}.sock\ngateway: {{port: {port}}}\n"
            commit_file(project, f"environments/{name}/environment.yaml", text)
        git(project, "push", "-q", "origin", "HEAD:main")
        lines: list[str] = []
        with running_agent(project, lines) as agent:

            def status(name: str) -> EnvironmentStatus:
                return agent.board.read().environments[name]

            with silent.accept()[0]:
                passes = status("lost").passes
                until(lambda: status("lost").passes >= passes + 2)
                assert status("hangs").passes == 0 and status("hangs").began is not None
            silent.close()
            until(lambda: status("hangs").passes > 0)
        assert any(line.startswith("error lost: ") and "nobody.sock" in line for line in lines)
