"""Watching a candidate among users: its requests and the incumbent's, until they decide or this pass is over.

Of a published candidate its subscribers are watched. What has been counted is written into the journal before the pass
lets go of the lock, so that the next pass, here or elsewhere, goes on with the same test. A decision is written at
once: the same pass acts on it.
"""

from __future__ import annotations

import time
from datetime import datetime

from gitops_ml.control.checks.own import Place, run_own_checks
from gitops_ml.control.events import Event, check_event
from gitops_ml.control.host import LOG_TAIL, Host
from gitops_ml.core.journal.entries import Counted, Judged
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.stage_end import end_of_stage, next_stage
from gitops_ml.core.verification.acknowledgements import judge_acknowledgements
from gitops_ml.core.verification.statistics.sequential import Evidence, TrafficTest
from gitops_ml.core.verification.traffic import judge_traffic
from gitops_ml.core.verification.verdict import CheckResult, judge_alive, overall

WATCH_SECONDS, PAUSE_SECONDS = 2.0, 0.5
"""How long one pass watches subscribers, and the pause between two looks."""


def watch(action: plan.Watch, host: Host) -> None:
    """Count requests for one pass, and write what they decide: a failure, a stage's end, a pass, a time-out."""
    attempt = host.state.of(action.deployment).open or action.attempt
    alive = judge_alive(_restarts(action, host))
    if alive.result == "fail":
        _judge(action, host, attempt, alive)
        return
    if action.generation.published:
        _watch_subscribers(action, host, attempt)
        return
    test = TrafficTest(action.traffic.max_bad_increase, attempt.evidence)
    test.step(action.expected_percent)
    progress = host.servers.count(action, attempt, test, host.containers(action.deployment))
    evidence = test.evidence
    if progress.lost:
        host.report(f"lost {host.environment}/{action.deployment}: the gateway's log was rotated before it was read")
    host.note(
        Counted(
            at=host.now().isoformat(),
            attempt=attempt.id,
            deployment=action.deployment,
            evidence=evidence,
            cursor=progress.cursor,
            lost=progress.lost,
        )
    )
    _decide(action, host, attempt, evidence)
    host.flush()


def _decide(action: plan.Watch, host: Host, attempt: Attempt, evidence: Evidence) -> None:
    check = judge_traffic(
        action.traffic, evidence, elapsed=_elapsed(host, attempt), alpha=action.alpha, lost=attempt.lost
    )
    _report_and_write(action, host, attempt, check, evidence.shows_harmless(action.goal))


def _watch_subscribers(action: plan.Watch, host: Host, attempt: Attempt) -> None:
    """Ask the channels what their subscribers have loaded, until that decides or this pass is over."""
    deadline = time.monotonic() + WATCH_SECONDS
    published = {g.fingerprint for g in (action.generation, action.incumbent) if g.published}
    while True:
        live = [c for c in host.containers(action.deployment) if c.generation in published and c.state == "running"]
        reports = host.servers.channels(live)
        check = judge_acknowledgements(
            action.subscribers,
            reports,
            action.generation.fingerprint,
            percent=action.percent,
            last=action.is_last,
            elapsed=_elapsed(host, attempt),
            complete=len(reports) == len(live) and {c.generation for c in live} == published,
        )
        if check.result != "inconclusive" or time.monotonic() >= deadline:
            break
        host.go_on()
        time.sleep(PAUSE_SECONDS)
    _report_and_write(action, host, attempt, check, check.result == "pass")


def _report_and_write(action: plan.Watch, host: Host, attempt: Attempt, check: CheckResult, goal_reached: bool) -> None:
    """Report a check, and write what follows from it: a verdict, or the next stage."""
    elapsed = _elapsed(host, attempt)
    host.report(
        Event(
            f"{check.name} {host.environment}/{action.deployment} at {action.percent}%: {check.reason}",
            check.name,
            environment=host.environment,
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
        _judge(action, host, attempt, check)
    elif end == "next stage":
        host.write(*next_stage(action, attempt, check, host.now().isoformat()))


def _elapsed(host: Host, attempt: Attempt) -> float:
    """Seconds since the candidate's test began."""
    now = host.now()
    return (now - datetime.fromisoformat(attempt.routed or now.isoformat())).total_seconds()


def _judge(action: plan.Watch, host: Host, attempt: Attempt, check: CheckResult) -> None:
    checks = (*attempt.checks, check, *(_prometheus(action, host) if check.result == "pass" else ()))
    logs = ""
    if any(check.result == "fail" for check in checks if not check.advisory):
        candidates = [c for c in host.containers(action.deployment) if c.generation == action.generation.fingerprint]
        logs = host.logs(candidates, LOG_TAIL)
    host.write(
        Judged(
            at=host.now().isoformat(),
            attempt=attempt.id,
            deployment=action.deployment,
            verdict=overall(checks),
            checks=checks,
            logs=logs,
        )
    )


def _prometheus(action: plan.Watch, host: Host) -> list[CheckResult]:
    """Ask Prometheus about a candidate that has served users."""
    place = Place(endpoint=action.endpoint, container=None, commit=action.generation.commit)
    checks = run_own_checks(host, action.prometheus, action.generation, place, host.go_on)
    for check in checks:
        host.report(check_event(host.environment, action.deployment, check))
    return checks


def _restarts(action: plan.Watch, host: Host) -> int:
    """How often the engine had to start a container of the candidate again."""
    candidates = [c for c in host.containers(action.deployment) if c.generation == action.generation.fingerprint]
    return max(map(host.restarts, candidates), default=0)
