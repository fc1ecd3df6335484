"""Performing one action of a plan in a session, and deciding nothing."""

from __future__ import annotations

from gitops_ml.control.events import Event, check_event
from gitops_ml.control.session import Session
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


def perform(action: plan.Action, session: Session) -> None:
    """Perform one action. Raises what the session raises, and `EngineFailed`."""
    session.report(
        Event(
            action.line(session.environment),
            "action",
            environment=session.environment,
            deployment=action.deployment,
            verb=action.verb,
            subject=action.subject,
            because=action.because,
        )
    )
    match action:
        case plan.EnsureGateway():
            session.ensure_gateway(action)
        case plan.Tidy():
            session.tidy(action.files)
        case plan.Index() if action.content:
            session.switch(INDEX, action.content)
        case plan.Index():
            session.unroute(INDEX)
        case plan.Begin():
            _begin(action, session)
        case plan.Build():
            _build(action, session)
        case plan.Create():
            for replica in action.replicas:
                session.create(action.generation, replica)
        case plan.Start():
            _start(action, session)
        case plan.Verify():
            _verify(action, session)
        case plan.Shift():
            _shift(action, session)
        case plan.Watch():
            from gitops_ml.control.checks import traffic  # only where a candidate is among users

            traffic.watch(action, session)
        case plan.Route():
            _route(action, session)
        case plan.Unroute():
            session.unroute(action.deployment)
        case plan.Retire():
            leaving = _among(action, session)
            session.drain(leaving)
            _remove([container.id for container in leaving], session)
        case plan.Remove() if not action.deployment:
            _remove(action.containers, session)
        case plan.Remove():
            _remove([container.id for container in _among(action, session)], session, action.grace)
        case plan.Stop():
            session.drain(_among(action, session))
        case plan.Settle():
            session.write(
                Settled(at=_at(session), attempt=action.attempt, deployment=action.deployment, outcome=action.outcome)
            )
        case plan.Withdraw():
            session.write(Withdrawn(at=_at(session), deployment=action.deployment))


def _at(session: Session) -> str:
    return session.now().isoformat()


def _begin(action: plan.Begin, session: Session) -> None:
    attempt = action.attempt
    entries: list[Entry] = [
        Intent(
            at=_at(session),
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
        entries.append(Applied(at=_at(session), commit=attempt.generation.commit))
    session.write(*entries)


def _build(action: plan.Build, session: Session) -> None:
    image = session.image(action.generation)
    if action.attempt:
        signed = session.sign(action.generation)
        session.note(
            Built(at=_at(session), attempt=action.attempt, deployment=action.deployment, image_id=image, signed=signed)
        )


def _start(action: plan.Start, session: Session) -> None:
    started: list[str] = []
    for container in action.resume:
        session.start(container)
        started.append(container)
    created = _created(action, session) if action.created else {}
    for replica in action.replicas:
        container = created.get(replica) or session.create(action.generation, replica)
        session.start(container)
        started.append(container)
    if action.await_ready:
        _await_ready(action.generation, started, session)


def _created(action: plan.Start, session: Session) -> dict[int, str]:
    """The containers of the generation that are created and were never started, by replica."""
    generation = action.generation.fingerprint
    replicas = [c for c in session.containers(action.deployment) if c.generation == generation and c.state == "created"]
    return {container.replica: container.id for container in replicas}


def _await_ready(generation: Generation, started: list[str], session: Session) -> None:
    from gitops_ml.control.checks import run  # not before the containers start: they take longer than this import

    replicas = [c for c in session.containers(generation.deployment) if c.id in started]
    check = run.readiness(session, generation, replicas)
    if check.result == "pass":
        return
    logs = session.logs(replicas, 20)
    _remove([container.id for container in replicas], session)
    raise EngineFailed(
        f"{generation.deployment} {generation.version} did not become ready again",
        why=f"{check.reason}\n{logs}".strip(),
        fix=f"gitops-ml sync {session.environment}",
    )


def _verify(action: plan.Verify, session: Session) -> None:
    from gitops_ml.control.checks import run  # not before the candidate starts: its start takes longer than this import

    report = run.verify(session, action)
    verdict = overall(report.checks)
    subject = f"{session.environment}/{action.deployment}"
    for check in report.checks:
        session.report(check_event(session.environment, action.deployment, check))
    if report.logs and any(c.name in ("ready", "smoke") and c.result == "fail" for c in report.checks):
        session.report(f"the last lines of {subject}:\n{_tail(report.logs)}")
    attempt, name, checks = action.attempt.id, action.deployment, tuple(report.checks)
    if action.then_traffic and verdict == "Verified":
        session.write(Cleared(at=_at(session), attempt=attempt, deployment=name, checks=checks))
        return
    session.write(
        Judged(at=_at(session), attempt=attempt, deployment=name, verdict=verdict, checks=checks, logs=report.logs)
    )


def _tail(logs: str) -> str:
    return "\n".join(f"  | {line}" for line in logs.splitlines()[-SHOWN_LINES:])


def _route(action: plan.Route, session: Session) -> None:
    generation = action.generation
    running = [
        c
        for c in session.containers(action.deployment)
        if c.generation == generation.fingerprint and c.state == "running" and c.id not in action.without
    ]
    if not running:
        raise EngineFailed(
            f"no replica of {action.deployment} {generation.version} runs",
            why="so its route is left as it is",
            fix=f"gitops-ml sync {session.environment}",
        )
    route = one_generation_route(action.deployment, generation, running, pin_header=session.pin_header)
    session.switch(action.deployment, route)


def _shift(action: plan.Shift, session: Session) -> None:
    """Write the stage into the journal where it begins, then give the stage its traffic."""
    incumbent, candidate = action.incumbent, action.generation
    routable = [c for c in session.containers(action.deployment) if c.state in ROUTABLE and c.id not in action.without]
    if action.attempt.stage is None:
        session.write(
            Stepped(
                at=_at(session), attempt=action.attempt.id, deployment=action.deployment, stage=action.stage, anew=True
            )
        )
    route = split_route(
        action.deployment,
        (incumbent, [c for c in routable if c.generation == incumbent.fingerprint and c.state == "running"]),
        (candidate, [c for c in routable if c.generation == candidate.fingerprint]),
        percent=action.percent,
        mirror=action.mirror,
        pin_header=session.pin_header,
    )
    session.switch(action.deployment, route)


def _among(action: plan.ContainerAction, session: Session) -> list[Container]:
    return [c for c in session.containers(action.deployment) if c.id in action.containers]


def _remove(containers: list[str] | tuple[str, ...], session: Session, grace: int = 0) -> None:
    for container in containers:
        session.remove(container, grace)
