"""What a pass keeps to while the tip cannot be followed: the commit that was applied last, as the journal names it.

Someone pushes a file that cannot be read, an unsigned commit, or another history. Users are still served meanwhile:
what serves is healed, and an open canary is watched to its end. No rollout begins.
"""

from __future__ import annotations

from dataclasses import replace

from gitops_ml.clients.artifacts.source import read_declared
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.files.environments import MOST_COMMITS, ROOT, EnvironmentFiles, newest_commits
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.connection import Connection
from gitops_ml.control.environment.observe import observe, plan_view, read_source
from gitops_ml.control.environment.view import Options, View
from gitops_ml.core.journal.fold import fold_readable
from gitops_ml.errors import GitopsError, InputError, SourceError


def view_last_good(
    repo: Repository, environment: str, connection: Connection, options: Options, error: GitopsError
) -> View:
    """Look at the commit that was applied last, with a plan that begins no rollout.

    Where that commit is in no clone, or the journal is not understood, the plan heals what serves as it serves.

    Args:
        error: why the tip cannot be followed.

    Raises `error` when nothing was applied before, or that commit cannot be followed either; and
    `EngineUnavailable`, `EngineFailed` and `EngineMismatch`.
    """
    try:
        engine, files = _find_engine(repo, environment, connection)
        snapshot = observe(engine, files, repo.cache)
        state, unread = fold_readable(snapshot.journal)
        if state.applied is None:
            raise error
        if unread or repo.read_object(state.applied) is None:
            source = replace(read_source(repo, files), tip_error=error, as_served=True)
            return plan_view(repo, source, snapshot, options, locked=False)
        last = read_declared(repo, state.applied, environment)
        if last.engine != files.engine:
            raise error
        source = replace(read_source(repo, last), tip_error=error)
        return plan_view(repo, source, snapshot, options, locked=False)
    except (InputError, SourceError) as unusable:
        if unusable is error:
            raise
        raise error from unusable


def _find_engine(repo: Repository, environment: str, connection: Connection) -> tuple[Engine, EnvironmentFiles]:
    """The environment's engine, by the newest commit that may be followed. Raises `SourceError` when there is none."""
    for commit in newest_commits(repo, ROOT, repo.tip()):
        try:
            files = read_declared(repo, commit, environment)
            return connection.to(files), files
        except (InputError, SourceError):
            continue
    raise SourceError(f"no commit of the last {MOST_COMMITS} declares {environment}")
