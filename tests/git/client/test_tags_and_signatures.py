"""Tags are pushed and read back; signatures are checked against the repository's own list of signers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError, PushRejected, SourceError
from tests.git.client.clones import RECORD
from tests.git.conftest import git

Clone = Callable[[str], Path]


def test_tags_are_pushed_and_read_back(repo: Repository, project: Path) -> None:
    repo.create_tag("flight-delay@v2.0.0", repo.tip(), "Register")
    repo.push_tag("flight-delay@v2.0.0")
    bare = project.parent / "origin.git"
    assert git(bare, "cat-file", "-t", "flight-delay@v2.0.0") == "tag"
    assert "flight-delay@v2.0.0" in {t.name for t in repo.tags()}
    with pytest.raises(InputError, match="could not be made"):
        repo.create_tag("flight-delay@v2.0.0", repo.tip(), "Register")
    with pytest.raises(InputError, match="no name"):
        repo.create_tag("two..dots", repo.tip(), "Register")


def test_a_tag_that_the_remote_has_otherwise_is_rejected(repo: Repository, other: Clone) -> None:
    bob = other("bob")
    git(bob, "tag", "-a", "-m", "theirs", "flight-delay@v2.0.0", "HEAD~1")
    git(bob, "push", "-q", "origin", "flight-delay@v2.0.0")
    repo.create_tag("flight-delay@v2.0.0", repo.tip(), "Register")
    with pytest.raises(PushRejected, match="another tag"):
        repo.push_tag("flight-delay@v2.0.0")


def _key(place: Path, name: str) -> Path:
    key = place / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)], check=True)
    return key


def test_signatures_are_judged_by_the_repository_s_own_list(lone: Path, tmp_path: Path) -> None:
    ada, eve = _key(tmp_path, "ada"), _key(tmp_path, "eve")
    allowed = f"ada@example.org {ada.with_suffix('.pub').read_text()}".encode()
    git(lone, "config", "gpg.format", "ssh")
    git(lone, "config", "commit.gpgsign", "true")
    git(lone, "config", "user.signingkey", str(ada))
    with Repository.open(lone) as repository:
        unsigned = repository.tip()
        with pytest.raises(SourceError, match="not signed with an SSH key"):
            repository.verify_commit_signature(unsigned, allowed)
        # The tool's own commits are signed as the user's are.
        mine = repository.commit_files(unsigned, {RECORD: b"x"}, "Record")
        assert repository.verify_commit_signature(mine, allowed) == "ada@example.org"
    git(lone, "config", "user.signingkey", str(eve))
    git(lone, "config", "gpg.ssh.allowedSignersFile", str(tmp_path / "eves"))
    (tmp_path / "eves").write_text(f"ada@example.org {eve.with_suffix('.pub').read_text()}")
    with Repository.open(lone) as repository:
        theirs = repository.commit_files(unsigned, {RECORD: b"y"}, "Record")
        with pytest.raises(SourceError, match="not signed by anyone"):
            repository.verify_commit_signature(theirs, allowed)
