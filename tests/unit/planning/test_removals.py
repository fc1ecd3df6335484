"""Undeclared deployments are removed, within the policy; deployments with a broken file are kept."""

from __future__ import annotations

import msgspec
import pytest

from gitops_ml.core.journal.entries import Withdrawn
from gitops_ml.core.journal.fold import Entry
from gitops_ml.core.planning.plan import Plan
from gitops_ml.core.planning.planner import make_plan
from gitops_ml.core.planning.route import route_file
from tests.unit.builders import gateway, generation, replica, wanted
from tests.unit.journals import intent, promoted, recorded
from tests.unit.snapshots import block, hosting, inputs, planned, route, serving, snapshot

V1 = generation("v1")


def names(count: int) -> list[str]:
    return [f"model-{n}" for n in range(count)]


# --- what is no longer declared ---------------------------------------------------------------------------------------


def test_one_of_two_deployments_is_removed() -> None:
    assert planned(hosting("a", "b"), wanted(name="a")) == block(
        """
        index dev/gateway - because it does not list what serves
        unroute dev/b - because it is no longer declared
        retire dev/b x1 because it is no longer declared
        withdraw dev/b - because it is no longer declared
        """
    )


def test_an_interrupted_withdrawal_continues() -> None:
    seen = snapshot(journal=[*promoted(generation("v1", "a")), *promoted(generation("v1", "b"))])
    seen = msgspec.structs.replace(
        seen,
        containers=(gateway(), replica(generation("v1", "a"))),
        routes={"a": route(generation("v1", "a"), replica(generation("v1", "a")))},
    )
    lines = planned(seen, wanted(name="a")).splitlines()
    assert lines[-1] == "withdraw dev/b - because it is no longer declared"
    assert not any("retire dev/b" in line or "unroute dev/b" in line for line in lines)


def test_an_undeclared_route_is_removed() -> None:
    seen = hosting("a", "b")
    ours = route_file("stray", [("stray-0", 8080, "1" * 12)], weights={"1" * 12: 100})
    seen = msgspec.structs.replace(seen, routes=seen.routes | {"stray": ours})
    assert planned(seen, wanted(name="a"), wanted(name="b")) == block(
        """
        unroute dev/stray - because it is no longer declared
        withdraw dev/stray - because it is no longer declared
        """
    )


def refusal(plan: Plan) -> tuple[tuple[str, ...], list[str]]:
    return plan.refused, plan.lines()


def test_removing_the_last_deployment_needs_a_confirmation() -> None:
    assert refusal(make_plan(inputs(hosting("a"), max_removals="100%"))) == (("a",), [])


def test_a_vanished_folder_removes_nothing() -> None:
    assert refusal(make_plan(inputs(hosting("a", "b", "c")))) == (("a", "b", "c"), [])


@pytest.mark.parametrize(
    ("there", "kept", "share", "allowed"),
    [
        (2, 1, "50%", True),
        (3, 1, "50%", False),
        (4, 2, "50%", True),
        (10, 9, "10%", True),
        (10, 8, "10%", False),
        (2, 1, "0%", False),
        (3, 1, "100%", True),
    ],
)
def test_removing_more_than_the_share_needs_a_confirmation(there: int, kept: int, share: str, allowed: bool) -> None:
    hosted = names(there)
    plan = make_plan(inputs(hosting(*hosted), *(wanted(name=n) for n in hosted[:kept]), max_removals=share))
    assert (plan.refused == ()) is allowed
    assert bool(plan.lines()) is allowed


def test_confirmed_removals_are_planned() -> None:
    assert planned(hosting("a"), confirm_removals=True) == block(
        """
        index dev/gateway - because it does not list what serves
        unroute dev/a - because it is no longer declared
        retire dev/a x1 because it is no longer declared
        withdraw dev/a - because it is no longer declared
        """
    )


def test_a_verdict_outlives_its_deployment_until_it_is_published() -> None:
    a, b = generation("v1", "a"), generation("v1", "b")
    withdrawn = Withdrawn(at="x", deployment="b")
    entries: list[Entry] = [*promoted(a), *promoted(b)[:-1], withdrawn]
    seen = serving(a, journal=entries)
    assert planned(seen, wanted(name="a")) == (
        "record dev/gateway attempt-b-v1 because these verdicts are not in Git yet"
    )
    seen = serving(a, journal=[*entries, recorded(b)])
    assert planned(seen, wanted(name="a")) == ""


# --- declarations that cannot be read ---------------------------------------------------------------------------------

BROKEN = {"b": "environments/dev/models/b.yaml:3: unknown key `replica`: did you mean `replicas`?\n  fix: edit it"}


def test_a_broken_file_does_not_stop_the_others() -> None:
    assert planned(snapshot(), wanted(name="a"), broken=BROKEN).splitlines()[0] == (
        "begin dev/a 111111111111 because v1 is declared and nothing serves"
    )


def test_a_broken_file_removes_nothing() -> None:
    plan = make_plan(inputs(hosting("a", "b"), wanted(name="a"), broken=BROKEN))
    assert refusal(plan) == ((), [])
    assert plan.broken == BROKEN


def test_a_deployment_with_a_broken_file_is_still_shown() -> None:
    plan = make_plan(inputs(hosting("a", "b"), wanted(name="a"), broken=BROKEN))
    a, b = plan.statuses
    assert (a.name, a.sync, a.health) == ("a", "Synced", "Healthy")
    assert (b.name, b.sync, b.health, b.version) == ("b", "OutOfSync", "Healthy", "v1")
    assert b.message == "environments/dev/models/b.yaml:3: unknown key `replica`: did you mean `replicas`?"


def test_a_deployment_with_a_broken_file_is_still_healed() -> None:
    b = generation("v1", "b")
    pair = replica(b, 0, state="exited"), replica(b, 1)
    seen = snapshot(*pair, routes={"b": route(b, *pair)}, journal=promoted(b))
    plan = make_plan(inputs(seen, broken=BROKEN))
    assert plan.lines() == block(
        """
        start dev/b 111111111111 x1 because a replica is exited
        route dev/b 111111111111 because its route is not what it should be
        retire dev/b 111111111111 because a replica is exited
        """
    ).split("\n")
    assert plan.statuses[0].health == "Degraded"


def test_a_broken_file_calls_off_the_open_rollout() -> None:
    v1, v2 = generation("v1", "b"), generation("v2", "b")
    seen = serving(v1, replica(v1), replica(v2), journal=[*promoted(v1), intent(v2, v1)])
    assert planned(seen, broken=BROKEN) == block(
        """
        remove dev/b 222222222222 because a newer commit declares something else
        settle dev/b 222222222222 because a newer commit declares something else
        """
    )


def test_a_broken_file_without_a_serving_generation_has_no_status() -> None:
    assert make_plan(inputs(snapshot(), broken=BROKEN)).statuses == ()
