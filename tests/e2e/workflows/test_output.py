"""A rollout whose output cannot be written continues to its end, and its exit code tells how it ended."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.e2e.workshop import GITOPS_ML, Workshop, scratch_workshop

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def workshop(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with scratch_workshop(engine, Path(tmp_path_factory.mktemp("output")), "output") as made:
        yield made


def sync(workshop: Workshop, redirection: str) -> int:
    """Run `gitops-ml sync dev` with descriptors as a shell can leave them. Returns its exit code."""
    command = f"{GITOPS_ML} sync dev {redirection}"
    return subprocess.run(["bash", "-c", command], cwd=workshop.folder, timeout=240, check=False).returncode


def test_a_rollout_is_verified_when_its_output_cannot_be_written(workshop: Workshop) -> None:
    redirections = (">&- 2>/dev/full", "2>&1 | head -n 1; exit ${PIPESTATUS[0]}", "<&- >/dev/full 2>&-")
    for number, redirection in enumerate(redirections, 1):
        version = f"v1.{number}.0"
        workshop.release(version)
        workshop.declare(version)
        assert sync(workshop, redirection) == 0, redirection
        assert workshop.serving() == version
        assert workshop.record()["attempts"][0]["verdict"] == "Verified"


def test_a_rollout_is_followed_by_events_and_waited_for(workshop: Workshop) -> None:
    workshop.release("v1.9.0")
    workshop.declare("v1.9.0")
    waiting = workshop.begin("wait", "dev", "--interval", "1s")
    ran = workshop.sync("dev", "-o", "ndjson")
    assert waiting.wait(timeout=60) == 0
    events = [json.loads(line) for line in ran.out.splitlines()]
    verbs = [event["verb"] for event in events if event["event"] == "action"]
    assert verbs.index("begin") < verbs.index("build") < verbs.index("route")
    assert [event["result"] for event in events if event.get("check") == "smoke"] == ["pass"]
    last = events[-1]
    assert (last["event"], last["errors"]) == ("result", [])
    assert last["environments"][0]["deployments"][0]["version"] == "v1.9.0"


def test_a_failed_rollout_without_output_still_exits_3(workshop: Workshop) -> None:
    workshop.release("v2.0.0", crash="no such file")
    workshop.declare("v2.0.0")
    assert sync(workshop, ">&- 2>&-") == 3
    assert workshop.record()["attempts"][0]["verdict"] == "Failed"
