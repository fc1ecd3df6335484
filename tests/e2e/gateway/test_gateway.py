"""The gateway on a real engine: traffic moves without a lost request, and a bad route file changes nothing."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from gitops_ml.clients.gateway.container import gateway_spec
from gitops_ml.clients.gateway.layout import CERTIFICATE, ROOT, ROUTES
from gitops_ml.clients.gateway.routes import Drain, remove_route, switch, wait_until_drained
from gitops_ml.core.declaration.schema import Gateway
from gitops_ml.core.planning.drift import container_drift
from gitops_ml.core.planning.route import PIN_HEADER, revision_of, route_file
from gitops_ml.errors import EngineFailed
from tests.e2e.place import Place, place_fixture

place = place_fixture

ONE, TWO = "1" * 12, "2" * 12
BACKENDS = [("one", 8080, ONE), ("two", 8080, TWO)]


def _route(weights: dict[str, int], **settings: object) -> bytes:
    return route_file("m", BACKENDS, weights=weights, health="/ready", **settings)  # type: ignore[arg-type]


@pytest.fixture
def served(place: Place) -> Place:
    place.ensure_gateway()
    place.serve("one")
    place.serve("two")
    switch(place.engine, place.gateway, "m", _route({ONE: 100}))
    return place


class _Load(threading.Thread):
    """One client at a steady pace, on one connection or on a new one each time. It never retries."""

    def __init__(self, port: int, keep: bool, pause: float) -> None:
        super().__init__(daemon=True)
        self.port, self.keep, self.pause = port, keep, pause
        self.done = threading.Event()
        self.seen: Counter[str] = Counter()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.done.wait(self.pause):
            try:
                connection.request("GET", "/m/x")
                response = connection.getresponse()
                body = response.read().decode()
                self.seen[body if response.status == 200 else f"failed: {response.status} {body}"] += 1
            except (OSError, http.client.HTTPException) as error:
                self.seen[f"failed: {error!r}"] += 1
                connection.close()
            if not self.keep:
                connection.close()
        connection.close()


def test_twenty_switches_under_load_lose_no_request(served: Place) -> None:
    clients = [_Load(served.port, keep=number % 2 == 0, pause=0.03) for number in range(8)]
    for client in clients:
        client.start()
    times = []
    with ThreadPoolExecutor(20) as slow:
        answers = []
        for number in range(20):
            answers.append(slow.submit(served.ask, "/m/slow/2"))
            started = time.monotonic()
            switch(served.engine, served.gateway, "m", _route({(TWO, ONE)[number % 2]: 100}))
            times.append(time.monotonic() - started)
            assert served.ask("/m/y") == f"{('two', 'one')[number % 2]} /y"
        assert all(answer.result().endswith(" /slow/2") for answer in answers)
    for client in clients:
        client.done.set()
    for client in clients:
        client.join()
    seen = sum((client.seen for client in clients), Counter())
    assert {text for text in seen if text.startswith("failed")} == set()
    assert seen["one /x"] and seen["two /x"]
    assert sorted(times)[10] < 1.0


def test_a_bad_route_file_changes_nothing(served: Place) -> None:
    before = served.look().routes
    with pytest.raises(EngineFailed, match="its route before is back"):
        switch(served.engine, served.gateway, "m", b'{"http": {"middlewares": {"m.rev-000000000000": 5}}}')
    assert served.look().routes == before
    assert served.ask("/m/x") == "one /x"
    switch(served.engine, served.gateway, "m", _route({TWO: 100}))
    assert served.ask("/m/x") == "two /x"


def test_a_bad_first_route_leaves_no_route(place: Place) -> None:
    place.ensure_gateway()
    with pytest.raises(EngineFailed):
        switch(place.engine, place.gateway, "m", b'{"http": {"middlewares": {"m.rev-000000000000": 5}}}')
    assert place.look().routes == {}
    assert place.engine.get(place.gateway, f"{ROOT}/stage") == {}


def test_an_unchanged_route_waits_for_the_next_health_checks(served: Place) -> None:
    served.engine.kill(served.servers["one"])
    until = time.monotonic() + 60
    while served.look().backends["one"].up:
        assert time.monotonic() < until
    served.engine.start(served.servers["one"])
    switch(served.engine, served.gateway, "m", _route({ONE: 100}))
    assert served.ask("/m/x") == "one /x"


def test_the_gateway_uses_our_certificate_and_makes_none(served: Place) -> None:
    assert "certificate store" not in served.engine.logs(served.gateway, 100, limit=10**6)
    path = f"{ROOT}/{ROUTES}"
    (kept,) = [c for name, c in served.engine.get(served.gateway, path).items() if name.endswith(CERTIFICATE)]
    served.engine.put(served.gateway, path, {CERTIFICATE: kept.replace(b"BEGIN CERTIFICATE", b"BEGIN NOTHING")})
    switch(served.engine, served.gateway, "m", _route({TWO: 100}))
    assert "certificate store" in served.engine.logs(served.gateway, 100, limit=10**6)


def test_prefixes_match_whole_path_segments(served: Place) -> None:
    assert served.ask("/m") == "one /"
    assert served.ask("/m/v2/models/m") == "one /v2/models/m"
    assert served.ask("/v2/models/m/infer") == "one /v2/models/m/infer"
    for path in ("/mm/x", "/v2/models/m2", "/", "/api/rawdata"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            served.ask(path)


def test_a_request_pins_a_generation_only_where_that_is_allowed(served: Place) -> None:
    pin = {PIN_HEADER: TWO}
    assert served.ask("/m/x", pin) == "one /x"
    switch(served.engine, served.gateway, "m", _route({ONE: 100}, pin_header=True))
    assert served.ask("/m/x", pin) == "two /x"
    assert served.ask("/v2/models/m", pin) == "two /v2/models/m"
    assert served.ask("/m/x") == "one /x"


def test_weights_share_the_traffic(served: Place) -> None:
    switch(served.engine, served.gateway, "m", _route({ONE: 75, TWO: 25}))
    seen = Counter(served.ask("/m/x") for _ in range(40))
    assert seen == {"one /x": 30, "two /x": 10}


def test_answers_of_a_mirror_reach_no_user(served: Place) -> None:
    switch(served.engine, served.gateway, "m", _route({ONE: 100}, mirror={TWO: 100}))
    assert {served.ask("/m/x") for _ in range(5)} == {"one /x"}


def test_the_snapshot_shows_loaded_routes_and_healthy_servers(served: Place) -> None:
    seen = served.look()
    assert seen.loaded == {"m": revision_of(seen.routes["m"])}
    assert [(b.alias, b.up) for b in seen.backends.values()] == [("one", True)]
    served.engine.stop(served.servers["one"], 1)
    until = time.monotonic() + 60
    while served.look().backends["one"].up:
        assert time.monotonic() < until
    assert revision_of(seen.routes["m"])


def test_a_route_is_removed(served: Place) -> None:
    remove_route(served.engine, served.gateway, "m")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        served.ask("/m/x")
    assert served.look().routes == {}
    remove_route(served.engine, served.gateway, "m")


def test_a_drain_waits_for_requests_in_flight(served: Place) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.ask, "/m/slow/1.5")
        time.sleep(0.3)
        switch(served.engine, served.gateway, "m", _route({TWO: 100}))
        drain = wait_until_drained(served.engine, served.gateway, [("one", 8080)], 20)
        assert answer.done()
    assert drain.in_flight == 0
    assert 0.5 < drain.seconds < 5


def test_a_drain_counts_the_requests_that_it_cuts(served: Place) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(served.ask, "/m/slow/5") for _ in range(2)]
        time.sleep(0.3)
        assert wait_until_drained(served.engine, served.gateway, [("one", 8080), ("two", 8080)], 1).in_flight == 2
        assert {answer.result() for answer in answers} == {"one /slow/5"}


def test_a_drain_does_not_wait_for_servers_that_are_gone(served: Place) -> None:
    served.engine.remove(served.servers["one"], force=True)
    drain = wait_until_drained(served.engine, served.gateway, [("one", 8080), ("never-was", 8080)], 20)
    assert drain.in_flight == 0
    assert drain.seconds < 5
    assert wait_until_drained(served.engine, served.gateway, [], 20) == Drain(in_flight=0, seconds=0.0)


def test_a_new_gateway_has_no_drift(served: Place) -> None:
    spec = gateway_spec(served.project, served.environment, Gateway(port=served.port))
    gateway = served.look().gateway
    assert gateway
    assert container_drift(spec, gateway, None) == ()


def test_a_taken_port_leaves_no_gateway_behind(place: Place) -> None:
    place.ensure_network()
    place.engine.start(place.engine.create(place.spec("first", ports={8080: ("127.0.0.1", place.port)})))
    with pytest.raises(EngineFailed, match=f"port {place.port} on the engine's host is taken"):
        place.ensure_gateway()
    assert place.look().gateway is None


def test_a_gateway_comes_back_with_its_routes(served: Place) -> None:
    served.engine.remove(served.gateway, force=True)
    served.ensure_gateway()
    until = time.monotonic() + 60
    while True:
        try:
            assert served.ask("/m/x") == "one /x"
            return
        except urllib.error.HTTPError:
            assert time.monotonic() < until


def test_a_long_route_is_moved_too(place: Place) -> None:
    place.ensure_gateway()
    backends = [(f"a-replica-with-quite-a-long-alias-{number}", 8080, ONE) for number in range(2000)]
    route = route_file("m", backends, weights={ONE: 100})
    assert len(route) > 128 * 1024
    switch(place.engine, place.gateway, "m", route)
    assert place.look().routes == {"m": route}
