"""Writes what a model that passed the gate needs in Git: a tag, the bump on top of the trained commit, a branch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from gitops_ml.clients.edits import registration
from gitops_ml.clients.files.yaml_edit import set_fields
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import bump_message, bumped, declaration_path, new_declaration
from gitops_ml.core.text import clean_line
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.core.versions.tags import tag_name
from gitops_ml.errors import InputError, PushRejected
from gitops_ml.retraining.policy import RetrainPolicy

Outcome = Literal["registered", "unchanged", "failed", "inconclusive", "held", "not requested"]


class RetrainOptions(NamedTuple):
    """Options of a retraining.

    Args:
        settings: parameters to set, by dotted key.
        until: newest month of data to admit.
        environment: environment to bump; the policy's if None.
        if_requested: retrain only if a rollback has requested it.
        branch: name of the branch; one made of model and version if None.
        direct: commit to the tracked branch instead of a branch of its own.
        push: push the tag and the branch.
    """

    settings: Mapping[str, Any] = {}
    until: str | None = None
    environment: str | None = None
    if_requested: bool = False
    branch: str | None = None
    direct: bool = False
    push: bool = False


class Retrained(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a retraining.

    Args:
        new: names of the inputs that changed since the incumbent was trained.
        commit: the commit that holds the model.
        bump_commit: the commit on top of it that bumps the version.
    """

    outcome: Outcome
    model: str
    reason: str
    incumbent: str | None = None
    new: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    version: str | None = None
    digest: str | None = None
    commit: str | None = None
    bump_commit: str | None = None
    branch: str | None = None
    pushed: bool = False

    @property
    def tag(self) -> str:
        """The tag of the registered version."""
        return tag_name(self.model, self.version or "")

    @property
    def exit_code(self) -> int:
        """0: result. 3: the model failed the gate. 4: the gate is inconclusive, or the day's limit is reached."""
        return {"failed": 3, "inconclusive": 4, "held": 4}.get(self.outcome, 0)


def propose(
    repo: Repository,
    options: RetrainOptions,
    tip: str,
    commit: str,
    policy: RetrainPolicy,
    environment: str,
    gated: Retrained,
) -> Retrained:
    """Register the model at `commit`, bump the version on top of it, and put both on a branch.

    Args:
        tip: commit of the tracked branch that was trained.
        gated: the result so far, of a model that passed the gate.

    Raises `InputError` and `ObjectMissing` as `register`, and `PushRejected`.
    """
    assert gated.digest is not None
    checks = "\n".join(f"- {check.name} {check.result}: {clean_line(check.reason)}" for check in gated.checks)
    message = f"Retrained {policy.model}\n\n{checks}\n"
    version = registration.register(
        repo, policy.model, step=policy.step, rev=commit, message=message, push=options.push
    ).resolved.version
    path = declaration_path(environment, policy.name)
    text = (repo.read_file(commit, path) or b"").decode()
    fields = bumped(version, gated.digest)
    edited = set_fields(text, fields, path) if text else new_declaration(policy.model, version, gated.digest)
    subject = bump_message(environment, policy.name, gated.incumbent if text else None, version)
    bump_commit = repo.commit_files(commit, {path: edited.encode()}, f"{subject}\n{checks}\n")
    reason = f"{policy.model} {version} passes the gate"
    result = msgspec.structs.replace(gated, reason=reason, version=version, commit=commit, bump_commit=bump_commit)
    if options.direct:
        return _on_tracked_branch(repo, options, tip, result)
    return _on_branch(repo, options, result)


def _on_tracked_branch(repo: Repository, options: RetrainOptions, tip: str, result: Retrained) -> Retrained:
    assert result.bump_commit is not None
    if not options.push and repo.remote is not None:
        raise InputError("--direct commits to the remote's branch", fix="add --push, or run it without --direct")
    if repo.advance(result.bump_commit, tip) != "pushed":
        raise PushRejected(
            f"{result.version} is registered, and {repo.branch} does not declare it",
            why="another push came first",
            fix=f"gitops-ml bump ENV DEPLOYMENT {result.version} --push",
        )
    return msgspec.structs.replace(result, branch=repo.branch, pushed=repo.remote is not None)


def _on_branch(repo: Repository, options: RetrainOptions, result: Retrained) -> Retrained:
    assert result.bump_commit is not None
    branch = options.branch or f"retrain/{result.model.replace(':', '/')}-{result.version}"
    if not options.push or repo.remote is None:
        created = repo.git.run("update-ref", f"refs/heads/{branch}", result.bump_commit, "0" * 40)
        if created.code != 0:
            raise InputError(
                f"the branch {branch} could not be made",
                why=f"{result.version} is registered; {created.messages[-200:]}",
                fix=f"git branch ANOTHER-NAME {result.bump_commit[:12]}",
            )
        return msgspec.structs.replace(result, branch=branch)
    if repo.advance(result.bump_commit, None, branch) != "pushed":
        raise PushRejected(
            f"{repo.remote} has a branch {branch} already",
            why=f"{result.version} is registered",
            fix=f"git push {repo.remote} {result.bump_commit[:12]}:refs/heads/ANOTHER-NAME",
        )
    return msgspec.structs.replace(result, branch=branch, pushed=True)
