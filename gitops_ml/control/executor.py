"""Doing what a plan says, and deciding nothing: each action in its order, each deployment apart from the others.

What one deployment's actions raise ends that deployment's actions in this pass, and no other's. The next pass starts
from what is there, so an action that was cut off is planned again, or is found done.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import msgspec

from gitops_ml.control.session import Session
from gitops_ml.core.generation import ALIAS, PATTERN, Generation, replica_spec
from gitops_ml.core.journal.entries import Applied, Built, Cleared, Intent, Judged, Settled, Stepped, Withdrawn
from gitops_ml.core.observed import Container
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import one_generation_route, split_route
from gitops_ml.core.verification.verdict import overall
from gitops_ml.errors import EngineFailed, GitopsError, LockLost, Superseded

WORKERS = 4
ROUTABLE = ("running", "restarting")
"""A candidate that crashes keeps its share of a canary until the watch has judged it."""
SHOWN_LINES = 15


@dataclass
class ExecutionResult:
    """What a pass came to: what went wrong, and the outcome of what was settled, by deployment.

    `judged`: a verdict was reached, which a plan acts upon at once. `watching`: users' requests were counted.
    """

    errors: dict[str, GitopsError] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    judged: bool = False
    watching: bool = False


def execute(actions: Iterable[plan.Action], session: Session) -> ExecutionResult:
    """Perform the actions: those of the environment first, then those of its deployments side by side.

    Raises `GitopsError` when the environment's own actions fail; a deployment's errors are returned.
    """
    own: list[plan.Action] = []
    by_deployment: dict[str, list[plan.Action]] = {}
    for action in actions:
        if isinstance(action, plan.Publish):
            continue
        (by_deployment.setdefault(action.deployment, []) if action.deployment else own).append(action)
    for action in own:
        _perform(action, session)
    done = ExecutionResult(
        watching=any(isinstance(step, plan.Watch) for steps in by_deployment.values() for step in steps)
    )
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        try:
            for name, error in zip(
                by_deployment,
                pool.map(lambda steps: _perform_all(steps, session, done), by_deployment.values()),
                strict=True,
            ):
                if error:
                    done.errors[name] = error
        except BaseException:
            session.stopping.set()
            raise
    session.flush()
    done.judged = session.judged
    return done


def _perform_all(actions: list[plan.Action], session: Session, done: ExecutionResult) -> GitopsError | None:
    """One deployment's actions in their order, and the first error. Healing that failed holds up only healing."""
    first: GitopsError | None = None
    for action in actions:
        if first and action.healing:
            continue
        try:
            _perform(action, session)
        except LockLost:
            raise
        except Superseded as news:
            session.report(f"stop {news.what}")
            return first
        except GitopsError as error:
            first = first or error
            if action.healing:
                continue
            return first
        if isinstance(action, plan.Settle):
            done.settled[action.deployment] = action.outcome
    return first


def _perform(action: plan.Action, session: Session) -> None:
    session.report(action.line(session.environment))
    match action:
        case plan.EnsureGateway():
            session.ensure_gateway(action.spec, action.remove)
        case plan.Begin():
            _begin(action, session)
        case plan.Build():
            _build(action, session)
        case plan.Start():
            _start(action, session)
        case plan.Verify():
            _verify(action, session)
        case plan.Shift():
            _shift(action, session)
        case plan.Watch():
            from gitops_ml.control.checks import traffic

            traffic.watch(action, session)
        case plan.Route():
            _route(action, session)
        case plan.Unroute():
            session.unroute(action.deployment)
        case plan.Retire():
            _remove(_drain(action, session), session)
        case plan.Remove() if not action.deployment:
            _remove_by_id(action.containers, session)
        case plan.Remove():
            _remove(_among(action, session), session)
        case plan.Stop():
            _drain(action, session)
        case plan.Settle():
            session.write(
                Settled(at=session.at(), attempt=action.attempt, deployment=action.deployment, outcome=action.outcome)
            )
        case plan.Withdraw():
            session.write(Withdrawn(at=session.at(), deployment=action.deployment))


def _begin(action: plan.Begin, session: Session) -> None:
    attempt = action.attempt
    intent = Intent(
        at=session.at(),
        attempt=attempt.id,
        generation=attempt.generation,
        incumbent=attempt.incumbent,
        strategy=attempt.strategy,
        key=attempt.key,
        boot=attempt.boot,
    )
    if attempt.boot:
        session.write(intent)
        return
    # With the intent, so that a rollout whose pass died is not undone from an older commit.
    session.write(intent, Applied(at=session.at(), commit=attempt.generation.commit))


