"""Where scenarios take place: a team's repository with two clones, behind a kill switch, and what must hold there."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from gitops_ml.cli.demo.steady_load import Report, SteadyLoad
from tests.e2e.chaos.kill_switch import KillSwitch, When, never
from tests.e2e.host import Host
from tests.e2e.observed_orders import page
from tests.e2e.workshop import EXAMPLE, MODEL, Ran, scratch_workshop


@dataclass(frozen=True)
class Expected:
    """What must hold once a scenario's command has ended, whether or not one before was killed.

    Args:
        serving: the version that serves and is declared.
        tried: the version whose attempts have these `outcomes`, the newest first.
        code: the command's exit code; where nothing is left to do the code is 0 too.
    """

    serving: str
    tried: str = ""
    outcomes: tuple[str, ...] = ("promoted",)
    replicas: int = 1
    code: int = 0


class Stage:
    """A workshop on an engine, and a colleague's clone.

    Args:
        address: the address of the engine behind the switch.
        orders: the page of the team's orders: its address, and what it answers.
        undo: removes what the stage makes on the engine.
    """

    def __init__(
        self,
        engine: docker.DockerClient,
        switch: KillSwitch,
        address: str,
        folder: Path,
        orders: tuple[str, dict[str, Any]],
        undo: contextlib.ExitStack,
    ) -> None:
        self.engine, self.switch, self._address = engine, switch, address
        self.orders, self.told = orders
        self._folder, self._undo = folder, undo
        self._versions, self._places = itertools.count(), itertools.count()
        self.start_anew()

    def start_anew(self) -> None:
        """Begin with an empty host and a new repository, under another project name."""
        self._undo.close()
        folder = self._folder / str(next(self._places))
        self.workshop = self._undo.enter_context(scratch_workshop(self.engine, folder, "chaos"))
        self.switch.watch(self.workshop.remote)
        self.workshop.environment(engine=self._address, drain="1s")
        self.workshop.commit("Declare the environment")
        self.colleague = self.workshop.another_clone(folder / "colleague")
        self.host = Host(self.engine, self.workshop.project)
        self._clones = itertools.cycle((self.workshop, self.colleague))

    def release(self, **behaviour: Any) -> str:
        """Release a new version of the model."""
        version = f"v1.{next(self._versions)}.0"
        self.workshop.release(version, **behaviour)
        return version

    def serve(self, **declared: Any) -> str:
        """Release, declare and roll out a new version."""
        version = self.release()
        self.workshop.declare(version, **declared)
        self.workshop.sync()
        return version

    def run(self, *command: str, kill_at: When = never) -> Ran:
        """Run a command in one of the clones, in turns."""
        self.switch.arm(kill_at)
        return next(self._clones).run(*command)

    @contextlib.contextmanager
    def users(self, rate: float) -> Iterator[Report]:
        """Send `rate` requests a second whatever comes back, without retries; none where the rate is 0."""
        if not rate:
            yield Report()
            return
        url = self.workshop.url() + "/infer"
        with SteadyLoad(url, json.dumps(EXAMPLE).encode(), rate=rate, workers=16) as load:
            yield load.report

    def subjects(self, since: str) -> list[str]:
        """The subjects of the remote's commits since a commit, the oldest first."""
        self.workshop.fetch()
        return self.workshop.git("log", "--reverse", "--format=%s", f"{since}..origin/main").splitlines()

    def tip(self) -> str:
        return self.workshop.git("ls-remote", "origin", "main").split()[0]

    def require(self, expected: Expected) -> None:
        """Check that the host and Git have settled on what is expected, and that nothing is left over."""
        status = self.workshop.status()
        assert (status["sync"], status["health"], status["version"]) == ("Synced", "Healthy", expected.serving), status
        assert self.workshop.serving() == expected.serving
        assert self.workshop.declared()["version"] == expected.serving
        roles = {r: len(self.host.of_role(r)) for r in ("replica", "gateway", "lock", "probe", "volume-reader")}
        assert roles == {"replica": expected.replicas, "gateway": 1, "lock": 0, "probe": 0, "volume-reader": 0}
        assert [c["State"]["Status"] for c in self.host.replicas(MODEL)] == ["running"] * expected.replicas
        record = self.workshop.record()
        assert record["serving"]["version"] == expected.serving
        if expected.tried:
            outcomes = tuple(a["outcome"] for a in record["attempts"] if a["version"] == expected.tried)
            assert outcomes == expected.outcomes
        subprocess.run(
            ["git", "fsck", "--connectivity-only"], cwd=self.workshop.remote, check=True, capture_output=True
        )


@contextlib.contextmanager
def empty_stage(
    engine: docker.DockerClient, folder: Path, *, over: str = "unix://", kills: bool = True
) -> Iterator[Stage]:
    """A stage on which nothing runs yet, with a switch that kills or not; `over` is how the engine is reached."""
    # A socket's path has at most 107 characters; the folder of a test may have more.
    with tempfile.TemporaryDirectory(prefix="gitops-ml-") as sockets, page() as orders:
        switch = KillSwitch(engine.api, Path(sockets), kills)
        with switch.listening(), contextlib.ExitStack() as undo:
            yield Stage(engine, switch, f"{over}{switch.engine_socket}", folder, orders, undo)
