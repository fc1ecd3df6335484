"""The plan of an environment, as the whole text that a person reads."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops_ml.clients.gateway.container import gateway_spec
from gitops_ml.core.declaration.schema import Gateway
from gitops_ml.core.generation import EXPIRES
from gitops_ml.core.generation import PROJECT as PROJECT_LABEL
from gitops_ml.core.journal.entries import Settled
from gitops_ml.core.observed import Container, Snapshot
from gitops_ml.core.planning.plan import EnsureGateway, Plan
from gitops_ml.core.planning.planner import make_plan
from tests.unit.builders import NOW, changed, gateway, generation, later, replica, short_lived, wanted
from tests.unit.journals import failed, intent, promoted
from tests.unit.snapshots import block, hosting, inputs, planned, serving, snapshot

V1 = generation("v1")


def with_containers(seen: Snapshot, *containers: Container) -> Snapshot:
    return msgspec.structs.replace(seen, containers=containers)


def test_an_empty_host_without_declarations_needs_nothing() -> None:
    assert planned(snapshot(raised=False)) == ""


def test_a_host_as_declared_needs_nothing() -> None:
    assert planned(hosting("a", "b"), wanted(name="a"), wanted(name="b")) == ""


# --- the gateway ------------------------------------------------------------------------------------------------------


def test_a_blank_host_gets_its_gateway_first() -> None:
    assert planned(snapshot(raised=False), wanted("v1")) == block(
        """
        ensure-gateway dev/gateway traefik:v3 because the environment has no network
        begin dev/churn 111111111111 because v1 is declared and nothing serves
        build dev/churn 111111111111 because v1 is declared and nothing serves
        start dev/churn 111111111111 x1 because v1 is declared and nothing serves
        verify dev/churn 111111111111 because it is not verified yet
        """
    )


def test_the_volume_is_missing() -> None:
    seen = msgspec.structs.replace(serving(V1), volume=False)
    assert planned(seen, wanted()) == "ensure-gateway dev/gateway traefik:v3 because the environment has no volume"


def test_the_gateway_is_missing() -> None:
    seen = with_containers(serving(V1), replica(V1))
    assert planned(seen, wanted()) == "ensure-gateway dev/gateway traefik:v3 because the environment has no gateway"


def test_the_gateway_is_stopped() -> None:
    seen = with_containers(serving(V1), replica(V1), gateway(state="exited"))
    assert planned(seen, wanted()) == "ensure-gateway dev/gateway traefik:v3 because it is exited"


def ensured(seen: Snapshot) -> EnsureGateway:
    (action,) = make_plan(inputs(seen, wanted())).actions
    assert isinstance(action, EnsureGateway)
    return action


def test_a_changed_address_costs_a_second_and_the_plan_says_so() -> None:
    seen = with_containers(serving(V1), replica(V1), changed(gateway(), ports={8080: ("0.0.0.0", 8081)}))
    assert planned(seen, wanted()) == block(
        """
        ensure-gateway dev/gateway traefik:v3 because its ports is {8080: ('0.0.0.0', 8081)}, declared \
{8080: ('127.0.0.1', 8081)}; requests fail for about a second meanwhile
        """
    )
    assert ensured(seen).serves


@pytest.mark.parametrize("before", [("127.0.0.1", 8082), ("10.0.0.1", 8081)])
def test_a_gateway_at_another_port_serves_until_the_new_one_does(before: tuple[str, int]) -> None:
    seen = with_containers(serving(V1), replica(V1), changed(gateway(), ports={8080: before}))
    action = ensured(seen)
    assert action.because.endswith("; nothing answers at the address before any more")
    assert (action.serves, action.remove) == (True, ("id-shop.dev.gateway",))


def test_a_stopped_gateway_serves_nobody_and_everything_waits_for_the_next_one() -> None:
    assert not ensured(with_containers(serving(V1), replica(V1), gateway(state="exited"))).serves


def test_of_two_gateways_the_one_as_declared_goes_on() -> None:
    renamed = msgspec.structs.replace(gateway(), id="renamed", name="shop.dev.gateway.abc", created=1)
    changed_one = changed(msgspec.structs.replace(gateway(), created=2), ports={8080: ("0.0.0.0", 9999)})
    action = ensured(with_containers(serving(V1), replica(V1), renamed, changed_one))
    assert action.because == "2 gateways exist"
    assert (action.keep, action.remove, action.serves) == ("renamed", ("id-shop.dev.gateway",), True)


def test_a_gateway_with_another_name_goes_on_and_is_renamed() -> None:
    action = ensured(with_containers(serving(V1), replica(V1), msgspec.structs.replace(gateway(), name="other")))
    assert (action.keep, action.remove) == ("id-shop.dev.gateway", ())


def test_the_drain_is_no_setting_of_the_gateways_container() -> None:
    specs = [gateway_spec("shop", "dev", Gateway(port=1, drain=drain)) for drain in ("30s", "1h", "0s")]
    assert specs[0] == specs[1] == specs[2]


# --- the folder of routes


def test_what_is_no_route_file_is_removed() -> None:
    seen = msgspec.structs.replace(serving(V1), strays=("mine.yaml", "sub/x.yml"))
    because = "it is not what it should be, and beside a broken file the gateway loads no change"
    assert planned(seen, wanted()) == f"tidy dev/gateway mine.yaml,sub/x.yml because {because}"


def test_a_route_file_that_is_not_ours_is_removed_and_is_no_removal_of_a_deployment() -> None:
    seen = serving(V1)
    seen = msgspec.structs.replace(seen, routes=seen.routes | {"mine": b"}"})
    plan = make_plan(inputs(seen, wanted(), max_removals="0%"))
    assert [type(action).__name__ for action in plan.actions] == ["Tidy"]
    assert plan.refused == ()


def test_a_damaged_route_of_a_deployment_is_written_anew_and_never_removed() -> None:
    seen = msgspec.structs.replace(serving(V1), routes={"churn": b"}"})
    assert [type(action).__name__ for action in make_plan(inputs(seen, wanted())).actions] == ["Route"]


# --- more than one deployment -----------------------------------------------------------------------------------------


def test_deployments_come_in_the_order_of_their_names() -> None:
    assert planned(snapshot(), wanted("v2", "b"), wanted("v1", "a")) == block(
        """
        begin dev/a 111111111111 because v1 is declared and nothing serves
        build dev/a 111111111111 because v1 is declared and nothing serves
        start dev/a 111111111111 x1 because v1 is declared and nothing serves
        verify dev/a 111111111111 because it is not verified yet
        begin dev/b 222222222222 because v2 is declared and nothing serves
        build dev/b 222222222222 because v2 is declared and nothing serves
        start dev/b 222222222222 x1 because v2 is declared and nothing serves
        verify dev/b 222222222222 because it is not verified yet
        """
    )


def test_an_unrecorded_verdict_is_recorded() -> None:
    journal = [*promoted(V1)[:-1], *failed(generation("v2"), V1)[:-1]]
    seen = serving(V1, journal=journal)
    assert planned(seen, wanted("v2")) == (
        "record dev/gateway attempt-churn-v1,attempt-churn-v2 because these verdicts are not in Git yet"
    )


def test_a_superseded_attempt_is_not_published() -> None:
    v2 = generation("v2")
    superseded = Settled(at="x", attempt="attempt-churn-v2", deployment="churn", outcome="superseded")
    assert planned(serving(V1, journal=[*promoted(V1), intent(v2, V1), superseded]), wanted()) == ""


# --- what others left, and what is not ours ---------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["probe", "volume-reader", "doctor"])
def test_leftovers_of_a_dead_process_are_removed(role: str) -> None:
    seen = serving(V1)
    old = with_containers(seen, *seen.containers, short_lived(role, created=later(minutes=-16)))
    assert planned(old, wanted()) == f"remove dev/gateway shop.dev.{role}.ab12 because a {role} was left behind"


def test_an_orphaned_probe_is_removed() -> None:
    seen = serving(V1)
    probe, lock = (short_lived(role, created=later(seconds=-1)) for role in ("probe", "lock"))
    unlocked, locked = (
        with_containers(seen, *seen.containers, probe),
        with_containers(seen, *seen.containers, probe, lock),
    )
    line = "remove dev/gateway shop.dev.probe.ab12 because a probe was left behind"
    assert planned(unlocked, wanted()) == line
    assert make_plan(msgspec.structs.replace(inputs(locked, wanted()), locked=True)).lines() == [line]
    assert planned(locked, wanted()) == "", "another pass may be at work with it"


def test_a_probe_that_runs_without_the_lock_stays_until_it_expires() -> None:
    seen = serving(V1)
    probe = short_lived("probe", created=later(seconds=-300))
    for lifetime, line in (
        ("400", []),
        ("200", ["remove dev/gateway shop.dev.probe.ab12 because a probe was left behind"]),
    ):
        labelled = msgspec.structs.replace(probe, labels=probe.labels | {EXPIRES: lifetime})
        host = with_containers(seen, *seen.containers, labelled)
        for locked in (False, True):
            assert make_plan(msgspec.structs.replace(inputs(host, wanted()), locked=locked)).lines() == line


@pytest.mark.parametrize("role", ["volume-reader", "doctor"])
def test_what_is_made_without_the_lock_stays_while_it_is_at_work(role: str) -> None:
    seen = serving(V1)
    young = with_containers(seen, *seen.containers, short_lived(role, created=later(seconds=-50)))
    assert make_plan(msgspec.structs.replace(inputs(young, wanted()), locked=True)).lines() == []


@pytest.mark.parametrize("label", [PROJECT_LABEL, "gitops-ml.environment", "gitops-ml.role"])
@pytest.mark.parametrize("value", ["another", None])
def test_containers_without_our_labels_are_never_touched(label: str, value: str | None) -> None:
    seen, theirs = serving(V1), []
    for container in (
        replica(generation("v9"), suffix="ffffff"),
        replica(V1, suffix="ffffff"),
        msgspec.structs.replace(gateway(), id="other-gateway"),
        short_lived("probe", created=later(days=-1)),
    ):
        labels = {k: v for k, v in container.labels.items() if k != label} | ({label: value} if value else {})
        theirs.append(msgspec.structs.replace(container, labels=labels))
    assert planned(with_containers(seen, *seen.containers, *theirs), wanted()) == ""


# --- the same inputs, the same bytes ----------------------------------------------------------------------------------


def busy() -> Snapshot:
    """A host with some of everything: duplicates, unknown containers, candidates, damage and leftovers."""
    v1, v2, other = generation("v1", "a"), generation("v2", "a"), generation("v1", "b")
    twin = msgspec.structs.replace(gateway(), id="twin")
    there = [
        gateway(),
        twin,
        replica(v1, 0),
        replica(v1, 0, suffix="bbbbbb"),
        replica(v1, 1, state="exited"),
        replica(v2, 0),
        replica(other, 0, state="paused"),
        replica(generation("v9", "c")),
        short_lived("probe", created=later(hours=-1)),
        short_lived("volume-reader", created=later(hours=-1)),
    ]
    journal = [*promoted(v1), *promoted(other)[:-1], intent(v2, v1)]
    return msgspec.structs.replace(
        snapshot(journal=journal), containers=tuple(there), routes={"a": b"{}", "b": b"{}", "z": b"{}"}
    )


def as_bytes(plan: Plan) -> bytes:
    return msgspec.json.encode(plan)


@given(st.data())
def test_the_order_of_observations_does_not_matter(data: st.DataObject) -> None:
    seen = busy()
    declared = [wanted("v2", "a", replicas=2), wanted("v1", "b")]
    shuffled = msgspec.structs.replace(
        seen,
        containers=tuple(data.draw(st.permutations(seen.containers))),
        journal=dict(data.draw(st.permutations(list(seen.journal.items())))),
        routes=dict(data.draw(st.permutations(list(seen.routes.items())))),
        backends=dict(data.draw(st.permutations(list(seen.backends.items())))),
    )
    turned = data.draw(st.permutations(declared))
    options = {"confirm_removals": True, "now": NOW}
    expected = as_bytes(make_plan(inputs(seen, *declared, **options)))  # type: ignore[arg-type]
    assert as_bytes(make_plan(inputs(shuffled, *turned, **options))) == expected  # type: ignore[arg-type]


def test_planning_again_gives_the_same_plan() -> None:
    seen = busy()
    assert planned(seen, wanted("v2", "a")) == planned(seen, wanted("v2", "a"), now=later(hours=3))
