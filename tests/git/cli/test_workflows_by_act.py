"""plan.yml runs: act executes it as GitHub's runner does, with the action of this tree and a forge on loopback.

The two actions that install Python and keep a cache are left out, and gitops-ml is on the PATH already.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.git.cli_clone import cli, declaration, publish, with_model, write
from tests.git.cli_forge import address
from tests.git.conftest import git
from tests.unit.clients.forge.server import PREFIX, TOKEN, LocalForge, served

ROOT = Path(__file__).parents[3]
PROD = "environments/prod/models/churn.yaml"
STEP = re.compile(r"(uses: \./\n +with:\n)")
REMOTE_ACTION = re.compile(r"uses: (actions/(?:setup-python|cache)@[0-9a-f]{40})")


@pytest.fixture
def forge() -> Iterator[LocalForge]:
    with served(LocalForge(kind="github", account=None, writes_as="github-actions[bot]", automatic=True)) as forge:
        yield forge
    assert forge.violations == []


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A clone whose main has plan.yml and the action, and declares what the model holds."""
    work = with_model(tmp_path)
    digest = json.loads(cli(work, "versions", "churn", "-o", "json").stdout)["versions"][0]["digest"]
    for environment in ("staging", "prod"):
        write(work, f"environments/{environment}/models/churn.yaml", declaration("v2.0.0", digest))
    shutil.copytree(ROOT / ".github/action", work / ".github/action")
    shutil.copy(ROOT / "action.yml", work)
    text = (ROOT / ".github/workflows/plan.yml").read_text()
    write(work, ".github/workflows/plan.yml", STEP.sub(r"\1          install: false\n", text))
    publish(work, "Plan pull requests")
    address(work)
    return work


def act(work: Path, event: str, workflow: str, payload: dict[str, object], *options: str) -> str:
    """Run a workflow for an event. Returns what it printed; a failure fails the test."""
    stub = work.parent / "stub"
    write(stub, "action.yml", "runs: {using: composite, steps: []}\n")
    write(work.parent, "event.json", json.dumps(payload))
    remote = set(REMOTE_ACTION.findall((ROOT / "action.yml").read_text()))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(work.parent / "cache"),
    }
    words = ["act", event, "-W", f".github/workflows/{workflow}", "-e", str(work.parent / "event.json")]
    words += ["-P", "ubuntu-latest=-self-hosted", "--no-cache-server", *options]
    words += [word for each in sorted(remote) for word in ("--local-repository", f"{each}={stub}")]
    done = subprocess.run(words, cwd=work, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pull_request(work: Path, head: str = "acme/shop") -> dict[str, object]:
    """Check out what GitHub does for a pull request that scales churn in prod: its merge into main."""
    git(work, "switch", "-q", "-c", "scale")
    write(work, PROD, (work / PROD).read_text().replace("replicas: 2", "replicas: 3"))
    git(work, "commit", "-qam", "Scale churn")
    git(work, "switch", "-q", "--detach", "main")
    git(work, "merge", "-q", "--no-ff", "-m", "Merge it", "scale")
    return {
        "number": 7,
        "repository": {"full_name": "acme/shop"},
        "pull_request": {
            "number": 7,
            "head": {"ref": "scale", "sha": git(work, "rev-parse", "scale"), "repo": {"full_name": head}},
            "base": {"ref": "main", "sha": git(work, "rev-parse", "main")},
        },
    }


def on_forge(forge: LocalForge) -> tuple[str, ...]:
    variables = {"GITOPS_ML_FORGE": f"github={forge.url}{PREFIX}", "GITHUB_REPOSITORY": "acme/shop"}
    chosen = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    return (*chosen, "-s", f"GITHUB_TOKEN={TOKEN}")


def test_a_pull_request_gets_its_comment_once(work: Path, forge: LocalForge) -> None:
    payload = pull_request(work)
    for _ in range(2):
        printed = act(work, "pull_request", "plan.yml", payload, *on_forge(forge))
    (comment,) = forge.comments
    assert "::set-output:: changed=true" in printed and f"comment-url={forge.url}/c/1" in printed
    assert "`churn` runs `3` replicas instead of `2`" in comment.body


def test_a_fork_s_pull_request_gets_its_text_in_the_log_alone(work: Path, forge: LocalForge) -> None:
    printed = act(work, "pull_request", "plan.yml", pull_request(work, "mallory/shop"), *on_forge(forge))
    assert "runs `3` replicas instead of `2`" in printed and not forge.comments
    assert not [asked for asked in forge.asked if asked.startswith("POST")]
