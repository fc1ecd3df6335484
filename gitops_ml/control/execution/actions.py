"""Performing one action of a plan on a host, and deciding nothing."""

from __future__ import annotations

from gitops_ml.control.events import Event, check_event
from gitops_ml.control.host import Host
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.entries import Applied, Built, Cleared, Intent, Judged, Settled, Stepped, Withdrawn
from gitops_ml.core.journal.fold import Entry
from gitops_ml.core.observed import Container
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import one_generation_route, split_route
from gitops_ml.core.planning.index import INDEX
from gitops_ml.core.verification.verdict import overall
from gitops_ml.errors import EngineFailed

ROUTABLE = ("running", "restarting")
"""A candidate that crashes keeps its share of a canary until the watch has judged it."""
SHOWN_LINES = 15


def perform(action: plan.Action, host: Host) -> None:
    """Perform one action. Raises what the host raises, and `EngineFailed`."""
    host.report(
        Event(
            action.line(host.environment),
            "action",
            environment=host.environment,
            deployment=action.deployment,
            verb=action.verb,
            subject=action.subject,
            because=action.because,
        )
    )
    match action:
        case plan.EnsureGateway():
            host.ensure_gateway(action)
        case plan.Tidy():
            host.tidy(action.files)
        case plan.Index() if action.content:
            host.switch(INDEX, action.content)
        case plan.Index():
            host.unroute(INDEX)
        case plan.Begin():
            _begin(action, host)
        case plan.Build():
            _build(action, host)
        case plan.Create():
            for replica in action.replicas:
                host.create(action.generation, replica)
        case plan.Start():
            _start(action, host)
        case plan.Verify():
            _verify(action, host)
        case plan.Shift():
            _shift(action, host)
        case plan.Watch():
            from gitops_ml.control.checks import traffic  # only where a candidate is among users

            traffic.watch(action, host)
        case plan.Route():
            _route(action, host)
        case plan.Unroute():
            host.unroute(action.deployment)
        case plan.Retire():
            leaving = _among(action, host)
            host.drain(leaving)
            _remove([container.id for container in leaving], host)
        case plan.Remove() if not action.deployment:
            _remove(action.containers, host)
        case plan.Remove():
            _remove([container.id for container in _among(action, host)], host, action.grace)
        case plan.Stop():
            host.drain(_among(action, host))
        case plan.Settle():
            host.write(
                Settled(at=_at(host), attempt=action.attempt, deployment=action.deployment, outcome=action.outcome)
            )
        case plan.Withdraw():
            host.write(Withdrawn(at=_at(host), deployment=action.deployment))


def _at(host: Host) -> str:
    return host.now().isoformat()


def _begin(action: plan.Begin, host: Host) -> None:
    attempt = action.attempt
    entries: list[Entry] = [
        Intent(
            at=_at(host),
            attempt=attempt.id,
            generation=attempt.generation,
            incumbent=attempt.incumbent,
            strategy=attempt.strategy,
            key=attempt.key,
            boot=attempt.boot,
        )
    ]
    if not attempt.boot:
        # With the intent, so that a rollout whose pass died is not undone from an older commit.
        entries.append(Applied(at=_at(host), commit=attempt.generation.commit))
    host.write(*entries)


def _build(action: plan.Build, host: Host) -> None:
    image = host.image(action.generation)
    if action.attempt:
        signed = host.sign(action.generation)
        host.note(
            Built(at=_at(host), attempt=action.attempt, deployment=action.deployment, image_id=image, signed=signed)
        )


def _start(action: plan.Start, host: Host) -> None:
    started: list[str] = []
    for container in action.resume:
        host.start(container)
        started.append(container)
    created = _created(action, host) if action.created else {}
    for replica in action.replicas:
        container = created.get(replica) or host.create(action.generation, replica)
        host.start(container)
        started.append(container)
    if action.await_ready:
        _await_ready(action.generation, started, host)


def _created(action: plan.Start, host: Host) -> dict[int, str]:
    """The containers of the generation that are created and were never started, by replica."""
    generation = action.generation.fingerprint
    replicas = [c for c in host.containers(action.deployment) if c.generation == generation and c.state == "created"]
    return {container.replica: container.id for container in replicas}


def _await_ready(generation: Generation, started: list[str], host: Host) -> None:
    from gitops_ml.control.checks import run  # not before the containers start: they take longer than this import

    replicas = [c for c in host.containers(generation.deployment) if c.id in started]
    check = run.readiness(host, generation, replicas)
    if check.result == "pass":
        return
    logs = host.logs(replicas, 20)
    _remove([container.id for container in replicas], host)
    raise EngineFailed(
        f"{generation.deployment} {generation.version} did not become ready again",
        why=f"{check.reason}\n{logs}".strip(),
        fix=f"gitops-ml sync {host.environment}",
    )


def _verify(action: plan.Verify, host: Host) -> None:
    from gitops_ml.control.checks import run  # not before the candidate starts: its start takes longer than this import

    report = run.verify(host, action)
    verdict = overall(report.checks)
    subject = f"{host.environment}/{action.deployment}"
    for check in report.checks:
        host.report(check_event(host.environment, action.deployment, check))
    if report.logs and any(c.name in ("ready", "smoke") and c.result == "fail" for c in report.checks):
        host.report(f"the last lines of {subject}:\n{_tail(report.logs)}")
    attempt, name, checks = action.attempt.id, action.deployment, tuple(report.checks)
    if action.then_traffic and verdict == "Verified":
        host.write(Cleared(at=_at(host), attempt=attempt, deployment=name, checks=checks))
        return
    host.write(Judged(at=_at(host), attempt=attempt, deployment=name, verdict=verdict, checks=checks, logs=report.logs))


def _tail(logs: str) -> str:
    return "\n".join(f"  | {line}" for line in logs.splitlines()[-SHOWN_LINES:])


def _route(action: plan.Route, host: Host) -> None:
    generation = action.generation
    running = [
        c
        for c in host.containers(action.deployment)
        if c.generation == generation.fingerprint and c.state == "running" and c.id not in action.without
    ]
    if not running:
        raise EngineFailed(
            f"no replica of {action.deployment} {generation.version} runs",
            why="so its route is left as it is",
            fix=f"gitops-ml sync {host.environment}",
        )
    route = one_generation_route(action.deployment, generation, running, pin_header=host.pin_header)
    host.switch(action.deployment, route)


def _shift(action: plan.Shift, host: Host) -> None:
    """Write the stage into the journal where it begins, then give the stage its traffic."""
    incumbent, candidate = action.incumbent, action.generation
    routable = [c for c in host.containers(action.deployment) if c.state in ROUTABLE and c.id not in action.without]
    if action.attempt.stage is None:
        host.write(
            Stepped(
                at=_at(host), attempt=action.attempt.id, deployment=action.deployment, stage=action.stage, anew=True
            )
        )
    route = split_route(
        action.deployment,
        (incumbent, [c for c in routable if c.generation == incumbent.fingerprint and c.state == "running"]),
        (candidate, [c for c in routable if c.generation == candidate.fingerprint]),
        percent=action.percent,
        mirror=action.mirror,
        pin_header=host.pin_header,
    )
    host.switch(action.deployment, route)


def _among(action: plan.ContainerAction, host: Host) -> list[Container]:
    return [c for c in host.containers(action.deployment) if c.id in action.containers]


def _remove(containers: list[str] | tuple[str, ...], host: Host, grace: int = 0) -> None:
    for container in containers:
        host.remove(container, grace)
