"""Watching a candidate among users: its requests and the incumbent's, until they decide or this pass is over.

What has been counted is written into the journal before the pass lets go of the lock, so that the next one, here or
elsewhere, goes on with the same test. A decision is written at once: the same pass acts on it.
"""

from __future__ import annotations

import time
from datetime import datetime

import msgspec

from gitops_ml.clients.gateway import access_log
from gitops_ml.clients.gateway.shadow_traffic import Tally, read, spread
from gitops_ml.clients.own_checks import run_own_checks
from gitops_ml.control.session import Session
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.journal.entries import Cleared, Counted, Judged, Stepped
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.planning import plan
from gitops_ml.core.verification.blocks import Arms
from gitops_ml.core.verification.own_checks import Subject
from gitops_ml.core.verification.sequential import Evidence, TrafficTest
from gitops_ml.core.verification.traffic import judge_traffic
from gitops_ml.core.verification.verdict import CheckResult, overall

WATCH_SECONDS = 2.0
"""How long one pass counts: a newer commit is seen between passes."""
MIRROR_SECONDS = 0.5
HALF = 50


def watch(action: plan.Watch, session: Session) -> None:
    """Count requests for one pass, and write what they decide: a failure, a stage's end, a pass, a time-out."""
    attempt = session.open_attempt(action.deployment) or action.attempt
    crashed = _crashed(action, session)
    if crashed:
        _judge(action, session, attempt, crashed)
        return
    test = TrafficTest(action.traffic.max_bad_increase, attempt.evidence)
    # A mirror gives both as many requests, however large the share that is copied.
    test.step(HALF if action.mirror else action.percent)
    count = _count_mirrored if action.mirror else _count
    cursor, lost = count(action, session, attempt, test)
    evidence = test.evidence
    if lost:
        session.report(
            f"lost {session.environment}/{action.deployment}: the gateway's log was rotated before it was read"
        )
    session.note(
        Counted(
            at=session.at(),
            attempt=attempt.id,
            deployment=action.deployment,
            evidence=evidence,
            cursor=cursor,
            lost=lost,
        )
    )
    _decide(action, session, attempt, evidence)
    session.flush()


def _count(action: plan.Watch, session: Session, attempt: Attempt, test: TrafficTest) -> tuple[str, bool]:
    """Feed the test until it decides or the time of this pass is over: how far it got, and whether any were lost."""
    slow = seconds(action.traffic.slow) if action.traffic.slow else None
    candidate, incumbent = action.generation.fingerprint, action.incumbent.fingerprint
    cursor = attempt.cursor
    log = access_log.AccessLog(session.engine, session.gateway, action.deployment, cursor)
    for request in log.requests(WATCH_SECONDS):
        cursor = request.stamp
        if request.generation not in (candidate, incumbent):
            continue
        test.observe(candidate=request.generation == candidate, bad=request.bad(slow), at=request.ended)
        if test.decides(action.alpha, action.goal):
            break
    return cursor, log.lost


def _count_mirrored(action: plan.Watch, session: Session, attempt: Attempt, test: TrafficTest) -> tuple[str, bool]:
    """The same for a shadow, from the servers' own counters, which are read twice a second; the last reading."""
    slow = seconds(action.traffic.slow) if action.traffic.slow else None
    before = msgspec.json.decode(attempt.cursor, type=dict[str, Tally]) if attempt.cursor[:1] == "{" else {}
    ours = {c.alias: c.generation == action.generation.fingerprint for c in session.containers(action.deployment)}
    servers = [(alias, action.generation.port if mine else action.incumbent.port) for alias, mine in ours.items()]
    deadline = time.monotonic() + WATCH_SECONDS
    while time.monotonic() < deadline:
        now = read(session.engine, session.gateway, servers, slow)
        counted = spread(before, now)
        test.add(_arms(counted, ours), session.now().timestamp())
        before = before | now
        if test.decides(action.alpha, action.goal):
            break
        time.sleep(MIRROR_SECONDS)
    return msgspec.json.encode(before).decode(), False


