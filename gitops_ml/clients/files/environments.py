"""Read `environments/` at a commit, never from the work tree. One broken file never stops the others."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.files.yaml_scalars import MAX_BYTES
from gitops_ml.clients.git.memo import Memo
from gitops_ml.clients.git.objects import TreeFile
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.hosts import LOCAL_ENGINE, full_name, same_engine, split_full_name
from gitops_ml.core.declaration.schema import Deployment, Environment, Project
from gitops_ml.core.declaration.values import NAME_PATTERN
from gitops_ml.errors import InputError, SourceError
from gitops_ml.suggest import did_you_mean

ROOT = "environments"
PROJECT_FILE = f"{ROOT}/project.yaml"
MOST_COMMITS = 20
"""How many commits are gone back at most, where the newest cannot be read or followed."""


class EnvironmentFiles(msgspec.Struct, frozen=True, kw_only=True):
    """One environment as its files declare it at a commit; its versions are not looked up yet.

    Args:
        host: one of the environment's hosts; empty where it has one engine, or where all hosts are meant.
        broken: what is wrong with a deployment's file, by deployment.
        records: the content of the record files of all hosts, by their paths below `records/`.
    """

    project: str
    name: str
    host: str = ""
    commit: str
    environment: Environment
    deployments: dict[str, Deployment]
    broken: dict[str, str]
    records: dict[str, bytes]

    @property
    def full_name(self) -> str:
        """The name for people, records and programs. Labels on the engine have `name`."""
        return full_name(self.name, self.host)

    def on_each_host(self) -> list[EnvironmentFiles]:
        """The same files for each of the hosts; as they are where there is one engine, or one host is meant."""
        if self.host or not self.environment.hosts:
            return [self]
        return [msgspec.structs.replace(self, host=host) for host in self.environment.hosts]

    @property
    def engine(self) -> str | None:
        """The engine, as it is declared; None for the caller's own, and where several hosts are meant."""
        return self.environment.hosts[self.host] if self.host else self.environment.engine

    @property
    def engines(self) -> list[str]:
        """The engines that are meant, equal for every spelling of one engine; without a name it is the local one."""
        return [same_engine(self.engine or LOCAL_ENGINE)] if self.host else _engines(self.environment)


_READ: Memo[str, tuple[str, EnvironmentFiles]] = Memo()
"""By full name, the commit that was read last, and its files: an agent's passes are over one commit for days."""


def environment_names(repo: Repository, commit: str) -> list[str]:
    """The environments of a commit, sorted: also folders with declarations and no `environment.yaml`.

    `read_environment` refuses the latter, so that no declaration is passed over in silence.
    """
    incomplete = (name for name in _folders(repo, commit) if _declarations(repo, commit, name))
    return sorted({*declared_environments(repo, commit), *incomplete})


def declared_environments(repo: Repository, commit: str) -> list[str]:
    """The environments that have an `environment.yaml` at a commit, sorted."""
    return sorted(n for n in _folders(repo, commit) if repo.entry(commit, f"{ROOT}/{n}/environment.yaml"))


def _folders(repo: Repository, commit: str) -> list[str]:
    return [name for name, entry in repo.entries(commit, ROOT).items() if entry.is_folder]


def _declarations(repo: Repository, commit: str, environment: str) -> list[str]:
    files = repo.entries(commit, f"{ROOT}/{environment}/models")
    return sorted(name for name in files if name.endswith((".yaml", ".yml")))


def full_names(repo: Repository, commit: str, names: Iterable[str]) -> list[str]:
    """The full names that names stand for at a commit.

    Where the files of a name cannot be read, its hosts are those of the newest commit in which they can: what serves
    there is healed on. A name that never could be read stands for itself.
    """
    return [full for name in names for full in _full_names(repo, commit, name)]


def _full_names(repo: Repository, commit: str, name: str) -> list[str]:
    if split_full_name(name)[1]:
        return [name]
    for readable in newest_commits(repo, f"{ROOT}/{name}/environment.yaml", commit):
        with contextlib.suppress(InputError):
            return [full_name(name, host) for host in read_main_file(repo, readable, name).hosts] or [name]
    return [name]


