"""GPUs of a replica: what the engine offers, what is asked of it, and what a declaration may ask for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gitops_ml.clients.engine.config import container_config, offered_gpus
from gitops_ml.clients.engine.errors import failed
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.generation import generation_of, replica_spec
from gitops_ml.core.planning.drift import container_drift
from gitops_ml.core.planning.validation import require_capacity
from gitops_ml.errors import InputError
from tests.unit.builders import ENVIRONMENT, PROJECT, generation, replica, wanted

RUNTIMES = {"runc": {"path": "runc"}, "nvidia": {"path": "nvidia-container-runtime"}}
CDI = [{"Source": "cdi", "ID": f"nvidia.com/gpu={name}"} for name in ("0", "1", "GPU-5a1b", "GPU-6c2d", "all")]


def declaring(gpus: int) -> Deployment:
    content = {"schema": 1, "model": "churn", "version": "v1.0.0", "resources": {"gpus": gpus}}
    return msgspec.convert(content, Deployment)


@pytest.mark.parametrize(
    ("info", "gpus"),
    [
        ({}, 0),
        ({"Runtimes": {"runc": {}}, "GenericResources": None, "DiscoveredDevices": None}, 0),
        ({"Runtimes": RUNTIMES}, None),
        ({"Runtimes": RUNTIMES, "DiscoveredDevices": CDI}, 2),
        ({"DiscoveredDevices": [{"Source": "cdi", "ID": "vendor.com/net=0"}]}, 0),
        ({"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 4}}]}, 4),
        ({"GenericResources": [{"NamedResourceSpec": {"Kind": "NVIDIA-GPU", "Value": f"GPU-{n}"}} for n in "abc"]}, 3),
        ({"GenericResources": [{"DiscreteResourceSpec": {"Kind": "SSD", "Value": 3}}]}, 0),
    ],
)
def test_what_an_engine_offers(info: dict[str, Any], gpus: int | None) -> None:
    assert offered_gpus(info) == gpus


@pytest.mark.parametrize(
    ("asked", "offered", "fix"),
    [
        (1, 0, "set up NVIDIA's container toolkit for Docker on the engine's host, or remove resources.gpus"),
        (3, 2, "write 2 or less"),
    ],
)
def test_more_than_the_engine_offers_is_refused(asked: int, offered: int, fix: str) -> None:
    with pytest.raises(InputError) as error:
        require_capacity("churn", declaring(asked), 8, offered)
    assert error.value.what == f"churn: resources.gpus is {asked}"
    assert error.value.fix == fix


@pytest.mark.parametrize(("asked", "offered"), [(0, 0), (2, 2), (4, None)])
def test_what_the_engine_has_or_does_not_count_is_accepted(asked: int, offered: int | None) -> None:
    require_capacity("churn", declaring(asked), 8, offered)


def test_each_replica_asks_for_its_gpus_and_others_for_none() -> None:
    resolved = msgspec.structs.replace(wanted("v1").resolved, declaration=declaring(2))
    made = generation_of(resolved, project=PROJECT, commit="c" * 40, base="", serving_version=1)
    spec = replica_spec(made, project=PROJECT, environment=ENVIRONMENT, replica=0, suffix="a", drain=1.0)
    asked = container_config(spec)["HostConfig"]["DeviceRequests"]
    assert asked == [{"Driver": "", "Count": 2, "Capabilities": [["gpu"]]}]
    assert "DeviceRequests" not in container_config(msgspec.structs.replace(spec, gpus=0))["HostConfig"]


def test_gpus_are_part_of_the_generation_and_none_changes_nothing() -> None:
    resolved = wanted("v1").resolved

    def fingerprint(declaration: Deployment) -> str:
        changed = msgspec.structs.replace(resolved, declaration=declaration)
        return generation_of(changed, project=PROJECT, commit="c" * 40, base="", serving_version=1).fingerprint

    plain = msgspec.convert({"schema": 1, "model": "churn", "version": "v1.0.0"}, Deployment)
    assert fingerprint(declaring(0)) == fingerprint(plain) != fingerprint(declaring(1))


def test_a_container_without_its_gpu_is_drift() -> None:
    one = generation("v1", gpus=1)
    spec = replica_spec(one, project=PROJECT, environment=ENVIRONMENT, replica=0, suffix="a", drain=1.0)
    as_made = replica(one)
    assert as_made.facts
    without = msgspec.structs.replace(as_made, facts=msgspec.structs.replace(as_made.facts, gpus=0))
    with_one = msgspec.structs.replace(as_made, facts=msgspec.structs.replace(as_made.facts, gpus=1))
    assert "gpus" in [drift.what for drift in container_drift(spec, without, one.image_id)]
    assert "gpus" not in [drift.what for drift in container_drift(spec, with_one, one.image_id)]


def test_an_engine_that_cannot_give_a_gpu_after_all_is_no_fault_of_the_model() -> None:
    refused = failed("starting churn", 'could not select device driver "" with capabilities: [[gpu]]')
    assert isinstance(refused, InputError) and "remove resources.gpus" in refused.fix
