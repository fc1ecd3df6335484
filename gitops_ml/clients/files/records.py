"""Reading and publishing records: the journal's verdicts as commits, with the revert of what failed beside them.

Every try starts from the tip as it was just fetched, builds one commit on top of it and pushes it with the tip as the
expected old value; whoever pushed in between makes the try start again. A record is keyed by its attempts, so that
doing it twice changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

import msgspec
import yaml

from gitops_ml.clients.files.environments import ROOT, EnvironmentFiles, read_environment
from gitops_ml.clients.files.yaml_edit import set_fields
from gitops_ml.clients.files.yaml_read import MAX_BYTES, parse, plain
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.journal.reviews import put_back
from gitops_ml.core.journal.state import Attempt, EnvironmentState
from gitops_ml.core.records.record import (
    Record,
    answered,
    commit_message,
    restored_fields,
    updated,
    wants_retrain,
    wants_revert,
)
from gitops_ml.errors import GitopsError, InputError, PushRejected

TRIES = 5
RECORD_PATH = re.compile(rf"{ROOT}/[^/]+/records/.+")
SameGeneration = Callable[[EnvironmentFiles, Attempt], bool]
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def read_record(data: bytes, path: str) -> Record | None:
    """A record file; None when it cannot be read, since a record that someone broke must not stop a rollout."""
    try:
        value, _ = plain(data, path)
        return msgspec.convert(value, Record)
    except (InputError, msgspec.ValidationError):
        return None


def read_records(repo: Repository, declared: EnvironmentFiles) -> dict[str, Record]:
    """The readable records of an environment, from the branch that its policy names."""
    raw = dict(declared.records)
    branch = declared.environment.records.branch
    if branch and branch != repo.branch and (tip := repo.find_tip(branch)):
        raw = records_at(repo, tip, declared.name)
    found = {name: read_record(data, record_path(declared.name, name)) for name, data in raw.items()}
    return {name: record for name, record in found.items() if record is not None}


def write_record(record: Record) -> bytes:
    """A record file's content."""
    head = "# Written by gitops-ml. Edits are overwritten, and a pull request that makes one fails `gitops-ml plan`.\n"
    content = msgspec.to_builtins(record)
    if record.retrain is None:
        del content["retrain"]
    body = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return (head + body).encode()


def publish(
    repo: Repository, environment: str, state: EnvironmentState, *, engine: str, same_generation: SameGeneration
) -> str:
    """Write the records of all unpublished attempts, and the reverts that they ask for; the commit that holds them.

    Args:
        state: what the journal adds up to.
        engine: the engine's own id.
        same_generation: whether a tip still declares the generation that an attempt tried.

    Raises:
        PushRejected: the remote refused, or others pushed five times in a row; the journal keeps the verdicts.
    """
    attempts = list(state.unpublished)
    for _ in range(TRIES):
        repo.fetch()
        tip = repo.tip()
        declared = read_environment(repo, tip, environment)
        branch = declared.environment.records.branch
        reverts = _reverts(repo, declared, state, attempts, same_generation)
        reverted = {name: version for name, (version, _, _) in reverts.items()}
        edits = {path: text for _, path, text in reverts.values()}
        message = commit_message(environment, attempts, reverted) if attempts else _rebound(environment, engine)
        asking = {a.id for a in attempts if wants_retrain(a, declared.deployments.get(a.deployment))}
        if branch is None or branch == repo.branch:
            files = _records(declared.records, state, attempts, environment, engine, asking) | edits
            commit = repo.commit_files(tip, files, message)
            done = repo.publish(commit, tip) == "pushed"
        else:
            commit, done = _publish_apart(repo, branch, state, attempts, environment, engine, asking, message)
            if done and edits:
                done = repo.publish(repo.commit_files(tip, edits, message), tip) == "pushed"
        if done:
            return commit
    raise PushRejected(
        f"the record of {environment} is not in Git",
        why=f"others pushed {TRIES} times in between; the journal keeps it",
        fix=f"gitops-ml sync {environment}",
    )


def _rebound(environment: str, engine: str) -> str:
    return f"Record that {environment} runs on engine {engine}\n"


