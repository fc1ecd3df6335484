"""A container that asks for a GPU, on a real engine: what it was made with, and what happens where there is none."""

from __future__ import annotations

import pytest

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE
from gitops_ml.core.planning.drift import container_drift
from gitops_ml.errors import InputError
from tests.e2e.place import Place, place_fixture

place = place_fixture


def test_a_container_is_made_with_its_gpus_and_an_engine_without_them_says_so(place: Place) -> None:
    place.ensure_network()
    spec = place.spec("gpu", gpus=1)
    container = place.engine.create(spec)
    inspected = place.engine.inspect_container(container)
    assert inspected
    (request,) = inspected["HostConfig"]["DeviceRequests"]
    assert (request["Count"], request["Capabilities"]) == (1, [["gpu"]])
    (seen,) = place.look().containers
    assert seen.facts and seen.facts.gpus == 1
    assert container_drift(spec, seen, place.engine.image_id(BASE_IMAGE)) == ()
    if place.engine.info().gpus == 0:
        with pytest.raises(InputError, match=r"gives containers no GPU"):
            place.engine.start(container)
