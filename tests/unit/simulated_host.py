"""A host in memory on which plans are carried out, for tests of what any interruption leads to.

It does what the executor does, and fails the test when users are sent to a generation that was not verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from gitops_ml.core.generation import Generation, replica_spec
from gitops_ml.core.journal.entries import Built, Cleared, Intent, Judged, Published, Settled, Stepped, Withdrawn
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import PlannedDeployment, split_route
from gitops_ml.core.planning.plan import Plan
from gitops_ml.core.planning.planner import make_plan
from gitops_ml.core.verification.verdict import CheckResult, Verdict
from gitops_ml.errors import EngineFailed, GitopsError
from tests.unit.builders import DRAIN, ENVIRONMENT, GATEWAY, NAME, NOW, PROJECT, container
from tests.unit.simulated_engine import Engine, Killed, Unsafe
from tests.unit.snapshots import inputs, route


@dataclass
class Host(Engine):
    """One environment on one engine, and the passes over it.

    `verdicts` is what the checks say of a generation, by fingerprint, and `traffic` what its users' requests say.
    `unstartable` are generations none of whose containers becomes ready.
    """

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    traffic: dict[str, Verdict] = field(default_factory=dict)
    unstartable: set[str] = field(default_factory=set)
    _made: int = 0

    # --- passes

    def look(self, *declared: PlannedDeployment) -> plan.Plan:
        return make_plan(inputs(self.snapshot(), *declared, now=NOW + timedelta(seconds=self.seconds)))

    def pass_(self, *declared: PlannedDeployment) -> plan.Plan:
        """One pass; what it planned. Errors end the actions of one deployment, as in the executor."""
        self.seconds += 1
        planned = self.look(*declared)
        by_deployment: dict[str, list[plan.Action]] = {}
        for action in planned.actions:
            by_deployment.setdefault(action.deployment, []).append(action)
        try:
            for action in by_deployment.pop("", []):
                self._perform(action)
            for actions in by_deployment.values():
                self._perform_all(actions)
        except GitopsError:
            pass
        return planned

    def settle(self, *declared: PlannedDeployment, passes: int = 25) -> plan.Plan:
        """Pass after pass until nothing is left to do. Fails when that never comes."""
        for _ in range(passes):
            planned = self.pass_(*declared)
            if not planned.actions:
                return planned
        raise Unsafe(f"not settled after {passes} passes, still: {planned.lines()}")

    def _perform_all(self, actions: Iterable[plan.Action]) -> None:
        failed_healing = False
        for action in actions:
            if action.healing and failed_healing:
                continue
            try:
                self._perform(action)
            except GitopsError:
                if not action.healing:
                    return
                failed_healing = True

    # --- one action

    def _perform(self, action: plan.Action) -> None:
        match action:
            case plan.EnsureGateway():
                self._raise(action)
            case plan.Begin():
                self._write(_intent(action.attempt, self._at()))
            case plan.Build():
                built = Built(
                    at=self._at(),
                    attempt=action.attempt or "",
                    deployment=action.deployment,
                    image_id=_image(action.generation),
                )
                self._write(built)
            case plan.Start():
                self._start(action)
            case plan.Verify():
                self._verify(action)
            case plan.Shift():
                self._shift(action)
            case plan.Watch():
                self._watch(action)
            case plan.Route():
                self._route(action)
            case plan.Unroute():
                self.step()
                self.routes.pop(action.deployment, None)
            case plan.Retire() | plan.Remove():
                for name in action.containers:
                    self._end(name, gone=True, leave=isinstance(action, plan.Remove))
            case plan.Stop():
                for name in action.containers:
                    self._end(name, gone=False, leave=True)
            case plan.Settle():
                settled = Settled(
                    at=self._at(), attempt=action.attempt, deployment=action.deployment, outcome=action.outcome
                )
                self._write(settled)
            case plan.Withdraw():
                self._write(Withdrawn(at=self._at(), deployment=action.deployment))
            case plan.Publish():
                self._write(Published(at=self._at(), attempts=action.attempts, commit="f" * 40))

    def _raise(self, action: plan.EnsureGateway) -> None:
        for name in action.remove:
            self.step()
            self.containers.pop(name, None)
        self.step()
        self.raised = True
        made = container(GATEWAY, image_id="sha256:traefik", created=self.seconds)
        self.containers[made.id] = made

    def _start(self, action: plan.Start) -> None:
        started = []
        for name in action.resume:
            self.step()
            if name not in self.containers:
                raise EngineFailed(f"{name} is gone")
            self._become(name, "running")
            started.append(name)
        for number in action.replicas:
            self.step()
            self._made += 1
            spec = replica_spec(
                msgspec.structs.replace(action.generation, image_id=_image(action.generation)),
                project=PROJECT,
                environment=ENVIRONMENT,
                replica=number,
                suffix=f"{self._made:06x}",
                drain=DRAIN,
            )
            made = container(spec, image_id=_image(action.generation), state="created", created=self.seconds)
            self.containers[made.id] = made
            self.step()
            self._become(made.id, "running")
            started.append(made.id)
        if action.await_ready:
            self.step()
            if action.generation.fingerprint in self.unstartable:
                for name in started:
                    self.containers.pop(name)
                raise EngineFailed(f"{action.generation.version} did not become ready again")

    def _verify(self, action: plan.Verify) -> None:
        self.step()
        of = action.generation.fingerprint
        verdict = "Failed" if of in self.unstartable else self.verdicts.get(of, "Verified")
        running = [c for c in self.replicas(action.deployment) if c.generation == of and c.state == "running"]
        if not running:
            raise EngineFailed("there is no candidate")
        if verdict == "Verified" and action.then_traffic:
            cleared = Cleared(
                at=self._at(), attempt=action.attempt.id, deployment=action.deployment, checks=(_check(verdict),)
            )
            self._write(cleared)
        else:
            self._judge(action.deployment, action.attempt.id, verdict)

    def _judge(self, name: str, attempt: str, verdict: Verdict) -> None:
        self._write(Judged(at=self._at(), attempt=attempt, deployment=name, verdict=verdict, checks=(_check(verdict),)))

    def _shift(self, action: plan.Shift) -> None:
        open_ = self.state(action.deployment).open
        if not open_ or not open_.cleared or open_.generation.fingerprint != action.generation.fingerprint:
            raise Unsafe(
                f"users are sent to {action.generation.version}, which has not passed the checks before traffic"
            )
        if action.attempt.stage is None:
            self._step_on(action.deployment, action.attempt.id, action.stage, anew=True)
        running = [c for c in self.replicas(action.deployment) if c.state == "running" and c.id not in action.without]
        sides = [
            (of, [c for c in running if c.generation == of.fingerprint]) for of in (action.incumbent, action.generation)
        ]
        self.step()
        self.routes[action.deployment] = split_route(
            action.deployment, *sides, percent=action.percent, mirror=action.mirror, pin_header=False
        )

    def _watch(self, action: plan.Watch) -> None:
        """Half of the passes decide nothing yet."""
        self.step()
        verdict = self.traffic.get(action.generation.fingerprint, "Verified")
        if self.seconds % 2:
            return
        if verdict == "Verified" and action.stage + 1 < action.stages:
            self._step_on(action.deployment, action.attempt.id, action.stage + 1, anew=action.new_test)
        else:
            self._judge(action.deployment, action.attempt.id, verdict)

    def _step_on(self, name: str, attempt: str, stage: int, *, anew: bool) -> None:
        self._write(Stepped(at=self._at(), attempt=attempt, deployment=name, stage=stage, anew=anew))

    def _route(self, action: plan.Route) -> None:
        of = action.generation
        running = [
            c
            for c in self.replicas(action.deployment)
            if c.generation == of.fingerprint and c.state == "running" and c.id not in action.without
        ]
        if not running:
            raise EngineFailed(f"no replica of {of.version} runs")
        self.step()
        if of.fingerprint not in self._verified(action.deployment):
            raise Unsafe(f"users are sent to {of.version}, which is not verified")
        self.routes[action.deployment] = route(of, *running)


def dies_at(mutation: int) -> Callable[[], None]:
    """A process that dies before its n-th mutation."""
    left = mutation

    def step() -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1

    return step


def never() -> None:
    pass


def require_clean(host: Host, plan: Plan, version: str, replicas: int) -> None:
    """Nothing is left but the replicas of one version, all of them routed to, and the gateway."""
    mark = version[-1] * 12
    assert host.serves(NAME) == [mark] * replicas
    assert sorted((c.generation, c.replica) for c in host.replicas(NAME)) == [(mark, n) for n in range(replicas)]
    assert [c.role for c in host.containers.values()].count("gateway") == 1
    assert host.state(NAME).open is None


def _image(of: Generation) -> str:
    return of.image_id or f"sha256:{of.fingerprint}"


def _intent(attempt: Attempt, at: str) -> Intent:
    kept = ("generation", "incumbent", "strategy", "key", "boot")
    return Intent(at=at, attempt=attempt.id, **{name: getattr(attempt, name) for name in kept})


def _check(verdict: Verdict) -> CheckResult:
    result = {"Verified": "pass", "Failed": "fail"}.get(verdict, "inconclusive")
    return msgspec.convert({"name": "smoke", "result": result, "reason": "so it is"}, CheckResult)
