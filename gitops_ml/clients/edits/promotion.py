"""Moving a declaration forward to what another environment has verified, or back to what this one had.

Both are edits in Git, by what records say. The host follows at its next sync, and judges for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from msgspec import structs

from gitops_ml.clients.edits.edit import CommitOptions, Written, declaration, existing, write
from gitops_ml.clients.files.environments import EnvironmentFiles, read_environment
from gitops_ml.clients.files.records import read_records
from gitops_ml.clients.files.yaml_edit import get_field, set_fields
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import bumped
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.records.record import FINGERPRINT_FIELDS, RecordedAttempt, restored_fields
from gitops_ml.core.records.verified import promotable, require_soaked, verified_attempts
from gitops_ml.errors import GitopsError, InputError, Temporary


class Moved(NamedTuple):
    """A declaration that now names `version`; `before` None: it was not there."""

    written: Written
    version: str
    digest: str
    before: str | None
    source: str


def promote(
    repo: Repository,
    deployment: str,
    environment: str,
    *,
    create: bool,
    wish: CommitOptions,
    say: Callable[[str], None],
) -> Moved:
    """Put into `environment` the version that stands Verified in the one that its `promotion.from` names.

    Args:
        create: where nothing is declared there yet, declare it as over there.
        say: told what a person may want to know, such as that a clock was not to be had.

    Raises:
        InputError: nothing is promoted into it, the version is not Verified there or has not stood long enough, or
            the two declare different models.
    """
    tip = repo.fetch()
    target = read_environment(repo, tip, environment)
    promotion = target.environment.promotion
    if promotion is None:
        raise InputError(
            f"nothing is promoted into {environment}",
            why=f"environments/{environment}/environment.yaml has no promotion",
            fix=f"add `promotion: {{from: <environment>}}` to it, or gitops-ml bump {environment} {deployment}",
        )
    source = read_environment(repo, tip, promotion.from_)
    standing, since = promotable(source.name, deployment, read_records(repo, source).get(deployment))
    soak = timedelta(seconds=seconds(promotion.soak))
    if soak:
        require_soaked(source.name, standing.version, since, soak, _clock(source, say))
    there = source.deployments.get(deployment)
    if there and there.version != standing.version:
        say(f"{source.name} declares {there.version}, which is not Verified; {standing.version} is what stands there")
    old = declaration(repo, environment, deployment)
    if old.text is None and not create:
        raise InputError(
            f"{old.file} does not exist",
            why=f"{environment} declares no deployment {deployment} yet",
            fix=f"gitops-ml promote {deployment} --to {environment} --create",
        )
    text = old.text if old.text is not None else _copy(repo, source, deployment, standing.commit)
    _require_same_model(repo, source, deployment, standing.commit, text, old.file)
    edited = set_fields(text, moved_fields(standing.version, standing.digest), old.file)
    before = str(get_field(old.text, "version", old.file)) if old.text is not None else None
    message = _promote_message(deployment, before, standing.version, source.name, environment, standing.commit)
    return Moved(write(repo, old, edited, message, wish), standing.version, standing.digest, before, source.name)


def rollback(repo: Repository, environment: str, deployment: str, *, to: str | None, wish: CommitOptions) -> Moved:
    """Put back the newest generation that was Verified in `environment`, other than the declared one.

    What a generation consists of is restored as it was declared then, and nothing else: replicas, rollout, verify and
    hold stay. `to` names a version, which has to have been Verified there.

    Raises:
        InputError: nothing else was Verified there, or not that version.
    """
    declared = read_environment(repo, repo.fetch(), environment)
    old, text = existing(repo, environment, deployment)
    record = read_records(repo, declared).get(deployment)
    tried = list(verified_attempts(record)) if record else []
    chosen = [a for a in tried if to is None or a.version == to]
    now = parse(text.encode(), old.file, Deployment)
    for attempt in chosen:
        then = _as_declared(repo, environment, deployment, attempt)
        if then is None or (to is None and _same_generation(now, then)):
            continue
        edited = set_fields(text, restored_fields(then), old.file)
        before = str(get_field(text, "version", old.file))
        message = (
            f"Roll {deployment} in {environment} back from {before} to {attempt.version}\n\n"
            f"It was Verified there by attempt {attempt.id}, as commit {attempt.commit[:12]} declared it.\n"
        )
        return Moved(write(repo, old, edited, message, wish), attempt.version, attempt.digest, before, environment)
    known = ", ".join(dict.fromkeys(a.version for a in tried)) or "none"
    raise InputError(
        f"{environment}/{deployment} has {f'no Verified {to}' if to else 'nothing to go back to'}",
        why=f"Verified there, newest first: {known}",
        fix=f"gitops-ml history {environment} {deployment}; or gitops-ml bump {environment} {deployment} <version>",
    )


def moved_fields(version: str, digest: str) -> dict[str, str]:
    """The fields that a promotion changes. An image's digest is its reference, and stands under `serve`."""
    return bumped(version, digest) if digest.startswith("md5:") else {"version": version, "serve.image": digest}


