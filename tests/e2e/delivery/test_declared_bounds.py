"""No accepted declaration causes an outage: extreme values of the keys that reach the engine, under requests.

Every key with every kind of value goes through plan in `tests/unit/declaration/test_walk.py`. Here is a sample of what
is accepted there and reaches the engine or the gateway.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.e2e.steady_client import SteadyClient
from tests.e2e.workshop import MODEL, Workshop

SHORT = {"start_timeout": "10s"}
ROUNDS: list[dict[str, dict[str, Any]]] = [
    {
        "memory": {"resources": {"memory": "6m"}, "serve": SHORT},
        "pids": {"resources": {"pids": 16}, "serve": SHORT},
        "path": {"env": {"PATH": ""}, "serve": SHORT},
        "path-recreate": {"env": {"PATH": "/nowhere"}, "serve": SHORT, "rollout": {"strategy": "recreate"}},
        "cpus-recreate": {"resources": {"cpus": 1024}, "rollout": {"strategy": "recreate"}},
        "secret-recreate": {"secrets": {"A": "/etc/gitops-ml/secrets/none"}, "rollout": {"strategy": "recreate"}},
    },
    {
        "memory": {"resources": {"memory": "65536g", "pids": 4194304}},
        "pids": {"resources": {"cpus": 0.01}, "serve": {"start_timeout": "1s"}},
        "path": {"env": {"A" * 128: "\u00fc" * 30_000, "B": "{{`$(x)`}}\n"}},
        "path-recreate": {"resources": {"pids": 16}, "serve": SHORT, "rollout": {"strategy": "recreate"}},
        "cpus-recreate": {"rollout": {"strategy": "canary", "steps": [1, 99] * 25}, "hold": {"reason": "x"}},
        "secret-recreate": {"replicas": 3, "verify": {"http": [{"name": "a", "url": "http://127.0.0.1:1"}]}},
    },
]
GATEWAYS: list[dict[str, Any]] = [
    {"drain": "0s", "pin_header": True},
    {"drain": "1d"},
    {"bind": "192.0.2.7"},
]
"""Changes of the gateway with which it goes on serving where it was, accepted or not."""


@pytest.fixture
def served(workshop: Workshop) -> Workshop:
    """Six deployments that serve, in an environment that reverts nothing."""
    workshop.environment(drain="1s", policy={"auto_revert": False})
    workshop.release("v1.0.0")
    for name in ROUNDS[0]:
        write(workshop, name)
    workshop.commit("Declare all")
    workshop.sync()
    return workshop


def write(workshop: Workshop, name: str, **more: Any) -> None:
    content = {"schema": 1, "model": MODEL, "version": "v1.0.0"} | more
    workshop.write(f"environments/dev/models/{name}.yaml", yaml.safe_dump(content))


@contextmanager
def requests_to(workshop: Workshop, names: list[str]) -> Iterator[dict[str, SteadyClient]]:
    clients = {name: SteadyClient(workshop.ports["dev"], f"/v2/models/{name}", pause=0.1) for name in names}
    for client in clients.values():
        client.start()
    try:
        yield clients
    finally:
        for client in clients.values():
            client.end()


def sync_bearably(workshop: Workshop) -> None:
    """Sync, which may fail in words, and with no traceback."""
    ran = workshop.run("sync", "dev")
    assert ran.code in (0, 1, 3, 4), ran.err
    assert "Traceback" not in ran.err, ran.err
    if ran.code == 1:
        ran.require_clear()


def test_what_serves_still_serves_whatever_is_declared(served: Workshop) -> None:
    names = list(ROUNDS[0])
    for declared in ROUNDS:
        recreated = {name for name, more in declared.items() if more.get("rollout", {}).get("strategy") == "recreate"}
        with requests_to(served, names) as clients:
            served.pull()
            for name, more in declared.items():
                write(served, name, **more)
            served.commit("Declare odd values")
            sync_bearably(served)
        failures = {name: client.failures for name, client in clients.items() if client.failures}
        assert failures.keys() <= recreated, failures
        # What the engine refuses to create is refused before anything stops.
        assert not failures.keys() & {"cpus-recreate", "secret-recreate"}, failures
        assert {name: served.serving(deployment=name) for name in names} == dict.fromkeys(names, "v1.0.0")
    with requests_to(served, names[:1]) as clients:
        for settings in GATEWAYS:
            served.pull()
            served.environment(gateway={"port": served.ports["dev"]} | settings)
            served.commit(f"Declare {settings}")
            sync_bearably(served)
    (client,) = clients.values()
    assert client.longest_gap < 10, client.failures[-3:]
    served.environment(gateway={"port": served.ports["dev"]})
    served.commit("Declare a gateway that works")
    sync_bearably(served)
    assert served.serving(deployment=names[0]) == "v1.0.0"
