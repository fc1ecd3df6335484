"""A gateway that is replaced on a real engine: what serves goes on serving, whatever is wrong with the new one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec
import pytest

from gitops_ml.clients.gateway.container import gateway_spec
from gitops_ml.clients.gateway.layout import CERTIFICATE, ROOT, ROUTES
from gitops_ml.clients.gateway.replacement import ensure_gateway, keep_gateway
from gitops_ml.clients.gateway.routes import switch, tidy
from gitops_ml.core.declaration.schema import Gateway
from gitops_ml.core.generation import ContainerSpec
from gitops_ml.core.planning.route import route_file
from gitops_ml.errors import EngineFailed, InputError
from tests.e2e.place import Place, place_fixture
from tests.e2e.steady_client import SteadyClient

place = place_fixture
ONE, TWO = "1" * 12, "2" * 12
BACKENDS = [("one", 8080, ONE), ("two", 8080, TWO)]
GAP = 8.0
"""Seconds without an answer that are accepted. 1.9 to 2.4 were measured on two CPUs that eight others used too."""


@pytest.fixture
def served(place: Place) -> Place:
    place.ensure_gateway()
    place.serve("one")
    place.serve("two")
    switch(place.engine, place.gateway, "m", route_file("m", BACKENDS, weights={ONE: 1}, health="/ready"))
    return place


@contextmanager
def load(place: Place) -> Iterator[SteadyClient]:
    client = SteadyClient(place.port, "/m/x")
    client.start()
    try:
        yield client
    finally:
        client.end()


def spec_of(place: Place, **gateway: object) -> ContainerSpec:
    settings = Gateway(**({"port": place.port} | gateway))  # type: ignore[arg-type]
    return gateway_spec(place.project, place.environment, settings)


def replace(place: Place, spec: ContainerSpec, deadline: float = 10) -> str:
    return ensure_gateway(place.engine, spec, deadline, instead_of=[place.gateway])


def gateways(place: Place) -> list[tuple[str, str]]:
    return [(c.id, c.state) for c in place.look().containers if c.role in ("gateway", "probe")]


def test_a_gateway_that_cannot_be_had_costs_no_request(served: Place) -> None:
    spec = spec_of(served)
    mute = msgspec.structs.replace(spec, command=(*(spec.command or ()), "--ping.entryPoint=none"))
    ends = msgspec.structs.replace(spec, command=("--nonsense",))
    with load(served) as client:
        for wrong in (mute, ends):
            with pytest.raises(EngineFailed, match="the one before goes on"):
                replace(served, wrong, deadline=2)
        with pytest.raises(InputError, match=r"no address 192\.0\.2\.7"):
            replace(served, spec_of(served, bind="192.0.2.7"))
    assert client.failures == []
    assert gateways(served) == [(served.gateway, "running")]


def test_a_new_bind_on_the_same_port_costs_a_moment_and_the_old_one_comes_back_where_it_is_taken(served: Place) -> None:
    """What listens on one address of the host alone is in the way of a gateway on all of them."""
    other = served.engine.create(served.spec("other", ports={8080: ("127.0.0.2", served.port)}))
    served.engine.start(other)
    with load(served) as client, pytest.raises(EngineFailed, match="is taken"):
        replace(served, spec_of(served, bind="0.0.0.0"))
    assert client.longest_gap < 2 * GAP
    assert gateways(served) == [(served.gateway, "running")]
    served.engine.remove(other, force=True)
    with load(served) as client:
        replace(served, spec_of(served, bind="0.0.0.0"))
        time.sleep(0.5)
    print(f"gap of {client.longest_gap:.2f} s, {len(client.failures)} of {client.requests} requests failed")
    assert client.longest_gap < GAP
    assert served.ask("/m/x") == "one /x"


def test_a_gateway_at_another_port_cuts_no_request_in_flight(served: Place) -> None:
    spec = spec_of(served, port=served.port + (1 if served.port < 65000 else -1))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(served.ask, "/m/slow/4")
        time.sleep(0.3)
        replace(served, spec)
        assert slow.result() == "one /slow/4"
    assert len(gateways(served)) == 1


def test_a_gateway_that_is_kept_serves_on_under_its_own_name(served: Place) -> None:
    spec = spec_of(served)
    served.engine.rename(served.gateway, f"{spec.name}.cut-off")
    other = served.engine.create(msgspec.structs.replace(spec, ports={}))
    served.engine.start(other)
    with load(served) as client:
        keep_gateway(served.engine, spec, served.gateway, [other])
    assert client.failures == []
    assert [c.name for c in served.look().containers if c.role == "gateway"] == [spec.name]


def test_a_broken_file_in_the_folder_of_routes_is_removed_and_routes_can_be_changed_again(served: Place) -> None:
    broken = {"mine.yaml": b"}", "other.yml": b"}", CERTIFICATE: b"}"}
    served.engine.put(served.gateway, f"{ROOT}/{ROUTES}", broken)
    new = route_file("m", BACKENDS, weights={TWO: 1}, health="/ready")
    with pytest.raises(EngineFailed, match="its route before is back"):
        switch(served.engine, served.gateway, "m", new)
    snapshot = served.look()
    assert snapshot.strays == (CERTIFICATE, "mine.yaml")
    tidy(served.engine, served.gateway, (*snapshot.strays, "other.yml"))
    assert served.look().strays == ()
    switch(served.engine, served.gateway, "m", new)
    assert served.ask("/m/x") == "two /x"
