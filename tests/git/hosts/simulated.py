"""An environment on several hosts: a real repository with a real remote, and engines in memory."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from gitops_ml.clients.engine.client import Engine as RealEngine
from gitops_ml.clients.files.environments import EnvironmentFiles, full_names
from gitops_ml.clients.files.records import read_record
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.connection import Connection
from gitops_ml.control.environment.hosts import Hosts
from gitops_ml.control.environment.target import EnvironmentTarget
from gitops_ml.control.environment.view import Options, View
from gitops_ml.control.rounds import sync_hosts
from gitops_ml.control.sync import SyncResult
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.records.record import Record, record_path
from gitops_ml.errors import EngineUnavailable
from tests.git.conftest import git
from tests.unit.simulated_engine import Engine
from tests.unit.simulated_session import Behaviour, SimulatedSession

NAME = "churn"
PIPELINE = f"artifacts:\n  {NAME}: {{path: model.txt, type: model}}\n"


@dataclass
class Host(Engine):
    """One host. `away`: its engine does not answer. `lacks_base`: it has no base image until a pass gets it."""

    id: str = ""
    away: bool = False
    lacks_base: bool = False
    behaviour: Behaviour = field(default_factory=Behaviour)

    def snapshot(self) -> Snapshot:
        if self.away:
            raise EngineUnavailable("the engine does not answer")
        network = f"network-{self.id}" if self.has_network else None
        snapshot = super().snapshot()
        base = None if self.lacks_base else snapshot.base_id
        return msgspec.structs.replace(snapshot, engine=f"engine-{self.id}", network=network, base_id=base)

    @property
    def version(self) -> str | None:
        """The version that users of this host get."""
        serving = self.state(NAME).serving
        assert serving is None or self.serves(NAME) == [serving.fingerprint]
        return serving.version if serving else None


class SimulatedConnection(Connection):
    """The connection to a host in memory."""

    def __init__(self, hosts: dict[str, Host]) -> None:
        super().__init__()
        self._hosts = hosts

    def to(self, files: EnvironmentFiles) -> RealEngine:
        host = self._hosts[files.engine or ""]
        if host.away:
            raise EngineUnavailable(f"{files.engine} does not answer")
        return cast(RealEngine, host)


class SimulatedTarget(EnvironmentTarget):
    """A host in memory, reconciled by what is in Git."""

    @contextmanager
    def open(  # type: ignore[override]
        self, view: View, options: Options, actions: Sequence[plan.Action]
    ) -> Iterator[tuple[View, SimulatedSession]]:
        host = cast(Host, self.connection.to(view.source.files))
        host.lacks_base = False
        with host.lock():
            session = SimulatedSession(host, host.behaviour, self.report)
            yield self.look_again(view.source, options, locked=True), session

    def examine(self, view: View) -> SimulatedSession:  # type: ignore[override]
        host = cast(Host, self.connection.to(view.source.files))
        return SimulatedSession(host, host.behaviour, self.report)

    def monotonic(self) -> float:
        return self._host.seconds

    def sleep(self, seconds: float) -> None:
        self._host.seconds += max(seconds, 0.1)

    @property
    def _host(self) -> Host:
        connection = cast(SimulatedConnection, self.connection)
        name = self.environment.partition("@")[2]
        return connection._hosts[f"ssh://{name}"]


@dataclass
class Fleet:
    """A repository whose `dev` runs on several hosts."""

    folder: Path
    hosts: dict[str, Host] = field(default_factory=dict)
    known: Hosts = field(default_factory=Hosts)

    def begin(self) -> None:
        self.folder.parent.mkdir(exist_ok=True)
        git(self.folder.parent, "init", "-q", "--bare", "-b", "main", "remote.git")
        git(self.folder.parent, "clone", "-q", "remote.git", str(self.folder))
        git(self.folder, "remote", "set-url", "origin", "../remote.git")
        self.write("environments/project.yaml", "schema: 1\nname: shop\n")
        self.write("dvc.yaml", PIPELINE)
        self.push("Begin")

    def copy(self, folder: Path) -> Fleet:
        """The same fleet, in a folder of its own."""
        shutil.copytree(self.folder.parent, folder, symlinks=True)
        return Fleet(folder / self.folder.name, copy.deepcopy(self.hosts))

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def push(self, message: str) -> None:
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "-m", message)
        git(self.folder, "push", "-q", "origin", "HEAD:main")

    def pull(self) -> None:
        git(self.folder, "pull", "-q", "--rebase", "--autostash", "origin", "main")

    def run_on(self, *names: str, **more: Any) -> None:
        """Declare these hosts, in this order."""
        for name in names:
            self.hosts.setdefault(name, Host(id=name))
        content = {"schema": 1, "gateway": {"port": 8081}, "engines": [f"ssh://{name}" for name in names]} | more
        self.write("environments/dev/environment.yaml", yaml.safe_dump(content))

    def declare(self, version: str, *waves: int | str) -> None:
        """Make a version of the model, and declare it."""
        self.pull()
        self.write("model.txt", version)
        self.push(f"Train {version}")
        git(self.folder, "tag", "-a", "-m", version, f"{NAME}@{version}")
        git(self.folder, "push", "-q", "origin", f"{NAME}@{version}")
        content: dict[str, Any] = {"schema": 1, "model": NAME, "version": version}
        if waves:
            content["rollout"] = {"waves": list(waves)}
        self.write(f"environments/dev/models/{NAME}.yaml", yaml.safe_dump(content))
        self.push(f"Declare {version}")

    def targets(self, name: str = "dev") -> list[EnvironmentTarget]:
        """The hosts, as a command works on them."""
        by_url = {f"ssh://{name}": host for name, host in self.hosts.items()}
        with Repository.open(self.folder) as repo:
            names = full_names(repo, repo.fetch(), [name])

        def target(name: str) -> SimulatedTarget:
            connection = SimulatedConnection(by_url)
            return SimulatedTarget(Repository.open(self.folder), name, lambda line: None, connection, hosts=self.known)

        return [target(name) for name in names]

    def sync(self, name: str = "dev", options: Options | None = None) -> dict[str, SyncResult | Exception]:
        """Sync the hosts, and fail when something happened that must never happen. The outcomes, by host."""
        targets = self.targets(name)
        outcomes = sync_hosts(targets, options or Options(), lambda view: None)
        for target in targets:
            target.repo.close()
        assert not [what for host in self.hosts.values() for what in host.unsafe]
        return {t.environment.partition("@")[2]: outcome for t, outcome in zip(targets, outcomes, strict=True)}

    @property
    def versions(self) -> dict[str, str | None]:
        return {name: host.version for name, host in self.hosts.items()}

    def declared(self) -> str:
        return str(
            yaml.safe_load(git(self.folder, "show", f"origin/main:environments/dev/models/{NAME}.yaml"))["version"]
        )

    def record(self, host: str) -> Record | None:
        git(self.folder, "fetch", "-q", "origin")
        path = record_path(f"dev@{host}", NAME)
        if not git(self.folder, "ls-tree", "origin/main", path):
            return None
        return read_record(git(self.folder, "show", f"origin/main:{path}").encode(), path)

    def fail(self, *names: str) -> None:
        """Have what is declared now fail its checks on these hosts."""
        for name in names:
            (target,) = self.targets(f"dev@{name}")
            generation = target.look(Options()).wanted[NAME].generation
            self.hosts[name].behaviour.verdicts[generation.fingerprint] = "Failed"


def codes(outcomes: dict[str, SyncResult | Exception]) -> dict[str, int]:
    """The exit codes of the hosts that have one, by host."""
    return {name: outcome.exit_code for name, outcome in outcomes.items() if isinstance(outcome, SyncResult)}
