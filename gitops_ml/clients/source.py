"""From a Git repository to the desired state of one environment: the tip, its files, and what its versions hold."""

from __future__ import annotations

from gitops_ml.clients import models
from gitops_ml.clients.environments import Declared, read_environment
from gitops_ml.clients.git import Repository
from gitops_ml.core.desired import Deployment, Desired, Resolved
from gitops_ml.errors import InputError, SourceError, Stalled, VersionMoved


def read_desired(repo: Repository, commit: str, environment: str) -> tuple[Desired, Declared]:
    """The desired state of an environment at a commit, each version resolved without a checkout.

    A deployment whose file or version is wrong is left out and named in `broken`; the others are not affected.

    Raises `SourceError` and `InputError` when the environment itself cannot be read.
    """
    declared = read_environment(repo, commit, environment)
    if declared.environment.policy.require_signed_commits:
        _require_signature(repo, commit)
    resolved: dict[str, Resolved] = {}
    broken = dict(declared.broken)
    for name, deployment in declared.deployments.items():
        try:
            resolved[name] = resolve(repo, commit, name, deployment)
        except Stalled as error:
            broken[name] = str(error)
    desired = Desired(
        project=declared.project,
        name=environment,
        commit=commit,
        environment=declared.environment,
        deployments=resolved,
        broken=broken,
    )
    return desired, declared


def resolve(repo: Repository, commit: str, name: str, deployment: Deployment) -> Resolved:
    """One declared deployment with what its version and its held-out rows hold.

    Raises `VersionError` when the version does not resolve, `VersionMoved` when it no longer holds the pinned digest,
    `InputError` when the declaration asks for what cannot be.
    """
    _require_possible(name, deployment)
    if deployment.serve.pattern == "image":
        image = deployment.serve.image or ""
        return Resolved(name=name, declaration=deployment, digest=image, revision=commit, path="")
    version = models.resolve(repo, deployment.model, deployment.version)
    if deployment.digest and deployment.digest != version.digest:
        raise VersionMoved(
            f"{deployment.model}@{deployment.version} holds {version.digest}",
            why=f"{name} pins {deployment.digest}; the tag was moved, or the digest was edited",
            mend=f"gitops-ml bump ENVIRONMENT {name} {deployment.version}",
        )
    holdout = deployment.verify.holdout
    rows = models.resolve_path(repo, commit, holdout.data).digest if holdout else None
    return Resolved(
        name=name,
        declaration=deployment,
        digest=version.digest,
        revision=version.commit,
        path=version.path,
        holdout=rows,
    )


def _require_possible(name: str, deployment: Deployment) -> None:
    serve, rollout, verify = deployment.serve, deployment.rollout, deployment.verify
    if serve.pattern == "image" and not (serve.image and "@sha256:" in serve.image and serve.port):
        raise InputError(
            f"{name}: serve.pattern is image",
            why="it needs `image:` by digest (name@sha256:…) and `port:`",
            mend="add them to serve",
        )
    if rollout.strategy in ("recreate", "blue-green") and verify.traffic:
        raise InputError(
            f"{name}: verify.traffic does not go with {rollout.strategy}",
            why="no user traffic reaches the candidate before it is promoted",
            mend="use canary, or take verify.traffic away",
        )
    if rollout.strategy in ("canary", "shadow"):
        raise InputError(
            f"{name}: the strategy {rollout.strategy} is not built yet",
            why="recreate and blue-green are",
            mend="set rollout.strategy to blue-green",
        )
    if verify.holdout and serve.pattern == "image":
        raise InputError(f"{name}: verify.holdout needs serve.pattern service", mend="take verify.holdout away")


def _require_signature(repo: Repository, commit: str) -> None:
    allowed = repo.read_file(commit, ".gitops-ml/allowed_signers")
    if allowed is None:
        raise SourceError(
            f"commit {commit[:12]} cannot be checked",
            why="policy.require_signed_commits is set, and .gitops-ml/allowed_signers is absent",
            mend="commit .gitops-ml/allowed_signers",
        )
    repo.verify_commit_signature(commit, allowed)
