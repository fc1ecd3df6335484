"""What a pull request would do to each environment: its declarations before and after, and what the host says now.

An engine that does not answer costs the host's part alone: a runner of pull requests often reaches no engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from gitops_ml.clients.artifacts.resolution import resolve_version
from gitops_ml.clients.artifacts.servable import unjudgeable
from gitops_ml.clients.edits.overrides import override_between
from gitops_ml.clients.files.environments import (
    EnvironmentFiles,
    declared_environments,
    environment_names,
    read_environment,
    read_project,
)
from gitops_ml.clients.files.records import RECORD_PATH, read_records
from gitops_ml.clients.files.signers import require_signed_history
from gitops_ml.clients.gateway.access_log import recent_rates
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.connection import Connection
from gitops_ml.control.environment.observe import observe, plan_view, read_source
from gitops_ml.control.environment.view import Options, Source
from gitops_ml.core.declaration.schema import Desired, ResolvedDeployment
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.pull_request.facts import (
    DeploymentChange,
    EnvironmentChange,
    HostFacts,
    PullRequest,
    Upstream,
    deployment_changes,
)
from gitops_ml.core.records.record import Record
from gitops_ml.errors import GitopsError, InputError, SourceError
from gitops_ml.suggest import did_you_mean


def read_pull_request(
    repo: Repository, base: str, head: str, environments: Sequence[str], *, ask_hosts: bool = True
) -> PullRequest:
    """Read what `head` changes since it left `base`.

    Args:
        base, head: any revisions.
        environments: only these; all, if empty.
        ask_hosts: connect to the engines of the environments that change.

    Raises `SourceError`, `VersionNotFound` and `InputError` if the commits or the project cannot be read. What is wrong
    with one environment is in its facts.
    """
    before, after = repo.merge_base(base, head), repo.resolve(head)
    project = read_project(repo, after).name
    names = sorted({*declared_environments(repo, before), *environment_names(repo, after)})
    for name in environments:
        if name not in names:
            near = did_you_mean(name, names)
            declared = f"declared before or after: {', '.join(names) or 'none'}"
            raise InputError(f"there is no environment `{name}`", why=declared, fix=near or "name one of them")
    chosen = [name for name in names if not environments or name in environments]
    return PullRequest(
        project=project,
        base=before,
        head=after,
        environments=tuple(_environment(repo, name, (before, after), ask_hosts) for name in chosen),
        touched_records=tuple(touched_records(repo, before, after)),
    )


def _environment(repo: Repository, name: str, commits: tuple[str, str], ask_hosts: bool) -> EnvironmentChange:
    now = datetime.now(UTC)
    before = _desired_before(repo, commits[0], name)
    if name not in environment_names(repo, commits[1]):
        return EnvironmentChange(name=name, before=before, after=None, now=now)
    try:
        files = read_environment(repo, commits[1], name)
        source = read_source(repo, files)
        upstream = _upstream(repo, files)
    except Exception as error:
        return EnvironmentChange(name=name, before=before, after=None, now=now, error=str(as_gitops_error(error, name)))
    facts = EnvironmentChange(
        name=name,
        before=before,
        after=source.desired,
        now=now,
        records=dict(source.records),
        upstream=upstream,
        unsigned=_unsigned(repo, name, commits),
    )
    changed = deployment_changes(facts)
    reasons = {each.name: override_between(repo, name, each.name, *commits) for each in changed if each.rolls_out}
    facts = msgspec.structs.replace(
        facts,
        overrides={name: reason for name, reason in reasons.items() if reason},
        unjudgeable={each.name: found for each in changed if (found := _unjudgeable(repo, each, commits[1]))},
    )
    if ask_hosts and changed:
        first = files.on_each_host()[0]
        return _with_host(repo, facts, read_source(repo, first) if first.host else source)
    return facts


def _unjudgeable(repo: Repository, change: DeploymentChange, commit: str) -> tuple[str, str] | None:
    """Why the hold-out can never judge what a change rolls out, and what fixes that; None where nothing is known."""
    declared = change.after.declaration if change.after and change.rolls_out else None
    if declared is None or declared.verify.holdout is None:
        return None
    try:
        resolved = resolve_version(repo, declared.model, declared.version, declared.digest)
        error = unjudgeable(repo, resolved, declared, commit)
    except GitopsError:
        return None
    return (f"{error.what}: {error.why}" if error.why else error.what, error.fix or "") if error else None


def _unsigned(repo: Repository, name: str, commits: tuple[str, str]) -> str:
    """Why a commit of the change may not be applied where signatures are asked for; empty where all may.

    A job of GitHub's works on a merge that was made for the job: then the change ends at the second parent.
    """
    before, after = commits
    proposed = repo.find_commit(f"{after}^2") if repo.find_commit(f"{after}^1") == before else None
    try:
        require_signed_history(repo, name, before, proposed or after)
    except SourceError as error:
        return str(error)
    return ""


def _desired_before(repo: Repository, commit: str, name: str) -> Desired | None:
    """What an environment declared; None where it was not declared, or could not be read.

    A version that does not resolve any more, since its tag was taken back, is still what was declared.
    """
    if name not in declared_environments(repo, commit):
        return None
    try:
        files = read_environment(repo, commit, name)
        desired = read_source(repo, files).desired
    except GitopsError:
        return None
    unresolved = {
        name: ResolvedDeployment(
            name=name, declaration=declaration, digest=declaration.digest or "", revision="", path=""
        )
        for name, declaration in files.deployments.items()
        if name in desired.broken
    }
    return msgspec.structs.replace(desired, deployments=desired.deployments | unresolved)


def _upstream(repo: Repository, files: EnvironmentFiles) -> Upstream | None:
    promotion = files.environment.promotion
    if promotion is None:
        return None
    records: dict[str, Record] = {}
    if promotion.from_ in declared_environments(repo, files.commit):
        records = read_records(repo, read_environment(repo, files.commit, promotion.from_))
    return Upstream(name=promotion.from_, soak=seconds(promotion.soak), records=records)


def _with_host(repo: Repository, facts: EnvironmentChange, source: Source) -> EnvironmentChange:
    """The facts with what the (first) engine says of them, or with why it was not asked."""
    connection = Connection()
    try:
        engine = connection.to(source.files)
        snapshot = observe(engine, source.files, repo.cache)
        # A pull request's commit does not descend from what the host applied, when others were merged since.
        view = plan_view(repo, source, snapshot, Options(rev=source.commit), locked=False)
        rates: dict[str, float] = {}
        window = 0.0
        if snapshot.gateway:
            started = snapshot.gateway.facts.started if snapshot.gateway.facts else None
            rates, window = recent_rates(engine, snapshot.gateway.id, snapshot.at, started)
    except Exception as error:
        problem = as_gitops_error(error, facts.name)
        return msgspec.structs.replace(
            facts, unreached=f"{problem.what}: {problem.why}" if problem.why else problem.what
        )
    finally:
        connection.close()
    host = HostFacts(
        statuses={status.name: status for status in view.plan.statuses},
        serving={name: state.serving.version for name, state in view.state.deployments.items() if state.serving},
        rates=rates,
        seconds=window,
        refused=view.plan.refused,
    )
    after = _with_broken(facts, view.desired.broken)
    return msgspec.structs.replace(facts, after=after, host=host, now=snapshot.at)


def _with_broken(facts: EnvironmentChange, broken: Mapping[str, str]) -> Desired | None:
    """The declarations after the change, without changed ones that this host cannot run."""
    if facts.after is None:
        return None
    here = {change.name: broken[change.name] for change in deployment_changes(facts) if change.name in broken}
    left = {name: resolved for name, resolved in facts.after.deployments.items() if name not in here}
    return msgspec.structs.replace(facts.after, deployments=left, broken=facts.after.broken | here)


def touched_records(repo: Repository, since: str, commit: str) -> list[str]:
    """The records that were edited since `commit` left `since`: only gitops-ml writes them."""
    return [path for path in repo.changed_files(since, commit) if RECORD_PATH.fullmatch(path)]


def require_untouched_records(repo: Repository, since: str, rev: str | None) -> None:
    """Refuse a change that edits records. Raises `InputError`."""
    touched = touched_records(repo, since, repo.resolve(rev or "HEAD"))
    if touched:
        raise InputError(
            f"{', '.join(touched)} is edited since {since}",
            why="records are written by gitops-ml only",
            fix=f"git checkout {since} -- {' '.join(touched)}",
        )
