"""Healing the serving generation, between rollouts and during one, as the whole text of the plan."""

from __future__ import annotations

import msgspec
import pytest

from gitops_ml.core.declaration.schema import Hold
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.planner import make_plan
from tests.unit.builders import changed, generation, replica, wanted
from tests.unit.journals import built, judged, promoted
from tests.unit.snapshots import block, inputs, midway, planned, route, serving, snapshot

V1, V2, V3 = generation("v1"), generation("v2"), generation("v3")
HOLD = Hold(reason="fair week")


# --- replicas ---------------------------------------------------------------------------------------------------------


def test_scaling_up_makes_no_new_generation() -> None:
    assert planned(serving(V1), wanted("v1", replicas=3)) == block(
        """
        start dev/churn 111111111111 x2 because 1 of 3 replicas run
        route dev/churn 111111111111 because its replicas changed
        """
    )


def test_scaling_down_routes_before_it_retires() -> None:
    there = [replica(V1, n) for n in range(3)]
    plan_ = make_plan(inputs(serving(V1, *there), wanted("v1")))
    assert plan_.lines() == [
        "route dev/churn 111111111111 because its replicas changed",
        "retire dev/churn 111111111111 because 1 replica is declared",
    ]
    route_, retire = plan_.actions
    assert isinstance(route_, plan.Route) and isinstance(retire, plan.Retire)
    assert route_.without == retire.containers == (there[1].id, there[2].id)


# --- healing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["exited", "created", "paused", "restarting", "dead"])
def test_a_replica_that_does_not_run_is_replaced(state: str) -> None:
    seen = serving(V1, replica(V1, 0, state=state), replica(V1, 1))
    assert planned(seen, wanted("v1", replicas=2)) == block(
        f"""
        start dev/churn 111111111111 x1 because a replica is {state}
        route dev/churn 111111111111 because its route is not what it should be
        retire dev/churn 111111111111 because a replica is {state}
        """
    )


def hanging(*seconds: float, states: tuple[str, ...] = ("running", "running")) -> Snapshot:
    """v1 serves with two replicas, of which the first ones do not answer, so many seconds after they started."""
    there = [replica(V1, n, state=state) for n, state in enumerate(states)]
    silent = {c.id: age for c, age in zip(there, seconds, strict=False)}
    return msgspec.structs.replace(serving(V1, *there), unresponsive=silent)


def test_a_replica_that_does_not_answer_is_replaced_and_killed_after_the_route_has_changed() -> None:
    plan_ = make_plan(inputs(hanging(V1.start_timeout + 1), wanted("v1", replicas=2)))
    assert plan_.lines() == [
        "start dev/churn 111111111111 x1 because a replica does not answer",
        "route dev/churn 111111111111 because its route is not what it should be",
        "remove dev/churn 111111111111 because a replica does not answer",
    ]
    start, route_, remove = plan_.actions
    assert isinstance(start, plan.Start) and isinstance(route_, plan.Route) and isinstance(remove, plan.Remove)
    assert start.replicas == (0,) and start.await_ready
    assert route_.without == remove.containers == (replica(V1, 0).id,)
    assert 0 < remove.grace < 10, "it may only be slow"


def test_a_replica_that_does_not_answer_may_still_be_starting() -> None:
    assert planned(hanging(V1.start_timeout), wanted("v1", replicas=2)) == ""


def test_replicas_that_stopped_and_that_hang_leave_in_their_own_ways() -> None:
    seen = hanging(V1.start_timeout + 1, states=("running", "exited"))
    assert planned(seen, wanted("v1", replicas=2)) == block(
        """
        start dev/churn 111111111111 x2 because a replica does not answer
        route dev/churn 111111111111 because its route is not what it should be
        remove dev/churn 111111111111 because a replica does not answer
        retire dev/churn 111111111111 because a replica is exited
        """
    )


def test_a_replica_that_was_removed_is_started() -> None:
    there = replica(V1, 1)
    seen = snapshot(there, routes={"churn": route(V1, replica(V1, 0), there)}, journal=promoted(V1))
    assert planned(seen, wanted("v1", replicas=2)) == block(
        """
        start dev/churn 111111111111 x1 because 1 of 2 replicas run
        route dev/churn 111111111111 because its route is not what it should be
        """
    )


def test_a_replica_that_was_tampered_with_is_replaced_while_it_serves() -> None:
    plan_ = make_plan(inputs(serving(V1, changed(replica(V1), memory=1)), wanted("v1")))
    assert plan_.lines() == [
        "start dev/churn 111111111111 x1 because its memory is 1, declared 536870912",
        "route dev/churn 111111111111 because its route is not what it should be",
        "retire dev/churn 111111111111 because its memory is 1, declared 536870912",
    ]
    assert isinstance(plan_.actions[0], plan.Start) and plan_.actions[0].await_ready


def test_a_replica_of_another_image_is_replaced() -> None:
    other = msgspec.structs.replace(replica(V1), image_id="sha256:other")
    assert "because its image is sha256:other, declared sha256:111111111111" in planned(serving(V1, other), wanted())


