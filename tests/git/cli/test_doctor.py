"""`doctor` finds what is missing on real clones and a real engine, says what fixes it, and leaves nothing behind."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.git.cli_clone import cli, clone, publish, shell, write
from tests.git.conftest import git
from tests.ports import free_port

if TYPE_CHECKING:
    import docker

PORT = "gateway: {port: 9102}\n"
SOCKET = "engine: unix:///var/run/docker.sock\n"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return clone(tmp_path)


def findings(work: Path, *words: str) -> dict[str, dict[str, Any]]:
    done = cli(work, "doctor", *words, "-o", "json")
    return {f["what"]: f for f in json.loads(done.stdout)["findings"]}


@pytest.fixture
def on_engine(work: Path, scratch_project: Callable[[], str], free_port: int) -> tuple[Path, str, int]:
    """A clone whose prod is on the real engine, at a port that is free; its project's name, and the port."""
    name = scratch_project()
    write(work, "environments/project.yaml", f"schema: 1\nname: {name}\n")
    write(work, "environments/prod/environment.yaml", f"schema: 1\n{SOCKET}gateway: {{port: {free_port}}}\n")
    publish(work, "Move to a real engine")
    return work, name, free_port


@pytest.fixture(name="free_port")
def port_fixture() -> int:
    return free_port()


@pytest.fixture
def taken_port(free_port: int) -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()
        yield free_port


def test_a_host_that_is_ready(on_engine: tuple[Path, str, int], engine: docker.DockerClient) -> None:
    work, project, port = on_engine
    found = findings(work, "prod")
    assert found["engine prod"]["state"] == found["base image"]["state"] == found["gateway image"]["state"] == "ok"
    assert found[f"prod port {port}"]["said"] == "free at 127.0.0.1"
    assert found["prod host"]["said"].startswith("containers start; ")
    assert engine.containers.list(all=True, filters={"label": f"gitops-ml.project={project}"}) == []


def test_a_port_that_another_program_has(
    on_engine: tuple[Path, str, int], taken_port: int, engine: docker.DockerClient
) -> None:
    work, project, _ = on_engine
    done = cli(work, "doctor", "prod")
    assert done.exit_code == 1
    assert f"port {taken_port} on the engine's host is taken" in done.stdout
    assert engine.containers.list(all=True, filters={"label": f"gitops-ml.project={project}"}) == []


