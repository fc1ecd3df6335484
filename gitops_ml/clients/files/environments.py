"""Read `environments/` at a commit, never from the work tree. One broken file never stops the others."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.files.yaml_scalars import MAX_BYTES
from gitops_ml.clients.git.objects import File
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import Deployment, Environment, Project
from gitops_ml.core.declaration.values import NAME_PATTERN
from gitops_ml.errors import InputError, SourceError
from gitops_ml.suggest import did_you_mean

ROOT = "environments"
PROJECT_FILE = f"{ROOT}/project.yaml"
LOCAL_ENGINE = "unix:///var/run/docker.sock"


class EnvironmentFiles(msgspec.Struct, frozen=True, kw_only=True):
    """One environment as its files declare it at a commit; its versions are not looked up yet.

    Args:
        broken: what is wrong with a deployment's file, by deployment.
        records: the content of the record files, by deployment.
    """

    project: str
    name: str
    commit: str
    environment: Environment
    deployments: dict[str, Deployment]
    broken: dict[str, str]
    records: dict[str, bytes]


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
    """Read all files of one environment at a commit.

    Raises `SourceError` when the environment is not declared there, and `InputError` when its `environment.yaml` or
    the project's file is wrong. What is wrong with a deployment's file is in `broken`.
    """
    project = read_project(repo, commit)
    folder = f"{ROOT}/{name}/"
    _require_label(name, f"{folder}: `{name}` is not an environment's name", "rename the folder")
    files = repo.read_files(commit, folder, limit=MAX_BYTES)
    contents = {path: file.data for path, file in files.items() if file.regular}
    main = f"{folder}environment.yaml"
    if main not in contents:
        raise _undeclared(repo, commit, name, main)
    environment = parse(_whole(contents[main], main), main, Environment)
    deployments, broken = _deployments(files, f"{folder}models/")
    records = {
        path.removeprefix(f"{folder}records/").removesuffix(".yaml"): data
        for path, data in contents.items()
        if data is not None and path.startswith(f"{folder}records/") and path.endswith(".yaml")
    }
    return EnvironmentFiles(
        project=project.name,
        name=name,
        commit=commit,
        environment=environment,
        deployments=deployments,
        broken=broken,
        records=records,
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


def _deployments(files: dict[str, File], folder: str) -> tuple[dict[str, Deployment], dict[str, str]]:
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


def _declaration(name: str, path: str, file: File) -> bytes:
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
    sharing = shared_ports(repo, declared.commit).get(listens_on(declared.environment), [])
    if len(sharing) > 1:
        raise InputError(
            f"{' and '.join(sharing)} both listen on port {declared.environment.gateway.port}",
            why="a port of an engine can have one gateway",
            fix=f"change gateway.port in environments/{declared.name}/environment.yaml",
        )


def shared_ports(repo: Repository, commit: str) -> dict[tuple[str, int], list[str]]:
    """The names of environments by the engine and port that they listen on."""
    names: dict[tuple[str, int], list[str]] = {}
    for name in environment_names(repo, commit):
        path = f"{ROOT}/{name}/environment.yaml"
        try:
            environment = parse(repo.read_file(commit, path, MAX_BYTES) or b"", path, Environment)
        except InputError:
            continue
        names.setdefault(listens_on(environment), []).append(name)
    return names


def listens_on(environment: Environment) -> tuple[str, int]:
    """The engine and the port of an environment's gateway, equal for every spelling of one engine.

    Spellings differ in the user, the default port or socket, and `/run` for `/var/run`. An environment that names no
    engine is taken to be on the local one.
    """
    scheme, host, path, *_ = urlsplit(environment.engine or LOCAL_ENGINE)
    path = posixpath.normpath(path or "/")
    path = f"/var{path}" if path.startswith("/run/") else path
    if scheme == "unix":
        return f"unix://{path}", environment.gateway.port
    host = host.rpartition("@")[2].lower()
    if scheme == "tcp":
        return f"tcp://{host}", environment.gateway.port
    path = "" if path in ("/", LOCAL_ENGINE.removeprefix("unix://")) else path
    return f"ssh://{host.removesuffix(':22')}{path}", environment.gateway.port
