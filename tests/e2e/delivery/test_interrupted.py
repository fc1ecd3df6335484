"""Crash-only: wherever a sync dies, the incumbent serves, and the next sync from any clone converges."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import msgspec
import pytest

from gitops_ml.cli.demo.steady_load import SteadyLoad
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.lock import Lock, this_process
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from gitops_ml.core.generation import DEPLOYMENT, PROJECT, ROLE, ContainerSpec, probe_labels
from tests.e2e.host import Host
from tests.e2e.workshop import EXAMPLE, HOLDOUT, MODEL, Workshop, scratch_workshop

WITHIN = 60.0  # seconds; longer than any sync here takes


@dataclass
class Standing:
    """A workshop that serves, a colleague's clone of it, and a number for the next version."""

    workshop: Workshop
    colleague: Workshop
    host: Host
    versions: list[str] = field(default_factory=list)

    def declare_next(self, rollout: dict[str, Any] | None = None, **behaviour: Any) -> str:
        """Release and declare a new version."""
        self.versions.append(f"v1.{len(self.versions) + 1}.0")
        self.workshop.release(self.versions[-1], **behaviour)
        more: dict[str, Any] = {"rollout": rollout} if rollout else {}
        self.workshop.declare(self.versions[-1], verify=HOLDOUT, **more)
        return self.versions[-1]

    def load(self) -> SteadyLoad:
        """Users who send requests all the time."""
        return SteadyLoad(self.workshop.url() + "/infer", json.dumps(EXAMPLE).encode(), rate=20)

    def require_settled_on(self, version: str) -> None:
        """Check that the version serves, that Git says so, and that nothing of the killed sync is left."""
        status = self.workshop.status()
        assert (status["sync"], status["health"], status["version"]) == ("Synced", "Healthy", version), status
        assert self.workshop.serving() == version
        assert self.workshop.record()["serving"]["version"] == version
        self.require_tidy()

    def require_tidy(self) -> None:
        roles = {
            role: len(self.host.of_role(role)) for role in ("replica", "gateway", "probe", "volume-reader", "lock")
        }
        assert roles == {"replica": 1, "gateway": 1, "probe": 0, "volume-reader": 0, "lock": 0}


