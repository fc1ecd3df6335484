"""What one deployment needs in this pass: begin a rollout, take it one step further, or heal what serves.

Read top to bottom it is the life of a rollout: begun, started and verified, then promoted or aborted; and between
rollouts, the healing of the generation that serves.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gitops_ml.core import plan
from gitops_ml.core.desired import Resolved, Verify
from gitops_ml.core.drift import container_drift
from gitops_ml.core.generation import ContainerSpec, Generation, replica_spec
from gitops_ml.core.observed import Container, Snapshot
from gitops_ml.core.rollout import Attempt, DeploymentState, Outcome, quarantine_key
from gitops_ml.core.route import revision_of, route_file
from gitops_ml.core.verdict import Verdict

Steps = list[plan.Action]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A desired deployment as this host would run it.

    `boot` is the last verified generation of the record where it differs: what a blank host starts with. `quarantine`
    are the keys of the record. `endpoint` is where users reach it; `drain` in seconds.
    """

    resolved: Resolved
    generation: Generation
    project: str
    environment: str
    drain: float
    pin_header: bool
    endpoint: str
    boot: Generation | None = None

    @property
    def name(self) -> str:
        return self.resolved.name

    @property
    def key(self) -> str:
        return quarantine_key(self.generation, self.resolved.declaration, self.resolved.holdout)