def test_what_the_hosts_operator_decides_is_shown(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITOPS_ML_ALLOW_COMMANDS", "1")
    monkeypatch.setenv("GITOPS_ML_CHECK_HOSTS", "")
    monkeypatch.setenv("GITOPS_ML_SECRETS_UNDER", "secrets")
    monkeypatch.delenv("GITOPS_ML_DVC_REMOTES", raising=False)
    monkeypatch.setenv("GITOPS_ML_SIGNING_KEY", f"{work}/absent_key")
    printed = cli(work, "doctor").stdout
    assert f"GITOPS_ML_SIGNING_KEY names {work}/absent_key, which signs nothing" in printed
    assert f"fix: ssh-keygen -t ed25519 -N '' -f {work}/absent_key\n" in printed
    assert "GITOPS_ML_ALLOW_COMMANDS: 1 (from the environment)\n" in printed
    assert "GITOPS_ML_CHECK_HOSTS: none (from the environment)\n" in printed
    assert "GITOPS_ML_SECRETS_UNDER names secrets" in printed
    assert "fix: export GITOPS_ML_SECRETS_UNDER=/etc/gitops-ml/secrets\n" in printed
    assert (
        "GITOPS_ML_DVC_REMOTES: all remotes, without link-local, multicast and metadata addresses (default)" in printed
    )


def test_an_engine_that_does_not_answer(work: Path, tmp_path: Path) -> None:
    (work / ".dvc").mkdir()
    found = findings(work)
    assert found["engine prod, staging"]["state"] == "missing"
    assert (
        f"the Docker engine at unix://{tmp_path}/no-engine.sock does not answer"
        in found["engine prod, staging"]["said"]
    )


def test_what_is_wrong_in_the_files_is_named_with_its_line(work: Path) -> None:
    write(work, "environments/prod/models/churn.yaml", "schema: 1\nmodel: churn\nversion: v1\nreplica: 2\n")
    write(work, "environments/staging/environment.yaml", "schema: 1\ngateway: {port: 9102}\n")
    publish(work, "Break it")
    found = findings(work)
    assert found["prod/churn"]["said"] == (
        "environments/prod/models/churn.yaml:4: unknown key `replica`: did you mean `replicas`?"
    )
    assert found["staging"]["said"] == "environment.yaml names no engine, which only dev may leave out"


def test_an_environment_that_is_not_declared(work: Path) -> None:
    assert "declared: prod, staging" in findings(work, "production")["production"]["said"]


def test_a_clone_without_dvc_or_remote(work: Path) -> None:
    git(work, "remote", "remove", "origin")
    found = findings(work)
    assert (found["dvc"]["state"], found["dvc"]["fix"]) == ("missing", "dvc init")
    assert found["remote"]["state"] == "note"


def test_a_remote_that_does_not_answer(work: Path, tmp_path: Path) -> None:
    (tmp_path / "remote.git").rename(tmp_path / "gone.git")
    found = findings(work)
    assert found["remote"]["state"] == "missing"
    assert found["remote"]["fix"] == f"git -C {work} fetch origin main"


def hook(work: Path, script: str) -> None:
    path = work.parent / "remote.git/hooks/pre-receive"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def rule(shown: str, wanted: str, words: str) -> str:
    """A hook that refuses commits of which `git log --format` does not show what is wanted."""
    judged = f"git log -1 --format={shown} $new | grep -q -e {wanted}"
    refused = f"{{ echo '{words}' >&2; exit 1; }}"
    return f"while read old new ref; do case $new in 000*) continue; esac; {judged} || {refused}; done"


# A server's rules as they are in use: the author's domain, and a sign-off.
AUTHORS = rule("%ae", "@example.org", "GL-HOOK-ERR: who?")
SIGNED = rule("%B", "^Signed-off-by", "DCO missing")


@pytest.mark.parametrize(("script", "words"), [(AUTHORS, "GL-HOOK-ERR: who?"), (SIGNED, "DCO missing")])
def test_a_rule_of_the_remote_is_met_by_doctor_and_its_fix_works(work: Path, script: str, words: str) -> None:
    before = git(work, "ls-remote", "origin")
    assert (
        findings(work)["push"]["said"] == "origin takes commits of gitops-ml <gitops-ml@localhost> from here, for main"
    )
    hook(work, script)
    push = findings(work)["push"]
    assert (push["state"], words in push["said"]) == ("note", True)
    fixes = [part for part in push["fix"].split(": ") if part.startswith("git config")]
    for command in fixes:
        shell(work, command.partition(";")[0].replace("<address>", "bot@example.org"))
    assert findings(work)["push"]["state"] == "ok"
    assert git(work, "ls-remote", "origin") == before


def test_a_signature_that_cannot_be_made_is_found(work: Path) -> None:
    git(work, "config", "commit.gpgsign", "true")
    git(work, "config", "gpg.format", "ssh")
    git(work, "config", "user.signingkey", str(work / "absent"))
    assert "the commit could not be made" in findings(work)["push"]["said"]


def test_a_branch_of_records_is_tried_too(work: Path) -> None:
    write(work, "environments/prod/environment.yaml", f"schema: 1\n{SOCKET}{PORT}records: {{branch: verdicts}}\n")
    publish(work, "Keep the records apart")
    assert "for verdicts" in cli(work, "doctor").stdout


def test_a_dvc_remote_is_shown_without_its_password(work: Path) -> None:
    write(
        work,
        ".dvc/config",
        "[core]\n    remote = far\n['remote \"far\"']\n    url = https://ada:secret@example.org/d\n",
    )
    # Only the work tree has it so far, and `sync` reads what is fetched.
    finding = findings(work)["dvc remote"]
    assert "the work tree's .dvc/config has others" in finding["said"]
    fix = finding["fix"].split("; ")[0]
    assert fix == "git add .dvc/config && git commit -m 'Declare DVC remotes' && git push"
    subprocess.run(["sh", "-c", fix], cwd=work, check=True, capture_output=True)
    assert findings(work)["dvc remote"]["said"] == "far (default): https://***@example.org/d"


def test_outside_of_a_repository(tmp_path: Path) -> None:
    done = cli(tmp_path, "doctor")
    assert done.exit_code == 1
    assert "is no Git repository" in done.stdout
    assert "fix: git init, or go to a clone" in done.stdout


def test_every_finding_is_a_line_and_a_mend(work: Path) -> None:
    done = cli(work, "doctor")
    assert done.exit_code == 1
    assert all(line.startswith(("ok ", "note ", "missing ", " ")) for line in done.stdout.splitlines())
