"""Retrains on new data or code: train, judge by the gate, register a version, propose it on a branch.

No tag, branch or push is made before the gate is passed. A failure before that leaves only unreferenced objects in the
clone.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gitops_ml.clients.artifacts import resolution
from gitops_ml.clients.artifacts.path_digests import lineage_of, resolve_path
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.files.environments import EnvironmentFiles, read_environment
from gitops_ml.clients.files.recording import answer_request
from gitops_ml.clients.files.records import read_records
from gitops_ml.clients.git.repository import Repository
from gitops_ml.clients.rows.holdout import labelled, load_rows
from gitops_ml.core.generation import declared_env
from gitops_ml.core.records.record import RetrainRequest
from gitops_ml.core.verification.answers import ModelAnswers, NoAnswer
from gitops_ml.core.verification.gate import Gated, judge_gate, made_within_a_day
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.errors import InputError, VersionError
from gitops_ml.retraining import versions
from gitops_ml.retraining.bump_branch import Outcome, Retrained, RetrainOptions, propose
from gitops_ml.retraining.difference import new_inputs
from gitops_ml.retraining.model_runner import ModelUnderTest, ask
from gitops_ml.retraining.pipeline import checked_out
from gitops_ml.retraining.policy import RetrainPolicy, read_policy

OUTCOMES: dict[Verdict, Outcome] = {
    "Verified": "registered",
    "Failed": "failed",
    "Inconclusive": "inconclusive",
    "Unverified": "inconclusive",
}


def retrain(
    repo: Repository,
    options: RetrainOptions,
    *,
    now: float,
    engine: Callable[[], Engine],
    report: Callable[[str], None],
) -> Retrained:
    """Train at the fetched tip, and propose a model that passes the gate.

    Args:
        now: epoch seconds, for the limit a day.
        engine: connects to the engine on which both models are asked; called only if there is a model to ask.
        report: receives lines of progress.

    Raises:
        InputError: no policy, a stage that fails, parameters that cannot be set.
        VersionError: the incumbent does not resolve.
        PushRejected: the remote refused the branch; tag and commits are in the clone.
    """
    tip = repo.fetch()
    policy = read_policy(repo, tip)
    declared = read_environment(repo, tip, options.environment or policy.environment)
    request = _request(repo, declared, policy)
    if options.if_requested and request is None:
        return Retrained(outcome="not requested", model=policy.model, reason="no rollback has requested it")
    today = made_within_a_day(_registered(repo, policy.model).values(), now)
    if today >= policy.max_per_day:
        reason = f"versions registered within a day: {today}; retrain.max_per_day is {policy.max_per_day}"
        return Retrained(outcome="held", model=policy.model, reason=reason)
    result = _train_and_propose(repo, options, tip, policy, declared, engine, report)
    if request is not None and (options.push or repo.remote is None):
        # Answered whatever the outcome is: an open request would be taken up every hour.
        answer = f"{result.outcome}: {result.version or result.reason.splitlines()[0]}"
        answer_request(repo, declared.name, policy.name, request.attempt, answer)
        report(f"answered the request of {declared.name}/{policy.name}: {answer}")
    return result


def _request(repo: Repository, declared: EnvironmentFiles, policy: RetrainPolicy) -> RetrainRequest | None:
    record = read_records(repo, declared).get(policy.name)
    request = record.retrain if record else None
    return request if request and request.state == "requested" else None


def _registered(repo: Repository, model: str) -> dict[str, int]:
    """When each version was registered, by the tags of this clone and of the remote."""
    both = [resolution.models(repo, local=local).get(model) for local in (True, False)]
    return {tag.version: tag.created for versions in both if versions for tag in versions.versions}


def _train_and_propose(
    repo: Repository,
    options: RetrainOptions,
    tip: str,
    policy: RetrainPolicy,
    declared: EnvironmentFiles,
    engine: Callable[[], Engine],
    report: Callable[[str], None],
) -> Retrained:
    incumbent = _incumbent(repo, declared, policy)
    settings = dict(options.settings)
    with checked_out(repo, tip, report) as pipeline:
        if options.until is not None:
            settings |= admit_months(options.until, pipeline.params("validate.freshness.now"))
        if settings:
            pipeline.set_params(settings)
        report(f"train at {tip[:12]}" + "".join(f", {key}={value}" for key, value in settings.items()))
        pipeline.reproduce()
        commit = repo.commit_files(tip, pipeline.changes(), _message(policy, settings))
        candidate = resolution.resolve_at(repo, policy.model, commit)
        result = Retrained(
            outcome="unchanged",
            model=policy.model,
            reason="the model equals the incumbent, byte for byte",
            incumbent=incumbent.version if incumbent else None,
            digest=candidate.digest,
        )
        if incumbent is not None and candidate.digest == incumbent.digest:
            return result
        if (same := _version_with(repo, policy.model, candidate.digest)) is not None:
            fix = f"declare it: gitops-ml bump {declared.name} {policy.name} {same}"
            return msgspec.structs.replace(result, version=same, reason=f"the model is {same} already; {fix}")
        new = tuple(new_inputs(lineage_of(repo, incumbent), lineage_of(repo, candidate)) if incumbent else ())
        report(f"ask both models for {policy.gate.data} of {commit[:12]}" if incumbent else "ask the first model")
        gated = _gate(repo, engine, declared, policy, candidate, incumbent)
        result = msgspec.structs.replace(result, new=new, checks=gated.checks, outcome=OUTCOMES[gated.verdict])
        if gated.verdict != "Verified":
            reasons = [check.reason for check in gated.checks if check.result != "pass"]
            return msgspec.structs.replace(result, reason="; ".join(reasons) or "no check was made")
        pipeline.push()
    return propose(repo, options, tip, commit, policy, declared.name, result)


def _incumbent(repo: Repository, declared: EnvironmentFiles, policy: RetrainPolicy) -> ResolvedVersion | None:
    """The declared version; else the highest version; None if there is no version."""
    declaration = declared.deployments.get(policy.name)
    if declaration is not None:
        return resolution.resolve_version(repo, declaration.model, declaration.version, declaration.digest)
    if policy.name in declared.broken:
        raise InputError(f"{declared.name}/{policy.name} cannot be read", why=declared.broken[policy.name])
    if not _registered(repo, policy.model):
        return None
    return versions.find_version(repo, policy.model, "latest")


def _version_with(repo: Repository, model: str, digest: str) -> str | None:
    """The version that holds this very model, if any: its proposal may still be under review."""
    for version in _registered(repo, model):
        with contextlib.suppress(VersionError):
            if versions.find_version(repo, model, version).digest == digest:
                return version
    return None


def admit_months(until: str, now: Any) -> dict[str, Any]:
    """The parameters that admit months up to `until`; a fixed time at which freshness is judged moves too.

    Args:
        now: the parameter `validate.freshness.now`.

    Raises `InputError` if `until` is not a month.
    """
    match = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", until)
    if match is None:
        raise InputError(f"`{until}` is not a month", fix="write it like 2013-08")
    year, month = int(match[1]), int(match[2])
    year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return {"ingest.until": until} | ({"validate.freshness.now": f"{year:04d}-{month:02d}-02"} if now else {})


def _message(policy: RetrainPolicy, settings: Mapping[str, Any]) -> str:
    changes = "".join(f", {key} {value}" for key, value in settings.items())
    return f"Retrain {policy.model}{changes}\n"


def _gate(
    repo: Repository,
    engine: Callable[[], Engine],
    declared: EnvironmentFiles,
    policy: RetrainPolicy,
    candidate: ResolvedVersion,
    incumbent: ResolvedVersion | None,
) -> Gated:
    """Judge candidate and incumbent on the same rows: the newest ones, of the candidate's commit."""
    gate = policy.gate
    path = resolve_path(repo, candidate.commit, gate.data)
    rows = load_rows(next(iter(resolution.read(repo, path, limit=versions.READ_BYTES).values())), gate.data, gate.rows)
    declaration = declared.deployments.get(policy.name)
    env = declared_env(declaration) if declaration else {}
    sides = {"candidate": candidate} | ({"incumbent": incumbent} if incumbent else {})
    models = {
        name: ModelUnderTest(resolved=resolved, files=versions.artifact(repo, resolved), env=env)
        for name, resolved in sides.items()
    }
    with engine() as docker:
        answers = ask(docker, declared.project, models, rows)
    manifest = models["candidate"].manifest
    theirs = answers.get("incumbent")
    readable = incumbent is not None and not isinstance(theirs, NoAnswer)
    return judge_gate(
        gate,
        labelled(rows, gate.holdout(), manifest),
        ModelAnswers(manifest, answers["candidate"]),
        ModelAnswers(models["incumbent"].manifest if readable else manifest, theirs) if theirs else None,
    )
