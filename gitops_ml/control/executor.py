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

from gitops_ml.control.session import Site
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
class Done:
    """What a pass came to: what went wrong, and the outcome of what was settled, by deployment.

    `judged`: a verdict was reached, which a plan acts upon at once. `watching`: users' requests were counted.
    """

    errors: dict[str, GitopsError] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    judged: bool = False
    watching: bool = False


def execute(actions: Iterable[plan.Action], site: Site) -> Done:
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
        _perform(action, site)
    done = Done(watching=any(isinstance(step, plan.Watch) for steps in by_deployment.values() for step in steps))
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        try:
            for name, error in zip(
                by_deployment,
                pool.map(lambda steps: _perform_all(steps, site, done), by_deployment.values()),
                strict=True,
            ):
                if error:
                    done.errors[name] = error
        except BaseException:
            site.stopping.set()
            raise
    site.flush()
    done.judged = site.judged
    return done


def _perform_all(actions: list[plan.Action], site: Site, done: Done) -> GitopsError | None:
    """One deployment's actions in their order, and the first error. Healing that failed holds up only healing."""
    first: GitopsError | None = None
    for action in actions:
        if first and action.healing:
            continue
        try:
            _perform(action, site)
        except LockLost:
            raise
        except Superseded as news:
            site.report(f"stop {news.what}")
            return first
        except GitopsError as error:
            first = first or error
            if action.healing:
                continue
            return first
        if isinstance(action, plan.Settle):
            done.settled[action.deployment] = action.outcome
    return first


def _perform(action: plan.Action, site: Site) -> None:
    site.report(action.line(site.environment))
    match action:
        case plan.RaiseGateway():
            site.raise_gateway(action.spec, action.remove)
        case plan.Begin():
            _begin(action, site)
        case plan.Build():
            _build(action, site)
        case plan.Start():
            _start(action, site)
        case plan.Verify():
            _verify(action, site)
        case plan.Shift():
            _shift(action, site)
        case plan.Watch():
            from gitops_ml.control.checks import traffic

            traffic.watch(action, site)
        case plan.Route():
            _route(action, site)
        case plan.Unroute():
            site.unroute(action.deployment)
        case plan.Retire():
            _remove(_drain(action, site), site)
        case plan.Remove() if not action.deployment:
            _remove_by_id(action.containers, site)
        case plan.Remove():
            _remove(_among(action, site), site)
        case plan.Stop():
            _drain(action, site)
        case plan.Settle():
            site.write(
                Settled(at=site.at(), attempt=action.attempt, deployment=action.deployment, outcome=action.outcome)
            )
        case plan.Withdraw():
            site.write(Withdrawn(at=site.at(), deployment=action.deployment))


def _begin(action: plan.Begin, site: Site) -> None:
    attempt = action.attempt
    intent = Intent(
        at=site.at(),
        attempt=attempt.id,
        generation=attempt.generation,
        incumbent=attempt.incumbent,
        strategy=attempt.strategy,
        key=attempt.key,
        boot=attempt.boot,
    )
    if attempt.boot:
        site.write(intent)
        return
    # With the intent, so that a rollout whose pass died is not undone from an older commit.
    site.write(intent, Applied(at=site.at(), commit=attempt.generation.commit))


def _build(action: plan.Build, site: Site) -> None:
    generation = action.generation
    image_id = _image(generation, site)
    site.remember_image(generation, image_id)
    if action.attempt:
        site.note(Built(at=site.at(), attempt=action.attempt, deployment=generation.deployment, image_id=image_id))


def _image(generation: Generation, site: Site) -> str:
    if generation.pattern == "image":
        return site.engine.image_id(generation.image) or site.engine.pull(generation.image)
    return site.builds.image(generation, lambda: site.wanted(generation.deployment))


def _start(action: plan.Start, site: Site) -> None:
    generation = action.generation
    started: list[str] = []
    for container in action.resume:
        site.check()
        site.engine.start(container)
        started.append(container)
    known = msgspec.structs.replace(generation, image_id=site.image_of(generation)) if action.replicas else generation
    for replica in action.replicas:
        spec = replica_spec(
            known,
            project=site.project,
            environment=site.environment,
            replica=replica,
            suffix=site.suffix(),
            drain=site.drain,
        )
        site.check()
        container = site.engine.create(spec)
        site.engine.start(container)
        started.append(container)
    if action.await_ready:
        _await_ready(generation, started, site)


