"""The checks of `doctor` that need no engine: this machine, the clone, DVC and the files under `environments/`."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gitops_ml.cli.doctor.findings import Finding, missing, note, ok
from gitops_ml.cli.render import counted
from gitops_ml.clients.artifacts import resolution
from gitops_ml.clients.artifacts.dvc_config import default_remote, read_config, remotes_of
from gitops_ml.clients.artifacts.servable import unjudgeable, unservable
from gitops_ml.clients.artifacts.store import store_of
from gitops_ml.clients.files.environments import (
    EnvironmentFiles,
    declared_environments,
    environment_names,
    read_environment,
    read_project,
    require_known_source,
    require_own_port,
)
from gitops_ml.clients.git import trial
from gitops_ml.clients.git.commits import record_author
from gitops_ml.clients.git.process import Git, redact
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.errors import GitopsError, InputError

_OLDEST_PYTHON = (3, 11)
_OLDEST_GIT = (2, 34)
"""SSH signatures with a list of allowed signers need 2.34; everything else works with older ones."""


def machine() -> Iterator[Finding]:
    """Check Python and Git."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST_PYTHON:
        yield missing("python", f"{version}; 3.11 or newer is needed", "make setup, in a clone of gitops-ml")
    elif sys.prefix == sys.base_prefix:
        yield note("python", f"{version}, not in a virtual environment", "python3 -m venv .venv")
    else:
        yield ok("python", f"{version} in {sys.prefix}")
    yield _git()


def _git() -> Finding:
    try:
        output = Git.at(Path.cwd()).run("version").text
    except GitopsError as error:
        return missing("git", error)
    version = re.search(r"(\d+)\.(\d+)(\.\d+)*", output)
    if not version or (int(version[1]), int(version[2])) < _OLDEST_GIT:
        return missing("git", f"{output}; 2.34 or newer is needed", "apt-get install git")
    return ok("git", version[0])


def clone(repo: Repository) -> Iterator[Finding]:
    """Check the author of commits, the remote, and DVC."""
    name, email = repo.config.get("user.name"), repo.config.get("user.email")
    if name and email:
        yield ok("identity", f"{name} <{email}>")
    else:
        yield note(
            "identity",
            "none; edits cannot be committed from here, and gitops-ml is the committer of records",
            "git config --global user.name … (and user.email)",
        )
    yield from _remote(repo)
    yield from _dvc(repo)


def _remote(repo: Repository) -> Iterator[Finding]:
    try:
        remote = repo.remote
        if remote is None:
            yield note("remote", f"none; the branch {repo.branch} of this clone is deployed, and nothing is pushed")
            return
        tip = repo.fetch(timeout=30.0)
    except GitopsError as error:
        yield missing("remote", error)
        return
    yield ok("remote", f"{remote}, {repo.branch} at {tip[:12]}")
    for branch in _record_branches(repo, tip):
        yield _push(repo, branch, repo.find_tip(branch) or tip)


def _push(repo: Repository, branch: str, tip: str) -> Finding:
    author = record_author(repo.config)
    who = f"{author.name} <{author.email}>"
    try:
        why = trial.refusal(repo, branch, tip)
    except GitopsError as error:
        return missing("push", error)
    if not why:
        return ok("push", f"{repo.remote} takes commits of {who} from here, for {branch}")
    return note(
        "push",
        f"{repo.remote} does not take records of {who} from here, for {branch}: {why}",
        "sync where pushing is allowed (CI), or log in to the remote; where a rule is on authors: "
        "git config author.email <address>; on sign-offs: git config format.signOff true",
    )


def _record_branches(repo: Repository, tip: str) -> list[str]:
    """The branches that `sync` pushes to: the tracked one, and those of `records.branch`."""
    branches = {repo.branch}
    for name in declared_environments(repo, tip):
        with contextlib.suppress(GitopsError):
            branches.add(read_environment(repo, tip, name).environment.records.branch or repo.branch)
    return sorted(branches)


