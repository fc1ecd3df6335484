"""Traces a serving model back to its version, commit and data, who declared it, and the checks that it passed.

All of it is read from Git. A model file is read only if this clone has it already.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from gitops_ml.artifacts.manifest import MANIFEST, parse_manifest
from gitops_ml.clients.artifacts import path_digests, resolution
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.files.applications import find_application
from gitops_ml.clients.files.yaml_edit import get_field
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.git.history import Commit
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import declaration_path
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.records.record import Record, RecordedAttempt
from gitops_ml.core.versions.lineage import Lineage
from gitops_ml.errors import GitopsError

MAX_COMMITS = 200
"""Commits of a declaration that are searched for the bump."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One commit of the trace: who, when (UTC), and its subject."""

    commit: str
    author: str
    at: str
    subject: str


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """The generation that serves.

    Args:
        generation: its fingerprint.
        commit: the commit that was rolled out.
        image: the engine's ID of its image; None if unknown.
    """

    model: str
    version: str
    digest: str
    generation: str
    commit: str
    image: str | None


class TracedApplication(msgspec.Struct, frozen=True, kw_only=True):
    """The application that the model is inside of.

    Args:
        image: its digest, where it was declared by that.
        context: the folder that it is built from, else.
        changed: the newest commit that changed that folder.
    """

    image: str | None = None
    context: str | None = None
    changed: Step | None = None


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a serving model comes from.

    Args:
        generation, image: as in `Serving`.
        tag: the version's tag; None if the version is another revision.
        tagger: who made the tag, and when.
        trained: the commit that holds the model; None if the version does not resolve.
        declared: the commit that was rolled out.
        bumped: the commit that declared this version.
        made: data, code and parameters, from the dvc.lock of `trained`.
        learnt: the training range; None unless the model is in this clone's cache.
        attempt: the rollout that promoted the generation, with its checks.
        application: what the model is embedded in; None for other patterns.
        missing: why the version does not resolve; empty if it does.
    """

    environment: str
    deployment: str
    model: str
    version: str
    digest: str
    generation: str
    image: str | None
    tag: str | None
    tagger: str | None
    trained: Step | None
    declared: Step | None
    bumped: Step | None
    made: Lineage
    learnt: dict[str, Any] | None
    attempt: RecordedAttempt | None
    application: TracedApplication | None = None
    missing: str = ""


def trace(repo: Repository, environment: str, deployment: str, serving: Serving, record: Record | None) -> Trace:
    """Trace the generation that serves; `record` is the deployment's record, which holds the checks."""
    resolved, missing = None, ""
    try:
        resolved = resolution.resolve_version(repo, serving.model, serving.version, serving.digest)
    except GitopsError as error:
        missing = str(error).split("\n")[0]
    return Trace(
        environment=environment,
        deployment=deployment,
        model=serving.model,
        version=serving.version,
        digest=serving.digest,
        generation=serving.generation,
        image=serving.image,
        tag=resolved.tag if resolved else None,
        tagger=_tagger(repo, serving.model, serving.version),
        trained=_step(repo, resolved.commit) if resolved else None,
        declared=_step(repo, serving.commit),
        bumped=_bumped(repo, environment, deployment, serving.version, serving.commit),
        made=path_digests.lineage_of(repo, resolved) if resolved else Lineage(),
        learnt=_learnt(repo, resolved) if resolved else None,
        attempt=_attempt(record, serving.generation),
        application=_application(repo, environment, deployment, serving.commit),
        missing=missing,
    )


def _application(repo: Repository, environment: str, deployment: str, commit: str) -> TracedApplication | None:
    """The application as it was declared in the commit that was rolled out."""
    path = declaration_path(environment, deployment)
    try:
        declared = parse(repo.read_file(commit, path) or b"", path, Deployment)
        application = find_application(repo, declared, commit)
        if application is None or application.image:
            return TracedApplication(image=application.image) if application else None
        log = repo.log(application.context, 1, application.commit)
    except GitopsError:
        return None
    return TracedApplication(context=application.context, changed=_as_step(log[0]) if log else None)


def _tagger(repo: Repository, model: str, version: str) -> str | None:
    versions = resolution.models(repo).get(model)
    tag = versions.find(version) if versions else None
    return f"{tag.tagger}, {_time(tag.created)}" if tag else None


def _step(repo: Repository, commit: str) -> Step | None:
    try:
        log = repo.log(n=1, rev=commit)
    except GitopsError:
        return None
    return _as_step(log[0]) if log else None


def _as_step(commit: Commit) -> Step:
    author = f"{commit.author} <{commit.email}>"
    return Step(commit=commit.id, author=author, at=_time(commit.time), subject=commit.subject)


def _bumped(repo: Repository, environment: str, deployment: str, version: str, commit: str) -> Step | None:
    """The newest commit up to `commit` that changed the declaration to this version."""
    path = declaration_path(environment, deployment)
    try:
        log = repo.log(path, MAX_COMMITS, commit)
    except GitopsError:
        return None
    bump = None
    for candidate in log:
        text = repo.read_file(candidate.id, path)
        if text is None or _version(text.decode("utf-8", "replace"), path) != version:
            break
        bump = candidate
    return _as_step(bump) if bump else None


def _version(text: str, path: str) -> Any:
    try:
        return get_field(text, "version", path)
    except GitopsError:
        return None


def _learnt(repo: Repository, resolved: ResolvedVersion) -> dict[str, Any] | None:
    if not {"cache", "git"} & set(resolution.places(repo, resolved)):
        return None
    try:
        manifest = parse_manifest(resolution.read(repo, resolved, {MANIFEST})[MANIFEST])
    except (GitopsError, KeyError):
        return None
    return dict(msgspec.to_builtins(manifest.training)) if manifest.training else None


def _attempt(record: Record | None, generation: str) -> RecordedAttempt | None:
    attempts = record.attempts if record else ()
    return next((a for a in attempts if a.generation == generation and a.outcome == "promoted"), None)


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
