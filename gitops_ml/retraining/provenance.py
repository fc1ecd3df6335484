"""From what serves back to where it comes from: its version, commit and data, who declared it, and what let it pass.

Everything is read from Git; a model file is read only where this clone has it anyway.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from gitops_ml.artifacts.manifest import parse_manifest
from gitops_ml.clients.artifacts import lookup, resolution
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.files.yaml_edit import get_field
from gitops_ml.clients.git.history import Commit
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import declaration_path
from gitops_ml.core.records.record import Record, RecordedAttempt
from gitops_ml.core.versions.lineage import Made
from gitops_ml.errors import GitopsError

FOLLOWED = 200


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One commit on the way: who, when (UTC), and its subject."""

    commit: str
    author: str
    at: str
    subject: str


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Where what serves comes from.

    Args:
        generation: its fingerprint; `image` the engine's id of its image, if known.
        tag: the version's tag, None for another revision; `tagger` who made it.
        trained: the commit that holds the model; None where its tag is gone.
        declared: the commit that declares it, as it was rolled out; `bumped` the one that wrote this version there.
        made: data, code and parameters, by that commit's dvc.lock.
        learnt: the training range, where the model is in this clone's cache.
        attempt: the rollout that let it serve, with its checks.
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
    made: Made
    learnt: dict[str, Any] | None
    attempt: RecordedAttempt | None
    missing: str = ""


def trace(
    repo: Repository,
    environment: str,
    deployment: str,
    *,
    model: str,
    version: str,
    digest: str,
    generation: str,
    commit: str,
    image: str | None,
    record: Record | None,
) -> Trace:
    """Where a generation comes from.

    Args:
        model, version, digest, generation, image: what serves.
        commit: the tip that was rolled out.
        record: the deployment's record, for the checks.
    """
    held, missing = None, ""
    try:
        held = resolution.resolve(repo, model, version, digest)
    except GitopsError as error:
        missing = str(error).split("\n")[0]
    tagged = _tag(repo, model, version)
    return Trace(
        environment=environment,
        deployment=deployment,
        model=model,
        version=version,
        digest=digest,
        generation=generation,
        image=image,
        tag=held.tag if held else None,
        tagger=tagged,
        trained=_step(repo, held.commit) if held else None,
        declared=_step(repo, commit),
        bumped=_bumped(repo, environment, deployment, version, commit),
        made=lookup.made(repo, held) if held else Made(),
        learnt=_learnt(repo, held) if held else None,
        attempt=_attempt(record, generation),
        missing=missing,
    )


def _tag(repo: Repository, model: str, version: str) -> str | None:
    known = resolution.models(repo).get(model)
    found = known.find(version) if known else None
    return f"{found.tagger}, {_moment(found.created)}" if found else None


def _step(repo: Repository, commit: str) -> Step | None:
    try:
        found = repo.log(n=1, rev=commit)
    except GitopsError:
        return None
    return _as_step(found[0]) if found else None


def _as_step(commit: Commit) -> Step:
    who = f"{commit.author} <{commit.email}>"
    return Step(commit=commit.id, author=who, at=_moment(commit.time), subject=commit.subject)


def _bumped(repo: Repository, environment: str, deployment: str, version: str, commit: str) -> Step | None:
    """The commit that wrote this version, of those that led to `commit`: the last to change it to what it is."""
    path = declaration_path(environment, deployment)
    try:
        log = repo.log(path, FOLLOWED, commit)
    except GitopsError:
        return None
    found = None
    for one in log:
        text = repo.read_file(one.id, path)
        if text is None or _version(text.decode("utf-8", "replace"), path) != version:
            break
        found = one
    return _as_step(found) if found else None


def _version(text: str, path: str) -> Any:
    try:
        return get_field(text, "version", path)
    except GitopsError:
        return None


def _learnt(repo: Repository, held: ResolvedVersion) -> dict[str, Any] | None:
    if not {"cache", "git"} & set(resolution.places(repo, held)):
        return None
    try:
        manifest = parse_manifest(resolution.read(repo, held, {"manifest.json"})["manifest.json"])
    except (GitopsError, KeyError):
        return None
    return dict(msgspec.to_builtins(manifest.training)) if manifest.training else None


def _attempt(record: Record | None, generation: str) -> RecordedAttempt | None:
    attempts = record.attempts if record else ()
    return next((a for a in attempts if a.generation == generation and a.outcome == "promoted"), None)


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
