"""Outside the windows of an environment no rollout begins; all that keeps users served goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gitops_ml.control.agent.passes import one_pass
from gitops_ml.control.agent.turns import Turns
from gitops_ml.control.statuses import StatusReporter
from gitops_ml.control.sync import sync
from gitops_ml.control.wait import wait
from gitops_ml.core.declaration.schema import Hold
from gitops_ml.core.declaration.windows import Window
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.pull_request.statuses import CommitStatus
from tests.unit.builders import NAME, NOW, generation, replica
from tests.unit.builders import wanted as declared
from tests.unit.control.canaries import serving_v1
from tests.unit.simulated_host import Host, require_clean
from tests.unit.snapshots import planned, snapshot

ONE, TWO = "1" * 12, "2" * 12
OPENING = NOW.replace(hour=15, minute=0)
AFTERNOON = Window(schedule="0 15 * * *", duration="1h")
"""Closed at `NOW`, which is nine o'clock; opens in six hours."""


def wanted(version: str, **fields: Any) -> PlannedDeployment:
    return msgspec.structs.replace(declared(version, **fields), windows=(AFTERNOON,))


def opened(host: Host) -> Host:
    host.seconds = (OPENING - NOW).total_seconds()
    return host


@pytest.mark.parametrize("strategy", ["blue-green", "recreate", "canary", "shadow"])
def test_a_rollout_begins_when_the_window_opens(strategy: str) -> None:
    host = serving_v1(NAME)
    waiting = wanted("v2", strategy=strategy)
    result = sync(host.declaring(waiting))
    status = result.view.plan.statuses[0]
    assert (result.exit_code, host.serves(NAME), result.view.plan.actions) == (4, [ONE], ())
    assert (status.sync, status.health, status.verification) == ("OutOfSync", "Healthy", "Unverified")
    assert status.waiting and (status.waiting.version, status.waiting.until) == ("v2", OPENING)
    assert status.message == "v2 waits for the window that opens 2026-11-23 15:00 UTC"
    assert sync(opened(host).declaring(waiting)).exit_code == 0
    require_clean(host, host.settle(waiting), "v2", 1)


def test_a_new_deployment_waits_too() -> None:
    assert planned(snapshot(), wanted("v1")) == ""
    assert planned(snapshot(), wanted("v1"), now=OPENING).startswith("begin ")


def test_an_open_rollout_goes_on_after_the_window() -> None:
    host = opened(serving_v1(NAME))
    host.pass_(wanted("v2", strategy="canary"))
    assert host.state(NAME).open
    host.seconds += 7200.0
    require_clean(host, host.settle(wanted("v2", strategy="canary")), "v2", 1)


def test_healing_and_scaling_do_not_wait() -> None:
    host = serving_v1(NAME)
    host.take_away(next(iter(host.replicas(NAME))).id)
    assert not host.serves(NAME)
    host.settle(wanted("v2", replicas=2))
    assert host.serves(NAME) == [ONE] * 2


def test_going_back_to_what_was_verified_does_not_wait() -> None:
    host = opened(serving_v1(NAME))
    host.settle(wanted("v2"))
    host.seconds += 7200.0
    require_clean(host, host.settle(wanted("v1")), "v1", 1)
    assert not sync(host.declaring(wanted("v3"))).view.plan.actions
    assert host.serves(NAME) == [ONE]


def test_a_version_that_failed_here_is_no_way_back() -> None:
    host = opened(serving_v1(NAME))
    host.verdicts[TWO] = "Failed"
    host.settle(wanted("v2"))
    host.seconds += 7200.0
    assert sync(host.declaring(wanted("v2", verify=wanted("v1").resolved.declaration.verify))).exit_code == 3
    assert host.serves(NAME) == [ONE]


def test_other_settings_of_the_serving_version_wait() -> None:
    host = serving_v1(NAME)
    other = msgspec.structs.replace(generation("v1", built=False), fingerprint="9" * 12)
    result = sync(host.declaring(wanted("v1", of=other)))
    assert (result.exit_code, host.serves(NAME)) == (4, [ONE])


def test_a_blank_host_boots_at_once() -> None:
    host = Host()
    host.settle(wanted("v2", boot=generation("v1", built=False)))
    assert host.serves(NAME) == [ONE]
    host = Host()
    host.settle(wanted("v1", boot=generation("v1", built=False)))
    assert host.serves(NAME) == [ONE]


def test_a_hold_is_shown_instead_of_the_window() -> None:
    result = sync(serving_v1(NAME).declaring(wanted("v2", hold=Hold(reason="fair week"))))
    status = result.view.plan.statuses[0]
    assert (status.hold, status.waiting, result.exit_code) == ("fair week", None, 4)


def test_the_agent_comes_back_when_the_window_opens() -> None:
    host = serving_v1(NAME)
    host.seconds = (OPENING - NOW).total_seconds() - 7.0
    turns = Turns(30.0, lambda: 1.0, 0.0)
    turns.ended(one_pass(host.declaring(wanted("v2")), frozenset()), frozenset(), 0.0)
    assert turns.due == 7.0
    host.seconds += turns.due
    assert one_pass(host.declaring(wanted("v2")), frozenset()).unfinished
    early = serving_v1(NAME)
    turns.ended(one_pass(early.declaring(wanted("v2")), frozenset()), frozenset(), 0.0)
    assert turns.due == 30.0, "the interval still counts"


def test_waiting_for_a_verdict_does_not_last_until_the_window() -> None:
    settled = wait(serving_v1(NAME).declaring(wanted("v2")), None, timeout=60.0, interval=1.0)
    assert settled.exit_code == 4


def test_the_commit_says_what_it_waits_for() -> None:
    statuses: list[CommitStatus] = []
    reporter = StatusReporter(statuses.append, lambda text: pytest.fail(text))
    sync(serving_v1(NAME).declaring(wanted("v2")), on_look=reporter.tell)
    reporter.close()
    last = statuses[-1]
    assert (last.state, last.description) == ("pending", "v2 waits for the window that opens 2026-11-23 15:00 UTC")


def test_a_minute_before_and_after() -> None:
    seen = serving_v1(NAME).snapshot()
    assert replica(generation("v1")).generation in str(seen)
    assert planned(seen, wanted("v2"), now=OPENING - timedelta(seconds=1)) == ""
    assert planned(seen, wanted("v2"), now=OPENING).startswith("begin ")
    assert planned(seen, wanted("v2"), now=OPENING + timedelta(hours=1)) == ""