@pytest.fixture(scope="module")
def standing(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    folder = tmp_path_factory.mktemp("interrupted")
    with scratch_workshop(engine, folder, "interrupted") as workshop:
        workshop.environment(drain="2s")
        workshop.release("v1.0.0")
        workshop.declare("v1.0.0", verify=HOLDOUT)
        workshop.sync()
        yield Standing(workshop, workshop.another_clone(folder / "colleague"), Host(engine, workshop.project))


def begin_and_end(
    clone: Workshop, number: signal.Signals, here: Callable[[str], bool] = lambda _: False, after: float = WITHIN
) -> tuple[int, str]:
    """Begin a sync and end it with a signal: at the first line for which `here` is true, or after `after` seconds.

    The exit code and all that was said. A sync that is over before is left as it is.
    """
    process = clone.begin("sync", "dev")
    alarm = threading.Timer(after, process.send_signal, [number])
    alarm.start()
    said: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if here(line):
            process.send_signal(number)
            break
    said.append(process.stderr.read())
    code = process.wait(timeout=60)
    alarm.cancel()
    return code, "".join(said)


def kill_at_event(standing: Standing, role: str, event: str) -> None:
    """Begin a sync and kill it at the engine's next event of a container of this role."""
    chosen = {"label": [f"{PROJECT}={standing.workshop.project}", f"{ROLE}={role}"], "event": [event]}
    events = standing.host.api.events(filters=chosen, until=int(time.time() + WITHIN))
    process = standing.workshop.begin("sync", "dev")
    assert next(events, None), f"{event} of a {role} never came"
    process.kill()
    process.communicate()
    events.close()


def line_of(verb: str) -> Callable[[str], bool]:
    return lambda line: line.split(" ", 1)[0] == verb


def until(there: Callable[[], Any], what: str) -> None:
    """Wait until something exists."""
    deadline = time.monotonic() + WITHIN
    while not there():
        assert time.monotonic() < deadline, f"{what} never came"


# --- killed ----------------------------------------------------------------------------------------------------------


def test_a_first_rollout_killed_at_each_step_continues(
    engine: docker.DockerClient, workshop: Workshop, tmp_path: Path
) -> None:
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    colleague = workshop.another_clone(tmp_path / "colleague")
    clones = itertools.cycle((workshop, colleague))
    for step in ("ensure-gateway", "begin", "build", "start", "verify", "route"):
        begin_and_end(next(clones), signal.SIGKILL, line_of(step))
    workshop.sync()
    Standing(workshop, colleague, Host(engine, workshop.project)).require_settled_on("v1.0.0")


def test_a_recreate_killed_while_nothing_serves_continues(standing: Standing) -> None:
    version = standing.declare_next(rollout={"strategy": "recreate"})
    for step in ("stop", "start", "verify", "route"):
        begin_and_end(standing.workshop, signal.SIGKILL, line_of(step))
    standing.colleague.sync()
    standing.require_settled_on(version)


def test_the_verdict_of_a_killed_sync_is_recorded_and_reverted_by_the_next(standing: Standing) -> None:
    before = str(standing.workshop.serving())
    worse = standing.declare_next(noise=30)
    for step in ("ready", "remove", "settle", "record"):
        begin_and_end(standing.workshop, signal.SIGKILL, line_of(step))
        assert standing.workshop.serving() == before
    standing.colleague.run("sync", "dev")
    standing.colleague.sync()
    assert standing.workshop.declared()["version"] == before
    attempts = standing.workshop.record()["attempts"]
    assert [a["outcome"] for a in attempts if a["version"] == worse] == ["failed"]
    standing.require_settled_on(before)


def test_a_killed_removal_is_finished_by_the_next_sync(standing: Standing) -> None:
    standing.workshop.declare(str(standing.workshop.serving()), deployment="second")
    standing.workshop.sync()
    standing.workshop.pull()
    standing.workshop.git("rm", "-q", "environments/dev/models/second.yaml")
    standing.workshop.commit("Withdraw second")
    for step in ("unroute", "retire", "withdraw"):
        begin_and_end(standing.workshop, signal.SIGKILL, line_of(step))
    standing.colleague.sync()
    assert standing.workshop.serving(deployment="second") is None
    assert [c["Config"]["Labels"][DEPLOYMENT] for c in standing.host.replicas()] == [MODEL]
    standing.require_tidy()


def test_a_replacement_of_the_gateway_killed_at_each_step_is_finished_by_the_next_sync(standing: Standing) -> None:
    version = str(standing.workshop.serving())
    port = standing.workshop.ports["dev"]
    # The trial of the new gateway; the end of the old one, which leaves users without any; the begin of the new one.
    steps = (("probe", "start"), ("gateway", "die"), ("gateway", "start"))
    for bind, (role, event) in zip(("0.0.0.0", "127.0.0.1", "0.0.0.0"), steps, strict=True):
        standing.workshop.pull()
        standing.workshop.environment(gateway={"bind": bind, "port": port, "drain": "2s"})
        standing.workshop.commit(f"Listen at {bind}")
        kill_at_event(standing, role, event)
        assert standing.colleague.sync().code == 0
        (gateway,) = standing.host.of_role("gateway")
        assert gateway["HostConfig"]["PortBindings"]["8080/tcp"][0]["HostIp"] == bind
    standing.require_settled_on(version)


def test_a_killed_rollout_is_not_undone_from_a_stale_clone(standing: Standing, tmp_path: Path) -> None:
    subprocess.run(
        ["git", "clone", "-q", "--bare", str(standing.workshop.remote), str(tmp_path / "old.git")], check=True
    )
    stale = standing.workshop.another_clone(tmp_path)
    stale.git("remote", "set-url", "origin", str(tmp_path / "old.git"))
    version = standing.declare_next()
    begin_and_end(standing.workshop, signal.SIGKILL, line_of("start"))
    ran = stale.run("sync", "dev")
    assert ran.code == 1
    assert "does not descend from" in ran.err
    standing.workshop.sync()
    standing.require_settled_on(version)


def test_the_probe_of_a_killed_sync_is_removed(standing: Standing) -> None:
    version = standing.declare_next(load_seconds=3)
    process = standing.workshop.begin("sync", "dev")
    until(lambda: standing.host.of_role("probe"), "the probe")
    process.kill()
    process.communicate()
    assert len(standing.host.of_role("probe")) == 1
    assert "because a probe was left behind" in standing.colleague.sync().err
    standing.require_settled_on(version)


def test_a_lock_and_a_probe_left_by_the_last_pass_are_removed(standing: Standing) -> None:
    owner = subprocess.Popen(["true"])
    dead = msgspec.structs.replace(this_process(), pid=owner.pid, started="1")
    owner.wait()
    with Engine.connect(None) as connected:
        Lock.acquire(connected, standing.workshop.project, "dev", GATEWAY_IMAGE, holder=dead)
        labels = probe_labels(standing.workshop.project, "dev", None)
        name = f"{standing.workshop.project}.dev.probe-left"
        connected.create(ContainerSpec(name=name, image=GATEWAY_IMAGE, labels=labels, network=None))
    assert (len(standing.host.of_role("lock")), len(standing.host.of_role("probe"))) == (1, 1)
    standing.workshop.sync()
    standing.require_tidy()


# --- stopped ---------------------------------------------------------------------------------------------------------


def test_ctrl_c_releases_the_lock_and_the_next_sync_continues(standing: Standing) -> None:
    version = standing.declare_next()
    with standing.load() as load:
        for step in ("begin", "build", "verify", "route", "retire"):
            code, said = begin_and_end(standing.workshop, signal.SIGINT, line_of(step))
            # Where the one before was stopped late, this step was done already, and the sync goes on to its end.
            assert code != 0 or not any(map(line_of(step), said.splitlines())), (step, said)
            assert "Traceback" not in said
            assert (standing.host.of_role("lock"), standing.host.of_role("probe")) == ([], [])
        standing.workshop.sync()
    standing.require_settled_on(version)
    assert load.report.failed == 0, load.report.errors


def test_ctrl_c_while_waiting_for_a_slow_model_releases_the_lock_at_once(standing: Standing) -> None:
    before = standing.workshop.serving()
    standing.declare_next(load_seconds=50)
    process = standing.workshop.begin("sync", "dev")
    until(lambda: standing.host.of_role("probe"), "the probe")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert (standing.host.of_role("lock"), standing.host.of_role("probe")) == ([], [])
    assert standing.workshop.serving() == before
    version = standing.declare_next()
    standing.workshop.sync()
    standing.require_settled_on(version)


def test_sigterm_releases_the_lock(standing: Standing) -> None:
    version = standing.declare_next()
    code, said = begin_and_end(standing.workshop, signal.SIGTERM, line_of("verify"))
    assert code != 0
    assert "Traceback" not in said
    assert (standing.host.of_role("lock"), standing.host.of_role("probe")) == ([], [])
    standing.workshop.sync()
    standing.require_settled_on(version)
