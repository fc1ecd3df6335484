"""Promote and roll back: a declaration goes forward to what another environment verified, or back to what it had.

Both are edits in Git, decided by records. The host follows at its next sync, and judges for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from msgspec import structs

from gitops_ml.clients.edits.declarations import find_declaration, read_declaration
from gitops_ml.clients.edits.edit import CommitOptions, Written, before_edit, write
from gitops_ml.clients.edits.overrides import Rules
from gitops_ml.clients.edits.upstream import declared_at, declared_generation, require_same_runtime
from gitops_ml.clients.files.applications import pinned_build, restored_build
from gitops_ml.clients.files.environments import EnvironmentFiles, read_environment
from gitops_ml.clients.files.records import read_records
from gitops_ml.clients.files.yaml_edit import get_field, set_fields
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import bumped, declaration_path
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.records.record import (
    FINGERPRINT_FIELDS,
    Record,
    RecordedAttempt,
    RecordedGeneration,
    restored_fields,
)
from gitops_ml.core.records.verified import promotable, require_soaked, verified_attempts
from gitops_ml.errors import GitopsError, InputError, Temporary


class VersionChange(NamedTuple):
    """A declaration that now names `version`.

    Args:
        before: the version that it named, None where it did not exist.
        source: the environment that the version comes from.
        overridden: the rules that stand against it, and that a person overrode.
    """

    written: Written
    version: str
    digest: str
    before: str | None
    source: str
    overridden: tuple[str, ...] = ()


def promote(
    repo: Repository,
    deployment: str,
    environment: str,
    *,
    create: bool,
    override: str | None,
    options: CommitOptions,
    say: Callable[[str], None],
) -> VersionChange:
    """Declare in `environment` the version that stands Verified in the one that its `promotion.from` names.

    Args:
        create: copy the source's declaration where this environment has none yet.
        override: a person's reason to promote what serves or is declared there against the rules; the commit keeps it.
        say: reports what a person may want to know, such as that the engine's clock could not be read.

    Raises:
        InputError: the environment has no `promotion`, or the two environments declare different models. Without
            `override`: the version is not Verified in the source, has not soaked, or was judged in another runtime.
    """
    rules = Rules(deployment, environment, override)
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
    record = read_records(repo, source).get(deployment)
    try:
        standing = _standing(source, deployment, record, seconds(promotion.soak), say)
    except InputError as error:
        rules.override(error)
        standing = (record.serving if record else None) or declared_generation(repo, source, deployment)
    declared = source.deployments.get(deployment)
    if declared and declared.version != standing.version:
        say(
            f"{source.name} declares {declared.version}, which is not Verified; {standing.version} is what stands there"
        )
    old = find_declaration(repo, environment, deployment, options.onto)
    if old.text is None and not create:
        command = f"gitops-ml promote {deployment} --to {environment} --create{options.words()}"
        read_declaration(repo, environment, deployment, command, options.onto)
    there = declared_at(repo, source.name, deployment, standing.commit)
    text = old.text if old.text is not None else set_fields(there, {"hold": None}, f"{source.name}/{deployment}")
    _require_same_model(f"{source.name}/{deployment}", there, text, old.file)
    moved = moved_fields(standing.version, standing.digest)
    moved |= _moved_with_application(repo, there, standing.commit, f"{source.name}/{deployment}")
    edited = set_fields(text, moved, old.file)
    try:
        then = parse(there.encode(), declaration_path(source.name, deployment), Deployment)
        require_same_runtime(repo, source, deployment, standing, then, parse(edited.encode(), old.file, Deployment))
    except InputError as error:
        rules.override(error)
    base = before_edit(old, options)
    before = str(get_field(base, "version", old.file)) if base is not None else None
    was = f" from {before}" if before and before != standing.version else ""
    message = f"Promote {deployment} in {environment}{was} to {standing.version}\n\n" + rules.message(
        f"It stands Verified in {source.name}, as commit {standing.commit[:12]} declared it."
    )
    written = write(repo, old, edited, message, options)
    return VersionChange(written, standing.version, standing.digest, before, source.name, tuple(rules.overridden))


def rollback(
    repo: Repository, environment: str, deployment: str, *, to: str | None, options: CommitOptions
) -> VersionChange:
    """Declare again the newest generation that was Verified in `environment`, other than the one at the fetched tip.

    Only the fields of a generation are restored, as they were declared then, and an application that has changed since
    is built from the commit of then. Replicas, rollout, verify and hold stay.

    Args:
        to: a version that was Verified in the environment; None takes the newest.

    Raises:
        InputError: nothing else was Verified there, or not that version.
    """
    declared = read_environment(repo, repo.fetch(), environment)
    old, text = read_declaration(repo, environment, deployment, at=options.onto)
    record = read_records(repo, declared).get(deployment)
    verified = list(verified_attempts(record)) if record else []
    # Not what this clone declares: repeating a rollback whose push was refused would go back twice.
    now = declared.deployments.get(deployment) or parse(text.encode(), old.file, Deployment)
    for attempt in (a for a in verified if to is None or a.version == to):
        then = _as_declared(repo, declared, deployment, attempt, now)
        if then is None or (to is None and _same_generation(now, then)):
            continue
        edited = set_fields(text, restored_fields(then), old.file)
        before = now.version
        message = (
            f"Roll {deployment} in {environment} back from {before} to {attempt.version}\n\n"
            f"It was Verified there by attempt {attempt.id}, as commit {attempt.commit[:12]} declared it.\n"
        )
        return VersionChange(
            write(repo, old, edited, message, options), attempt.version, attempt.digest, before, environment
        )
    versions = ", ".join(dict.fromkeys(a.version for a in verified)) or "none"
    raise InputError(
        f"{environment}/{deployment} has {f'no Verified {to}' if to else 'nothing to go back to'}",
        why=f"Verified there, newest first: {versions}",
        fix=f"gitops-ml history {environment} {deployment}; or gitops-ml bump {environment} {deployment} <version>",
    )


def _moved_with_application(repo: Repository, there: str, commit: str, file: str) -> dict[str, Any]:
    """What an application is promoted with, as its source declared it in `commit`: how it is asked; and of an embedded
    model the application itself, as that commit has it.

    Of an image without a mapping that is nothing: what the version holds is not read then.
    """
    pattern = get_field(there, "serve.pattern", file)
    if pattern == "embed":
        keys = ("image", "model_path", "version_path", "request", "response")
        moved = {f"serve.{key}": get_field(there, f"serve.{key}", file) for key in keys}
        return moved | {"serve.build": pinned_build(repo, parse(there.encode(), file, Deployment), commit)}
    if pattern != "image" or get_field(there, "serve.request", file) is None:
        return {}
    return {key: get_field(there, key, file) for key in ("digest", "serve.request", "serve.response")}


def moved_fields(version: str, digest: str) -> dict[str, Any]:
    """The fields that a promotion changes. The digest of an image is its reference, in `serve.image`."""
    return bumped(version, digest) if digest.startswith("md5:") else {"version": version, "serve.image": digest}


def _standing(
    source: EnvironmentFiles, deployment: str, record: Record | None, soak: float, say: Callable[[str], None]
) -> RecordedGeneration:
    """What stands Verified in the source, for `soak` seconds already. Raises `InputError` if there is none."""
    standing, since = promotable(source.name, deployment, record)
    if soak:
        require_soaked(source.name, standing.version, since, timedelta(seconds=soak), _clock(source, say))
    return standing


def _clock(source: EnvironmentFiles, say: Callable[[str], None]) -> datetime:
    """The time on the (first) engine where the version soaks, else this machine's: Git can be edited without one."""
    # Here, since the engine's SDK takes a tenth of a second, and an edit without soak needs none.
    from gitops_ml.clients.engine.client import Engine

    try:
        with Engine.connect(source.on_each_host()[0].engine, timeout=15.0) as engine:
            return engine.info().now
    except Temporary as error:
        say(f"warning: the soak is measured by this machine's clock: {error.what}")
        return datetime.now(UTC)


