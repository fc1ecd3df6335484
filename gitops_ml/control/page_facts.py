"""Gathers what the page shows, from Git's records and, where the host answered, from what was observed there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from gitops_ml.clients.files.environments import (
    EnvironmentFiles,
    environment_names,
    full_names,
    read_environment,
    read_project,
)
from gitops_ml.clients.files.record_cache import cached_records
from gitops_ml.clients.files.record_history import all_attempts
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.environment.view import View
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.planning import plan
from gitops_ml.core.records.record import Record, RecordedAttempt, newest_first, updated
from gitops_ml.core.text import clean_line, first_line
from gitops_ml.core.verification.traffic import judge_traffic
from gitops_ml.core.verification.verdict import clean_check
from gitops_ml.errors import GitopsError
from gitops_ml.page.facts import CommitFacts, DeploymentFacts, EnvironmentFacts, RolloutFacts, Site

Observe = Callable[[str], View | GitopsError]
"""The state of an environment's host by the environment's name, or why it is not known."""


def gather(repo: Repository, commit: str, observe: Observe, now: datetime) -> Site:
    """Gather the facts of all environments that a commit declares. One broken environment never hides the others.

    Raises:
        SourceError, InputError: the project's file is absent or wrong.
    """
    project = read_project(repo, commit).name
    environments: list[EnvironmentFacts] = []
    unreadable: dict[str, str] = {}
    for name in full_names(repo, commit, environment_names(repo, commit)):
        try:
            environments.append(read_facts(repo, commit, name, observe(name)))
        except Exception as error:
            unreadable[clean_line(name)] = first_line(as_gitops_error(error, clean_line(name)))
    return Site(
        project=project,
        commit=commit,
        at=now,
        environments=tuple(environments),
        commits=commit_facts(repo, environments),
        unreadable=unreadable,
    )


def read_facts(
    repo: Repository, commit: str, name: str, observed: View | GitopsError, trouble: str = ""
) -> EnvironmentFacts:
    """The facts of one environment of a commit.

    Args:
        observed: what was observed, or why nothing was.
        trouble: see `EnvironmentFacts`.

    Raises as `read_environment`, where nothing was observed.
    """
    if isinstance(observed, View):
        files, records = observed.source.files, observed.records
        facts = _observed_environment(files, records, observed, trouble)
    else:
        files = read_environment(repo, commit, name)
        records = cached_records(repo, files)
        facts = _recorded_environment(files, records, observed)
    return _with_history(repo, files, records, facts)


def _with_history(
    repo: Repository, files: EnvironmentFiles, records: Mapping[str, Record], facts: EnvironmentFacts
) -> EnvironmentFacts:
    """The facts with the attempts that records have dropped, as far as the clone's history goes back."""
    recorded = all_attempts(repo, files, records)

    def whole(deployment: DeploymentFacts) -> DeploymentFacts:
        known = {attempt.id for attempt in deployment.attempts}
        older = [attempt for attempt in recorded.get(deployment.name, ()) if attempt.id not in known]
        attempts = newest_first([*deployment.attempts, *older])
        return msgspec.structs.replace(deployment, attempts=tuple(attempts)) if older else deployment

    return msgspec.structs.replace(facts, deployments=tuple(map(whole, facts.deployments)))


def commit_facts(repo: Repository, environments: Iterable[EnvironmentFacts]) -> dict[str, CommitFacts]:
    """The commits that the attempts of these environments rolled out, as far as the clone has them."""
    deployments = (deployment for environment in environments for deployment in environment.deployments)
    commits = repo.find_commits(attempt.commit for deployment in deployments for attempt in deployment.attempts)
    return {
        id: CommitFacts(
            author=clean_line(commit.author),
            at=datetime.fromtimestamp(commit.time, UTC),
            subject=clean_line(commit.subject),
        )
        for id, commit in commits.items()
    }


def _recorded_environment(files: EnvironmentFiles, records: Mapping[str, Record], why: GitopsError) -> EnvironmentFacts:
    names = sorted({*files.deployments, *files.broken, *records})
    return EnvironmentFacts(
        name=files.full_name,
        commit=files.commit,
        engine=clean_line(files.engine or ""),
        unanswered=first_line(why),
        deployments=tuple(_recorded(files, name, records.get(name)) for name in names),
    )


def _observed_environment(
    files: EnvironmentFiles, records: Mapping[str, Record], view: View, trouble: str
) -> EnvironmentFacts:
    statuses = {status.name: status for status in view.plan.statuses}

    def observed(name: str) -> DeploymentFacts:
        record, state = records.get(name), view.state.of(name)
        return msgspec.structs.replace(
            _recorded(files, name, record),
            broken=first_line(view.plan.broken.get(name, files.broken.get(name, ""))),
            status=statuses.get(name),
            attempts=_with_unrecorded(record, view, name),
            rollout=_rollout(state.open, view, name) if state.open else None,
        )

    names = sorted({*files.deployments, *files.broken, *view.plan.broken, *records, *statuses})
    return EnvironmentFacts(
        name=files.full_name,
        commit=view.desired.commit,
        engine=view.snapshot.engine,
        looked_at=view.snapshot.at,
        trouble=trouble,
        deployments=tuple(map(observed, names)),
    )


def _recorded(files: EnvironmentFiles, name: str, record: Record | None) -> DeploymentFacts:
    return DeploymentFacts(
        environment=files.full_name,
        name=name,
        declared=files.deployments.get(name),
        broken=first_line(files.broken.get(name, "")),
        record=record,
        attempts=record.attempts if record else (),
    )


def _with_unrecorded(record: Record | None, view: View, name: str) -> tuple[RecordedAttempt, ...]:
    """The recorded attempts, and those of the journal that are not in Git yet."""
    state = view.state.of(name)
    known = record.attempts if record else ()
    if {attempt.id for attempt in state.attempts} <= {attempt.id for attempt in known}:
        return known
    return updated(record, state, name, view.snapshot.engine).attempts


def _rollout(attempt: Attempt, view: View, name: str) -> RolloutFacts:
    watch = next((a for a in view.plan.actions if isinstance(a, plan.Watch) and a.deployment == name), None)
    checks = list(attempt.checks)
    if watch and attempt.evidence and attempt.routed:
        elapsed = (view.snapshot.at - datetime.fromisoformat(attempt.routed)).total_seconds()
        checks.append(
            judge_traffic(
                watch.traffic, attempt.evidence, elapsed=max(0.0, elapsed), alpha=watch.alpha, lost=attempt.lost
            )
        )
    return RolloutFacts(
        version=attempt.generation.version,
        incumbent=attempt.incumbent.version if attempt.incumbent else None,
        strategy=attempt.strategy,
        started=attempt.started,
        percent=watch.percent if watch else None,
        checks=tuple(map(clean_check, checks)),
    )
