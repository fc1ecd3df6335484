"""Where a deployment stands: four states that are never mixed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gitops_ml.core.declaration.schema import Hold
from gitops_ml.core.journal.entries import Retried, Settled
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.planning.deployment_status import DeploymentStatus
from gitops_ml.core.planning.planner import make_plan
from tests.unit.builders import NOW, generation, later, replica, short_lived, wanted
from tests.unit.journals import built, failed, intent, promoted
from tests.unit.snapshots import inputs, midway, planned, serving, snapshot

V1, V2 = generation("v1"), generation("v2")
HOLD = Hold(reason="fair week")


def status(seen: Snapshot, *declared: PlannedDeployment) -> DeploymentStatus:
    return make_plan(inputs(seen, *declared)).statuses[0]


def row(shown: DeploymentStatus) -> tuple[str, str, str, str, int]:
    return shown.version, shown.sync, shown.health, shown.verification, shown.replicas.ready


def test_status_of_a_healthy_deployment() -> None:
    shown = status(serving(V1), wanted("v1"))
    assert row(shown) == ("v1", "Synced", "Healthy", "Verified", 1)
    assert (shown.hold, shown.message, shown.endpoint) == (None, "", "http://127.0.0.1:8081/v2/models/churn")


def test_status_before_the_first_rollout() -> None:
    assert row(status(snapshot(), wanted("v1"))) == ("v1", "OutOfSync", "Missing", "Unverified", 0)


def test_status_during_a_rollout() -> None:
    seen = midway(built(V2))
    lock = short_lived("lock", created=later(seconds=-1))
    locked = msgspec.structs.replace(seen, containers=(*seen.containers, lock))
    shown = status(locked, wanted("v2"))
    assert row(shown) == ("v1", "OutOfSync", "Progressing", "Unverified", 1)
    assert shown.message == "rollout of v2 under way"


def test_status_of_a_rollout_that_an_error_may_have_left() -> None:
    assert status(midway(built(V2)), wanted("v2")).message == (
        "rollout of v2 under way since 2026-11-23T08:00; "
        "where no agent or sync is at work, gitops-ml sync dev goes on or says why not"
    )


def test_status_of_a_failed_version_over_its_incumbent() -> None:
    shown = status(serving(V1, journal=[*promoted(V1), *failed(V2, V1)]), wanted("v2"))
    assert row(shown) == ("v1", "OutOfSync", "Healthy", "Failed", 1)
    assert shown.message == "v2: smoke: it answers; to try it again: gitops-ml sync dev --retry"


def test_status_of_a_failed_first_version() -> None:
    assert row(status(snapshot(journal=failed(V1)), wanted("v1"))) == ("v1", "OutOfSync", "Missing", "Failed", 0)


def test_status_of_an_inconclusive_version() -> None:
    shown = status(serving(V1, journal=[*promoted(V1), *failed(V2, V1, "inconclusive")]), wanted("v2"))
    assert row(shown) == ("v1", "OutOfSync", "Healthy", "Inconclusive", 1)


def test_status_under_a_hold() -> None:
    shown = status(serving(V1), wanted("v2", hold=HOLD))
    assert row(shown) == ("v1", "OutOfSync", "Healthy", "Unverified", 1)
    assert shown.hold == "fair week"


def test_status_with_some_replicas_down() -> None:
    seen = serving(V1, replica(V1, 0), replica(V1, 1, state="exited"))
    assert row(status(seen, wanted("v1", replicas=2))) == ("v1", "OutOfSync", "Degraded", "Verified", 1)


def test_status_of_replicas_that_the_gateway_reports_down() -> None:
    seen = serving(V1)
    down = {alias: msgspec.structs.replace(b, up=False) for alias, b in seen.backends.items()}
    shown = status(msgspec.structs.replace(seen, backends=down), wanted("v1"))
    assert row(shown) == ("v1", "Synced", "Missing", "Verified", 0)


def test_a_superseded_attempt_does_not_hide_the_verdict_before_it() -> None:
    again = msgspec.structs.replace(intent(V2, V1), attempt="again")
    over = Settled(at="x", attempt="again", deployment="churn", outcome="superseded")
    seen = serving(V1, journal=[*promoted(V1), *failed(V2, V1), Retried(at="x", deployment="churn"), again, over])
    assert status(seen, wanted("v2")).verification == "Failed"


def test_a_hold_without_an_expiry_lasts() -> None:
    seen = msgspec.structs.replace(serving(V1), at=datetime(2099, 1, 1, tzinfo=UTC))
    assert planned(seen, wanted("v2", hold=HOLD), now=seen.at) == ""


@pytest.mark.parametrize(
    ("facts", "health", "message"),
    [
        ({"restarts": 1, "started": NOW.isoformat()}, "Healthy", ""),
        ({"restarts": 3, "started": "2020-01-01T00:00:00Z"}, "Healthy", ""),
        ({"restarts": 3, "started": NOW.isoformat()}, "Degraded", "replica 0 ended, and was started again 3 times"),
        (
            {"restarts": 3, "started": NOW.isoformat(), "out_of_memory": True},
            "Degraded",
            "replica 0 was killed for using all of its 512 MB of memory, and was started again 3 times",
        ),
    ],
)
def test_a_replica_that_is_started_again_and_again_is_degraded_although_it_answers(
    facts: dict[str, Any], health: str, message: str
) -> None:
    running = replica(V1)
    assert running.facts is not None
    crashing = msgspec.structs.replace(running, facts=msgspec.structs.replace(running.facts, **facts))
    shown = status(serving(V1, crashing), wanted("v1"))
    assert (shown.sync, shown.health, shown.message, shown.replicas.ready) == ("Synced", health, message, 1)