def newest_commits(repo: Repository, path: str, commit: str) -> Iterator[str]:
    """A commit, then up to `MOST_COMMITS` before it that touched `path`: for what the newest does not let one read."""
    yield commit
    for earlier in repo.log(path, MOST_COMMITS, commit):
        if earlier.id != commit:
            yield earlier.id


def read_main_file(repo: Repository, commit: str, name: str) -> Environment:
    """An environment's `environment.yaml` alone. Raises `InputError` where it is absent or wrong."""
    path = f"{ROOT}/{name}/environment.yaml"
    return parse(repo.read_file(commit, path, MAX_BYTES) or b"", path, Environment)


def read_project(repo: Repository, commit: str) -> Project:
    """Read `environments/project.yaml` at a commit. Raises `SourceError` when absent, `InputError` when wrong."""
    path = PROJECT_FILE
    if repo.entry(commit, path) is None:
        raise SourceError(
            f"{path} is not in commit {commit[:12]}",
            why="it names the project",
            fix=how_to_add(repo, path),
        )
    return parse(_whole(repo.read_file(commit, path, MAX_BYTES), path), path, Project)


def how_to_add(repo: Repository, path: str) -> str:
    """The commands that bring a project's file into the fetched tip, from where it is."""
    head = repo.ref("HEAD")
    steps = []
    if head is None or repo.entry(head, path) is None:
        if repo.bare or not (repo.root / path).is_file():
            folder = not repo.bare and (repo.root / ROOT).is_dir()
            return f"write {path}: schema: 1, name: <project>" if folder else "gitops-ml init"
        steps.append(f"git add {ROOT} && git commit -m 'Declare environments'")
    if repo.remote is not None:
        steps.append(repo.push_command())
    apart = repo.checked_out is not None and repo.upstream_of(repo.checked_out) != repo.branch
    return " && ".join(steps) + (f", then merge {repo.checked_out} into {repo.branch}" if apart else "")


def read_environment(repo: Repository, commit: str, name: str) -> EnvironmentFiles:
    """Read all files of one environment at a commit. The newest commit that was asked for is read once.

    Args:
        name: its name; or its full name, for one of its hosts.

    Raises `SourceError` when the environment or the host is not declared there, and `InputError` when its
    `environment.yaml` or the project's file is wrong. What is wrong with a deployment's file is in `broken`.
    """
    read = _READ.of(repo)
    if (kept := read.get(name)) and kept[0] == commit:
        return kept[1]
    files = _read_environment(repo, commit, name)
    read[name] = commit, files
    return files


def _read_environment(repo: Repository, commit: str, name: str) -> EnvironmentFiles:
    name, host = split_full_name(name)
    project = read_project(repo, commit)
    folder = f"{ROOT}/{name}/"
    _require_label(name, f"{folder}: `{name}` is not an environment's name", "rename the folder")
    files = repo.read_files(commit, folder, limit=MAX_BYTES)
    contents = {path: file.data for path, file in files.items() if file.regular}
    main = f"{folder}environment.yaml"
    if main not in contents:
        raise _undeclared(repo, commit, name, main)
    environment = parse(_whole(contents[main], main), main, Environment)
    if host and host not in environment.hosts:
        raise _no_such_host(commit, name, host, list(environment.hosts))
    deployments, broken = _deployments(files, f"{folder}models/")
    records = {
        path.removeprefix(f"{folder}records/"): data
        for path, data in contents.items()
        if data is not None and path.startswith(f"{folder}records/") and path.endswith(".yaml")
    }
    return EnvironmentFiles(
        project=project.name,
        name=name,
        host=host,
        commit=commit,
        environment=environment,
        deployments=deployments,
        broken=broken,
        records=records,
    )


def _no_such_host(commit: str, name: str, host: str, hosts: list[str]) -> SourceError:
    return SourceError(
        f"environment `{name}` has no host `{host}` in commit {commit[:12]}",
        why=f"its hosts: {', '.join(hosts) or 'one, which has no name'}",
        fix=did_you_mean(host, hosts) or f"name one of them, or {name} for all",
    )


