"""The checks of `lint`: files under environments/ as they lie in the work tree, without network or engine.

Apart from the command, so that `gitops-ml --help` imports none of what they need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gitops_ml.adoption.work_tree import check_mapping, check_texts
from gitops_ml.cli import render
from gitops_ml.clients.artifacts import resolution
from gitops_ml.clients.files.environments import (
    ROOT,
    EnvironmentFiles,
    declared_environments,
    environment_names,
    read_environment,
    read_project,
    require_known_source,
    require_own_port,
)
from gitops_ml.clients.git.repository import Repository
from gitops_ml.clients.git.worktree import tree_of_folder
from gitops_ml.core.planning.validation import require_plausible
from gitops_ml.core.versions.tags import choose_version
from gitops_ml.errors import GitopsError, InputError, SourceError, VersionNotFound

Problem = tuple[str, GitopsError | str]
"""The environment or deployment, and what is wrong with it."""


def check_files(clone: Repository) -> tuple[list[str], int, list[Problem]]:
    """Check the files of a clone's work tree, as a commit of all of them would hold them.

    Returns:
        The environments, how many deployments they have together, and what is wrong.

    Raises:
        SourceError: the clone is bare, or its project.yaml cannot be read.
    """
    clone.require_work_tree()
    tree = tree_of_folder(clone, ROOT)
    read_project(clone, tree)
    names = environment_names(clone, tree)
    files, problems = _read(clone, tree, names)
    for each in files:
        problems += _environment(clone, each, declared_environments(clone, tree))
    problems += _models(clone, files)
    return names, sum(len(each.deployments) + len(each.broken) for each in files), problems


def _read(clone: Repository, tree: str, names: list[str]) -> tuple[list[EnvironmentFiles], list[Problem]]:
    """The environments that can be read, and what is wrong with the others."""
    files: list[EnvironmentFiles] = []
    problems: list[Problem] = []
    if not names:
        problems.append(("", SourceError(f"{ROOT}/ declares no environment", fix=f"write {ROOT}/dev/environment.yaml")))
    for name in names:
        try:
            files.append(read_environment(clone, tree, name))
        except GitopsError as error:
            problems.append((name, error))
    return files, problems


def _environment(clone: Repository, files: EnvironmentFiles, names: list[str]) -> Iterator[Problem]:
    """What is wrong with an environment whose environment.yaml can be read."""
    requirements: tuple[Callable[[], None], ...] = (
        lambda: require_known_source(files.name, files.environment, names),
        lambda: require_own_port(clone, files),
        lambda: _require_engine(files),
    )
    for require in requirements:
        try:
            require()
        except GitopsError as error:
            yield files.name, error
    for name, problem in sorted(files.broken.items()):
        yield f"{files.name}/{name}", problem
    for name, deployment in sorted(files.deployments.items()):
        try:
            require_plausible(name, deployment)
            if deployment.serve.uses_artifact:
                _require_version(clone, deployment.model, deployment.version)
            if deployment.serve.mapping:
                check_mapping(clone.root, deployment.model, deployment.serve.mapping[0])
        except GitopsError as error:
            yield f"{files.name}/{name}", error


def _models(clone: Repository, files: list[EnvironmentFiles]) -> Iterator[Problem]:
    """What is wrong with the artifacts that the model server would serve, as they lie in the work tree."""
    deployments = [deployment for each in files for deployment in each.deployments.values()]
    for model in sorted({deployment.model for deployment in deployments if deployment.serve.by_model_server}):
        try:
            for mistake in check_texts(clone.root, model):
                yield model, mistake
        except GitopsError as error:
            yield model, error


def _require_engine(files: EnvironmentFiles) -> None:
    if files.engine is None and not files.environment.hosts and files.name != "dev":
        raise InputError(
            f"environments/{files.name}/environment.yaml names no engine",
            why="only dev may leave it out: the caller's shell must not choose where others deploy",
            fix="add engine: unix:///var/run/docker.sock, or ssh://user@host",
        )


def _require_version(clone: Repository, model: str, version: str) -> None:
    """Refuse a version that was taken back. One that this clone does not have may be at the remote."""
    try:
        choose_version(resolution.models(clone, local=True), model, version)
    except VersionNotFound as error:
        render.progress(f"not checked: {error.what} in this clone")
