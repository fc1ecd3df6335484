"""The executor's session on an engine in memory: as `control.session` says, with nothing of what the executor does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import msgspec

from gitops_ml.control.session import CommandContext, Progress, Question
from gitops_ml.core.declaration.checks import OwnCheck
from gitops_ml.core.generation import Generation, replica_spec
from gitops_ml.core.journal.fold import Entry, fold_entries
from gitops_ml.core.journal.state import Attempt, EnvironmentState
from gitops_ml.core.observed import Container
from gitops_ml.core.planning import plan
from gitops_ml.core.subscribers import ChannelReport
from gitops_ml.core.verification.own_checks import CheckSubject
from gitops_ml.core.verification.probe_result import SmokeResult, TargetResult
from gitops_ml.core.verification.samples import Samples
from gitops_ml.core.verification.statistics.blocks import Arms
from gitops_ml.core.verification.statistics.sequential import TrafficTest
from gitops_ml.core.verification.verdict import CheckResult, Verdict
from gitops_ml.errors import InputError, Superseded
from tests.unit.builders import DRAIN, ENVIRONMENT, PROJECT
from tests.unit.simulated_engine import Engine

Result = TypeVar("Result")

MANIFEST = {
    "name": "churn",
    "task": "classification",
    "inputs": [{"name": "age", "datatype": "FP64"}],
    "outputs": [{"name": "predict", "datatype": "INT64"}],
    "classes": [0, 1],
    "target": {"name": "churned", "positive": 1},
}
EXAMPLE = {"inputs": [{"name": "age", "datatype": "FP64", "shape": [1], "data": [31.0]}]}
ROWS = b"age,churned\n31,0\n64,1\n"
FILES = {"manifest.json": json.dumps(MANIFEST).encode(), "example.json": json.dumps(EXAMPLE).encode()}


@dataclass
class Behaviour:
    """How the models behave, by the fingerprint of their generation.

    `verdicts` is what the checks before traffic come to, `traffic` what users' requests come to. `unstartable` are
    generations none of whose containers becomes ready. `trouble` is raised where an image is made (`image`), the files
    are read (`files`), or the servers are asked (`ask`), by place and fingerprint or deployment.
    `slow` is called where the servers of a deployment are asked.
    """

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    traffic: dict[str, Verdict] = field(default_factory=dict)
    unstartable: set[str] = field(default_factory=set)
    files: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    results: dict[str, TargetResult] = field(default_factory=dict)
    trouble: dict[tuple[str, str], BaseException] = field(default_factory=dict)
    slow: dict[str, Callable[[], None]] = field(default_factory=dict)

    def meet(self, place: str, generation: Generation) -> None:
        for key in (generation.fingerprint, generation.deployment):
            if (place, key) in self.trouble:
                raise self.trouble[place, key].with_traceback(None)


class SimulatedServers:
    """The model servers of the engine in memory."""

    def __init__(self, engine: Engine, behaviour: Behaviour) -> None:
        self._engine, self._behaviour = engine, behaviour
        self._counts = 0

    def ask(self, question: Question, go_on: Callable[[], None]) -> Mapping[str, TargetResult]:
        self._engine.step(question.generation.deployment)
        go_on()
        self._behaviour.slow.get(question.generation.deployment, lambda: None)()
        self._behaviour.meet("ask", question.generation)
        return {name: self._answer(container, of) for name, (container, of) in question.targets.items()}

    def _answer(self, container: Container, generation: Generation) -> TargetResult:
        mark = generation.fingerprint
        if mark in self._behaviour.results:
            return self._behaviour.results[mark]
        running = self._engine.containers.get(container.id, container).state == "running"
        if mark in self._behaviour.unstartable or not running:
            return TargetResult(error="not ready within the deadline")
        verdict = self._behaviour.verdicts.get(mark, "Verified")
        smoke = SmokeResult(ok=verdict == "Verified", seconds=0.01, outputs={"predict": [1]}, error="HTTP 500")
        return TargetResult(ready=True, ready_seconds=0.1, smoke=None if verdict == "Inconclusive" else smoke)

    def samples(self, live: Sequence[tuple[str, int]]) -> Samples:
        return Samples()

    def address(self, container: Container, generation: Generation) -> str:
        return f"http://{container.alias}:{generation.port}"

    def inner_address(self, generation: Generation, container: Container | None) -> str:
        return f"http://{container.alias if container else 'gateway'}:{generation.port}"

    def run_own_checks(
        self, checks: Sequence[OwnCheck], subject: CheckSubject, commands: CommandContext, go_on: Callable[[], None]
    ) -> list[CheckResult]:
        return [CheckResult(name="http", result="pass", reason="it answers") for _ in checks]

    def channels(self, live: Sequence[Container]) -> list[ChannelReport]:
        return []

    def count(self, watch: plan.Watch, attempt: Attempt, test: TrafficTest, live: Sequence[Container]) -> Progress:
        """Every second call counts nothing. Requests that decide are spread over blocks of half a minute."""
        self._engine.step(watch.deployment)
        self._behaviour.meet("count", watch.generation)
        self._counts += 1
        verdict = self._behaviour.traffic.get(watch.generation.fingerprint, "Verified")
        if verdict == "Inconclusive":
            self._engine.seconds += 601.0
        elif round(self._engine.seconds) % 2 == 0:
            bad = Arms(candidate=100, candidate_bad=100, incumbent=100, incumbent_bad=0)
            good = Arms(candidate=100, candidate_bad=0, incumbent=100, incumbent_bad=100)
            at = self._engine.seconds
            while not test.decides(watch.alpha, watch.goal):
                at += 30.0
                test.add(bad if verdict == "Failed" else good, at)
        return Progress(cursor=attempt.cursor)


class SimulatedModels:
    """Artifacts in memory."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    def artifact(self, generation: Generation) -> Mapping[str, bytes]:
        self._behaviour.meet("files", generation)
        return self._behaviour.files.get(generation.fingerprint, FILES)

    def data(self, commit: str, path: str, digest: str) -> bytes:
        return ROWS

    def commit_files(self, commit: str) -> Mapping[str, bytes]:
        return {}

    def trained_on(self, generation: Generation) -> frozenset[str]:
        if generation.artifact is None:
            raise InputError(f"{generation.version} brings no artifact", why="it is an image", fix="add `request:`")
        return frozenset()


