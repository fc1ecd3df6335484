"""What is written once the gate has opened: a tag, the bump on top of what was trained, and a branch with both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from gitops_ml.clients.edits import registration
from gitops_ml.clients.files.yaml_edit import set_fields
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import bump_message, bumped, declaration_path, new_declaration
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import InputError, PushRejected
from gitops_ml.retraining.policy import Policy

Outcome = Literal["registered", "unchanged", "failed", "inconclusive", "held", "not requested"]


class RetrainOptions(NamedTuple):
    """What a person, or a workflow, asks for.

    `settings` are parameters by dotted key; `until` lets months in; `direct` commits to the tracked branch, else a
    branch is made; `push` sends it out.
    """

    settings: Mapping[str, Any] = {}
    until: str | None = None
    environment: str | None = None
    if_requested: bool = False
    branch: str | None = None
    direct: bool = False
    push: bool = False


class Retrained(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `commit` holds the model, `proposal` is the commit on top that bumps; `new` is what changed."""

    outcome: Outcome
    model: str
    reason: str
    incumbent: str | None = None
    new: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    version: str | None = None
    digest: str | None = None
    commit: str | None = None
    proposal: str | None = None
    branch: str | None = None
    pushed: bool = False

    @property
    def exit_code(self) -> int:
        """0 done · 3 the gate stays shut · 4 it cannot tell, or the day's number is used up."""
        return {"failed": 3, "inconclusive": 4, "held": 4}.get(self.outcome, 0)


def propose(
    repo: Repository, wish: RetrainOptions, tip: str, commit: str, policy: Policy, environment: str, gated: Retrained
) -> Retrained:
    """Register `commit`, bump on top of it, and put both where `wish` says.

    Args:
        tip: what the tracked branch was at.
        gated: what the gate let through.

    Raises `InputError` and `ObjectMissing` as `register`, and `PushRejected`.
    """
    assert gated.digest is not None
    words = "\n".join(f"- {check.name} {check.result}: {check.reason}" for check in gated.checks)
    message = f"Retrained {policy.model}\n\n{words}\n"
    version = registration.register(
        repo, policy.model, step=policy.step, rev=commit, message=message, push=wish.push
    ).resolved.version
    path = declaration_path(environment, policy.name)
    text = (repo.read_file(commit, path) or b"").decode()
    fields = bumped(version, gated.digest)
    edited = set_fields(text, fields, path) if text else new_declaration(policy.model, version, gated.digest)
    subject = bump_message(environment, policy.name, gated.incumbent if text else None, version)
    proposal = repo.commit_files(commit, {path: edited.encode()}, f"{subject}\n{words}\n")
    reason = f"{policy.model} {version} passes the gate"
    done = msgspec.structs.replace(gated, reason=reason, version=version, commit=commit, proposal=proposal)
    if wish.direct:
        return _on_tracked_branch(repo, wish, tip, done)
    return _on_branch(repo, wish, done)


def _on_tracked_branch(repo: Repository, wish: RetrainOptions, tip: str, done: Retrained) -> Retrained:
    assert done.proposal is not None
    if not wish.push and repo.remote is not None:
        raise InputError("--direct commits to the remote's branch", fix="add --push, or leave --direct away")
    if repo.publish(done.proposal, tip) != "pushed":
        raise PushRejected(
            f"{done.version} is registered, and {repo.branch} does not declare it",
            why="somebody pushed meanwhile",
            fix=f"gitops-ml bump ENV DEPLOYMENT {done.version} --push",
        )
    return msgspec.structs.replace(done, branch=repo.branch, pushed=repo.remote is not None)


def _on_branch(repo: Repository, wish: RetrainOptions, done: Retrained) -> Retrained:
    assert done.proposal is not None
    branch = wish.branch or f"retrain/{done.model}-{done.version}"
    if not wish.push or repo.remote is None:
        made = repo.git.run("update-ref", f"refs/heads/{branch}", done.proposal, "0" * 40)
        if made.code != 0:
            raise InputError(
                f"the branch {branch} could not be made",
                why=f"{done.version} is registered; {made.messages[-200:]}",
                fix=f"git branch ANOTHER-NAME {done.proposal[:12]}",
            )
        return msgspec.structs.replace(done, branch=branch)
    if repo.publish(done.proposal, None, branch) != "pushed":
        raise PushRejected(
            f"{repo.remote} has a branch {branch} already",
            why=f"{done.version} is registered",
            fix=f"git push {repo.remote} {done.proposal[:12]}:refs/heads/ANOTHER-NAME",
        )
    return msgspec.structs.replace(done, branch=branch, pushed=True)
