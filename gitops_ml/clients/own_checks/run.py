"""Run a team's own checks one after the other, within what the host's operator permits.

A check is given up when its time is over, whatever it waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from gitops_ml.clients.own_checks.command import CommandPlace, run_command
from gitops_ml.clients.own_checks.page import PageRequest, UnansweredError, get_page
from gitops_ml.core.addresses import HostRule
from gitops_ml.core.declaration.checks import CommandCheck, HttpCheck, OwnCheck, PrometheusCheck
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.verification.own_checks import CheckSubject, judge_command, judge_http, judge_prometheus, unanswered
from gitops_ml.core.verification.verdict import CheckResult


class Reach(NamedTuple):
    """What own checks may reach: the hosts that pages may come from, and where commands run."""

    hosts: tuple[HostRule, ...] | None
    commands: CommandPlace


def run_own_checks(
    checks: Sequence[OwnCheck], subject: CheckSubject, reach: Reach, go_on: Callable[[], None] = lambda: None
) -> list[CheckResult]:
    """Run these checks one after the other. A check without an answer is inconclusive.

    Args:
        go_on: called again and again; an exception of it ends the waiting.

    Raises `EngineFailed` and `EngineUnavailable` where a command's container cannot be had.
    """
    return [_run(check, subject, reach, go_on) for check in checks]


def _run(check: OwnCheck, subject: CheckSubject, reach: Reach, go_on: Callable[[], None]) -> CheckResult:
    try:
        match check:
            case PrometheusCheck():
                return _ask_prometheus(check, subject, reach, go_on)
            case HttpCheck():
                request = PageRequest(
                    subject.filled_in(check.url),
                    seconds(check.timeout),
                    reach.hosts,
                    subject.endpoint,
                    follow=not 300 <= check.status < 400,
                )
                status, body = get_page(request, go_on)
                return judge_http(check, status, body.decode(errors="replace"), subject)
            case CommandCheck():
                code, output = run_command(reach.commands, check, subject, go_on)
                return judge_command(check, code, output)
    except UnansweredError as error:
        return unanswered(check, str(error))


def _ask_prometheus(
    check: PrometheusCheck, subject: CheckSubject, reach: Reach, go_on: Callable[[], None]
) -> CheckResult:
    query = urlencode({"query": subject.filled_in(check.query), "timeout": check.timeout})
    url = f"{subject.filled_in(check.url).rstrip('/')}/api/v1/query?{query}"
    status, body = get_page(PageRequest(url, seconds(check.timeout), reach.hosts, subject.endpoint), go_on)
    try:
        return judge_prometheus(check, msgspec.json.decode(body))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnansweredError(f"it answered {status}, and no JSON") from error