class _Scene(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment in this pass: what is wanted of it, and all that is known of it."""

    wanted: Wanted
    snapshot: Snapshot
    state: DeploymentState
    now: datetime

    @property
    def containers(self) -> tuple[Container, ...]:
        return self.snapshot.replicas(self.wanted.name)

    def of(self, generation: Generation) -> list[Container]:
        return [c for c in self.containers if c.generation == generation.fingerprint]

    @property
    def replicas(self) -> int:
        return self.wanted.resolved.declaration.replicas

    def held(self) -> str | None:
        hold = self.wanted.resolved.declaration.hold
        if hold is None or (hold.until is not None and hold.until <= self.now):
            return None
        return hold.reason


def plan_deployment(
    wanted: Wanted, snapshot: Snapshot, state: DeploymentState, now: datetime
) -> tuple[Steps, plan.DeploymentStatus]:
    """The actions that one declared deployment needs now, and where it stands."""
    scene = _Scene(wanted=wanted, snapshot=snapshot, state=state, now=now)
    if state.open:
        steps = [] if scene.held() else _continue(scene, state.open)
    else:
        steps = _heal(scene)
        if not steps and not scene.held():
            steps = _begin(scene)
    return steps, _status(scene, steps)


def plan_withdrawal(name: str, snapshot: Snapshot) -> Steps:
    """What takes a deployment away that is no longer declared."""
    because = "it is no longer declared"
    steps: Steps = []
    if name in snapshot.routes:
        steps.append(plan.Unroute(deployment=name, because=because))
    ids = tuple(c.id for c in snapshot.replicas(name))
    if ids:
        steps.append(
            plan.Retire(
                deployment=name,
                containers=ids,
                subject_=f"x{len(ids)}",
                because=because,
            )
        )
    steps.append(plan.Withdraw(deployment=name, because=because))
    return steps


# --- a rollout begins ------------------------------------------------------------------------------------------------


def _begin(scene: _Scene) -> Steps:
    wanted, state = scene.wanted, scene.state
    generation, boot = wanted.generation, False
    if state.serving is None and wanted.boot is not None and not state.attempts:
        generation, boot = wanted.boot, True
    if state.serving is not None and state.serving.fingerprint == generation.fingerprint:
        return []
    if not boot and wanted.key in state.quarantine:
        return []
    number = len(state.attempts) + 1
    attempt = Attempt(
        id=f"{generation.fingerprint}-{scene.now.strftime('%Y%m%dT%H%M%S')}-{number}",
        generation=generation,
        incumbent=state.serving,
        strategy=wanted.resolved.declaration.rollout.strategy,
        key=wanted.key,
        started=scene.now.isoformat(),
        boot=boot,
    )
    because = _cause(scene, generation, boot)
    begin = plan.Begin(deployment=wanted.name, generation=generation, attempt=attempt, because=because)
    return [begin, *_bring_up(scene, attempt, because)]


def _cause(scene: _Scene, generation: Generation, boot: bool) -> str:
    serving = scene.state.serving
    if boot:
        return f"the host is blank and {generation.version} was verified last"
    if serving is None:
        return f"{generation.version} is declared and nothing serves"
    if serving.version != generation.version:
        return f"{generation.version} is declared and {serving.version} serves"
    if serving.digest != generation.digest:
        return f"{generation.version} holds {generation.digest[4:12]} and {serving.digest[4:12]} serves"
    return f"the spec of {generation.version} changed"


def _bring_up(scene: _Scene, attempt: Attempt, because: str) -> Steps:
    """Build, start and verify a candidate; with recreate, the incumbent stops first, once the image is there."""
    generation, name = attempt.generation, scene.wanted.name
    steps: Steps = []
    if generation.image_id is None:
        steps.append(
            plan.Build(
                deployment=name,
                generation=generation,
                attempt=attempt.id,
                because=because,
            )
        )
    if attempt.strategy == "recreate" and attempt.incumbent:
        running = tuple(c.id for c in scene.of(attempt.incumbent) if c.state == "running")
        if running:
            subject = attempt.incumbent.fingerprint
            cause = "the strategy is recreate"
            steps.append(plan.Stop(deployment=name, containers=running, subject_=subject, because=cause))
    steps += _missing(scene, generation, because, await_ready=False)
    steps.append(
        plan.Verify(
            deployment=name,
            generation=generation,
            attempt=attempt,
            checks=Verify() if attempt.boot else scene.wanted.resolved.declaration.verify,
            holdout=None if attempt.boot else scene.wanted.resolved.holdout,
            because="it has not been verified",
        )
    )
    return steps


def _missing(scene: _Scene, generation: Generation, because: str, *, await_ready: bool) -> Steps:
    """Start the replicas of a generation that are not there, and take away those that cannot be used."""
    name = scene.wanted.name
    good, bad = _sorted_out(scene, generation)
    steps: Steps = []
    if bad:
        ids = tuple(c.id for c, _ in bad)
        cause = bad[0][1]
        steps.append(
            plan.Remove(
                deployment=name,
                containers=ids,
                subject_=generation.fingerprint,
                because=cause,
            )
        )
    taken = {c.replica for c in good}
    absent = tuple(n for n in range(scene.replicas) if n not in taken)
    if absent:
        steps.append(
            plan.Start(
                deployment=name,
                generation=generation,
                replicas=absent,
                because=because,
                await_ready=await_ready,
            )
        )
    return steps


# --- a rollout goes on -----------------------------------------------------------------------------------------------


def _continue(scene: _Scene, attempt: Attempt) -> Steps:
    if not attempt.boot and attempt.generation.fingerprint != scene.wanted.generation.fingerprint:
        return _abort(scene, attempt, "superseded", "a newer commit declares something else")
    match attempt.verdict:
        case None:
            return _bring_up(scene, attempt, "its rollout was interrupted")
        case "Verified":
            return _promote(scene, attempt)
        case "Inconclusive":
            return _abort(scene, attempt, "inconclusive", "its verification is inconclusive")
        case _:
            return _abort(scene, attempt, "failed", "its verification failed")


def _promote(scene: _Scene, attempt: Attempt) -> Steps:
    generation, name = attempt.generation, scene.wanted.name
    because = "it is verified"
    _, bad = _sorted_out(scene, generation)
    restart = _missing(scene, generation, "its replica is gone", await_ready=True)
    without = tuple(c.id for c, _ in bad)
    steps: Steps = [
        *(s for s in restart if isinstance(s, plan.Start)),
        plan.Route(deployment=name, generation=generation, without=without, because=because),
        plan.Settle(
            deployment=name,
            generation=generation,
            attempt=attempt.id,
            outcome="promoted",
            because="all traffic is on it",
        ),
    ]
    others = [c for c in scene.containers if c.generation != generation.fingerprint]
    if others:
        steps.append(_retire(name, others, f"{generation.fingerprint} took over"))
    return steps


def _abort(scene: _Scene, attempt: Attempt, outcome: Outcome, because: str) -> Steps:
    """Traffic back to the incumbent, which is started again where the candidate had its place; the candidate goes."""
    name, steps = scene.wanted.name, Steps()
    incumbent = attempt.incumbent
    candidates = scene.of(attempt.generation)
    if incumbent and incumbent.fingerprint != attempt.generation.fingerprint:
        stopped = tuple(c.id for c in scene.of(incumbent) if c.state in ("exited", "created"))
        if attempt.strategy == "recreate" and stopped:
            steps.append(
                plan.Start(
                    deployment=name,
                    generation=incumbent,
                    replicas=(),
                    resume=stopped,
                    because=because,
                    await_ready=True,
                )
            )
        if steps or _route_drift(scene, incumbent):
            steps.append(plan.Route(deployment=name, generation=incumbent, because=because))
    elif name in scene.snapshot.routes and not incumbent:
        steps.append(plan.Unroute(deployment=name, because=because))
    if candidates:
        ids = tuple(c.id for c in candidates)
        subject = attempt.generation.fingerprint
        steps.append(plan.Remove(deployment=name, containers=ids, subject_=subject, because=because))
    steps.append(
        plan.Settle(
            deployment=name,
            generation=attempt.generation,
            attempt=attempt.id,
            outcome=outcome,
            because=because,
        )
    )
    return steps


# --- between rollouts ------------------------------------------------------------------------------------------------


def _heal(scene: _Scene) -> Steps:
    """Bring the serving generation back to its declared replicas, its own specs and its own route."""
    serving, name = scene.state.serving, scene.wanted.name
    if serving is None:
        return [_remove(name, scene.containers, "nobody knows why it runs")] if scene.containers else []
    good, bad = _sorted_out(scene, serving)
    surplus = [c for c in good if c.replica >= scene.replicas]
    strangers = [c for c in scene.containers if c.generation != serving.fingerprint]
    taken = {c.replica for c in good}
    absent = tuple(n for n in range(scene.replicas) if n not in taken)
    steps: Steps = []
    if absent:
        because = bad[0][1] if bad else f"{len(good)} of {scene.replicas} replicas run"
        steps.append(
            plan.Start(
                deployment=name,
                generation=serving,
                replicas=absent,
                because=because,
                await_ready=True,
            )
        )
    leaving = [c for c, _ in bad] + surplus
    route_drift = _route_drift(scene, serving)
    if absent or leaving or route_drift:
        without = tuple(c.id for c in leaving)
        because = route_drift or "its replicas changed"
        steps.append(plan.Route(deployment=name, generation=serving, without=without, because=because))
    if bad:
        steps.append(_retire(name, [c for c, _ in bad], bad[0][1]))
    if surplus:
        steps.append(_retire(name, surplus, f"{scene.replicas} replicas are declared"))
    if strangers:
        steps.append(_retire(name, strangers, f"{serving.fingerprint} serves"))
    return steps


def _retire(name: str, containers: list[Container], because: str) -> plan.Retire:
    subject = ",".join(sorted({c.generation for c in containers}))
    return plan.Retire(
        deployment=name,
        containers=tuple(c.id for c in containers),
        subject_=subject,
        because=because,
    )


def _remove(name: str, containers: tuple[Container, ...], because: str) -> plan.Remove:
    subject = ",".join(sorted({c.generation for c in containers}))
    return plan.Remove(
        deployment=name,
        containers=tuple(c.id for c in containers),
        subject_=subject,
        because=because,
    )


def expected_spec(wanted: Wanted, generation: Generation, container: Container) -> ContainerSpec:
    """The spec that a replica should have been made from, told by the place that its labels give it."""
    suffix = container.alias.rsplit("-", 1)[-1]
    return replica_spec(
        generation,
        project=wanted.project,
        environment=wanted.environment,
        replica=container.replica,
        suffix=suffix,
        drain=wanted.drain,
    )


def _sorted_out(scene: _Scene, generation: Generation) -> tuple[list[Container], list[tuple[Container, str]]]:
    """The containers of a generation that can serve, one for each replica, and the others with what is wrong."""
    good: list[Container] = []
    bad: list[tuple[Container, str]] = []
    for container in scene.of(generation):
        differences = container_drift(
            expected_spec(scene.wanted, generation, container),
            container,
            generation.image_id,
        )
        if container.state not in ("running", "restarting"):
            bad.append((container, f"a replica is {container.state}"))
        elif differences:
            bad.append((container, f"its {differences[0]}"))
        elif any(c.replica == container.replica for c in good):
            bad.append((container, f"replica {container.replica} runs twice"))
        else:
            good.append(container)
    return good, bad


def one_generation_route(
    deployment: str, generation: Generation, containers: list[Container], *, pin_header: bool
) -> bytes:
    """The route file that sends all traffic of a deployment to these containers of one generation."""
    return route_file(
        deployment,
        [(c.alias, generation.port, generation.fingerprint) for c in containers],
        weights={generation.fingerprint: 100},
        pin_header=pin_header,
        health=generation.health,
    )


def _route_drift(scene: _Scene, generation: Generation) -> str:
    """What is wrong with the route, as a cause; empty when it is as it should be and the gateway has loaded it."""
    name, snapshot = scene.wanted.name, scene.snapshot
    good, _ = _sorted_out(scene, generation)
    expected = one_generation_route(name, generation, good, pin_header=scene.wanted.pin_header)
    if name not in snapshot.routes:
        return "it has no route"
    if snapshot.routes[name] != expected:
        return "its route is not what it should be"
    gateway = snapshot.gateway
    if gateway and gateway.state == "running" and snapshot.loaded.get(name) != revision_of(expected):
        return "the gateway has not loaded its route"
    return ""


# --- where it stands -------------------------------------------------------------------------------------------------


def _status(scene: _Scene, steps: Steps) -> plan.DeploymentStatus:
    wanted, state = scene.wanted, scene.state
    serving = state.serving
    shown = serving or wanted.generation
    running = [c for c in scene.of(shown) if c.state == "running"] if serving else []
    ready = sum(1 for c in running if (b := scene.snapshot.backends.get(c.alias)) and b.up)
    synced = serving is not None and serving.fingerprint == wanted.generation.fingerprint and not steps
    verification, message = _verification(scene)
    return plan.DeploymentStatus(
        name=wanted.name,
        model=wanted.resolved.declaration.model,
        version=shown.version,
        digest=shown.digest,
        generation=shown.fingerprint,
        sync="Synced" if synced else "OutOfSync",
        health=_health(scene, serving, ready),
        verification=verification,
        hold=scene.held(),
        replicas=plan.Replicas(desired=scene.replicas, ready=ready),
        endpoint=wanted.endpoint,
        message=message,
    )


def _health(scene: _Scene, serving: Generation | None, ready: int) -> plan.Health:
    if serving is None:
        return "Progressing" if scene.state.open else "Missing"
    if ready >= scene.replicas:
        return "Progressing" if scene.state.open else "Healthy"
    return "Degraded" if ready else "Missing"


def _verification(scene: _Scene) -> tuple[Verdict, str]:
    """The verdict on what is declared: of its open rollout, or of the newest attempt with its key."""
    state, wanted = scene.state, scene.wanted
    if state.open and not state.open.boot:
        return (
            state.open.verdict or "Unverified",
            f"rollout of {state.open.generation.version} under way",
        )
    attempt = state.of_key(wanted.key)
    if attempt and attempt.verdict and attempt.outcome != "superseded":
        failing = [c for c in attempt.checks if c.result != "pass"]
        said = f"{attempt.generation.version}: {failing[0].name} {failing[0].reason}" if failing else ""
        return attempt.verdict, said
    if state.serving and state.last and state.serving.fingerprint == wanted.generation.fingerprint:
        found = [
            a for a in state.attempts if a.generation.fingerprint == state.serving.fingerprint and a.verdict
        ]
        return (found[-1].verdict or "Unverified", "") if found else ("Unverified", "")
    return "Unverified", ""


__all__ = [
    "Wanted",
    "expected_spec",
    "plan_deployment",
    "plan_withdrawal",
]