def test_of_a_replica_that_runs_twice_the_older_one_stays() -> None:
    twin = msgspec.structs.replace(replica(V1, suffix="bbbbbb"), created=5)
    seen = serving(V1, replica(V1), twin)
    plan_ = make_plan(inputs(seen, wanted("v1")))
    assert plan_.lines() == [
        "route dev/churn 111111111111 because its route is not what it should be",
        "retire dev/churn 111111111111 because replica 0 runs twice",
    ]
    retire = plan_.actions[1]
    assert isinstance(retire, plan.Retire) and retire.containers == (twin.id,)


def test_a_generation_that_is_not_declared_is_retired() -> None:
    seen = serving(V1, replica(V1), replica(V3))
    assert planned(seen, wanted("v1")) == "retire dev/churn 333333333333 because 111111111111 serves"


def test_containers_without_a_journal_are_removed() -> None:
    seen = snapshot(replica(V3), routes={"churn": route(V3, replica(V3))})
    assert planned(seen, wanted("v1", hold=HOLD)) == block(
        """
        unroute dev/churn - because no generation is verified to serve
        remove dev/churn 333333333333 because no rollout owns it
        """
    )


def test_a_secret_that_moved_on_the_host_is_mounted_from_its_new_path() -> None:
    before = generation("v1", secrets={"API_KEY": "/etc/old"})
    after = generation("v1", secrets={"API_KEY": "/etc/new"}, built=False)
    lines = planned(serving(before, replica(before)), wanted(of=after)).splitlines()
    assert lines[0] == (
        "start dev/churn 111111111111 x1 because its mounts is {'/run/secrets/API_KEY': '/etc/old:ro'}, "
        "declared {'/run/secrets/API_KEY': '/etc/new:ro'}"
    )


# --- the route --------------------------------------------------------------------------------------------------------


def test_the_route_was_changed() -> None:
    seen = msgspec.structs.replace(serving(V1), routes={"churn": b"{}"})
    assert planned(seen, wanted()) == "route dev/churn 111111111111 because its route is not what it should be"


def test_the_route_was_removed() -> None:
    seen = msgspec.structs.replace(serving(V1), routes={})
    assert planned(seen, wanted()) == "route dev/churn 111111111111 because it has no route"


def test_the_gateway_has_loaded_another_route() -> None:
    seen = msgspec.structs.replace(serving(V1), loaded={"churn": "0" * 12})
    assert planned(seen, wanted()) == "route dev/churn 111111111111 because the gateway has not loaded its route"


def test_a_stopped_gateway_is_no_drift_of_the_route() -> None:
    seen = msgspec.structs.replace(serving(V1), loaded={}, containers=(replica(V1),))
    assert planned(seen, wanted()) == "ensure-gateway dev/gateway traefik:v3 because the environment has no gateway"


# --- healing beside a rollout -----------------------------------------------------------------------------------------


def test_an_incumbent_is_healed_while_its_candidate_is_verified() -> None:
    there = [replica(V1, state="exited"), replica(V2)]
    plan_ = make_plan(inputs(midway(built(V2), there=there), wanted("v2")))
    assert plan_.lines() == [
        "start dev/churn 111111111111 x1 because a replica is exited",
        "route dev/churn 111111111111 because its route is not what it should be",
        "retire dev/churn 111111111111 because a replica is exited",
        "verify dev/churn 222222222222 because it is not verified yet",
    ]
    assert [a.healing for a in plan_.actions] == [True, True, True, False]


def test_an_incumbent_is_healed_when_its_candidate_failed() -> None:
    there = [replica(V1, state="exited"), replica(V2)]
    assert planned(midway(built(V2), judged(V2, "Failed"), there=there), wanted("v2")) == block(
        """
        start dev/churn 111111111111 x1 because a replica is exited
        route dev/churn 111111111111 because its route is not what it should be
        retire dev/churn 111111111111 because a replica is exited
        remove dev/churn 222222222222 because its verification failed
        settle dev/churn 222222222222 because its verification failed
        """
    )


def test_damage_to_the_incumbent_does_not_block_a_new_version() -> None:
    plan_ = make_plan(inputs(serving(V1, replica(V1, state="exited")), wanted("v2")))
    assert plan_.lines() == [
        "start dev/churn 111111111111 x1 because a replica is exited",
        "route dev/churn 111111111111 because its route is not what it should be",
        "retire dev/churn 111111111111 because a replica is exited",
        "begin dev/churn 222222222222 because v2 is declared and v1 serves",
        "build dev/churn 222222222222 because v2 is declared and v1 serves",
        "start dev/churn 222222222222 x1 because v2 is declared and v1 serves",
        "verify dev/churn 222222222222 because it is not verified yet",
    ]
    assert [a.healing for a in plan_.actions] == [True] * 3 + [False] * 4


def test_a_candidate_with_traffic_stays_until_its_incumbent_serves() -> None:
    seen = midway(built(V2), judged(V2), there=[replica(V1, state="exited"), replica(V2)])
    seen = msgspec.structs.replace(seen, routes={"churn": route(V2, replica(V2))})
    plan_ = make_plan(inputs(seen, wanted("v3")))
    assert plan_.lines() == [
        "start dev/churn 111111111111 x1 because a replica is exited",
        "route dev/churn 111111111111 because a newer commit declares something else",
        "retire dev/churn 111111111111 because a replica is exited",
        "retire dev/churn 222222222222 because a newer commit declares something else",
        "settle dev/churn 222222222222 because a newer commit declares something else",
    ]
    assert not any(a.healing for a in plan_.actions)