def _build(action: plan.Build, session: Session) -> None:
    generation = action.generation
    image_id = _image(generation, session)
    session.remember_image(generation, image_id)
    if action.attempt:
        session.note(
            Built(at=session.at(), attempt=action.attempt, deployment=generation.deployment, image_id=image_id)
        )


def _image(generation: Generation, session: Session) -> str:
    if generation.pattern == "image":
        return session.engine.image_id(generation.image) or session.engine.pull(generation.image)
    return session.builds.image(generation, lambda: session.wanted(generation.deployment))


def _start(action: plan.Start, session: Session) -> None:
    generation = action.generation
    started: list[str] = []
    for container in action.resume:
        session.check()
        session.engine.start(container)
        started.append(container)
    known = (
        msgspec.structs.replace(generation, image_id=session.image_of(generation)) if action.replicas else generation
    )
    for replica in action.replicas:
        spec = replica_spec(
            known,
            project=session.project,
            environment=session.environment,
            replica=replica,
            suffix=session.suffix(),
            drain=session.drain,
        )
        session.check()
        container = session.engine.create(spec)
        session.engine.start(container)
        started.append(container)
    if action.await_ready:
        _await_ready(generation, started, session)


def _await_ready(generation: Generation, started: list[str], session: Session) -> None:
    from gitops_ml.control.checks import run

    mine = [c for c in session.containers(generation.deployment) if c.id in started]
    found = run.readiness(session, generation, mine)
    if found.result == "pass":
        return
    logs = "\n".join(session.engine.logs(c.id, tail=20) for c in mine)
    for container in mine:
        session.engine.remove(container.id, force=True)
    raise EngineFailed(
        f"{generation.deployment} {generation.version} did not become ready again",
        why=f"{found.reason}\n{logs}".strip(),
        fix=f"gitops-ml sync {session.environment}",
    )


def _verify(action: plan.Verify, session: Session) -> None:
    from gitops_ml.control.checks import run  # not before the candidate starts: its start takes longer than this import

    evidence = run.verify(session, action)
    verdict = overall(evidence.checks)
    for check in evidence.checks:
        session.report(f"{check.name} {check.word} {session.environment}/{action.deployment}: {check.reason}")
    if evidence.logs and any(c.name in ("ready", "smoke") and c.result == "fail" for c in evidence.checks):
        session.report(f"the last lines of {session.environment}/{action.deployment}:\n{_tail(evidence.logs)}")
    attempt, name, found = action.attempt.id, action.deployment, tuple(evidence.checks)
    if action.then_traffic and verdict == "Verified":
        session.write(Cleared(at=session.at(), attempt=attempt, deployment=name, checks=found))
        return
    session.write(
        Judged(at=session.at(), attempt=attempt, deployment=name, verdict=verdict, checks=found, logs=evidence.logs)
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
    """Begin a stage in the journal where it begins, then give it its traffic."""
    incumbent, candidate = action.incumbent, action.generation
    there = [c for c in session.containers(action.deployment) if c.state in ROUTABLE and c.id not in action.without]
    if action.attempt.stage is None:
        session.write(
            Stepped(
                at=session.at(), attempt=action.attempt.id, deployment=action.deployment, stage=action.stage, anew=True
            )
        )
    route = split_route(
        action.deployment,
        (incumbent, [c for c in there if c.generation == incumbent.fingerprint and c.state == "running"]),
        (candidate, [c for c in there if c.generation == candidate.fingerprint]),
        percent=action.percent,
        mirror=action.mirror,
        pin_header=session.pin_header,
    )
    session.switch(action.deployment, route)


def _among(action: plan.ContainerAction, session: Session) -> list[Container]:
    return [c for c in session.containers(action.deployment) if c.id in action.containers]


def _drain(action: plan.ContainerAction, session: Session) -> list[Container]:
    """Let containers that have lost their traffic finish what they have, then stop them."""
    leaving = _among(action, session)
    running = [c for c in leaving if c.state == "running"]
    ours = [c.labels.get(ALIAS, "") for c in running if c.labels.get(PATTERN) == "service"]
    cut = session.drained(ours) if ours else 0
    if len(ours) < len(running):
        time.sleep(session.drain)
    if cut:
        session.report(
            f"cut {session.environment}/{action.deployment}: {cut} requests outlasted the drain of {session.drain:g} s"
        )
    for container in running:
        session.check()
        session.engine.stop(container.id, grace=max(1, round(session.drain)))
    return leaving


def _remove(containers: list[Container], session: Session) -> None:
    _remove_by_id([container.id for container in containers], session)


def _remove_by_id(containers: Iterable[str], session: Session) -> None:
    for container in containers:
        session.check()
        session.engine.remove(container, force=True)


__all__ = ["ExecutionResult", "execute"]