def _arms(counted: dict[str, Tally], ours: dict[str, bool]) -> Arms:
    """What each side's servers have answered. `ours` tells the candidate's, by alias."""
    mine = [tally for alias, tally in counted.items() if ours[alias]]
    theirs = [tally for alias, tally in counted.items() if not ours[alias]]
    return Arms(
        candidate=sum(t.requests for t in mine),
        candidate_bad=sum(t.bad for t in mine),
        incumbent=sum(t.requests for t in theirs),
        incumbent_bad=sum(t.bad for t in theirs),
    )


def _decide(action: plan.Watch, session: Session, attempt: Attempt, evidence: Evidence) -> None:
    begun = datetime.fromisoformat(attempt.routed or session.at())
    elapsed = (session.now() - begun).total_seconds()
    found = judge_traffic(action.traffic, evidence, elapsed=elapsed, alpha=action.alpha)
    if attempt.lost:
        found = msgspec.structs.replace(
            found, figures=found.figures | {"log": "some requests were rotated away unread"}
        )
    last = action.stage + 1 >= action.stages
    session.report(f"traffic {session.environment}/{action.deployment} at {action.percent}%: {found.reason}")
    if found.result == "fail" or (found.result == "pass" and last):
        _judge(action, session, attempt, found)
    elif evidence.shows_harmless(action.goal) and not last:
        _next_stage(action, session, attempt, found)
    elif elapsed >= seconds(action.traffic.timeout):
        _judge(action, session, attempt, found)


def _next_stage(action: plan.Watch, session: Session, attempt: Attempt, found: CheckResult) -> None:
    """Begin the next stage. What a shadow's copies have shown is a check that was passed: the next one counts anew."""
    name = action.deployment
    shown = (*attempt.checks, msgspec.structs.replace(found, name="traffic mirrored"))
    passed = [Cleared(at=session.at(), attempt=attempt.id, deployment=name, checks=shown)] * action.new_test
    step = Stepped(at=session.at(), attempt=attempt.id, deployment=name, stage=action.stage + 1, anew=action.new_test)
    session.write(*passed, step)


def _judge(action: plan.Watch, session: Session, attempt: Attempt, found: CheckResult) -> None:
    checks = (*attempt.checks, found, *(_then(action, session) if found.result == "pass" else ()))
    logs = ""
    if any(check.result == "fail" for check in checks if not check.advisory):
        candidates = [c for c in session.containers(action.deployment) if c.generation == action.generation.fingerprint]
        logs = "\n".join(session.engine.logs(c.id, tail=40) for c in candidates)
    session.write(
        Judged(
            at=session.at(),
            attempt=attempt.id,
            deployment=action.deployment,
            verdict=overall(checks),
            checks=checks,
            logs=logs,
        )
    )


def _then(action: plan.Watch, session: Session) -> list[CheckResult]:
    """What a Prometheus says of a candidate that its users have been served by."""
    generation = action.generation
    subject = Subject(
        environment=session.environment,
        deployment=action.deployment,
        version=generation.version,
        generation=generation.fingerprint,
        endpoint=action.endpoint,
    )
    found = run_own_checks(action.then, subject)
    for check in found:
        session.report(f"{check.name} {check.result} {session.environment}/{action.deployment}: {check.reason}")
    return found


def _crashed(action: plan.Watch, session: Session) -> CheckResult | None:
    """A candidate that the engine has had to start again is not one to send more users to."""
    for container in session.containers(action.deployment):
        if container.generation != action.generation.fingerprint:
            continue
        found = session.engine.inspect_container(container.id)
        restarts = int(found["RestartCount"]) if found else 0
        if restarts:
            reason = f"its container ended {restarts} times and was started again"
            return CheckResult(name="alive", result="fail", reason=reason, figures={"restarts": restarts})
    return None