def _undeclared(repo: Repository, commit: str, name: str, main: str) -> SourceError:
    names = declared_environments(repo, commit)
    near = did_you_mean(name, names)
    stray = _declarations(repo, commit, name)
    if stray:
        return SourceError(
            f"{ROOT}/{name} declares {', '.join(Path(file).stem for file in stray)} without an environment",
            why=f"{main} is absent; declared: {', '.join(names) or 'none'}",
            fix=f"write {main}, or remove the folder: git rm -r {ROOT}/{name}" + (f"; {near}" if near else ""),
        )
    return SourceError(
        f"environment `{name}` is not in commit {commit[:12]}",
        why=f"{main} is absent; declared: {', '.join(names) or 'none'}",
        fix=near or f"restore {ROOT}/{name}/, or name one that is declared",
    )


def _deployments(files: dict[str, TreeFile], folder: str) -> tuple[dict[str, Deployment], dict[str, str]]:
    """The deployments that the files in `folder` declare, and what is wrong with a file, both by deployment.

    A file that exists in any form declares its deployment: one that cannot be read is broken, and is not removed.
    """
    deployments: dict[str, Deployment] = {}
    broken: dict[str, str] = {}
    for path, file in sorted(files.items()):
        match = re.fullmatch(re.escape(folder) + r"([^/]+)\.(ya?ml)", path)
        if not match:
            continue
        name = match[1]
        try:
            deployments[name] = parse(_declaration(name, path, file), path, Deployment)
        except InputError as error:
            broken[name] = str(error)
    return {name: deployment for name, deployment in deployments.items() if name not in broken}, broken


def _declaration(name: str, path: str, file: TreeFile) -> bytes:
    _require_label(name, f"{path}: `{name}` is not a deployment's name", "rename the file")
    if path.endswith(".yml"):
        raise InputError(
            f"{path} does not end in .yaml", why="a deployment has one file", fix=f"git mv {path} {path[:-4]}.yaml"
        )
    if not file.regular:
        raise InputError(f"{path} is no regular file", why="links are not followed", fix="commit the file itself")
    return _whole(file.data, path)


def _whole(data: bytes | None, path: str) -> bytes:
    if data is None:
        raise InputError(f"{path} is too large", why=f"at most {MAX_BYTES} bytes are read", fix="make it smaller")
    return data


def _require_label(name: str, what: str, fix: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputError(what, why="it must be a DNS label: a-z, 0-9 and -, at most 40 characters", fix=fix)


def require_known_source(name: str, environment: Environment, names: list[str]) -> None:
    """Raises `InputError` where `promotion.from` is none of the environments `names`."""
    promotion = environment.promotion
    if promotion and promotion.from_ not in names:
        raise InputError(
            f"environments/{name}/environment.yaml: promotion.from is `{promotion.from_}`",
            why=f"no environment has that name; declared: {', '.join(names)}",
            fix=f"edit environments/{name}/environment.yaml",
        )


def require_own_port(repo: Repository, declared: EnvironmentFiles) -> None:
    """Raises `InputError` where another environment of this commit uses the same port of the same engine."""
    shared, port = shared_ports(repo, declared.commit), declared.environment.gateway.port
    for engine in declared.engines:
        sharing = shared.get((engine, port), [])
        if len(sharing) > 1:
            raise InputError(
                f"{' and '.join(sharing)} both listen on port {port}",
                why="a port of an engine can have one gateway",
                fix=f"change gateway.port in environments/{declared.name}/environment.yaml",
            )


def shared_ports(repo: Repository, commit: str) -> dict[tuple[str, int], list[str]]:
    """The names of environments by the engine and the port of their gateways. See `EnvironmentFiles.engines`."""
    names: dict[tuple[str, int], list[str]] = {}
    for name in environment_names(repo, commit):
        try:
            environment = read_main_file(repo, commit, name)
        except InputError:
            continue
        for engine in _engines(environment):
            names.setdefault((engine, environment.gateway.port), []).append(name)
    return names


def _engines(environment: Environment) -> list[str]:
    return [same_engine(e or LOCAL_ENGINE) for e in environment.engines or (environment.engine,)]
