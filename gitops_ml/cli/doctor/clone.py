"""The half of `doctor` that needs no engine: this machine, the clone, DVC and the files under `environments/`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gitops_ml.cli.findings import Finding, missing, note, ok
from gitops_ml.errors import GitopsError, InputError

if TYPE_CHECKING:
    from gitops_ml.clients.files.environments import EnvironmentFiles
    from gitops_ml.clients.git.repository import Repository

_OLDEST_PYTHON = (3, 11)
_OLDEST_GIT = (2, 34)
"""SSH signatures with a list of allowed signers came with 2.34; the rest of what is used is older."""


def machine() -> Iterator[Finding]:
    """Python and Git."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST_PYTHON:
        yield missing("python", f"{version}; 3.11 or newer is needed", "make setup, in a clone of gitops-ml")
    elif sys.prefix == sys.base_prefix:
        yield note("python", f"{version}, not in a virtual environment", "python3 -m venv .venv")
    else:
        yield ok("python", f"{version} in {sys.prefix}")
    yield _git()


def _git() -> Finding:
    from gitops_ml.clients.git.process import Git

    try:
        said = Git.at(Path.cwd()).run("version").text
    except GitopsError as error:
        return missing("git", error)
    found = re.search(r"(\d+)\.(\d+)(\.\d+)*", said)
    if not found or (int(found[1]), int(found[2])) < _OLDEST_GIT:
        return missing("git", f"{said}; 2.34 or newer is needed", "apt-get install git")
    return ok("git", found[0])


def clone(repo: Repository) -> Iterator[Finding]:
    """Who commits are by, the remote, and DVC."""
    name, email = repo.config.get("user.name"), repo.config.get("user.email")
    if name and email:
        yield ok("identity", f"{name} <{email}>")
    else:
        yield note("identity", "none; commits are by gitops-ml", "git config --global user.name … (and user.email)")
    yield from _remote(repo)
    yield from _dvc(repo)


def _remote(repo: Repository) -> Iterator[Finding]:
    try:
        remote = repo.remote
        if remote is None:
            yield note("remote", f"none; the branch {repo.branch} of this clone is the truth, and nothing is pushed")
            return
        tip = repo.fetch(timeout=30.0)
    except GitopsError as error:
        yield missing("remote", error)
        return
    yield ok("remote", f"{remote}, {repo.branch} at {tip[:12]}")
    tried = repo.git.run("push", "--dry-run", "--no-verify", remote, f"{tip}:refs/heads/{repo.branch}", timeout=30.0)
    if tried.code == 0:
        yield ok("push", f"{repo.branch} of {remote} may be asked to take records")
    else:
        yield note(
            "push",
            f"{remote} would not take records from here: {tried.messages.splitlines()[-1] if tried.messages else '?'}",
            "sync from where it may be pushed (CI), or log in to the remote",
        )


def _dvc(repo: Repository) -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    folder = repo.root / ".dvc"
    if not folder.is_dir():
        yield missing("dvc", f"{repo.root} has no .dvc folder", "dvc init")
        return
    try:
        yield ok("dvc", version("dvc"))
    except PackageNotFoundError:
        yield missing("dvc", "the package is not installed", "pip install 'dvc>=3.60,<4'")
    remotes, default = _dvc_remotes(folder)
    if not remotes:
        yield note(
            "dvc remote",
            "none; models are only in this machine's cache, and no other machine can sync them",
            "dvc remote add -d <name> <url>",
        )
    for name, url in sorted(remotes.items()):
        marked = f"{name}{' (default)' if name == default else ''}: {url}"
        local = "://" not in url
        place = Path(url) if Path(url).is_absolute() else folder / url
        if local and not place.is_dir():
            yield note("dvc remote", f"{marked} is not there (yet)", "dvc push, which makes it; or mount it")
        else:
            yield ok("dvc remote", marked)


def _dvc_remotes(folder: Path) -> tuple[dict[str, str], str | None]:
    """The remotes' URLs by name, without credentials, and the default one.

    Read here, since DVC needs a second to be imported and answers nothing more.
    """
    from configparser import ConfigParser
    from configparser import Error as ConfigError

    from gitops_ml.clients.git.process import redact

    config = ConfigParser(interpolation=None)
    try:
        config.read([folder / "config", folder / "config.local"])
    except (ConfigError, UnicodeDecodeError):
        return {}, None
    remotes = {}
    for section in config.sections():
        if match := re.fullmatch(r"'?remote \"(.+)\"'?", section):
            remotes[match[1]] = redact(config[section].get("url", "?"))
    return remotes, config.get("core", "remote", fallback=None)


def declared(repo: Repository, environment: str | None) -> tuple[list[Finding], list[EnvironmentFiles]]:
    """What is wrong in the files of the fetched tip, and the environments that can be read."""
    from gitops_ml.clients.files.environments import environment_names, read_environment, read_project

    try:
        tip = repo.tip()
        project = read_project(repo, tip)
        names = environment_names(repo, tip)
    except GitopsError as error:
        return [missing("project", error)], []
    findings = [ok("project", f"{project.name} at {tip[:12]}")]
    if not names:
        findings.append(missing("environments", "none is declared", "gitops-ml init, then commit environments/"))
    found = []
    for name in [environment] if environment else names:
        try:
            one = read_environment(repo, tip, name)
        except GitopsError as error:
            findings.append(missing(name, error))
            continue
        found.append(one)
        findings += _environment(repo, one, names)
    return findings, found


def _environment(repo: Repository, one: EnvironmentFiles, names: list[str]) -> Iterator[Finding]:
    from gitops_ml.clients.files.environments import require_known_source, require_own_port

    count = len(one.deployments)
    yield ok(one.name, f"{count} deployment{'' if count == 1 else 's'}: {', '.join(sorted(one.deployments)) or 'none'}")
    for name, error in sorted(one.broken.items()):
        reason, _, fix = error.partition("\n  fix: ")
        yield missing(f"{one.name}/{name}", reason, fix)
    yield from _refused(one.name, lambda: require_known_source(one.name, one.environment, names))
    yield from _refused(one.name, lambda: require_own_port(repo, one))


def _refused(name: str, require: Callable[[], None]) -> Iterator[Finding]:
    try:
        require()
    except InputError as error:
        yield missing(name, error)
