"""Drift: the differences between a container and its spec."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitops_ml.clients.engine.config import container_config
from gitops_ml.core.generation import ContainerSpec, Generation, replica_spec
from gitops_ml.core.observed import Container
from gitops_ml.core.planning.drift import container_drift
from tests.unit.builders import DRAIN, ENVIRONMENT, PROJECT, changed, generation, replica

V1 = generation("v1", env={"TOKEN": "s3cret"}, secrets={"API_KEY": "/etc/key"})


def spec() -> ContainerSpec:
    return _spec_of(V1)


def _spec_of(asked: Generation) -> ContainerSpec:
    return replica_spec(asked, project=PROJECT, environment=ENVIRONMENT, replica=0, suffix="aaaaaa", drain=DRAIN)


def drifts(container: Container, image_id: str | None = V1.image_id) -> list[str]:
    return [str(container) for container in container_drift(spec(), container, image_id)]


def test_a_container_like_its_spec_has_no_drift() -> None:
    assert drifts(replica(V1)) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"memory": 1}, "memory is 1, declared 536870912"),
        ({"cpus": 2.0}, "cpus is 2.0, declared 1.0"),
        ({"pids": 0}, "pids is 0, declared 256"),
        ({"restart": "no"}, "restart is no, declared unless-stopped"),
        ({"user": "root"}, "user is root, declared 65532:65532"),
        ({"read_only": False}, "read_only is False, declared True"),
        ({"privileged": True}, "privileges is (True, True), declared (False, True)"),
        ({"no_new_privileges": False}, "privileges is (False, False), declared (False, True)"),
        ({"cap_drop": ()}, "capabilities is ((), ()), declared (('ALL',), ())"),
        ({"cap_add": ("NET_ADMIN",)}, "capabilities is (('ALL',), ('NET_ADMIN',)), declared (('ALL',), ())"),
        ({"mounts": {}}, "mounts is {}, declared {'/run/secrets/API_KEY': '/etc/key:ro'}"),
        ({"tmpfs": ("/tmp", "/x")}, "tmpfs is ('/tmp', '/x'), declared ('/tmp',)"),
        ({"ports": {8080: ("", 80)}}, "ports is {8080: ('', 80)}, declared {}"),
        ({"command": ("sh",)}, "command is ('sh',), declared ('python', '-m', 'gitops_ml.serving.server')"),
        (
            {"command": ("python", "-m", "other.server")},
            "command is ('other.server',), declared ('gitops_ml.serving.server',)",
        ),
        ({"aliases": ("x",)}, "aliases is ['x'], declared ['churn-111111111111-0-aaaaaa']"),
    ],
)
def test_each_differing_fact_is_drift(facts: dict[str, Any], expected: str) -> None:
    assert drifts(changed(replica(V1), **facts)) == [expected]


def env(**other: str | None) -> dict[str, str]:
    container = replica(V1).facts
    assert container
    return {k: v for k, v in (container.env | other).items() if v is not None}


@pytest.mark.parametrize(
    "other", [{"TOKEN": "0ther"}, {"TOKEN": None}, {"TOKEN": "x", "MORE": "y"}], ids=["changed", "gone", "added"]
)
def test_values_of_env_are_never_shown(other: dict[str, str | None]) -> None:
    (drift,) = drifts(changed(replica(V1), env=env(**other)))
    assert drift == f"env is different in {', '.join(sorted(other))}, declared as declared"


@given(st.floats(0.01, 512.0))
@example(0.333333333333)
@example(0.30000000000000004)
def test_cpus_are_compared_as_the_engine_stores_them(cpus: float) -> None:
    declared = generation("v1", cpus=cpus)
    asked = container_config(_spec_of(declared))["HostConfig"]["NanoCpus"]
    seen = changed(replica(declared), cpus=asked / 1e9)
    assert container_drift(_spec_of(declared), seen, declared.image_id) == ()


def test_a_declared_entrypoint_is_compared() -> None:
    own = msgspec.structs.replace(spec(), entrypoint=("tini",))
    assert [d.what for d in container_drift(own, replica(V1), None)] == ["entrypoint"]


@pytest.mark.parametrize("what", ["command", "entrypoint"])
def test_no_command_means_the_images_own(what: str) -> None:
    own = msgspec.structs.replace(spec(), command=None, entrypoint=None)
    as_declared = changed(replica(V1), command=None, entrypoint=None)
    assert container_drift(own, as_declared, None) == ()
    assert [str(d) for d in container_drift(own, changed(as_declared, **{what: ("sh",)}), None)] == [
        f"{what} is ('sh',), declared None"
    ]


def test_further_aliases_are_no_drift() -> None:
    container = replica(V1)
    assert container.facts
    assert drifts(changed(container, aliases=(*container.facts.aliases, "0123456789ab"))) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"image_id": "sha256:other"}, "image is sha256:other, declared sha256:111111111111"),
        ({"networks": ()}, "networks is [], declared ['shop.dev']"),
        (
            {"networks": ("bridge", "shop.dev")},
            "networks is ['bridge', 'shop.dev'], declared ['shop.dev']",
        ),
        ({"name": "renamed"}, "name is renamed, declared shop.dev.churn.11111111.0-aaaaaa"),
    ],
)
def test_a_container_without_facts_is_compared_by_the_list(fields: dict[str, Any], expected: str) -> None:
    container = msgspec.structs.replace(replica(V1), facts=None, **fields)
    assert drifts(container) == [expected]


def test_an_unknown_image_is_not_compared() -> None:
    container = msgspec.structs.replace(replica(V1), image_id="sha256:other")
    assert drifts(container, image_id=None) == []


def test_labels_of_others_are_no_drift() -> None:
    container = replica(V1)
    assert drifts(msgspec.structs.replace(container, labels=container.labels | {"com.example": "x"})) == []


def test_drifts_come_in_a_stable_order() -> None:
    container = changed(msgspec.structs.replace(replica(V1), name="x"), memory=1, cpus=9.0)
    assert [line.split(" ")[0] for line in drifts(container)] == ["cpus", "memory", "name"]