def _require_same_model(place: str, there: str, text: str, file: str) -> None:
    """Check that the declaration `text` is of the same model as the one of the source, `there` at `place`."""
    declared, here = get_field(there, "model", place), get_field(text, "model", file)
    if declared != here:
        raise InputError(
            f"{file} declares the model {here}",
            why=f"{place} is {declared}; a verdict on one model says nothing about another",
            fix=f"edit {file}",
        )


def _as_declared(
    repo: Repository, environment: EnvironmentFiles, deployment: str, attempt: RecordedAttempt, now: Deployment
) -> Deployment | None:
    """The declaration at an attempt's commit, pinned to its digest of then; None when it cannot be read any more.

    `now`: what the environment declares, which the application stays as if it is the same.
    """
    try:
        text = declared_at(repo, environment.name, deployment, attempt.commit)
        then = parse(text.encode(), f"{environment.name}/{deployment}", Deployment)
        then = restored_build(repo, then, attempt.commit, now, environment.commit)
    except GitopsError:
        return None
    return structs.replace(then, digest=attempt.digest) if attempt.digest.startswith("md5:") else then


def _same_generation(now: Deployment, then: Deployment) -> bool:
    """Whether both declare the same generation. A declaration without a digest takes what its version holds."""
    if now.digest and then.digest and now.digest.removesuffix(".dir") != then.digest.removesuffix(".dir"):
        return False
    return all(getattr(now, key) == getattr(then, key) for key in FINGERPRINT_FIELDS if key != "digest")
