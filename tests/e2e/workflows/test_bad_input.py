"""Bad input gives an error with what, why and fix, and changes nothing on the host."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from gitops_ml.clients.engine.building.model_images import DIGEST
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.lock import Holder, Lock
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.observation.target import Target
from gitops_ml.control.observation.view import Options
from tests.e2e.host import Host
from tests.e2e.workshop import MODEL, Workshop, free_port, scratch_workshop

CHURN = f"environments/dev/models/{MODEL}.yaml"
DEV = "environments/dev/environment.yaml"
Edit = Callable[[dict[str, Any]], None]


@dataclass
class Standing:
    """A workshop whose only deployment serves v1.0.0, and its host."""

    workshop: Workshop
    host: Host

    @contextmanager
    def declaring(self, files: dict[str, str]) -> Iterator[None]:
        """Push these files; push the former ones at the end."""
        workshop = self.workshop
        workshop.pull()
        before = workshop.git("rev-parse", "HEAD")
        for path, text in files.items():
            workshop.write(path, text)
        workshop.commit("Declare what cannot be")
        try:
            yield
        finally:
            workshop.pull()
            workshop.git("revert", "--no-edit", f"{before}..HEAD")
            workshop.git("push", "-q", "origin", "HEAD:main")

    def refused(self, *arguments: str) -> str:
        """Run a command that must exit with 1 and change nothing on the host. Returns its error: what, why, fix."""
        before = self.host.objects()
        ran = self.workshop.run(*(arguments or ("sync", "dev")))
        assert ran.code == 1, f"exit {ran.code}\n{ran.out}\n{ran.err}"
        ran.require_clear()
        assert self.host.objects() == before
        assert self.workshop.serving() == "v1.0.0"
        return ran.err


@pytest.fixture(scope="module")
def standing(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with scratch_workshop(engine, tmp_path_factory.mktemp("bad"), "bad-input") as workshop:
        workshop.environment(drain="1s")
        workshop.release("v1.0.0")
        workshop.declare("v1.0.0")
        workshop.sync()
        yield Standing(workshop, Host(engine, workshop.project))


# --- what is written -------------------------------------------------------------------------------------------------


def _churn(**more: Any) -> dict[str, str]:
    return {CHURN: yaml.safe_dump({"schema": 1, "model": MODEL, "version": "v1.0.0"} | more)}


FEW = {"data": "data/few.csv", "group": "day", "metrics": {"roc_auc": {"max_drop": 0.1}}}
DECLARATIONS: dict[str, tuple[dict[str, str], list[str]]] = {
    "a YAML error": ({CHURN: "schema: 1\nmodel: churn\nversion: [v1.0.0\n"}, [f"{CHURN}:4"]),
    "an unknown key": (_churn(replcas=2), [CHURN, "`replcas`", "`replicas`"]),
    "a wrong type": (_churn(replicas="two"), [CHURN, "replicas"]),
    "a name that is no DNS label": ({"environments/dev/models/Churn_EU.yaml": _churn()[CHURN]}, ["Churn_EU"]),
    "a version that does not exist": (_churn(version="v9.9.9"), ["churn@v9.9.9"]),
    "a digest that the version does not hold": (_churn(digest=f"md5:{'0' * 32}.dir"), ["churn@v1.0.0", "0" * 32]),
    "a model that is no artifact": (_churn(model="chrun"), ["chrun", "churn"]),
    "held-out rows that are too few": (
        {"data/few.csv": "x,churned,day\n" + "0.5,1,1\n0.1,0,2\n" * 50}
        | _churn(env={"LOG_LEVEL": "info"}, verify={"holdout": FEW}),
        ["data/few.csv holds 2 groups of `day`", "fewer than 10"],
    ),
    "a strategy that is not known": (_churn(rollout={"strategy": "blue-gren"}), ["blue-gren", "blue-green"]),
}


@pytest.mark.parametrize("what", DECLARATIONS)
def test_a_bad_declaration_is_named_and_its_deployment_keeps_serving(standing: Standing, what: str) -> None:
    files, named = DECLARATIONS[what]
    with standing.declaring(files):
        said = standing.refused()
    assert [word for word in named if word not in said] == [], said


def test_an_unknown_key_of_an_environment_is_named_with_the_nearest(standing: Standing) -> None:
    port = standing.workshop.ports["dev"]
    with standing.declaring({DEV: f"schema: 1\ngatway: {{port: {port}}}\n"}):
        said = standing.refused()
    assert "`gatway`" in said
    assert "`gateway`" in said


def test_a_promotion_from_an_unknown_environment_is_named(standing: Standing) -> None:
    content = yaml.safe_load((standing.workshop.folder / DEV).read_text())
    with standing.declaring({DEV: yaml.safe_dump(content | {"promotion": {"from": "nowhere"}})}):
        said = standing.refused("plan", "dev")
    assert "promotion.from is `nowhere`" in said
    assert "declared: dev" in said
    with standing.declaring({DEV: yaml.safe_dump(content | {"promotion": {"from": "nowhere"}})}):
        standing.workshop.sync()  # what serves is healed all the same


def test_a_broken_declaration_is_reported_once_and_in_status_too(standing: Standing) -> None:
    with standing.declaring(_churn(replcas=2)):
        for command in ("plan", "sync", "status"):
            assert standing.refused(command, "dev").count("replcas") == 1


def test_two_environments_on_one_port_are_both_named(standing: Standing) -> None:
    text = (standing.workshop.folder / DEV).read_text()
    with standing.declaring({"environments/staging/environment.yaml": text}):
        said = standing.refused("plan", "dev")
        assert f"dev and staging both listen on port {standing.workshop.ports['dev']}" in said
        standing.refused("sync", "staging")
        standing.workshop.sync()  # the gateway of dev holds the port: what serves is healed all the same


def test_a_remote_that_does_not_answer_changes_nothing(standing: Standing) -> None:
    away = standing.workshop.remote.with_name("away.git")
    standing.workshop.remote.rename(away)
    try:
        assert "the remote origin could not be fetched" in standing.refused()
    finally:
        away.rename(standing.workshop.remote)


def test_a_remote_that_lost_its_branch_changes_nothing(standing: Standing) -> None:
    subprocess.run(["git", "branch", "-m", "main", "lost"], cwd=standing.workshop.remote, check=True)
    try:
        assert "main" in standing.refused("plan", "dev")
    finally:
        subprocess.run(["git", "branch", "-m", "lost", "main"], cwd=standing.workshop.remote, check=True)


# --- where it is to run ----------------------------------------------------------------------------------------------


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
        files = {"environments/staging/environment.yaml": text, CHURN.replace("dev", "staging"): _churn()[CHURN]}
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
            with standing.declaring(_churn(replicas=2)):
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


# --- what a candidate does -------------------------------------------------------------------------------------------


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
        wanted = Target(clone, "dev", print).look(Options()).wanted[MODEL].generation
    # An image with the candidate's image name, but another digest in its metadata.
    other, incumbent = f"md5:{'0' * 32}.dir", standing.host.replicas()[0]["Image"]
    forged = f'FROM {incumbent}\nENTRYPOINT ["env", "GITOPS_ML_DIGEST={other}"]\nLABEL {DIGEST}={wanted.digest}\n'
    list(api.build(fileobj=BytesIO(forged.encode()), tag=wanted.image, rm=True))
    try:
        ran = workshop.sync(expect=3)
        assert f"ready fail dev/{MODEL}" in ran.err
        assert other in ran.err
        assert workshop.serving() == "v1.0.0"
    finally:
        api.remove_image(wanted.image, force=True)
