"""The snapshot: as many calls for many containers as for one, and no change is overlooked."""

from __future__ import annotations

import time
from pathlib import Path

import docker
import msgspec
import pytest

from gitops_ml.clients.gateway.routes import switch
from gitops_ml.core.observed import Container, Snapshot
from gitops_ml.core.planning.route import route_file
from tests.e2e.place import Place, place_fixture

place = place_fixture


def _calls(place: Place, cache: Path) -> int:
    before = place.engine.calls
    place.look(cache=cache)
    return place.engine.calls - before


def _container(snapshot: Snapshot, container: str) -> Container:
    return next(c for c in snapshot.containers if c.id == container)


def test_the_number_of_calls_does_not_grow(place: Place, tmp_path: Path) -> None:
    place.ensure_gateway()
    place.engine.create(place.spec("m0"))
    place.look(cache=tmp_path)
    few = _calls(place, tmp_path)
    for number in range(1, 15):
        place.engine.create(place.spec(f"m{number}"))
    place.look(cache=tmp_path)
    assert _calls(place, tmp_path) == few == 6


def test_facts_are_the_same_with_and_without_the_cache(place: Place, tmp_path: Path) -> None:
    place.ensure_network()
    for number in range(3):
        place.engine.create(place.spec(f"m{number}", env={"N": str(number)}))
    place.look(cache=tmp_path)
    assert place.look(cache=tmp_path).containers == place.look().containers


def test_an_updated_limit_is_seen(place: Place, engine: docker.DockerClient, tmp_path: Path) -> None:
    place.ensure_network()
    container = place.engine.create(place.spec("m"))
    place.look(cache=tmp_path)
    engine.api.update_container(container, mem_limit="80m", memswap_limit="80m")
    facts = _container(place.look(cache=tmp_path), container).facts
    assert facts
    assert facts.memory == 80 * 1024**2


def test_a_container_that_is_killed_for_memory_again_and_again_is_seen(place: Place, tmp_path: Path) -> None:
    place.ensure_network()
    greedy = ("python", "-c", "import time; time.sleep(0.5); x = bytearray(200 * 1024**2)")
    container = place.engine.create(place.spec("m", command=greedy))
    place.look(cache=tmp_path)
    place.engine.start(container)
    until = time.monotonic() + 60
    while True:
        facts = _container(place.look(cache=tmp_path), container).facts
        assert facts
        if facts.restarts >= 2:
            break
        assert time.monotonic() < until, facts
        time.sleep(0.5)
    assert facts.out_of_memory
    assert facts.started > "2020"


def test_a_lost_network_is_seen(place: Place, engine: docker.DockerClient, tmp_path: Path) -> None:
    place.ensure_network()
    container = place.engine.create(place.spec("m"))
    place.look(cache=tmp_path)
    engine.api.disconnect_container_from_network(container, place.network, force=True)
    engine.api.connect_container_to_network(container, place.network, aliases=["other"])
    facts = _container(place.look(cache=tmp_path), container).facts
    assert facts
    assert facts.aliases == ("other",)


def test_an_update_is_seen_after_the_engine_forgot_it(
    place: Place, engine: docker.DockerClient, tmp_path: Path
) -> None:
    place.ensure_network()
    container = place.engine.create(place.spec("m"))
    place.look(cache=tmp_path)
    engine.api.update_container(container, mem_limit="90m", memswap_limit="90m")
    for number in range(260):
        place.engine.rename(container, f"{place.project}.{number}")
    place.engine.rename(container, place.spec("m").name)
    facts = _container(place.look(cache=tmp_path), container).facts
    assert facts
    assert facts.memory == 90 * 1024**2


def test_a_broken_cache_is_replaced(place: Place, tmp_path: Path) -> None:
    place.ensure_network()
    container = place.engine.create(place.spec("m"))
    place.look(cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert _container(place.look(cache=tmp_path), container).facts
    assert msgspec.json.decode(file.read_bytes())


@pytest.mark.parametrize("gateway", ["running", "stopped", "removed"])
def test_routes_and_journal_are_read_in_every_state_of_the_gateway(place: Place, gateway: str) -> None:
    from gitops_ml.clients.gateway.journal import Journal

    place.ensure_gateway()
    route = route_file("m", [("m-a", 8080, "a" * 12)], weights={"a" * 12: 100})
    switch(place.engine, place.gateway, "m", route)
    Journal(place.engine, place.gateway, ()).append([b'{"kind":"applied"}'])
    if gateway == "stopped":
        place.engine.stop(place.gateway, 1)
    if gateway == "removed":
        place.engine.remove(place.gateway, force=True)
    seen = place.look()
    assert seen.routes == {"m": route}
    assert list(seen.journal.values()) == [b'{"kind":"applied"}']
    assert bool(seen.loaded) == (gateway == "running")
    assert [c.role for c in place.look().containers] == ([] if gateway == "removed" else ["gateway"])


def test_an_empty_host_gives_an_empty_snapshot(place: Place) -> None:
    seen = place.look()
    assert (seen.containers, seen.network, seen.volume, seen.routes, seen.journal) == ((), None, False, {}, {})
    assert seen.base_id


def test_containers_without_our_label_are_left_out(place: Place) -> None:
    place.ensure_network()
    place.engine.create(msgspec.structs.replace(place.spec("x"), labels={}, name=f"{place.project}-stranger"))
    try:
        assert place.look().containers == ()
    finally:
        place.engine.remove(f"{place.project}-stranger", force=True)
