"""Recording the journal's verdicts: as records in Git, with the reverts of what failed beside them.

Every push starts from the tip as it was just fetched, and expects the branch to be there still: if somebody pushes
meanwhile, the commit is built again on top. A record is keyed by its attempts, so recording twice changes nothing.
Records that go to a branch of their own and the reverts to the tracked branch are two pushes, and one that is refused
does not hold up the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from gitops_ml.clients.files.applications import restored_build
from gitops_ml.clients.files.environments import ROOT, EnvironmentFiles, read_environment
from gitops_ml.clients.files.pushing import CommitContent, push_commit
from gitops_ml.clients.files.record_changes import RecordChanges, record_changes
from gitops_ml.clients.files.records import read_host_records, read_record, write_record
from gitops_ml.clients.files.yaml_edit import set_fields
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.files.yaml_scalars import MAX_BYTES
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.journal.reviews import is_tried_again, restored_generation
from gitops_ml.core.journal.state import Attempt, EnvironmentState
from gitops_ml.core.records.record import (
    answered,
    commit_message,
    record_path,
    restored_fields,
    revert_message,
    wants_revert,
)
from gitops_ml.core.records.verified import serves_verified
from gitops_ml.core.text import clean_line
from gitops_ml.errors import GitopsError, InputError, PushRejected

SameGeneration = Callable[[EnvironmentFiles, Attempt], bool]


class Recording(NamedTuple):
    """What of a journal is in Git now.

    Args:
        commit: the commit that holds the records, None where they were refused. The journal keeps the verdicts then.
        attempts: the ids of the attempts whose records the commit holds.
        refused: what was refused: the records, the reverts, or both as one push.
        unreverted: the ids of the attempts whose revert alone was refused; a later pass tries them again.
    """

    commit: str | None
    attempts: tuple[str, ...] = ()
    refused: tuple[PushRejected, ...] = ()
    unreverted: tuple[str, ...] = ()


class _News(NamedTuple):
    """What is to be recorded: the unrecorded attempts of an environment, as its journal has them.

    Args:
        unreverted: recorded attempts whose revert was refused before.
        engine: the engine's own id.
        same_generation: whether a tip still declares the generation that an attempt tried.
    """

    environment: str
    engine: str
    state: EnvironmentState
    attempts: tuple[Attempt, ...]
    unreverted: tuple[Attempt, ...]
    same_generation: SameGeneration


class _Revert(NamedTuple):
    """The declaration of a deployment, put back to `version`."""

    attempt: Attempt
    version: str
    path: str
    content: bytes


class _Refused(NamedTuple):
    """A revert that was refused."""

    attempt: Attempt
    error: PushRejected


def record_verdicts(
    repo: Repository, environment: str, state: EnvironmentState, *, engine: str, same_generation: SameGeneration
) -> Recording:
    """Write the records of all unrecorded attempts, and the reverts that they and earlier ones ask for. See `_News`.

    Raises `SourceUnavailable` when the remote cannot be fetched, and what `read_environment` raises for the tip.
    """
    news = _News(environment, engine, state, state.unrecorded, state.unreverted, same_generation)
    branch = read_environment(repo, repo.fetch(), environment).environment.records.branch
    if branch is None or branch == repo.branch:
        return _record_together(repo, news)
    reverts, refused = _push_reverts(repo, news)
    return _with_refused(_record_apart(repo, news, branch, reverts), refused)


def _record_together(repo: Repository, news: _News) -> Recording:
    refused: list[_Refused] = []

    def build(tip: str, parent: str) -> CommitContent:
        declared = read_environment(repo, tip, news.environment)
        reverts, refused[:] = _reverts(repo, declared, news)
        records = record_changes(repo, declared, news.state, news.engine)
        files = records.files | {r.path: r.content for r in reverts}
        return CommitContent(files, _record_message(news, reverts, records))

    recorded = _recorded(news, lambda: push_commit(repo, repo.branch, build, f"the record of {news.environment}"))
    return _with_refused(recorded, refused)


def _record_apart(repo: Repository, news: _News, branch: str, reverts: Sequence[_Revert]) -> Recording:
    """The records on a branch of their own, for protected mains; begun from the tracked tip where it is absent."""

    def build(tip: str, parent: str) -> CommitContent:
        declared = read_environment(repo, tip, news.environment)
        records = record_changes(repo, declared, news.state, news.engine, parent)
        return CommitContent(records.files, _record_message(news, reverts, records))

    return _recorded(news, lambda: push_commit(repo, branch, build, f"the record of {news.environment}"))


def _recorded(news: _News, push: Callable[[], str]) -> Recording:
    try:
        return Recording(push(), tuple(a.id for a in news.attempts))
    except PushRejected as error:
        return Recording(None, refused=(error,))


def _with_refused(records: Recording, reverts: Sequence[_Refused]) -> Recording:
    errors, attempts = (r.error for r in reverts), tuple(r.attempt.id for r in reverts)
    return records._replace(refused=(*records.refused, *errors), unreverted=attempts)


def _push_reverts(repo: Repository, news: _News) -> tuple[Sequence[_Revert], Sequence[_Refused]]:
    """Push the reverts alone to the tracked branch. Returns those that are in Git now, and what was refused."""
    reverts: list[_Revert] = []
    refused: list[_Refused] = []

    def build(tip: str, parent: str) -> CommitContent:
        reverts[:], refused[:] = _reverts(repo, read_environment(repo, tip, news.environment), news)
        message = revert_message(news.environment, [(r.attempt, r.version) for r in reverts]) if reverts else ""
        return CommitContent({r.path: r.content for r in reverts}, message)

    try:
        push_commit(repo, repo.branch, build, f"the revert in {news.environment}")
    except PushRejected as error:
        refused += [_refused(repo, news.environment, r.attempt, error.why or error.what) for r in reverts]
        return (), refused
    return reverts, refused


def _refused(repo: Repository, environment: str, attempt: Attempt, why: str) -> _Refused:
    name = attempt.deployment
    error = PushRejected(
        f"{repo.branch} still declares {name} {attempt.generation.version} in {environment}, which failed",
        why=f"the revert was refused: {why}",
        fix=f"gitops-ml rollback {environment} {name}, as a pull request; or let this identity push to {repo.branch}",
    )
    return _Refused(attempt, error)


def _record_message(news: _News, reverts: Sequence[_Revert], records: RecordChanges) -> str:
    """The message. It leaves out what is recorded already: a process can die between its push and the journal."""
    recorded = {attempt.id for record in records.present.values() for attempt in record.attempts}
    attempts = [attempt for attempt in news.attempts if attempt.id not in recorded]
    late = [r for r in reverts if r.attempt not in attempts]
    if attempts:
        versions = {r.attempt.deployment: r.version for r in reverts}
        return commit_message(news.environment, [*attempts, *(r.attempt for r in late)], versions)
    if late:
        return revert_message(news.environment, [(r.attempt, r.version) for r in late])
    if any(record.engine != news.engine for record in records.present.values()):
        return f"Record that {news.environment} runs on engine {news.engine}\n"
    return f"Record what serves in {news.environment}: {', '.join(records.changed)}\n"


def _reverts(repo: Repository, declared: EnvironmentFiles, news: _News) -> tuple[list[_Revert], list[_Refused]]:
    """What is put back at a tip, and what cannot be."""
    reverts: dict[str, _Revert] = {}
    refused: list[_Refused] = []
    for attempt in (*news.unreverted, *news.attempts):
        try:
            revert = _revert_of(repo, declared, news, attempt)
        except InputError as error:
            refused.append(_refused(repo, news.environment, attempt, f"{error.what}: {error.why}"))
            continue
        if revert is not None:
            reverts[attempt.deployment] = revert
    return list(reverts.values()), refused


def _revert_of(repo: Repository, declared: EnvironmentFiles, news: _News, attempt: Attempt) -> _Revert | None:
    """The revert that an attempt asks for; None if it asks for none, or a person has moved on.

    Raises `InputError` when the declaration cannot be edited, or the application's files are gone.
    """
    name = attempt.deployment
    declaration = declared.deployments.get(name)
    back = restored_generation(news.state.of(name), attempt)
    if declaration is None or back is None or is_tried_again(news.state.of(name), attempt):
        return None
    if not wants_revert(attempt, declaration, declared.environment.policy.auto_revert):
        return None
    if not news.same_generation(declared, attempt):
        return None
    _require_not_verified_elsewhere(repo, declared, attempt)
    path = f"{ROOT}/{declared.name}/models/{name}.yaml"
    before = repo.read_file(back.commit, path)
    now = repo.read_file(declared.commit, path)
    if before is None or now is None:
        return None
    try:
        verified = parse(before, path, Deployment)
    except GitopsError:
        return None
    verified = restored_build(repo, verified, back.commit, declaration, declared.commit)
    fields = restored_fields(verified) | ({"digest": back.digest} if back.pattern != "image" else {})
    # A field of equal meaning stays as a person wrote it, even a default that is spelt out.
    meant = msgspec.structs.replace(verified, digest=fields["digest"])
    fields = {key: value for key, value in fields.items() if getattr(declaration, key) != getattr(meant, key)}
    return _Revert(attempt, verified.version, path, set_fields(now.decode(), fields, path).encode())


def _require_not_verified_elsewhere(repo: Repository, declared: EnvironmentFiles, attempt: Attempt) -> None:
    """Raise `InputError` where all other hosts serve a generation as Verified: one host takes it from none of them."""
    others = [host for host in declared.environment.hosts if declared.host and host != declared.host]
    by_host = read_host_records(repo, declared, others, attempt.deployment)
    if others and all(
        serves_verified(records.get(attempt.deployment), attempt.generation.fingerprint) for records in by_host.values()
    ):
        raise InputError("it stays declared", why="it is Verified on every other host")


def answer_request(repo: Repository, environment: str, deployment: str, attempt: str, answer: str) -> None:
    """Record the answer to a request to retrain. Nothing is written if the record asks for another attempt by now.

    Raises `PushRejected`: the remote refused, or others were faster for long; the request stays open.
    """
    declared = read_environment(repo, repo.fetch(), environment)
    branch = declared.environment.records.branch or repo.branch

    def build(tip: str, parent: str) -> CommitContent:
        files: dict[str, bytes | None] = {}
        for path in (record_path(host.full_name, deployment) for host in declared.on_each_host()):
            data = repo.read_file(parent, path, MAX_BYTES)
            record = read_record(data, path) if data is not None else None
            after = answered(record, attempt, answer) if record else None
            if after and after != record:
                files[path] = write_record(after)
        message = f"Record {environment}/{deployment}: the request to retrain is answered\n\n{clean_line(answer)}\n"
        return CommitContent(files, message)

    if repo.find_tip(branch) is not None:
        push_commit(repo, branch, build, f"the answer to the request of {environment}/{deployment}")
