"""What stops a rollout or begins another one: quarantine, retry, hold, and a blank host."""

from __future__ import annotations

from datetime import datetime

import pytest

from gitops_ml.core.declaration.schema import Hold
from gitops_ml.core.journal.entries import Outcome, Retried
from gitops_ml.core.journal.fold import Entry
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.planning.deployment_status import DeploymentStatus
from gitops_ml.core.planning.planner import make_plan
from tests.unit.builders import NOW, generation, later, replica, wanted
from tests.unit.journals import built, failed, intent, judged, promoted, recorded, settled
from tests.unit.snapshots import block, inputs, midway, planned, serving, snapshot

V1, V2, V3 = generation("v1"), generation("v2"), generation("v3")
HOLD = Hold(reason="fair week")


def status(seen: Snapshot, *declared: PlannedDeployment) -> DeploymentStatus:
    return make_plan(inputs(seen, *declared)).statuses[0]


# --- quarantine, retry, hold ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["failed", "inconclusive"])
def test_a_failed_generation_is_not_tried_again(outcome: Outcome) -> None:
    seen = serving(V1, journal=[*promoted(V1), *failed(V2, V1, outcome)])
    assert planned(seen, wanted("v2")) == ""


def test_other_held_out_rows_lift_the_quarantine() -> None:
    seen = serving(V1, journal=[*promoted(V1), *failed(V2, V1)])
    assert planned(seen, wanted("v2", holdout="md5:new")).startswith("begin dev/churn 222222222222")


def test_another_version_is_not_in_quarantine() -> None:
    seen = serving(V1, journal=[*promoted(V1), *failed(V2, V1)])
    assert planned(seen, wanted("v3")).startswith("begin dev/churn 333333333333")


def test_retry_begins_the_rollout_again() -> None:
    retried = Retried(at="x", deployment="churn")
    seen = serving(V1, journal=[*promoted(V1), *failed(V2, V1), retried])
    assert planned(seen, wanted("v2")).startswith("begin dev/churn 222222222222")


def test_a_hold_begins_nothing() -> None:
    assert planned(serving(V1), wanted("v2", hold=HOLD)) == ""


def test_a_hold_does_not_stop_healing() -> None:
    seen = serving(V1, replica(V1, state="exited"))
    assert planned(seen, wanted("v2", hold=HOLD)) == block(
        """
        start dev/churn 111111111111 x1 because a replica is exited
        route dev/churn 111111111111 because its route is not what it should be
        retire dev/churn 111111111111 because a replica is exited
        """
    )


def test_a_hold_calls_an_open_rollout_off() -> None:
    assert planned(midway(built(V2)), wanted("v2", hold=HOLD)) == block(
        """
        remove dev/churn 222222222222 because it is on hold: fair week
        settle dev/churn 222222222222 because it is on hold: fair week
        """
    )


@pytest.mark.parametrize(("until", "on_hold"), [(later(seconds=1), True), (NOW, False), (later(days=-1), False)])
def test_at_its_expiry_a_hold_ends(until: datetime, on_hold: bool) -> None:
    lines = planned(serving(V1), wanted("v2", hold=Hold(reason="fair week", until=until)))
    assert lines.startswith("begin dev/churn 222222222222") is not on_hold


# --- a blank host -----------------------------------------------------------------------------------------------------


def test_a_blank_host_boots_the_last_verified_generation() -> None:
    boot = generation("v1", built=False)
    assert planned(snapshot(), wanted("v2", boot=boot)) == block(
        """
        begin dev/churn 111111111111 because the host is blank and v1 was verified last
        build dev/churn 111111111111 because the host is blank and v1 was verified last
        start dev/churn 111111111111 x1 because the host is blank and v1 was verified last
        verify dev/churn 111111111111 because it is not verified yet
        """
    )


def test_a_boot_continues_whatever_is_declared() -> None:
    seen = snapshot(replica(V1), journal=[intent(V1, boot=True), built(V1), judged(V1)])
    assert planned(seen, wanted("v2", boot=V1)) == block(
        """
        route dev/churn 111111111111 because it is verified
        settle dev/churn 111111111111 because it has all traffic
        """
    )


BOOTED: list[Entry] = [intent(V1, boot=True), built(V1), judged(V1), settled(V1), recorded(V1)]


def test_after_the_boot_the_declared_version_is_a_candidate() -> None:
    seen = serving(V1, journal=BOOTED)
    assert planned(seen, wanted("v2", boot=V1)).startswith(
        "begin dev/churn 222222222222 because v2 is declared and v1 serves"
    )


def test_a_failed_boot_does_not_quarantine_the_declared_version() -> None:
    assert status(serving(V1, journal=BOOTED), wanted("v2", boot=V1)).verification == "Unverified"


def test_after_a_failed_boot_the_declared_version_is_tried() -> None:
    checked = judged(V1, "Failed"), settled(V1, "failed"), recorded(V1)
    journal: list[Entry] = [intent(V1, boot=True), built(V1), *checked]
    assert planned(snapshot(journal=journal), wanted("v2", boot=V1)).startswith(
        "begin dev/churn 222222222222 because v2 is declared and nothing serves"
    )


def test_a_boot_is_judged_by_smoke_alone() -> None:
    verify = make_plan(inputs(snapshot(), wanted("v2", boot=V1, holdout="md5:rows"))).actions[-1]
    assert isinstance(verify, plan.Verify)
    assert (verify.checks.holdout, verify.holdout) == (None, None)


@pytest.mark.parametrize("tip", ["v1", "v2"])
def test_a_hold_stops_the_declared_version_but_not_the_boot(tip: str) -> None:
    lines = planned(snapshot(), wanted(tip, boot=generation("v1", built=False), hold=HOLD))
    assert lines.startswith("begin dev/churn 111111111111 because the host is blank and v1 was verified last")


def test_a_first_deployment_on_hold_does_not_begin() -> None:
    assert planned(snapshot(), wanted("v1", hold=HOLD)) == ""