class SimulatedSession:
    """One pass over the engine in memory. Work is done where it is begun, so that tests are the same each time."""

    project, environment, pin_header = PROJECT, ENVIRONMENT, False

    def __init__(self, engine: Engine, behaviour: Behaviour, report: Callable[[str], None]) -> None:
        self._engine, self._behaviour, self._report = engine, behaviour, report
        self._state = engine.environment_state()
        self._unwritten: list[Entry] = []
        self._images: dict[str, str] = {}
        self._stopped = False
        self._superseded: set[tuple[str, str]] = set()
        self.servers = SimulatedServers(engine, behaviour)
        self.models = SimulatedModels(behaviour)

    # --- the pass itself

    def begin(self, work: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        return future

    def stop(self) -> None:
        self._stopped = True

    def go_on(self) -> None:
        if self._stopped:
            raise KeyboardInterrupt

    def require_wanted(self, candidate: Generation) -> None:
        self.go_on()
        if (candidate.deployment, candidate.fingerprint) in self._superseded:
            raise Superseded(f"{candidate.deployment} is superseded")

    def supersede(self, deployment: str, fingerprint: str) -> None:
        self._superseded.add((deployment, fingerprint))

    def report(self, text: str) -> None:
        self._report(text)

    # --- the journal

    @property
    def state(self) -> EnvironmentState:
        return self._state

    def now(self) -> datetime:
        return self._engine.now()

    def write(self, *entries: Entry) -> None:
        self.go_on()
        self._engine.append([*self._unwritten, *entries])
        self._unwritten.clear()
        self._state = fold_entries(entries, self._state)

    def note(self, *entries: Entry) -> None:
        self._unwritten += entries
        self._state = fold_entries(entries, self._state)

    def flush(self) -> None:
        if self._unwritten:
            self.write()

    # --- containers

    def containers(self, deployment: str) -> list[Container]:
        return sorted(self._engine.replicas(deployment), key=lambda c: (c.generation, c.replica, c.created, c.id))

    def restarts(self, container: Container) -> int:
        return 0

    def logs(self, containers: Sequence[Container], tail: int) -> str:
        return "Traceback: it does not work"

    def image(self, generation: Generation) -> str:
        self.go_on()
        self._behaviour.meet("image", generation)
        self._images[generation.fingerprint] = generation.image_id or f"sha256:{generation.fingerprint}"
        return self._images[generation.fingerprint]

    def sign(self, candidate: Generation) -> None:
        """The operator of this host has set no key."""

    def create(self, generation: Generation, replica: int) -> str:
        self.go_on()
        image = self._images.get(generation.fingerprint) or generation.image_id or ""
        spec = replica_spec(
            msgspec.structs.replace(generation, image_id=image),
            project=PROJECT,
            environment=ENVIRONMENT,
            replica=replica,
            suffix=f"{self._engine.made:06x}",
            drain=DRAIN,
        )
        return self._engine.create(spec, image)

    def start(self, container: str) -> None:
        self.go_on()
        self._engine.start(container)

    def drain(self, containers: Sequence[Container]) -> None:
        for container in containers:
            if container.state == "running":
                self.go_on()
                self._engine.stop(container.id)

    def remove(self, container: str, grace: int = 0) -> None:
        self.go_on()
        self._engine.remove(container)

    # --- the gateway

    def ensure_gateway(self, action: plan.EnsureGateway) -> None:
        self.go_on()
        self._engine.ensure_gateway(action.spec, action.remove, action.keep)

    def tidy(self, files: Sequence[str]) -> None:
        self.go_on()

    def switch(self, deployment: str, route: bytes) -> None:
        self.go_on()
        self._engine.switch(deployment, route)

    def unroute(self, deployment: str) -> None:
        self.go_on()
        self._engine.unroute(deployment)