def _await_ready(generation: Generation, started: list[str], site: Site) -> None:
    from gitops_ml.control.checks import run

    mine = [c for c in site.containers(generation.deployment) if c.id in started]
    found = run.readiness(site, generation, mine)
    if found.result == "pass":
        return
    logs = "\n".join(site.engine.logs(c.id, tail=20) for c in mine)
    for container in mine:
        site.engine.remove(container.id, force=True)
    raise EngineFailed(
        f"{generation.deployment} {generation.version} did not become ready again",
        why=f"{found.reason}\n{logs}".strip(),
        mend=f"gitops-ml sync {site.environment}",
    )


def _verify(action: plan.Verify, site: Site) -> None:
    from gitops_ml.control.checks import run  # not before the candidate starts: its start takes longer than this import

    evidence = run.verify(site, action)
    verdict = overall(evidence.checks)
    for check in evidence.checks:
        site.report(f"{check.name} {check.said} {site.environment}/{action.deployment}: {check.reason}")
    if evidence.logs and any(c.name in ("ready", "smoke") and c.result == "fail" for c in evidence.checks):
        site.report(f"the last lines of {site.environment}/{action.deployment}:\n{_tail(evidence.logs)}")
    attempt, name, found = action.attempt.id, action.deployment, tuple(evidence.checks)
    if action.then_traffic and verdict == "Verified":
        site.write(Cleared(at=site.at(), attempt=attempt, deployment=name, checks=found))
        return
    site.write(
        Judged(at=site.at(), attempt=attempt, deployment=name, verdict=verdict, checks=found, logs=evidence.logs)
    )


def _tail(logs: str) -> str:
    return "\n".join(f"  | {line}" for line in logs.splitlines()[-SHOWN_LINES:])


def _route(action: plan.Route, site: Site) -> None:
    generation = action.generation
    running = [
        c
        for c in site.containers(action.deployment)
        if c.generation == generation.fingerprint and c.state == "running" and c.id not in action.without
    ]
    if not running:
        raise EngineFailed(
            f"no replica of {action.deployment} {generation.version} runs",
            why="so its route is left as it is",
            mend=f"gitops-ml sync {site.environment}",
        )
    route = one_generation_route(action.deployment, generation, running, pin_header=site.pin_header)
    site.switch(action.deployment, route)


def _shift(action: plan.Shift, site: Site) -> None:
    """Begin a stage in the journal where it begins, then give it its traffic."""
    incumbent, candidate = action.incumbent, action.generation
    there = [c for c in site.containers(action.deployment) if c.state in ROUTABLE and c.id not in action.without]
    if action.attempt.stage is None:
        site.write(
            Stepped(
                at=site.at(), attempt=action.attempt.id, deployment=action.deployment, stage=action.stage, anew=True
            )
        )
    route = split_route(
        action.deployment,
        (incumbent, [c for c in there if c.generation == incumbent.fingerprint and c.state == "running"]),
        (candidate, [c for c in there if c.generation == candidate.fingerprint]),
        percent=action.percent,
        mirror=action.mirror,
        pin_header=site.pin_header,
    )
    site.switch(action.deployment, route)


def _among(action: plan.Stop, site: Site) -> list[Container]:
    return [c for c in site.containers(action.deployment) if c.id in action.containers]


def _drain(action: plan.Stop, site: Site) -> list[Container]:
    """Let containers that have lost their traffic finish what they have, then stop them."""
    leaving = _among(action, site)
    running = [c for c in leaving if c.state == "running"]
    ours = [c.labels.get(ALIAS, "") for c in running if c.labels.get(PATTERN) == "service"]
    cut = site.drained(ours) if ours else 0
    if len(ours) < len(running):
        time.sleep(site.drain)
    if cut:
        site.report(
            f"cut {site.environment}/{action.deployment}: {cut} requests outlasted the drain of {site.drain:g} s"
        )
    for container in running:
        site.check()
        site.engine.stop(container.id, grace=max(1, round(site.drain)))
    return leaving


def _remove(containers: list[Container], site: Site) -> None:
    _remove_by_id([container.id for container in containers], site)


def _remove_by_id(containers: Iterable[str], site: Site) -> None:
    for container in containers:
        site.check()
        site.engine.remove(container, force=True)


__all__ = ["Done", "execute"]
