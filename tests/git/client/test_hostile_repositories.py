"""What a repository names for Git to run or to ask stays asleep: filters, drivers, LFS servers, submodules.

Git runs only programs of the user's own configuration. So the user here has a program for each name that the
repository uses, and it leaves a mark; every address leads to a port that counts connections.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gitops_ml.clients.artifacts.path_digests import resolve_path
from gitops_ml.clients.artifacts.resolution import read
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import SourceError
from tests.git.cli_clone import answer, cli, with_model, write
from tests.git.conftest import git, run
from tests.git.models.objects import empty_cache
from tests.git.records.test_recording import DECLARATION, FAILED, MD5, make_place

ATTRIBUTES = "* filter=trap diff=trap merge=trap ident export-subst\n*.json filter=lfs\n"
PROGRAM = """#!/bin/sh
tr '\\0' ' ' </proc/$PPID/cmdline >>{mark}
echo "ran a program for: $*" >>{mark}
cat
"""
PROGRAMS = """
[filter "trap"]
	clean = {program} clean
	smudge = {program} smudge
	required = true
[filter "lfs"]
	process = {program} process
	required = true
[diff "trap"]
	command = {program} diff
	textconv = {program} textconv
[merge "trap"]
	driver = {program} merge
[diff]
	external = {program} external
	submodule = diff
[submodule]
	recurse = true
[fetch]
	recurseSubmodules = true
[status]
	submoduleSummary = true
[core]
	fsmonitor = {program} fsmonitor
"""


class Trap(NamedTuple):
    """A file that a program leaves when it runs, and a port that every address leads to."""

    mark: Path
    listener: socket.socket

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/x"

    def bait(self, work: Path) -> None:
        """Commit everything that Git could run or ask, and push it."""
        write(work, ".gitattributes", ATTRIBUTES)
        write(work, "environments/.gitattributes", ATTRIBUTES)
        write(work, ".lfsconfig", f"[lfs]\n\turl = {self.address}\n\tfetchinclude = *\n")
        modules = [("one", self.address), ("two", f"ext::touch {self.mark}"), ("three", "-u./mark")]
        sections = (f'[submodule "{name}"]\n\tpath = {name}\n\turl = {url}\n' for name, url in modules)
        write(work, ".gitmodules", "".join(sections) + "\tupdate = !touch mark\n")
        git(work, "add", "-A")
        for name, _ in modules:
            git(work, "update-index", "--add", "--cacheinfo", f"160000,{git(work, 'rev-parse', 'HEAD')},{name}")
        git(work, "commit", "-q", "-m", "Set a trap")
        if git(work, "remote"):
            git(work, "push", "-q", "origin", "HEAD")

    def arm(self) -> None:
        """Have the user's own configuration hold a program for each name."""
        program = self.mark.with_name("program")
        program.write_text(PROGRAM.format(mark=self.mark))
        program.chmod(0o755)
        config = Path(os.environ["GIT_CONFIG_GLOBAL"])
        config.write_text(config.read_text() + PROGRAMS.format(program=program))

    def require_unsprung(self) -> None:
        assert not self.mark.exists(), self.mark.read_text()
        with pytest.raises(BlockingIOError):
            self.listener.accept()


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Trap(tmp_path / "mark", listener)


def test_the_trap_works(trap: Trap, tmp_path: Path) -> None:
    trap.bait(with_model(tmp_path))
    trap.arm()
    subprocess.run(
        ["git", "clone", "-q", tmp_path / "remote.git", tmp_path / "other"], capture_output=True, check=False
    )
    assert trap.mark.exists()


def test_what_reads_a_hostile_repository_runs_nothing_of_it(trap: Trap, tmp_path: Path) -> None:
    work = with_model(tmp_path)
    other = tmp_path / "attacker"
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), str(other))
    trap.bait(other)
    trap.arm()
    with Repository.open(work) as repository:
        repository.fetch()
        tip = repository.tip()
        assert read(repository, resolve_path(repository, tip, "model.json")) == {"model.json": b"{}\n"}
        assert repository.read_files(tip, "environments").keys() >= {"environments/staging/environment.yaml"}
        assert not repository.read_files(tip, "")["one"].regular
    assert [row["version"] for row in answer(work, "versions", "churn")["versions"]] == ["v2.0.0"]
    assert cli(work, "doctor").exit_code == 1  # no engine answers
    trap.require_unsprung()


def test_records_and_reverts_of_a_hostile_repository_run_nothing_of_it(trap: Trap, tmp_path: Path) -> None:
    for place in make_place(tmp_path, None):
        trap.bait(place.folder)
        trap.arm()
        place.repo.fetch()
        trap.require_unsprung()
        assert place.record_verdicts().attempts == (FAILED,)
        trap.require_unsprung()
        assert place.declared() == "v1"
        assert f"digest: {MD5}\n" in git(place.remote, "show", f"main:{DECLARATION}")
        trap.require_unsprung()


def test_an_import_from_a_hostile_repository_runs_nothing_of_it(
    trap: Trap, project: Path, lone: Path, tmp_path: Path
) -> None:
    trap.bait(project)
    run(lone, "dvc", "init", "-q")
    run(lone, "dvc", "import", "-q", str(project), "model.txt", "-o", "one.txt")
    git(lone, "add", "-A")
    git(lone, "commit", "-qm", "Import the model")
    empty_cache(lone)
    trap.arm()
    with Repository.open(lone) as repository:
        assert read(repository, resolve_path(repository, repository.tip(), "one.txt"))
    trap.require_unsprung()


@pytest.mark.parametrize("name", ["..", ".", "a/b", ".git"])
def test_a_folder_that_leads_out_of_the_repository_is_refused(tmp_path: Path, name: str) -> None:
    """Git refuses to check such a tree out, and hands it over all the same."""
    work = with_model(tmp_path)
    other = tmp_path / "attacker"
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), str(other))
    file = bytes.fromhex(git(other, "rev-parse", "HEAD:model.json"))
    write_tree = ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"]
    tree = subprocess.run(
        write_tree, cwd=other, input=f"100644 {name}\0".encode() + file, capture_output=True, check=True
    )
    commit = git(other, "commit-tree", "-p", "HEAD", "-m", "Lead out", tree.stdout.decode().strip())
    git(other, "push", "-q", "origin", f"{commit}:main")
    with Repository.open(work) as repository:
        repository.fetch()
        with pytest.raises(SourceError, match="is malformed: "):
            repository.read_files(repository.tip(), "")
