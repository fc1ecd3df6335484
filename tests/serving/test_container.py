"""Both images on a real engine: built by the classic builder, run locked down, asked by the probe."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sklearn.pipeline import Pipeline

from gitops_ml.clients.engine.building.model_images import ensure_runtime
from gitops_ml.clients.engine.client import Engine
from gitops_ml.serving.building.model_layer import model_context
from gitops_ml.serving.building.requirements import read_lock, with_server
from tests.serving.artifacts import body, rows, write_artifact
from tests.serving.attacks import ATTACKS, under, usual_seconds
from tests.serving.conftest import IDENTITY, ROOT
from tests.serving.test_loading import foreign_function

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

LOCKED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "tmpfs": {"/tmp": "size=64m"},
    "pids_limit": 128,
    "mem_limit": "512m",
    "nano_cpus": 1_000_000_000,
}


def build(engine: docker.DockerClient, context: Iterable[bytes], tag: str, labels: dict[str, str]) -> str:
    image, _ = engine.images.build(
        fileobj=io.BytesIO(b"".join(context)),
        custom_context=True,
        tag=tag,
        labels=labels,
        nocache=True,
        rm=True,
        forcerm=True,
    )
    return str(image.id)


@pytest.fixture(scope="module")
def runtime() -> str:
    """The runtime image of the locked requirements; kept for the next run."""
    requirements = with_server(read_lock((ROOT / "requirements/serving.txt").read_bytes()))
    with Engine.connect(None) as connected:
        return ensure_runtime(connected, requirements)[0]


@pytest.fixture
def project(engine: docker.DockerClient, scratch_project: Callable[[], str]) -> Iterator[str]:
    name = scratch_project()
    engine.networks.create(name, labels={"gitops-ml.project": name})
    yield name


def start(engine: docker.DockerClient, project: str, runtime: str, model: Path) -> Container:
    labels = {"gitops-ml.project": project}
    image = build(engine, model_context(model, runtime), f"{project}:model", labels)
    return engine.containers.run(
        image,
        detach=True,
        name=f"{project}-replica",
        network=project,
        labels=labels,
        environment={**IDENTITY, "OMP_NUM_THREADS": "1"},
        **LOCKED,
    )


def probe(engine: docker.DockerClient, project: str, runtime: str, job: Any, requests: Any) -> dict[str, Any]:
    container = engine.containers.create(
        runtime,
        ["python", "-m", "gitops_ml.serving.probe"],
        network=project,
        labels={"gitops-ml.project": project},
        volumes=["/probe"],
        **LOCKED,
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (("job.json", job), ("requests.json", requests)):
            entry, text = tarfile.TarInfo(name), json.dumps(content).encode()
            entry.size, entry.mode = len(text), 0o444
            archive.addfile(entry, io.BytesIO(text))
    container.put_archive("/probe", buffer.getvalue())
    container.start()
    assert container.wait(timeout=90)["StatusCode"] == 0, container.logs()
    stream, _ = container.get_archive("/probe/result.json")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        member = archive.extractfile("result.json")
        assert member is not None
        return dict(json.loads(member.read()))


def test_a_locked_down_model_is_probed_and_stops_at_once(
    engine: docker.DockerClient, project: str, runtime: str, artifact: Path, pipeline: Pipeline
) -> None:
    replica = start(engine, project, runtime, artifact)
    expect = {"version": IDENTITY["GITOPS_ML_VERSION"], "digest": IDENTITY["GITOPS_ML_DIGEST"]}
    target = {"name": "candidate", "url": f"http://{project}-replica:8080", "model": "delays", "expect": expect}
    frame = rows(2000, seed=4)
    result = probe(
        engine,
        project,
        runtime,
        {"deadline": 60.0, "targets": [target], "example": body(rows(1)), "requests": "/probe/requests.json"},
        {"bodies": [body(frame)]},
    )["targets"]["candidate"]
    assert (result["ready"], result["error"], result["smoke"]["ok"]) == (True, None, True)
    assert result["outputs"][0]["predict"] == pipeline.predict(frame).tolist()
    started = time.monotonic()
    replica.stop(timeout=20)
    assert time.monotonic() - started < 5
    replica.reload()
    assert replica.attrs["State"]["ExitCode"] == 0


def test_a_hostile_model_never_serves(engine: docker.DockerClient, project: str, runtime: str, tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "model")
    message = foreign_function(folder)
    replica = start(engine, project, runtime, folder)
    assert replica.wait(timeout=60)["StatusCode"] == 1
    last = replica.logs().decode().splitlines()[-1]
    assert "refused to serve" in last
    assert message in last


def test_a_server_under_attack_outgrows_no_limit_and_serves_bystanders(
    engine: docker.DockerClient, project: str, runtime: str, artifact: Path
) -> None:
    """One container for all attacks, so that what one of them leaves behind adds up."""
    replica = start(engine, project, runtime, artifact)
    replica.reload()
    host = replica.attrs["NetworkSettings"]["Networks"][project]["IPAddress"]
    wait_until(lambda: reachable(host))
    failures, answers = {}, {}
    for attack in ATTACKS:
        longest = max(5.0, 50 * usual_seconds(host, 8080))  # a busy machine is slow for everybody
        answers[attack.__name__], bystander = asyncio.run(under(attack, host, 8080))
        if bystander.failures or max(bystander.seconds) > longest:
            failures[attack.__name__] = (bystander.failures[:3], max(bystander.seconds))
    replica.reload()
    state = replica.attrs["State"]
    assert (state["Status"], state["OOMKilled"], failures) == ("running", False, {}), replica.logs(tail=20)
    assert 413 in answers["unfinished"] and set(answers["unfinished"]) <= {0, 408, 413, 429}
    assert set(answers["numbers"]) == {400, 413}  # 400: read whole, and the other columns are empty
    most = next(int(text) for text in (peak(replica, name) for name in PEAKS) if text.isdigit())
    assert most < 0.9 * (512 << 20)


PEAKS = ("memory.peak", "memory/memory.max_usage_in_bytes")
"""Files that hold the most memory that a container has used, by version 2 or 1 of cgroups."""


def peak(replica: Container, name: str) -> str:
    output = replica.exec_run(["cat", f"/sys/fs/cgroup/{name}"]).output
    assert isinstance(output, bytes)
    return output.decode().strip()


def reachable(host: str) -> bool:
    try:
        socket.create_connection((host, 8080), 1).close()
        return True
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_images_hold_no_trace_of_how_they_were_built(
    engine: docker.DockerClient, project: str, runtime: str, artifact: Path
) -> None:
    image = engine.images.get(runtime)
    history = json.dumps(image.history())
    assert "PIP_" not in history
    assert "/build" not in history
    files = engine.containers.run(
        runtime,
        ["sh", "-c", "find / -xdev -name '*certificates.pem' -newer /etc/hostname; find /build; id -u; pwd"],
        remove=True,
        labels={"gitops-ml.project": project},
        **LOCKED,
    )
    assert files.decode().split() == ["65532", "/"]
    model = engine.images.get(build(engine, model_context(artifact, runtime), f"{project}:layers", {}))
    layers = [each.attrs["RootFS"]["Layers"] for each in (image, model)]
    assert layers[1][:-1] == layers[0]
    engine.images.remove(f"{project}:layers")
