"""A model trained since its last version: `register` makes a version that gto and dvc read, or says why not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitops_ml.clients.artifacts.resolution import read, resolve_version
from gitops_ml.clients.edits.registration import register
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import PushRejected, SourceUnavailable, VersionRefused
from tests.git.cli.test_registration import cli
from tests.git.conftest import commit_file, git, run

Clone = Callable[[str], Path]


@pytest.fixture
def project(trained_template: Path, tmp_path: Path) -> Path:
    """A clone whose last commit trained a model that has no version yet."""
    shutil.copytree(trained_template, tmp_path / "project", symlinks=True)
    return tmp_path / "project" / "clone"


def shown(project: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(run(project, "gto", "show", "flight-delay", "--json"))
    return rows


def test_gto_reads_a_registered_version(repo: Repository, project: Path) -> None:
    result = register(repo, "flight-delay", step="minor", push=True)
    assert (result.tag, result.pushed) == ("flight-delay@v1.2.0", True)
    assert [warning.partition(":")[0] for warning in result.warnings] == [
        "models/flight-delay lacks example.json and requirements.txt, and the model's manifest.json is broken"
    ]
    assert result.places == ["cache", "storage"]
    assert shown(project)[0]["version"] == "v1.2.0"
    described = json.loads(run(project, "gto", "show", "--json"))["flight-delay"]
    assert described["version"] == "v1.2.0"
    assert run(project, "gto", "check-ref", result.tag, "--name").splitlines()[-1] == "flight-delay"
    assert git(project.parent / "origin.git", "cat-file", "-t", result.tag) == "tag"


def test_dvc_gets_a_registered_version(repo: Repository, project: Path) -> None:
    register(repo, "flight-delay", version="v2.0.0", push=True)
    git(project, "push", "-q")
    run(project.parent, "dvc", "artifacts", "get", str(project), "flight-delay", "--rev", "v2.0.0", "-o", "got")
    assert (project.parent / "got" / "manifest.json").read_text() == "depth: 6\n"


def test_versions_that_gto_registers_and_deprecates_are_listed(repo: Repository, project: Path) -> None:
    run(project, "gto", "register", "flight-delay", "--bump-major")
    run(project, "gto", "assign", "flight-delay", "--version", "v2.0.0", "--stage", "prod")
    run(project, "gto", "deprecate", "flight-delay", "v1.1.0")
    rows = {row["version"]: row for row in cli(project, "versions", "flight-delay")}
    assert {name: row["state"] for name, row in rows.items()} == {
        "v2.0.0": "registered",
        "v1.1.0": "deregistered",
        "v1.0.0": "registered",
        "v0.9.0": "deregistered",
    }
    assert rows["v2.0.0"]["pushed"] is False and rows["v1.0.0"]["pushed"] is True
    assert rows["v1.0.0"]["digest"] == resolve_version(repo, "flight-delay", "v1.0.0").digest
    assert [v["version"] for v in shown(project)] == ["v2.0.0", "v1.0.0"]
    assert [(v["version"], [s["stage"] for s in v["stages"]]) for v in shown(project)] == [
        (name, rows[name]["stages"]) for name in ("v2.0.0", "v1.0.0")
    ]
    assert rows["v2.0.0"]["stages"] == ["prod"]
    run(project, "gto", "deprecate", "flight-delay")
    with Repository.open(project) as fresh, pytest.raises(VersionRefused, match="deprecated"):
        resolve_version(fresh, "flight-delay", "v2.0.0", local=True)


def test_a_version_at_the_remote_is_taken(repo: Repository, project: Path, other: Clone) -> None:
    bob = other("bob")
    commit_file(bob, "x.txt", "x")
    git(bob, "tag", "-a", "-m", "theirs", "flight-delay@v1.2.0")
    git(bob, "push", "-q", "origin", "main", "flight-delay@v1.2.0")
    assert register(repo, "flight-delay").tag == "flight-delay@v1.2.1"


def test_uncommitted_changes_are_not_registered_and_warned_of(repo: Repository, project: Path) -> None:
    (project / "params.yaml").write_text("depth: 7\n")
    run(project, "dvc", "repro", "-q")
    result = register(repo, "flight-delay")
    assert "dvc.lock has changes" in result.warnings[0]
    assert read(repo, result.resolved)["manifest.json"] == b"depth: 6\n"


def test_a_remote_that_refuses_or_does_not_answer(repo: Repository, project: Path) -> None:
    bare = project.parent / "origin.git"
    (bare / "hooks" / "pre-receive").write_text("#!/bin/sh\necho 'no tags today' >&2; exit 1\n")
    (bare / "hooks" / "pre-receive").chmod(0o755)
    with pytest.raises(PushRejected, match="no tags today"):
        register(repo, "flight-delay", push=True)
    git(project, "tag", "-d", "flight-delay@v1.1.1")
    bare.rename(project.parent / "moved.git")
    with pytest.raises(SourceUnavailable):
        register(repo, "flight-delay", push=True)
    assert "only this clone's tags" in register(repo, "flight-delay").warnings[0]