def _publish_apart(
    repo: Repository,
    branch: str,
    state: EnvironmentState,
    attempts: Sequence[Attempt],
    environment: str,
    engine: str,
    asking: Collection[str],
    message: str,
) -> tuple[str, bool]:
    """The records on a branch of their own, for protected mains; begun from the tracked tip where absent."""
    tip = repo.find_tip(branch)
    parent = tip or repo.tip()
    known = records_at(repo, parent, environment)
    commit = repo.commit_files(parent, _records(known, state, attempts, environment, engine, asking), message)
    return commit, repo.publish(commit, tip, branch) == "pushed"


def records_at(repo: Repository, commit: str, environment: str) -> dict[str, bytes]:
    """The raw records of an environment at a commit, by deployment."""
    folder = f"{ROOT}/{environment}/records"
    files = repo.read_files(commit, folder, limit=MAX_BYTES)
    return {path.rsplit("/", 1)[1].removesuffix(".yaml"): f.data for path, f in files.items() if f.data is not None}


def _records(
    known: dict[str, bytes],
    state: EnvironmentState,
    attempts: Sequence[Attempt],
    environment: str,
    engine: str,
    asking: Collection[str],
) -> dict[str, bytes | None]:
    files: dict[str, bytes | None] = {}
    read = {name: read_record(data, record_path(environment, name)) for name, data in known.items()}
    elsewhere = {name for name, record in read.items() if record and record.engine != engine}
    for name in sorted({a.deployment for a in attempts} | elsewhere):
        path = record_path(environment, name)
        previous = read.get(name)
        files[path] = write_record(updated(previous, state.of(name), name, engine, asking))
    return files


def record_path(environment: str, deployment: str) -> str:
    """Where the record of a deployment is kept."""
    return f"{ROOT}/{environment}/records/{deployment}.yaml"


def answer_request(repo: Repository, environment: str, deployment: str, attempt: str, answer: str) -> None:
    """Record what became of a request to retrain; nothing is written where another one is asked by now.

    Raises:
        PushRejected: the remote refused, or others pushed five times in a row; the request stays open.
    """
    path = record_path(environment, deployment)
    for _ in range(TRIES):
        tip = repo.fetch()
        branch = read_environment(repo, tip, environment).environment.records.branch or repo.branch
        parent = repo.tip(branch)
        data = repo.read_file(parent, path)
        record = read_record(data, path) if data is not None else None
        if record is None or answered(record, attempt, answer) == record:
            return
        message = f"Record {environment}/{deployment}: the request to retrain is answered\n\n{answer}\n"
        commit = repo.commit_files(parent, {path: write_record(answered(record, attempt, answer))}, message)
        if repo.publish(commit, parent, branch) == "pushed":
            return
    raise PushRejected(
        f"the answer to the request of {environment}/{deployment} is not in Git",
        why=f"others pushed {TRIES} times in between",
        fix="gitops-ml retrain --if-requested --push",
    )


def _reverts(
    repo: Repository,
    declared: EnvironmentFiles,
    state: EnvironmentState,
    attempts: Sequence[Attempt],
    same_generation: SameGeneration,
) -> dict[str, tuple[str, str, bytes | None]]:
    """What is to be put back, by deployment: the version, the path and the text.

    Only where this tip still declares what failed; otherwise a person has moved on, and nothing is reverted.
    """
    found: dict[str, tuple[str, str, bytes | None]] = {}
    for attempt in attempts:
        name = attempt.deployment
        declaration = declared.deployments.get(name)
        back = put_back(state.of(name), attempt)
        if declaration is None or back is None:
            continue
        if not wants_revert(attempt, declaration, declared.environment.policy.auto_revert):
            continue
        if not same_generation(declared, attempt):
            continue
        path = f"{ROOT}/{declared.name}/models/{name}.yaml"
        before = repo.read_file(back.commit, path)
        now = repo.read_file(declared.commit, path)
        if before is None or now is None:
            continue
        try:
            verified = parse(before, path, Deployment)
        except GitopsError:
            continue
        fields = restored_fields(verified)
        if back.pattern == "service":
            fields["digest"] = back.digest
        # What says the same in both stays as a person wrote it, a default that is spelt out included.
        meant = msgspec.structs.replace(verified, digest=fields["digest"])
        fields = {key: value for key, value in fields.items() if getattr(declaration, key) != getattr(meant, key)}
        found[name] = (verified.version, path, set_fields(now.decode(), fields).encode())
    return found
