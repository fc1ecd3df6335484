"""`register`, `versions` and `bump` on a real project: gto reads what they write, and they touch nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gitops_ml.cli.main import application
from gitops_ml.clients.artifacts.resolution import resolve_version
from gitops_ml.clients.edits.bump import BumpOptions, bump
from gitops_ml.clients.edits.edit import CommitOptions
from gitops_ml.clients.edits.registration import register
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import (
    GitopsError,
    InputError,
    ObjectMissing,
    PushRejected,
    VersionNotFound,
    VersionRefused,
)
from tests.git.conftest import commit_file, git, retrain, run

Clone = Callable[[str], Path]
FILE = "environments/dev/models/flight.yaml"
DECLARATION = """\
# flights, as people read them
schema: 1
model: flight-delay   # the only one
version: v1.0.0       # before the storm

replicas: 2
"""

app = application("register")


def cli(folder: Path, *arguments: str) -> Any:
    """A command with `-o json`; what it printed."""
    result = CliRunner().invoke(app, [*arguments, "-o", "json", "--repo", str(folder)], catch_exceptions=False)
    printed = json.loads(result.stdout)
    assert (printed.pop("schema"), printed.pop("errors")) == (1, [])
    return printed.get("versions", printed)


def declare(project: Path) -> None:
    commit_file(project, "environments/dev/environment.yaml", "schema: 1\n", "Declare dev")
    commit_file(project, FILE, DECLARATION, "Declare flight")


def test_the_latest_assignment_to_a_stage_counts_on_either_side(project: Path, other: Clone) -> None:
    bob = other("bob")
    at = {"GIT_COMMITTER_DATE": "2026-01-02T00:00:00Z"}
    run(project, "git", "tag", "-am", "mine", "flight-delay#prod#1", "flight-delay@v1.0.0^{commit}", env=at)
    at = {"GIT_COMMITTER_DATE": "2026-01-03T00:00:00Z"}
    run(bob, "git", "tag", "-am", "theirs", "flight-delay#prod#2", "flight-delay@v1.1.0^{commit}", env=at)
    git(bob, "push", "-q", "origin", "flight-delay#prod#2")
    before = {row["version"]: row["stages"] for row in cli(project, "versions", "flight-delay")}
    after = {row["version"]: row["stages"] for row in cli(project, "versions", "flight-delay", "--fetch")}
    assert (before["v1.0.0"], before["v1.1.0"]) == (["prod"], [])
    assert (after["v1.0.0"], after["v1.1.0"]) == ([], ["prod"])
    table = CliRunner().invoke(app, ["versions", "--repo", str(project)], catch_exceptions=False).stdout.splitlines()
    assert table[0].split()[:4] == ["MODEL", "VERSION", "STATE", "STAGES"]
    assert table[1].split()[:4] == ["flight-delay", "v1.1.0", "registered", "prod"]


def test_a_version_never_moves_and_a_commit_has_one_version(repo: Repository, project: Path) -> None:
    with pytest.raises(InputError, match=r"is flight-delay@v1\.1\.0 already"):
        register(repo, "flight-delay", version="v1.2.0")
    retrain(project, 6)
    with pytest.raises(InputError, match=r"flight-delay@v1\.0\.0 exists already") as caught:
        register(repo, "flight-delay", version="v1.0.0")
    assert "v1.1.1" in caught.value.fix
    with pytest.raises(InputError, match="exists already"):
        register(repo, "flight-delay", version="v0.9.0")


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"version": "1.2"}, InputError, "is no version"),
        ({"version": "v1.2.0", "step": "major"}, InputError, "exclude each other"),
        ({"step": "huge"}, InputError, "no step"),
        ({"rev": "nonsense"}, VersionNotFound, "no revision"),
        ({"model": "flight-dely"}, VersionNotFound, "did you mean flight-delay"),
        ({"model": "absent"}, VersionNotFound, "dvc repro"),
        ({"model": "external"}, VersionRefused, "external"),
    ],
)
def test_a_refused_registration_makes_no_tag(
    repo: Repository, project: Path, arguments: dict[str, Any], kind: type[GitopsError], says: str
) -> None:
    before = git(project, "tag", "--list")
    with pytest.raises(kind, match=f"(?s){says}"):
        register(repo, **{"model": "flight-delay", **arguments})
    assert git(project, "tag", "--list") == before


def test_a_model_that_nobody_else_could_fetch_is_not_registered(repo: Repository, project: Path) -> None:
    retrain(project, 6, push=False)
    with pytest.raises(ObjectMissing, match="only in this machine's cache") as caught:
        register(repo, "flight-delay", push=True)
    assert "dvc push" in caught.value.fix
    assert "dvc push" in register(repo, "flight-delay").warnings[0]
    retrain(project, 7, push=False)
    shutil.rmtree(project / ".dvc" / "cache")
    with pytest.raises(ObjectMissing, match="nowhere"):
        register(repo, "flight-delay")


def test_bump_changes_two_lines(repo: Repository, project: Path) -> None:
    declare(project)
    result = bump(repo, "dev", "flight", "latest")
    digest = resolve_version(repo, "flight-delay", "v1.1.0").digest
    assert (result.before, result.resolved.version, result.written.commit) == ("v1.0.0", "v1.1.0", None)
    expected = DECLARATION.replace("version: v1.0.0", "version: v1.1.0").replace(
        "# before the storm\n", f"# before the storm\ndigest: {digest}\n"
    )
    assert (project / FILE).read_text() == expected
    assert not bump(repo, "dev", "flight", "v1.1.0").written.changed


def test_bump_commits_that_file_alone(repo: Repository, project: Path) -> None:
    declare(project)
    (project / "params.yaml").write_text("depth: 99\n")
    (project / "staged.txt").write_text("staged")
    git(project, "add", "staged.txt")
    before = git(project, "status", "--porcelain")
    result = bump(repo, "dev", "flight", "v1.1.0", options=CommitOptions(push=True))
    assert git(project, "show", "--format=%s", "--name-only", "HEAD").split("\n\n") == [
        "Bump flight in dev from v1.0.0 to v1.1.0",
        FILE,
    ]
    assert git(project, "status", "--porcelain") == before
    assert git(project.parent / "origin.git", "rev-parse", "main") == result.written.commit


def test_bump_on_a_branch_of_its_own(repo: Repository, project: Path) -> None:
    declare(project)
    result = bump(repo, "dev", "flight", "v1.1.0", options=CommitOptions(branch="bump-flight", push=True)).written
    bare = project.parent / "origin.git"
    assert (result.branch, git(bare, "rev-parse", "bump-flight")) == ("bump-flight", result.commit)
    assert git(bare, "rev-parse", "main") != result.commit


def test_a_refused_push_of_a_bump_is_an_error(repo: Repository, project: Path, other: Clone) -> None:
    declare(project)
    commit_file(other("bob"), "x.txt", "x")
    git(project.parent / "bob", "push", "-q")
    with pytest.raises(PushRejected, match="did not take"):
        bump(repo, "dev", "flight", "v1.1.0", options=CommitOptions(push=True))


def test_bump_of_an_undeclared_deployment_needs_create(repo: Repository, project: Path) -> None:
    commit_file(project, "environments/dev/environment.yaml", "schema: 1\n", "Declare dev")
    with pytest.raises(InputError, match="does not exist") as caught:
        bump(repo, "dev", "flight-delay", "v1.1.0")
    assert "--create" in caught.value.fix
    with pytest.raises(InputError, match="no name for a deployment"):
        bump(repo, "dev", "../evil", "v1.1.0")
    result = bump(repo, "dev", "flight-delay", "v1.1.0", BumpOptions(create=True), options=CommitOptions(commit=True))
    text = (project / result.written.file).read_text()
    assert f"model: flight-delay\nversion: v1.1.0\ndigest: {result.resolved.digest}\n" in text
    assert git(project, "log", "-1", "--format=%s") == "Deploy flight-delay v1.1.0 to dev"


def test_commands_tell_the_next_step(project: Path) -> None:
    declare(project)
    retrain(project, 6)
    result = CliRunner().invoke(app, ["register", "flight-delay", "--repo", str(project)], catch_exceptions=False)
    assert "flight-delay@v1.1.1 is md5:" in result.stdout
    assert "git push origin flight-delay@v1.1.1" in result.stderr
    result = CliRunner().invoke(app, ["bump", "dev", "flight", "--repo", str(project)], catch_exceptions=False)
    assert f"{FILE}: v1.1.1 md5:" in result.stdout and "git push origin flight-delay@v1.1.1" in result.stderr
    result = CliRunner().invoke(app, ["versions", "--repo", str(project)], catch_exceptions=False)
    assert [line.split()[:3] for line in result.stdout.splitlines()][:3] == [
        ["MODEL", "VERSION", "STATE"],
        ["flight-delay", "v1.1.1", "registered"],
        ["flight-delay", "v1.1.0", "registered"],
    ]
