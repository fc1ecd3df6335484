"""The probe on a real engine: it is quick, is removed afterwards, and ends early when its target ends."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gitops_ml.clients.engine.building.model_images import probe_image
from gitops_ml.clients.gateway.probing.probe import ProbeJob, ProbePlace, run_probe
from gitops_ml.core.verification.probe_result import ProbeResult
from gitops_ml.errors import EngineFailed
from tests.e2e.model_server import request_of, start_model
from tests.e2e.place import Place, place_fixture

place = place_fixture


def _probe(place: Place, *names: str, watch: tuple[str, ...] = (), deadline: float = 15.0, **job: Any) -> ProbeResult:
    expect = {"version": "v1", "digest": "md5:good"}
    targets = [{"name": name, "url": f"http://{name}:8080", "model": "m", "expect": expect} for name in names]
    bodies = [request_of(1.0, 2.0), request_of(3.0)]
    given: dict[str, Any] = {"targets": targets, "seconds": deadline, "example": request_of(1.5), "bodies": bodies}
    where = ProbePlace(project=place.project, environment=place.environment, image=probe_image(place.engine))
    return run_probe(place.engine, where, ProbeJob(**(given | job)), watch=watch)


def _roles(place: Place) -> set[str]:
    return {container.role for container in place.look().containers}


def test_the_probe_returns_the_answers_of_the_models(place: Place) -> None:
    containers = (start_model(place, "candidate", "md5:good", 0.5), start_model(place, "incumbent", "md5:good"))
    found = _probe(place, "candidate", "incumbent", watch=containers)
    for target in found.targets.values():
        assert target["ready"]
        assert target["smoke"]["outputs"] == {"predict": [1.5]}
        assert target["outputs"] == [{"predict": [1.0, 2.0]}, {"predict": [3.0]}]
        assert target["rows"] == 3
    assert found.ended == ()
    assert _roles(place) == {"replica"}


def test_another_digest_is_not_ready(place: Place) -> None:
    start_model(place, "candidate", "md5:bad")
    target = _probe(place, "candidate").targets["candidate"]
    assert not target["ready"]
    assert "md5:bad" in target["error"]


@pytest.mark.parametrize("restart", ["no", "unless-stopped"])
def test_the_probe_ends_when_its_target_ends(place: Place, restart: str) -> None:
    container = start_model(place, "candidate", "broken", restart=restart)
    started = time.monotonic()
    found = _probe(place, "candidate", watch=(container,), deadline=60.0)
    assert time.monotonic() - started < 20
    assert not found.targets["candidate"]["ready"]
    assert "the model cannot be loaded" in found.targets["candidate"]["error"]
    end = found.ended[0]
    assert end.code == (None if end.restarted else 1)
    assert end.restarted <= (restart != "no")
    assert _roles(place) == {"replica"}


def test_a_target_that_runs_out_of_memory_is_reported(place: Place) -> None:
    container = start_model(place, "candidate", "hungry")
    found = _probe(place, "candidate", watch=(container,), deadline=60.0)
    assert "its container" in found.targets["candidate"]["error"]
    assert found.ended[0].container == container


def test_a_removed_target_is_noticed(place: Place) -> None:
    container = start_model(place, "candidate", "md5:good", delay=60)
    place.engine.remove(container, force=True)
    found = _probe(place, "candidate", watch=(container,), deadline=60.0)
    assert found.ended[0].code is None


def test_a_target_that_never_answers_is_given_up_at_the_deadline(place: Place) -> None:
    start_model(place, "candidate", "md5:good", delay=60)
    target = _probe(place, "candidate", deadline=2.0).targets["candidate"]
    assert not target["ready"]
    assert "not ready" in target["error"]


def test_a_broken_job_is_a_fault_of_ours(place: Place) -> None:
    place.ensure_network()
    with pytest.raises(EngineFailed, match="exit code 2"):
        _probe(place, targets=[{"name": "no URL"}])
    assert _roles(place) == set()
