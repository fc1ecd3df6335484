"""Traces a model back to its version, commit and data, who declared it, and the checks that it passed; and forwards to
where it runs.

All of it is read from Git. A model file is read only if this clone has it already.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from gitops_ml.artifacts.manifest import MANIFEST, Manifest, parse_manifest
from gitops_ml.artifacts.model_files import REQUIREMENTS
from gitops_ml.artifacts.requirements import pins
from gitops_ml.clients.artifacts import path_digests, resolution
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.artifacts.sidecar import find_sidecar, with_sidecar
from gitops_ml.clients.files.applications import find_application
from gitops_ml.clients.files.yaml_edit import get_field
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.git.history import Commit
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import declaration_path
from gitops_ml.core.declaration.hosts import split_full_name
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.records.record import Record, RecordedAttempt
from gitops_ml.core.versions.lineage import Lineage
from gitops_ml.errors import GitopsError
from gitops_ml.retraining.uses import Use

MAX_COMMITS = 200
"""Commits of a declaration that are searched for the bump."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One commit of the trace: who, when (UTC), and its subject."""

    commit: str
    author: str
    at: str
    subject: str


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a trace begins with: a generation of a deployment, or a version of a model alone.

    Args:
        environment, deployment, generation: None for a version alone; `generation` is the fingerprint.
        commit: the commit that was rolled out; None for a version alone.
        image: the engine's ID of its image; None if unknown.
    """

    model: str
    version: str
    digest: str
    environment: str | None = None
    deployment: str | None = None
    generation: str | None = None
    commit: str | None = None
    image: str | None = None


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


class Trace(Subject, frozen=True, kw_only=True):
    """Where a model comes from, and where it runs.

    Args:
        tag: the version's tag; None if the version is another revision.
        tagger: who made the tag, and when.
        trained: the commit that holds the model; None if the version does not resolve.
        declared: the commit that was rolled out.
        bumped: the commit that declared this version.
        made: data, code and parameters, from the dvc.lock of `trained`.
        learnt: the training range; None unless the manifest is in this clone.
        task: `classification` or `regression`; None as `learnt`.
        packages: the version of each pinned package, by name; empty as `learnt`.
        attempt: the rollout that promoted the generation, with its checks; else its last one.
        uses: every deployment that runs or declares the version, or has tried it; see `uses.find_uses`.
        application: what the generation's model is embedded in; None for other patterns.
        missing: why the version does not resolve; empty if it does.
    """

    tag: str | None
    tagger: str | None
    trained: Step | None
    declared: Step | None
    bumped: Step | None
    made: Lineage
    learnt: dict[str, Any] | None
    task: str | None
    packages: dict[str, str]
    attempt: RecordedAttempt | None
    uses: tuple[Use, ...] = ()
    application: TracedApplication | None = None
    missing: str = ""


def trace(repo: Repository, subject: Subject, record: Record | None = None) -> Trace:
    """Trace a generation or a version; `record` is the deployment's record, which holds the checks."""
    resolved, missing = None, ""
    try:
        resolved = resolution.resolve_version(repo, subject.model, subject.version, subject.digest)
    except GitopsError as error:
        missing = str(error).split("\n")[0]
    files = _texts(repo, resolved) if resolved else {}
    manifest = _manifest(files)
    return Trace(
        **msgspec.structs.asdict(subject),
        tag=resolved.tag if resolved else None,
        tagger=_tagger(repo, subject.model, subject.version),
        trained=_step(repo, resolved.commit) if resolved else None,
        declared=_step(repo, subject.commit) if subject.commit else None,
        bumped=_bumped(repo, subject),
        made=path_digests.lineage_of(repo, resolved) if resolved else Lineage(),
        learnt=dict(msgspec.to_builtins(manifest.training)) if manifest and manifest.training else None,
        task=manifest.task if manifest else None,
        packages=pins(files.get(REQUIREMENTS, b"").decode("utf-8", "replace")),
        attempt=_attempt(record, subject.generation),
        application=_application(repo, subject),
        missing=missing,
    )


def _application(repo: Repository, subject: Subject) -> TracedApplication | None:
    """The application as it was declared in the commit that was rolled out."""
    commit = subject.commit
    if commit is None or subject.environment is None or subject.deployment is None:
        return None
    path = declaration_path(split_full_name(subject.environment)[0], subject.deployment)
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


def _bumped(repo: Repository, subject: Subject) -> Step | None:
    """The newest commit up to the one that was rolled out that changed the declaration to this version."""
    if not (subject.environment and subject.deployment and subject.commit):
        return None
    path = declaration_path(split_full_name(subject.environment)[0], subject.deployment)
    try:
        log = repo.log(path, MAX_COMMITS, subject.commit)
    except GitopsError:
        return None
    bump = None
    for candidate in log:
        text = repo.read_file(candidate.id, path)
        if text is None or _version(text.decode("utf-8", "replace"), path) != subject.version:
            break
        bump = candidate
    return _as_step(bump) if bump else None


def _version(text: str, path: str) -> Any:
    try:
        return get_field(text, "version", path)
    except GitopsError:
        return None


def _texts(repo: Repository, resolved: ResolvedVersion) -> Mapping[str, bytes]:
    """The manifest and the requirements of a version, as far as this clone has them."""
    try:
        here = {"cache", "git"} & set(resolution.places(repo, resolved))
        files = resolution.read(repo, resolved, {MANIFEST, REQUIREMENTS}) if here else {}
        return with_sidecar(repo, files, find_sidecar(repo, resolved.model, resolved, repo.tip()))
    except GitopsError:
        return {}


def _manifest(files: Mapping[str, bytes]) -> Manifest | None:
    try:
        return parse_manifest(files[MANIFEST])
    except (GitopsError, KeyError):
        return None


def _attempt(record: Record | None, generation: str | None) -> RecordedAttempt | None:
    attempts = [a for a in (record.attempts if record else ()) if a.generation == generation]
    return next((a for a in attempts if a.outcome == "promoted"), attempts[0] if attempts else None)


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
