"""A host in memory on which plans are carried out, for tests of what any interruption leads to.

It does what the executor does, one mutation at a time, and watches at each of them what must never happen: that users
are sent to a generation that was not verified, or that a container goes which they are sent to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from gitops_ml.core import plan, rollout
from gitops_ml.core.generation import Generation, replica_spec
from gitops_ml.core.observed import Backend, Container, Snapshot
from gitops_ml.core.planner import make_plan
from gitops_ml.core.rollout_planner import Wanted
from gitops_ml.core.route import revision_of
from gitops_ml.core.verdict import CheckResult, Verdict
from gitops_ml.errors import EngineFailed, GitopsError
from tests.unit.builders import DRAIN, ENVIRONMENT, GATEWAY, NOW, PROJECT, container
from tests.unit.snapshots import inputs, route


class Killed(BaseException):
    """The process dies here."""


class Unsafe(AssertionError):
    """Something happened that must never happen."""


@dataclass
class Host:
    """One environment on one engine.

    `verdicts` is what the checks say of a generation, by fingerprint. `unstartable` are generations none of whose
    containers becomes ready. `step` is called before each mutation, and may raise `Killed` or a `GitopsError`.
    """

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    unstartable: set[str] = field(default_factory=set)
    step: Callable[[], None] = lambda: None
    containers: dict[str, Container] = field(default_factory=dict)
    routes: dict[str, bytes] = field(default_factory=dict)
    entries: list[rollout.Entry] = field(default_factory=list)
    raised: bool = False
    seconds: int = 0
    _made: int = 0

    # --- seen from outside

    def snapshot(self) -> Snapshot:
        found = tuple(self.containers.values())
        up = any(c.role == "gateway" and c.state == "running" for c in found)
        serving = [c for c in found if c.role == "replica" and c.state == "running"]
        return Snapshot(
            engine="engine-1",
            at=NOW + timedelta(seconds=self.seconds),
            project=PROJECT,
            environment=ENVIRONMENT,
            containers=found,
            network="network-1" if self.raised else None,
            volume=self.raised,
            base_id="sha256:base",
            routes=dict(self.routes),
            loaded={n: revision_of(r) or "" for n, r in self.routes.items()} if up else {},
            backends={c.alias: Backend(alias=c.alias, port=8080, up=True) for c in serving} if up else {},
            journal={f"{n:010d}.json": rollout.encode(entry) for n, entry in enumerate(self.entries, 1)},
        )

    def state(self, name: str) -> rollout.DeploymentState:
        return rollout.fold_entries(self.entries).of(name)

    def replicas(self, name: str) -> list[Container]:
        return [c for c in self.containers.values() if c.role == "replica" and c.deployment == name]

    def serves(self, name: str) -> list[str]:
        """The generations of the running containers that users of a deployment are sent to."""
        sent = self.routes.get(name, b"")
        return sorted(c.generation for c in self.replicas(name) if c.alias.encode() in sent and c.state == "running")

    # --- passes

    def look(self, *declared: Wanted) -> plan.Plan:
        return make_plan(inputs(self.snapshot(), *declared, now=NOW + timedelta(seconds=self.seconds)))

    def pass_(self, *declared: Wanted) -> plan.Plan:
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

    def settle(self, *declared: Wanted, passes: int = 12) -> plan.Plan:
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
            case plan.RaiseGateway():
                self._raise(action)
            case plan.Begin():
                self._write(_intent(action.attempt, self._at()))
            case plan.Build():
                built = rollout.Built(
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
                settled = rollout.Settled(
                    at=self._at(), attempt=action.attempt, deployment=action.deployment, outcome=action.outcome
                )
                self._write(settled)
            case plan.Withdraw():
                self._write(rollout.Withdrawn(at=self._at(), deployment=action.deployment))
            case plan.Publish():
                self._write(rollout.Published(at=self._at(), attempts=action.attempts, commit="f" * 40))

    def _at(self) -> str:
        return (NOW + timedelta(seconds=self.seconds)).isoformat()

    def _write(self, entry: rollout.Entry) -> None:
        self.step()
        self.entries.append(entry)

    def _raise(self, action: plan.RaiseGateway) -> None:
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
        result = {"Verified": "pass", "Failed": "fail"}.get(verdict, "inconclusive")
        check = msgspec.convert({"name": "smoke", "result": result, "reason": "so it is"}, CheckResult)
        self._write(
            rollout.Judged(
                at=self._at(),
                attempt=action.attempt.id,
                deployment=action.deployment,
                verdict=verdict,
                checks=(check,),
            )
        )

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

    def _end(self, name: str, *, gone: bool, leave: bool) -> None:
        """Stop or remove a container. `leave`: it is not drained, so nobody may be sent to it while it runs."""
        self.step()
        found = self.containers.get(name)
        if found is None:
            return
        sent = found.alias and found.alias.encode() in self.routes.get(found.deployment, b"")
        recreated = any(
            isinstance(e, rollout.Intent) and e.strategy == "recreate" and e.generation.deployment == found.deployment
            for e in self.entries
        )
        if found.state == "running" and sent and not recreated:
            verb = "removed" if leave and gone else "stopped" if leave else "retired"
            raise Unsafe(f"{name} is {verb} while users are sent to it")
        if gone:
            self.containers.pop(name)
        else:
            self._become(name, "exited")

    def _become(self, name: str, state: str) -> None:
        self.containers[name] = msgspec.structs.replace(self.containers[name], state=state)

    def _verified(self, name: str) -> set[str]:
        known = self.state(name)
        found = {a.generation.fingerprint for a in known.attempts if a.outcome == "promoted"}
        if known.open and known.open.verdict == "Verified":
            found.add(known.open.generation.fingerprint)
        return found

    # --- what others do to it

    def kill(self, name: str) -> None:
        self._become(name, "exited")

    def take_away(self, name: str) -> None:
        self.containers.pop(name)

    def tamper(self, name: str) -> None:
        found = self.containers[name]
        if found.facts:
            facts = msgspec.structs.replace(found.facts, memory=1)
            self.containers[name] = msgspec.structs.replace(found, facts=facts)


def _image(of: Generation) -> str:
    return of.image_id or f"sha256:{of.fingerprint}"


def _intent(attempt: rollout.Attempt, at: str) -> rollout.Intent:
    kept = ("generation", "incumbent", "strategy", "key", "boot")
    return rollout.Intent(at=at, attempt=attempt.id, **{name: getattr(attempt, name) for name in kept})
