"""Recreate: the incumbent stops first, and starts again if its candidate fails."""

from __future__ import annotations

from collections.abc import Sequence

from gitops_ml.core.journal.fold import Entry
from gitops_ml.core.observed import Container, Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.planner import make_plan
from tests.unit.builders import generation, replica, wanted
from tests.unit.journals import built, judged
from tests.unit.snapshots import block, inputs, midway, planned, serving, snapshot

V1, V2 = generation("v1"), generation("v2")


def recreating(*after: Entry, there: Sequence[Container]) -> Snapshot:
    return midway(*after, there=there, strategy="recreate")


def test_recreate_builds_before_anything_stops() -> None:
    assert planned(serving(V1), wanted("v2", strategy="recreate")) == block(
        """
        begin dev/churn 222222222222 because v2 is declared and v1 serves
        build dev/churn 222222222222 because v2 is declared and v1 serves
        """
    )


def test_recreate_stops_the_incumbent_first() -> None:
    assert planned(recreating(built(V2), there=[replica(V1)]), wanted("v2", strategy="recreate")) == block(
        """
        create dev/churn 222222222222 because the engine may refuse them, and nothing is stopped yet
        stop dev/churn 111111111111 because the strategy is recreate
        start dev/churn 222222222222 x1 because its rollout was interrupted
        verify dev/churn 222222222222 because it is not verified yet
        """
    )


def test_what_is_running_of_the_candidate_already_is_not_created_again() -> None:
    seen = recreating(built(V2), there=[replica(V1), replica(V2)])
    assert planned(seen, wanted("v2", strategy="recreate")) == block(
        """
        stop dev/churn 111111111111 because the strategy is recreate
        verify dev/churn 222222222222 because it is not verified yet
        """
    )


def test_recreate_of_a_first_deployment_has_nothing_to_stop() -> None:
    assert planned(snapshot(), wanted("v1", strategy="recreate")) == planned(snapshot(), wanted("v1"))


def test_recreate_heals_the_incumbent_until_the_image_is_built() -> None:
    seen = recreating(there=[replica(V1, state="exited")])
    assert planned(seen, wanted("v2", strategy="recreate")) == block(
        """
        start dev/churn 111111111111 x1 because a replica is exited
        route dev/churn 111111111111 because its route is not what it should be
        retire dev/churn 111111111111 because a replica is exited
        build dev/churn 222222222222 because its rollout was interrupted
        """
    )


def test_recreate_does_not_heal_the_stopped_incumbent() -> None:
    seen = recreating(built(V2), there=[replica(V1, state="exited"), replica(V2)])
    assert planned(seen, wanted("v2", strategy="recreate")) == (
        "verify dev/churn 222222222222 because it is not verified yet"
    )


def test_a_verified_recreate_removes_the_stopped_incumbent() -> None:
    seen = recreating(built(V2), judged(V2), there=[replica(V1, state="exited"), replica(V2)])
    assert planned(seen, wanted("v2", strategy="recreate")) == block(
        """
        route dev/churn 222222222222 because it is verified
        settle dev/churn 222222222222 because it has all traffic
        retire dev/churn 111111111111 because 222222222222 took over
        """
    )


def test_a_failed_recreate_starts_the_incumbent_again() -> None:
    stopped = replica(V1, 0, state="exited")
    seen = recreating(built(V2), judged(V2, "Failed"), there=[stopped, replica(V2)])
    plan_ = make_plan(inputs(seen, wanted("v2", strategy="recreate", replicas=2)))
    assert plan_.lines() == [
        "remove dev/churn 222222222222 because its verification failed",
        "start dev/churn 111111111111 x2 because its verification failed",
        "route dev/churn 111111111111 because its verification failed",
        "settle dev/churn 222222222222 because its verification failed",
    ]
    start = plan_.actions[1]
    assert isinstance(start, plan.Start)
    assert (start.resume, start.replicas, start.await_ready) == ((stopped.id,), (1,), True)
