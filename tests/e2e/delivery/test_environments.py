"""Removed declarations, unreadable environments, and a host that lost everything."""

from __future__ import annotations

import subprocess
from pathlib import Path

import docker
import pytest

from tests.e2e.host import Host
from tests.e2e.workshop import HOLDOUT, MODEL, Workshop

MODELS = "environments/dev/models"


@pytest.fixture
def served(workshop: Workshop) -> Workshop:
    """A workshop that serves v1.0.0 in dev."""
    workshop.environment(drain="1s")
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.sync()
    return workshop


def _withdraw(workshop: Workshop, *paths: str) -> None:
    workshop.pull()
    workshop.git("rm", "-rq", *paths)
    workshop.commit("Withdraw")


def test_a_removed_declaration_removes_its_deployment_and_no_other(
    engine: docker.DockerClient, served: Workshop
) -> None:
    host = Host(engine, served.project)
    served.declare("v1.0.0", deployment="second")
    served.sync()
    assert served.serving(deployment="second") == "v1.0.0"
    kept = [c["Id"] for c in host.replicas(MODEL)]
    _withdraw(served, f"{MODELS}/second.yaml")
    ran = served.run("plan", "dev")
    assert ran.code == 2
    assert [line.split()[0] for line in ran.out.splitlines()] == ["index", "unroute", "retire", "withdraw"]
    served.sync()
    assert served.serving(deployment="second") is None
    assert [c["Id"] for c in host.replicas()] == kept
    assert served.serving() == "v1.0.0"
    served.declare("v1.0.0", deployment="second")
    served.sync()
    assert served.serving(deployment="second") == "v1.0.0"


def test_the_last_deployment_is_removed_only_with_confirmation(engine: docker.DockerClient, served: Workshop) -> None:
    host = Host(engine, served.project)
    _withdraw(served, f"{MODELS}/{MODEL}.yaml")
    before = host.objects()
    ran = served.sync(expect=1)
    assert f"dev/{MODEL} would be removed" in ran.err
    assert "no longer declares it" in ran.err
    assert "gitops-ml sync dev --confirm-removals" in ran.err
    assert host.objects() == before
    assert served.serving() == "v1.0.0"
    served.sync("dev", "--confirm-removals")
    assert served.serving() is None
    assert host.replicas() == []
    served.sync()


def test_removals_beyond_the_policy_need_confirmation(engine: docker.DockerClient, served: Workshop) -> None:
    host = Host(engine, served.project)
    for name in ("second", "third"):
        served.declare("v1.0.0", deployment=name)
    served.sync()
    _withdraw(served, f"{MODELS}/second.yaml", f"{MODELS}/third.yaml")
    before = host.objects()
    served.sync(expect=1)
    assert host.objects() == before
    served.sync("dev", "--confirm-removals")
    assert len(host.replicas()) == 1


def test_an_environment_without_its_folder_is_left_alone_and_reported(
    engine: docker.DockerClient, served: Workshop
) -> None:
    host = Host(engine, served.project)
    served.pull()
    served.environment("staging", drain="1s")
    served.commit("Declare staging")
    _withdraw(served, "environments/dev")
    before = host.objects()
    ran = served.sync(expect=1)
    assert "environment `dev` is not in commit" in ran.err
    ran = served.run("sync")
    assert ran.code == 1, "not even when no environment is named"
    assert f"{served.project} runs in dev" in ran.err
    assert host.objects() == before
    assert served.serving() == "v1.0.0"
    choice, _, remove = ran.err.split("fix: ")[1].splitlines()[0].partition(", or take away what it runs: ")
    assert choice == "restore environments/dev"
    subprocess.run(remove, shell=True, check=True, capture_output=True)
    ran = served.run("sync")
    assert ran.code == 0, ran.err


def test_an_environment_that_cannot_be_read_does_not_delay_the_others(served: Workshop) -> None:
    served.release("v1.1.0")
    served.declare("v1.1.0", environment="staging")
    served.write("environments/dev/environment.yaml", "schema: 1\n")
    served.commit("Break dev")
    ran = served.run("sync")
    assert ran.code == 1
    assert "environments/dev/environment.yaml" in ran.err
    assert served.serving("staging") == "v1.1.0"
    assert served.serving() == "v1.0.0"


def test_an_emptied_host_serves_the_tip_again(engine: docker.DockerClient, served: Workshop) -> None:
    Host(engine, served.project).wipe()
    served.sync()
    assert served.serving() == "v1.0.0"
    assert served.status()["verification"] == "Verified"


def test_an_emptied_host_boots_the_verified_version_before_it_tries_the_tip(
    engine: docker.DockerClient, served: Workshop, tmp_path: Path
) -> None:
    host = Host(engine, served.project)
    served.release("v1.1.0")
    served.declare("v1.1.0", verify=HOLDOUT)
    host.wipe()
    colleague = served.another_clone(tmp_path / "colleague")
    said = colleague.sync().err
    assert "because the host is blank and v1.0.0 was verified last" in said
    assert said.index("v1.0.0 was verified last") < said.index("v1.1.0 is declared and v1.0.0 serves")
    assert served.serving() == "v1.1.0"


def test_an_emptied_host_serves_the_verified_version_when_the_tip_is_bad(
    engine: docker.DockerClient, served: Workshop
) -> None:
    served.release("v2.0.0", noise=30)
    served.declare("v2.0.0", verify=HOLDOUT)
    Host(engine, served.project).wipe()
    served.sync(expect=3)
    assert served.serving() == "v1.0.0"
    assert served.declared()["version"] == "v1.0.0"
    served.sync()
