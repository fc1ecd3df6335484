"""Which commits of an environment have to be signed, and by whom: as the repository's own lists say.

A commit is judged by the lists in its parents, so that nobody lets in a key by a commit that the key signs. A merge has
to satisfy all its parents: a key that one of them has taken out signs nothing.
"""

from __future__ import annotations

import functools
import posixpath

from gitops_ml.clients.files.environments import PROJECT_FILE, ROOT, read_environment, read_main_file
from gitops_ml.clients.git.repository import Repository
from gitops_ml.clients.git.signatures import GPG_KEYS, SSH_SIGNERS, Signers
from gitops_ml.errors import GitopsError, SourceError

_MOST_BYTES = 1 << 20


def require_signature(repo: Repository, commit: str, lists_at: str | None = None) -> None:
    """Raise `SourceError` unless a key in the lists of `lists_at` (`commit` itself, if None) signed the commit."""
    signers = _read_signers(repo, lists_at or commit)
    if not signers.ssh and not signers.gpg:
        raise SourceError(
            f"commit {commit[:12]} cannot be checked",
            why=f"policy.require_signed_commits is set, and {SSH_SIGNERS} is absent, as are keys in {GPG_KEYS}",
            fix=f"commit {SSH_SIGNERS}",
        )
    repo.verify_commit_signature(commit, signers)


def require_signed_history(repo: Repository, environment: str, since: str, tip: str) -> None:
    """Check each commit after `since` up to `tip` that touched the environment, what it builds, or the lists.

    It is judged by the lists of its parents; of `since` where a parent asked for no signatures, and by its own where
    nothing before did. So the commit that takes the policy back has to be signed, too.

    Raises `SourceError`.
    """
    paths = [f"{ROOT}/{environment}", PROJECT_FILE, posixpath.dirname(SSH_SIGNERS), *_built(repo, environment, tip)]
    requires = functools.cache(lambda commit: _requires(repo, commit, environment))
    for commit, parents in repo.commits_that_touch(since, tip, paths):
        for parent in parents or [since]:
            asking = (each for each in (parent, since, commit) if requires(each))
            if lists_at := next(asking, None):
                require_signature(repo, commit, lists_at)


def _built(repo: Repository, environment: str, commit: str) -> set[str]:
    """The folders that the environment's applications are built from. Nothing is built of what cannot be read."""
    try:
        declared = read_environment(repo, commit, environment).deployments.values()
    except GitopsError:
        return set()
    return {declaration.serve.build.context for declaration in declared if declaration.serve.build}


def _requires(repo: Repository, commit: str, environment: str) -> bool:
    try:
        return read_main_file(repo, commit, environment).policy.require_signed_commits
    except GitopsError:
        return False


def _read_signers(repo: Repository, commit: str) -> Signers:
    files = repo.read_files(commit, GPG_KEYS, limit=_MOST_BYTES)
    keys = {posixpath.basename(path).removesuffix(".asc").upper(): file.data or b"" for path, file in files.items()}
    return Signers(ssh=repo.read_file(commit, SSH_SIGNERS) or b"", gpg=keys)
