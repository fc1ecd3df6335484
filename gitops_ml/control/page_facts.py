"""Gathers what the page shows, from Git's records and, where the host answered, from what was observed there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from gitops_ml.clients.files.environments import EnvironmentFiles, environment_names, read_environment, read_project
from gitops_ml.clients.files.records import read_records
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.boundary import as_gitops_error, first_line
from gitops_ml.control.observation.view import View
from gitops_ml.core.records.record import Record
from gitops_ml.core.text import clean_line
from gitops_ml.errors import GitopsError
from gitops_ml.page.facts import CommitFacts, DeploymentFacts, EnvironmentFacts, Origin, Site

Look = Callable[[str], View | GitopsError]
"""The state of an environment's host by the environment's name, or why it is not known."""
Trace = Callable[[DeploymentFacts], Sequence[Origin]]
"""Where what serves in a deployment comes from."""


def gather(repo: Repository, commit: str, look: Look, trace: Trace, now: datetime) -> Site:
    """Gather the facts of all environments that a commit declares. One broken environment never hides the others.

    Raises:
        SourceError, InputError: the project's file is absent or wrong.
    """
    project = read_project(repo, commit).name
    environments: list[EnvironmentFacts] = []
    unreadable: dict[str, str] = {}
    for name in environment_names(repo, commit):
        try:
            files = read_environment(repo, commit, name)
            environments.append(_environment(files, read_records(repo, files), look(name), trace))
        except Exception as error:
            unreadable[clean_line(name)] = first_line(as_gitops_error(error, clean_line(name)))
    found = repo.find_commits(
        attempt.commit for environment in environments for d in environment.deployments for attempt in d.attempts
    )
    commits = {
        commit.id: CommitFacts(
            author=clean_line(commit.author),
            at=datetime.fromtimestamp(commit.time, UTC),
            subject=clean_line(commit.subject),
        )
        for commit in found.values()
    }
    return Site(
        project=project,
        commit=commit,
        at=now,
        environments=tuple(environments),
        commits=commits,
        unreadable=unreadable,
    )


def _environment(
    files: EnvironmentFiles, records: Mapping[str, Record], view: View | GitopsError, trace: Trace
) -> EnvironmentFacts:
    known = None if isinstance(view, GitopsError) else view
    statuses = {status.name: status for status in known.plan.statuses} if known else {}
    broken = files.broken | (dict(known.plan.broken) if known else {})
    names = sorted({*files.deployments, *broken, *records, *statuses})
    deployments = []
    for name in names:
        record = records.get(name)
        facts = DeploymentFacts(
            environment=files.name,
            name=name,
            declared=files.deployments.get(name),
            broken=clean_line(str(broken.get(name, "")).split("\n", 1)[0]),
            status=statuses.get(name),
            record=record,
            attempts=record.attempts if record else (),
        )
        deployments.append(_with_lineage(facts, trace))
    return EnvironmentFacts(
        name=files.name,
        commit=known.desired.commit if known else files.commit,
        engine=known.snapshot.engine if known else clean_line(files.environment.engine or ""),
        unanswered=first_line(view) if isinstance(view, GitopsError) else "",
        deployments=tuple(deployments),
    )


def _with_lineage(facts: DeploymentFacts, trace: Trace) -> DeploymentFacts:
    return msgspec.structs.replace(facts, lineage=tuple(trace(facts)))
