"""plan.yml and data.yml run: act executes them as GitHub's runner does, with the action of this tree.

sync.yml, verify.yml and retrain.yml, which need an engine, run in tests/e2e/workflows/test_retrain.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.act import act, add_workflow, on_forge
from tests.git.cli_clone import cli, declaration, publish, with_model, write
from tests.git.cli_forge import address
from tests.git.conftest import git
from tests.unit.clients.forge.server import LocalForge, served

PROD = "environments/prod/models/churn.yaml"
PARAMS = """
ingest: {until: "2024-01", sources: {calls: {file: calls.csv, time: at}}}
validate:
  freshness: {table: calls, column: at, max_age: 7d, now: "2024-02-01"}
  tables: {calls: {columns: {at: {dtype: "datetime64[ns, UTC]"}}}}
"""


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
    add_workflow(work, "plan.yml")
    publish(work, "Plan pull requests")
    address(work)
    return work


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


def test_a_pull_request_gets_its_comment_once(work: Path, forge: LocalForge) -> None:
    payload = pull_request(work)
    for _ in range(2):
        code, printed = act(work, "pull_request", "plan.yml", payload, *on_forge(forge))
        assert code == 0, printed
    (comment,) = forge.comments
    assert "::set-output:: changed=true" in printed and f"comment-url={forge.url}/c/1" in printed
    assert "`churn` runs `3` replicas instead of `2`" in comment.body


def test_a_fork_s_pull_request_gets_its_text_in_the_log_alone(work: Path, forge: LocalForge) -> None:
    code, printed = act(work, "pull_request", "plan.yml", pull_request(work, "mallory/shop"), *on_forge(forge))
    assert code == 0, printed
    assert "runs `3` replicas instead of `2`" in printed and not forge.comments
    assert not [asked for asked in forge.asked if asked.startswith("POST")]


def test_data_that_no_longer_arrives_fails_the_morning_s_check(work: Path, forge: LocalForge) -> None:
    ingest = "stages:\n  ingest:\n    cmd: python -m gitops_ml.stages.ingest --out data/raw\n    outs: [data/raw]\n"
    write(work, "dvc.yaml", ingest)
    write(work, "params.yaml", PARAMS)
    write(work, ".dvc/config", "[core]\n    analytics = false\n")
    write(work, ".gitignore", "/data\n")
    write(work, "calls.csv", "at\n2024-01-31T00:00:00Z\n")
    add_workflow(work, "data.yml", {"setup/venv && ": ""})
    publish(work, "Check the data")
    code, printed = act(work, "schedule", "data.yml", {}, *on_forge(forge), "--var", "GITOPS_ML_DATA=true")
    assert code == 1
    assert "Running stage 'ingest'" in printed and "calls: 1 rows" in printed
    assert "table 'calls' is stale" in printed and "fix: find out why no new rows arrive" in printed