def _dvc(repo: Repository) -> Iterator[Finding]:
    folder = repo.root / ".dvc"
    if not folder.is_dir():
        yield missing("dvc", f"{repo.root} has no .dvc folder", "dvc init")
        return
    try:
        yield ok("dvc", version("dvc"))
    except PackageNotFoundError:
        yield missing("dvc", "the package is not installed", "pip install 'dvc>=3.60,<4'")
    try:
        yield from _dvc_remotes(repo)
    except InputError as error:
        yield missing("dvc remote", str(error).split("\n")[0], error.fix)


def _dvc_remotes(repo: Repository) -> Iterator[Finding]:
    """Check the remotes that `sync` reads: those of the fetched tip's configuration, and of this machine's."""
    store = store_of(repo)
    readable = store.look_up()
    default = default_remote(store.config)
    for name, (why, fix) in store.refused.items():
        yield missing("dvc remote", f"{name} may not be read: {why}", fix)
    if not store.remotes and not store.refused:
        yield note(
            "dvc remote",
            "none; models are in this machine's cache only, and no other machine can sync them",
            "dvc remote add -d <name> <url>",
        )
    for remote in sorted(readable):
        label = f"{remote.name}{' (default)' if remote.name == default else ''}: {redact(remote.url)}"
        if remote.folder is not None and not remote.folder.is_dir():
            yield note("dvc remote", f"{label} is not there (yet)", "dvc push creates it; or mount it")
        else:
            yield ok("dvc remote", label)
    here = remotes_of(read_config(repo.root / ".dvc"))
    if not repo.bare and sorted(here) != sorted(remotes_of(store.config)):
        yield note(
            "dvc remote",
            f"the work tree's .dvc/config has others; sync reads that of {repo.branch}"
            + (f" at {repo.remote}" if repo.remote else ""),
            "git add .dvc/config && git commit -m 'Declare DVC remotes' && git push; or git pull, if it is behind",
        )


def declared(repo: Repository, environment: str | None) -> tuple[list[Finding], list[EnvironmentFiles]]:
    """Check the files of the fetched tip. Returns the findings, and the environments that can be read."""
    try:
        tip = repo.tip()
        project = read_project(repo, tip)
        names = environment_names(repo, tip)
    except GitopsError as error:
        return [missing("project", error)], []
    findings = [ok("project", f"{project.name} at {tip[:12]}")]
    if not names:
        findings.append(missing("environments", "none declared", "restore the folders below environments/"))
    readable = []
    for name in [environment] if environment else names:
        try:
            files = read_environment(repo, tip, name)
        except GitopsError as error:
            findings.append(missing(name, error))
            continue
        readable.append(files)
        findings += _environment(repo, files, names)
    return findings, readable


def _environment(repo: Repository, files: EnvironmentFiles, names: list[str]) -> Iterator[Finding]:
    deployments = ", ".join(sorted(files.deployments))
    yield ok(files.name, f"{counted(len(files.deployments), 'deployment')}: {deployments or 'none'}")
    for name, error in sorted(files.broken.items()):
        reason, _, fix = error.partition("\n  fix: ")
        yield missing(f"{files.name}/{name}", reason, fix)
    for name, deployment in sorted(files.deployments.items()):
        yield from _model(repo, f"{files.name}/{name}", deployment)
    yield from _refused(files.name, lambda: require_known_source(files.name, files.environment, names))
    yield from _refused(files.name, lambda: require_own_port(repo, files))


def _model(repo: Repository, name: str, deployment: Deployment) -> Iterator[Finding]:
    """Check that the declared version resolves, that our server can serve its artifact, and the hold-out judge it."""
    if not deployment.serve.uses_artifact:
        return
    try:
        resolved = resolution.resolve_version(repo, deployment.model, deployment.version, deployment.digest)
        if not deployment.serve.by_model_server:
            return
        if lacking := unservable(repo, resolved):
            yield missing(name, lacking)
        if mistake := unjudgeable(repo, resolved, deployment):
            yield missing(name, mistake)
    except GitopsError as error:
        yield missing(name, error)


def _refused(name: str, require: Callable[[], None]) -> Iterator[Finding]:
    try:
        require()
    except InputError as error:
        yield missing(name, error)
