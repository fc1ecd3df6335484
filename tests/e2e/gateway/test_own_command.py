"""A team's own command on a real engine: what it gets, what it does not get, and that it ends."""

from __future__ import annotations

import time

import docker
import pytest

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from gitops_ml.clients.own_checks.command import CommandPlace
from gitops_ml.clients.own_checks.run import Reach, run_own_checks
from gitops_ml.core.declaration.checks import CommandCheck
from gitops_ml.core.verification.own_checks import CheckSubject
from gitops_ml.core.verification.verdict import CheckResult
from tests.e2e.place import Place, place_fixture

place = place_fixture
SUBJECT = CheckSubject(
    environment="dev", deployment="churn", version="v1.2.0", generation="0123456789ab", endpoint="http://outside:1"
)
FILES = {
    "checks/orders.sh": b"#!/bin/sh\necho orders fell; exit 1\n",
    "checks/env.py": b"import os\nprint(sorted(os.environ.items()))\n",
    "checks/confined.py": b"""
import os, pathlib
assert os.getuid() == 65532 and pathlib.Path.cwd() == pathlib.Path("/commit")
caps = [line for line in open("/proc/self/status") if line.startswith(("CapEff", "NoNewPrivs"))]
assert [line.split()[1] for line in caps] == ["0" * 16, "1"], caps
for place in ("/", "/usr", "/etc"):
    try:
        pathlib.Path(place, "written").touch()
        print("can write", place)
    except OSError:
        pass
pathlib.Path("/tmp/result").touch()
print("hosts:", *sorted(p.name for p in pathlib.Path("/var/run").glob("docker*")))
""",
    "checks/memory.py": b"x = bytearray(2 * 1024**3)\n",
}


def run(
    place: Place, *words: str, timeout: str = "60s", permitted: bool = True, image: str | None = None
) -> CheckResult:
    where = CommandPlace(
        engine=place.engine,
        project=place.project,
        environment=place.environment,
        image=lambda: BASE_IMAGE,
        files=lambda: FILES,
        endpoint="http://inside:8080",
        permitted=permitted,
    )
    check = CommandCheck(name="mine", run=words, timeout=timeout, image=image)
    try:
        return run_own_checks([check], SUBJECT, Reach(None, where))[0]
    finally:
        assert place.look().containers == ()


def test_a_command_gets_the_commits_files_and_nothing_of_the_host(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "s3cret")
    monkeypatch.setenv("GITOPS_ML_PASSWORD", "s3cret")
    place.ensure_network()
    orders = run(place, "checks/orders.sh")
    assert (orders.result, orders.reason) == ("fail", "exit code 1: orders fell")
    env = run(place, "python", "checks/env.py").reason
    assert "s3cret" not in env
    given = ("'dev'", "'churn'", "'v1.2.0'", "'0123456789ab'", "('GITOPS_ML_ENDPOINT', 'http://inside:8080')")
    assert all(value in env for value in given), env
    confined = run(place, "python", "checks/confined.py")
    assert (confined.result, confined.reason) == ("pass", "exit code 0: hosts:")


def test_a_command_is_bounded_in_time_and_memory(place: Place) -> None:
    place.ensure_network()
    began = time.monotonic()
    hanging = run(place, "sh", "-c", "trap '' TERM; sleep 60 & wait; wait", timeout="1s")
    assert (hanging.result, hanging.reason) == ("inconclusive", "it was killed after 1s")
    assert time.monotonic() - began < 20
    greedy = run(place, "python", "checks/memory.py")
    assert (greedy.result, greedy.reason) == ("inconclusive", "it was killed for using more than 512 MB of memory")
    missing = run(place, "/no/such/command")
    assert (missing.result, "127" in missing.reason) == ("inconclusive", True), missing
    noisy = run(place, "python", "-c", "print('x' * 10_000_000); print('\\x1b[31mthe end\\x00')")
    assert noisy.reason == "exit code 0: the end"


def test_a_command_runs_in_the_image_that_it_names(place: Place, engine: docker.DockerClient) -> None:
    place.ensure_network()
    traefik = engine.images.get(GATEWAY_IMAGE).id
    assert run(place, "traefik", "version", image=traefik).result == "pass"


def test_no_command_runs_where_the_operator_does_not_permit_it(place: Place) -> None:
    assert run(place, "true", permitted=False).result == "inconclusive"
