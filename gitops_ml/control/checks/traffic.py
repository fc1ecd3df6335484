"""Watching a candidate among users: its requests and the incumbent's, until they decide or this pass is over.

Of a published candidate its subscribers are watched. What has been counted is written into the journal before the pass
lets go of the lock, so that the next pass, here or elsewhere, goes on with the same test. A decision is written at
once: the same pass acts on it.
"""

from __future__ import annotations

import time
from datetime import datetime

from gitops_ml.control.checks.own import CheckPlace, run_own_checks
from gitops_ml.control.events import Event, check_event
from gitops_ml.control.request_counts import WATCH_SECONDS
from gitops_ml.control.session import LOG_TAIL, Session
from gitops_ml.core.journal.entries import Counted, Judged
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.observed import Container
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.stage_end import end_of_stage, next_stage
from gitops_ml.core.verification.acknowledgements import judge_acknowledgements
from gitops_ml.core.verification.statistics.sequential import Evidence, TrafficTest
from gitops_ml.core.verification.traffic import judge_traffic
from gitops_ml.core.verification.verdict import CheckResult, judge_alive, overall

PAUSE_SECONDS = 0.5
"""The pause between two questions to the channels, in seconds."""


def watch(action: plan.Watch, session: Session) -> None:
    """Count requests for one pass, and write what they decide: a failure, a stage's end, a pass, a time-out."""
    attempt = session.state.of(action.deployment).open or action.attempt
    alive = judge_alive(_restarts(action, session))
    if alive.result == "fail":
        _judge(action, session, attempt, alive)
        return
    if action.generation.published:
        _watch_subscribers(action, session, attempt)
        return
    test = TrafficTest(action.traffic.max_bad_increase, attempt.evidence)
    test.step(action.expected_percent)
    progress = session.servers.count(action, attempt, test, session.containers(action.deployment))
    evidence = test.evidence
    if progress.lost:
        session.report(
            f"lost {session.environment}/{action.deployment}: the gateway's log was rotated before it was read"
        )
    session.note(
        Counted(
            at=session.now().isoformat(),
            attempt=attempt.id,
            deployment=action.deployment,
            evidence=evidence,
            cursor=progress.cursor,
            lost=progress.lost,
        )
    )
    _decide(action, session, attempt, evidence)
    session.flush()


def _decide(action: plan.Watch, session: Session, attempt: Attempt, evidence: Evidence) -> None:
    check = judge_traffic(
        action.traffic, evidence, elapsed=_elapsed(session, attempt), alpha=action.alpha, lost=attempt.lost
    )
    _report_and_write(action, session, attempt, check, evidence.shows_harmless(action.goal))


def _watch_subscribers(action: plan.Watch, session: Session, attempt: Attempt) -> None:
    """Ask the channels what their subscribers have loaded, until that decides or this pass is over."""
    deadline = time.monotonic() + WATCH_SECONDS
    published = {g.fingerprint for g in (action.generation, action.incumbent) if g.published}
    while True:
        live = [c for c in session.containers(action.deployment) if c.generation in published and c.state == "running"]
        reports = session.servers.channels(live)
        check = judge_acknowledgements(
            action.subscribers,
            reports,
            action.generation.fingerprint,
            percent=action.percent,
            last=action.is_last,
            elapsed=_elapsed(session, attempt),
            complete=len(reports) == len(live) and {c.generation for c in live} == published,
        )
        if check.result != "inconclusive" or time.monotonic() >= deadline:
            break
        session.go_on()
        time.sleep(PAUSE_SECONDS)
    _report_and_write(action, session, attempt, check, check.result == "pass")


def _report_and_write(
    action: plan.Watch, session: Session, attempt: Attempt, check: CheckResult, goal_reached: bool
) -> None:
    """Report a check, and write what follows from it: a verdict, or the next stage."""
    elapsed = _elapsed(session, attempt)
    session.report(
        Event(
            f"{check.name} {session.environment}/{action.deployment} at {action.percent}%: {check.reason}",
            check.name,
            environment=session.environment,
            deployment=action.deployment,
            percent=action.percent,
            result=check.result,
            reason=check.reason,
            figures=check.figures,
            elapsed=round(elapsed, 1),
            timeout=action.timeout_seconds,
        )
    )
    end = end_of_stage(action, check, goal_reached=goal_reached, elapsed=elapsed)
    if end == "verdict":
        _judge(action, session, attempt, check)
    elif end == "next stage":
        session.write(*next_stage(action, attempt, check, session.now().isoformat()))


def _elapsed(session: Session, attempt: Attempt) -> float:
    """Seconds since the candidate's test began."""
    now = session.now()
    return (now - datetime.fromisoformat(attempt.routed or now.isoformat())).total_seconds()


def _judge(action: plan.Watch, session: Session, attempt: Attempt, check: CheckResult) -> None:
    checks = (*attempt.checks, check, *(_prometheus(action, session) if check.result == "pass" else ()))
    logs = ""
    if any(check.result == "fail" for check in checks if not check.advisory):
        logs = session.logs(_candidates(action, session), LOG_TAIL)
    session.write(
        Judged(
            at=session.now().isoformat(),
            attempt=attempt.id,
            deployment=action.deployment,
            verdict=overall(checks),
            checks=checks,
            logs=logs,
        )
    )


def _prometheus(action: plan.Watch, session: Session) -> list[CheckResult]:
    """Ask Prometheus about a candidate that has served users."""
    place = CheckPlace(endpoint=action.endpoint, container=None, commit=action.generation.commit)
    checks = run_own_checks(session, action.prometheus, action.generation, place, session.go_on)
    for check in checks:
        session.report(check_event(session.environment, action.deployment, check))
    return checks


def _restarts(action: plan.Watch, session: Session) -> int:
    """How often the engine had to start a container of the candidate again."""
    return max(map(session.restarts, _candidates(action, session)), default=0)


def _candidates(action: plan.Watch, session: Session) -> list[Container]:
    """The candidate's containers."""
    return [c for c in session.containers(action.deployment) if c.generation == action.generation.fingerprint]
