"""Engines, ports, locks, clones and candidates that cannot be used give an error, and change nothing on the host."""

from __future__ import annotations

import socket
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
import yaml

from gitops_ml.clients.engine.building.model_images import DIGEST
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.lock import Holder, Lock
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.environment.target import EnvironmentTarget
from gitops_ml.control.environment.view import Options
from tests.e2e.bad_input.conftest import CHURN, DEV, Standing, churn_file
from tests.e2e.workshop import MODEL
from tests.ports import free_port


def _on_engine(standing: Standing, engine: str) -> dict[str, str]:
    content = yaml.safe_load((standing.workshop.folder / DEV).read_text())
    return {DEV: yaml.safe_dump(content | {"engine": engine})}


def test_an_engine_whose_socket_is_absent_is_named(standing: Standing) -> None:
    with standing.declaring(_on_engine(standing, "unix:///nowhere/docker.sock")):
        said = standing.refused()
    assert "the Docker engine at unix:///nowhere/docker.sock does not answer" in said


def test_an_engine_whose_port_is_closed_is_named(
    standing: Standing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "1"]
    subprocess.run([*make, "-keyout", "key.pem", "-out", "cert.pem"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "ca.pem").write_bytes((tmp_path / "cert.pem").read_bytes())
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    url = f"tcp://127.0.0.1:{free_port()}"
    with standing.declaring(_on_engine(standing, url)):
        said = standing.refused("plan", "dev")
    assert f"the Docker engine at {url} does not answer" in said
    assert "refused" in said


def test_another_engine_than_recorded_is_refused_until_rebind(standing: Standing) -> None:
    workshop = standing.workshop
    workshop.pull()
    path = f"environments/dev/records/{MODEL}.yaml"
    mine = workshop.record()["engine"]
    workshop.write(path, (workshop.folder / path).read_text().replace(mine, "another-engine"))
    workshop.commit("Come from another engine")
    said = standing.refused()
    assert "dev runs on engine another-engine" in said
    assert mine in said
    assert "--rebind" in said
    workshop.sync("dev", "--rebind")
    assert workshop.record()["engine"] == mine
    workshop.sync()


def test_a_taken_port_leaves_nothing_of_a_new_environment(standing: Standing) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = yaml.safe_dump({"schema": 1, "engine": "unix:///var/run/docker.sock", "gateway": {"port": port}})
        files = {"environments/staging/environment.yaml": text, CHURN.replace("dev", "staging"): churn_file()[CHURN]}
        with standing.declaring(files):
            said = standing.refused("sync", "staging")
    assert f"port {port} on the engine's host is taken" in said


def test_a_gateway_stays_if_the_new_port_is_taken(standing: Standing) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        content = yaml.safe_load((standing.workshop.folder / DEV).read_text())
        moved = yaml.safe_dump(content | {"gateway": content["gateway"] | {"port": port}})
        gateway = standing.host.gateway()["Id"]
        with standing.declaring({DEV: moved}):
            ran = standing.workshop.run("sync", "dev")
            assert ran.code == 1, ran.err
            ran.require_clear()
            assert f"port {port} on the engine's host is taken" in ran.err
            assert standing.workshop.serving() == "v1.0.0"
            assert standing.host.gateway()["Id"] == gateway
    standing.workshop.sync()


def test_a_gateway_keeps_serving_if_the_new_address_is_not_of_this_host(standing: Standing) -> None:
    content = yaml.safe_load((standing.workshop.folder / DEV).read_text())
    moved = yaml.safe_dump(content | {"gateway": content["gateway"] | {"bind": "203.0.113.9"}})  # RFC 5737: nobody's
    before = standing.host.gateway()
    with standing.declaring({DEV: moved}):
        ran = standing.workshop.run("sync", "dev")
        assert ran.code == 1, ran.err
        ran.require_clear()
        assert "the engine's host has no address 203.0.113.9" in ran.err
        assert "gateway.bind" in ran.err
        assert "retry dev" not in ran.err
        assert standing.workshop.serving() == "v1.0.0"
        after = standing.host.gateway()
        assert (after["Id"], after["Name"]) == (before["Id"], before["Name"])
        assert after["State"]["StartedAt"] == before["State"]["StartedAt"]
        assert standing.host.of_role("probe") == []
    standing.workshop.sync()


def test_a_held_lock_names_its_holder_and_how_to_break_it(standing: Standing) -> None:
    workshop, host = standing.workshop, standing.host
    holder = Holder(who="ann@laptop pid 4711", machine="another", pid=4711, started="1", command="gitops-ml sync dev")
    with Engine.connect(None) as connected:
        lock = Lock.acquire(connected, workshop.project, "dev", GATEWAY_IMAGE, holder=holder)
        try:
            with standing.declaring(churn_file(replicas=2)):
                said = standing.refused()
                assert "is held by ann@laptop pid 4711 for" in said
                assert "`gitops-ml sync dev`; the lock expires 900 s after its holder has died" in said
                assert f"--break-lock {lock.id[:12]}" in said
                workshop.sync("dev", "--break-lock", lock.id[:12])
                assert len(host.replicas()) == 2
        finally:
            lock.release()
    workshop.sync()
    assert host.of_role("lock") == []
    assert f"dev has no lock {lock.id[:12]}" in standing.refused("sync", "dev", "--break-lock", lock.id[:12])


def test_a_stale_clone_is_refused_until_allow_older(standing: Standing, tmp_path: Path) -> None:
    workshop = standing.workshop
    subprocess.run(["git", "clone", "-q", "--bare", str(workshop.remote), str(tmp_path / "old.git")], check=True)
    theirs = workshop.another_clone(tmp_path)
    theirs.git("remote", "set-url", "origin", str(tmp_path / "old.git"))
    workshop.declare("v1.0.0", env={"LOG_LEVEL": "info"})
    workshop.sync()
    before = standing.host.objects()
    ran = theirs.run("sync", "dev")
    assert ran.code == 1, ran.err
    ran.require_clear()
    assert "does not descend from" in ran.err
    assert standing.host.objects() == before
    theirs.sync("dev", "--allow-older")
    assert standing.host.objects() != before
    workshop.declare("v1.0.0")
    workshop.sync()


def test_a_container_that_never_becomes_ready_fails_with_its_last_log_lines(standing: Standing) -> None:
    workshop = standing.workshop
    workshop.release("v2.0.0", says="reading 90 GB of weights", load_seconds=60)
    workshop.declare("v2.0.0", serve={"start_timeout": "2s"})
    replicas = [c["Id"] for c in standing.host.replicas()]
    ran = workshop.sync(expect=3)
    assert "reading 90 GB of weights" in ran.err
    assert workshop.serving() == "v1.0.0"
    assert [c["Id"] for c in standing.host.replicas()] == replicas


def test_a_server_with_another_digest_is_never_ready(standing: Standing) -> None:
    workshop, api = standing.workshop, standing.host.api
    workshop.release("v3.0.0")
    workshop.declare("v3.0.0", serve={"start_timeout": "20s"})
    with Repository.open(workshop.folder) as clone:
        wanted = EnvironmentTarget(clone, "dev", print).look(Options()).wanted[MODEL].generation
    # An image with the candidate's image name, but another digest in its metadata.
    other, incumbent = f"md5:{'0' * 32}.dir", standing.host.replicas()[0]["Image"]
    forged = f'FROM {incumbent}\nENTRYPOINT ["env", "GITOPS_ML_DIGEST={other}"]\nLABEL {DIGEST}={wanted.digest}\n'
    list(api.build(fileobj=BytesIO(forged.encode()), tag=wanted.image, nocache=True, rm=True))
    try:
        ran = workshop.sync(expect=3)
        assert f"ready fail dev/{MODEL}" in ran.err
        assert other in ran.err
        assert workshop.serving() == "v1.0.0"
    finally:
        api.remove_image(wanted.image, force=True)
