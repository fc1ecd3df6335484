"""A full volume of the gateway: what serves keeps serving. `test_second_engine` has a full disk of the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from gitops_ml.clients.gateway.container import gateway_name
from gitops_ml.core.generation import owner_labels
from tests.e2e.host import Host
from tests.e2e.second_engine import small_disk
from tests.e2e.workshop import Workshop

ROOM_OF_VOLUME = 128 * 1024


@pytest.fixture
def small_volume(workshop: Workshop, tmp_path: Path, engine: docker.DockerClient) -> Iterator[Path]:
    """The folder of a small disk that is the gateway's volume."""
    folder = tmp_path / "volume"
    with small_disk(folder, ROOM_OF_VOLUME):
        engine.api.create_volume(
            gateway_name(workshop.project, "dev"),
            driver="local",
            driver_opts={"type": "none", "o": "bind", "device": str(folder)},
            labels=owner_labels(workshop.project, "dev", "volume"),
        )
        yield folder


def test_a_full_volume_of_the_gateway_is_reported_and_no_entry_of_the_journal_is_lost(
    workshop: Workshop, engine: docker.DockerClient, small_volume: Path
) -> None:
    host = Host(engine, workshop.project)
    workshop.environment(drain="1s")
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.sync()
    filler = small_volume / "filler"
    with contextlib.suppress(OSError):
        filler.write_bytes(bytes(ROOM_OF_VOLUME))
    before = host.objects()
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0")
    ran = workshop.sync(expect=1)
    ran.require_clear()
    assert "the engine's disk is full (writing the journal)" in ran.err
    assert host.objects() == before
    assert workshop.serving() == "v1.0.0"
    filler.unlink()
    workshop.sync()
    assert workshop.serving() == "v1.1.0"
    assert [attempt["version"] for attempt in workshop.record()["attempts"]] == ["v1.1.0", "v1.0.0"]