def _clock(source: EnvironmentFiles, say: Callable[[str], None]) -> datetime:
    """The time on the engine where it soaks; ours where that does not answer, since Git can be edited all the same."""
    from gitops_ml.clients.engine.client import Engine

    try:
        with Engine.connect(source.environment.engine, timeout=15.0) as engine:
            return engine.info().now
    except Temporary as error:
        say(f"warning: the soak is measured by this machine's clock: {error.what}")
        return datetime.now(UTC)


def _copy(repo: Repository, source: EnvironmentFiles, deployment: str, commit: str) -> str:
    """The declaration that was verified over there, without what holds for that environment only."""
    found = _declared_at(repo, source.name, deployment, commit)
    return set_fields(found, {"hold": None}, f"{source.name}/{deployment}")


def _declared_at(repo: Repository, environment: str, deployment: str, commit: str) -> str:
    path = f"environments/{environment}/models/{deployment}.yaml"
    data = repo.read_file(commit, path)
    if data is None:
        raise InputError(
            f"{path} is not in commit {commit[:12]}",
            why="the record says that it was verified from there",
            fix=f"gitops-ml history {environment} {deployment}",
        )
    return data.decode()


def _require_same_model(
    repo: Repository, source: EnvironmentFiles, deployment: str, commit: str, text: str, file: str
) -> None:
    there = get_field(_declared_at(repo, source.name, deployment, commit), "model", source.name)
    here = get_field(text, "model", file)
    if there != here:
        raise InputError(
            f"{file} declares the model {here}",
            why=f"{source.name}/{deployment} is {there}; a version of one model says nothing of another",
            fix=f"edit {file}",
        )


def _as_declared(repo: Repository, environment: str, deployment: str, attempt: RecordedAttempt) -> Deployment | None:
    """The declaration at an attempt's commit, pinned to what it held then; None when it cannot be read any more."""
    try:
        text = _declared_at(repo, environment, deployment, attempt.commit)
        then = parse(text.encode(), f"{environment}/{deployment}", Deployment)
    except GitopsError:
        return None
    return structs.replace(then, digest=attempt.digest) if attempt.digest.startswith("md5:") else then


def _same_generation(now: Deployment, then: Deployment) -> bool:
    """Whether both ask for one generation. A declaration without a digest takes what its version holds."""
    if now.digest and then.digest and now.digest.removesuffix(".dir") != then.digest.removesuffix(".dir"):
        return False
    return all(getattr(now, key) == getattr(then, key) for key in FINGERPRINT_FIELDS if key != "digest")


def _promote_message(
    deployment: str, before: str | None, version: str, source: str, environment: str, commit: str
) -> str:
    was = f" from {before}" if before and before != version else ""
    return (
        f"Promote {deployment} in {environment}{was} to {version}\n\n"
        f"It stands Verified in {source}, as commit {commit[:12]} declared it.\n"
    )
