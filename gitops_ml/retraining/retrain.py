"""New data, or new code: train, pass the gate, get a version, and propose it. One straight line from tip to branch.

Nothing is written until the gate has opened: no tag, no branch, no push. Whatever fails before leaves the clone as it
was, but for objects that nothing refers to.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gitops_ml.clients.artifacts import resolution
from gitops_ml.clients.artifacts.holdout import labelled, load_rows
from gitops_ml.clients.artifacts.lookup import made
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.files.environments import EnvironmentFiles, read_environment
from gitops_ml.clients.files.records import answer_request, read_records
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.records.record import RetrainRequest
from gitops_ml.core.verification.answers import ModelAnswers, NoAnswer
from gitops_ml.core.verification.gate import Gated, judge_gate, made_within_a_day
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.errors import InputError, VersionError
from gitops_ml.retraining import versions
from gitops_ml.retraining.difference import new_inputs
from gitops_ml.retraining.model_runner import ModelUnderTest, ask
from gitops_ml.retraining.pipeline import checked_out
from gitops_ml.retraining.policy import Policy, read_policy
from gitops_ml.retraining.proposal import Outcome, Retrained, RetrainOptions, propose

OUTCOMES: dict[Verdict, Outcome] = {
    "Verified": "registered",
    "Failed": "failed",
    "Inconclusive": "inconclusive",
    "Unverified": "inconclusive",
}


def retrain(
    repo: Repository, wish: RetrainOptions, *, now: float, engine: Callable[[], Engine], report: Callable[[str], None]
) -> Retrained:
    """Train at the fetched tip, and propose what passes the gate.

    Args:
        now: epoch seconds, for the day's number.
        engine: makes the connection to the engine that both models are asked on, once there is something to ask.
        report: receives one line for each thing that a person may want to see.

    Raises:
        InputError: no policy, a stage that fails, parameters that cannot be set.
        VersionError: the incumbent does not resolve. PushRejected: what was made is here, and not at the remote.
    """
    tip = repo.fetch()
    policy = read_policy(repo, tip)
    declared = read_environment(repo, tip, wish.environment or policy.environment)
    request = _request(repo, declared, policy)
    if wish.if_requested and request is None:
        return Retrained(outcome="not requested", model=policy.model, reason="no rollback asks for it")
    known = _known(repo, policy.model)
    today = made_within_a_day(known.values(), now)
    if today >= policy.max_per_day:
        reason = f"{today} versions were registered within a day; retrain.max_per_day is {policy.max_per_day}"
        return Retrained(outcome="held", model=policy.model, reason=reason)
    done = _trained(repo, wish, tip, policy, declared, engine, report)
    if request is not None and (wish.push or repo.remote is None):
        # Last, and whatever came of it: a request that stays open would be taken up every hour.
        answer = f"{done.outcome}: {done.version or done.reason.splitlines()[0]}"
        answer_request(repo, declared.name, policy.name, request.attempt, answer)
        report(f"answered the request of {declared.name}/{policy.name}: {answer}")
    return done


def _request(repo: Repository, declared: EnvironmentFiles, policy: Policy) -> RetrainRequest | None:
    record = read_records(repo, declared).get(policy.name)
    request = record.retrain if record else None
    return request if request and request.state == "requested" else None


def _known(repo: Repository, model: str) -> dict[str, int]:
    """When each version was registered, by the tags of this clone and of the remote."""
    both = [resolution.models(repo, local=local).get(model) for local in (True, False)]
    return {one.version: one.created for found in both if found for one in found.versions}


def _trained(
    repo: Repository,
    wish: RetrainOptions,
    tip: str,
    policy: Policy,
    declared: EnvironmentFiles,
    engine: Callable[[], Engine],
    report: Callable[[str], None],
) -> Retrained:
    incumbent = _incumbent(repo, declared, policy)
    settings = dict(wish.settings)
    with checked_out(repo, tip, report) as pipeline:
        if wish.until is not None:
            settings |= let_in(wish.until, pipeline.params("validate.freshness.now"))
        if settings:
            pipeline.set_params(settings)
        report(f"train at {tip[:12]}" + "".join(f", {key}={value}" for key, value in settings.items()))
        pipeline.reproduce()
        commit = repo.commit_files(tip, pipeline.changes(), _message(policy, settings))
        candidate = resolution.held_at(repo, policy.model, commit)
        found = Retrained(
            outcome="unchanged",
            model=policy.model,
            reason="the model is the incumbent, byte for byte: neither data nor code says otherwise",
            incumbent=incumbent.version if incumbent else None,
            digest=candidate.digest,
        )
        if incumbent is not None and candidate.digest == incumbent.digest:
            return found
        if (same := _same(repo, policy.model, candidate.digest)) is not None:
            fix = f"declare it: gitops-ml bump {declared.name} {policy.name} {same}"
            return msgspec.structs.replace(found, version=same, reason=f"the model is {same} already; {fix}")
        new = tuple(new_inputs(made(repo, incumbent), made(repo, candidate)) if incumbent else ())
        report(f"ask both models for {policy.gate.data} of {commit[:12]}" if incumbent else "ask the first model")
        gated = _gate(repo, engine, declared, policy, candidate, incumbent)
        found = msgspec.structs.replace(found, new=new, checks=gated.checks, outcome=OUTCOMES[gated.verdict])
        if gated.verdict != "Verified":
            shut = [check.reason for check in gated.checks if check.result != "pass"]
            return msgspec.structs.replace(found, reason="; ".join(shut) or "no check was made")
        pipeline.push()
    return propose(repo, wish, tip, commit, policy, declared.name, found)


def _incumbent(repo: Repository, declared: EnvironmentFiles, policy: Policy) -> ResolvedVersion | None:
    """What is declared; else the highest version; else nothing."""
    declaration = declared.deployments.get(policy.name)
    if declaration is not None:
        return resolution.resolve(repo, declaration.model, declaration.version, declaration.digest)
    if policy.name in declared.broken:
        raise InputError(f"{declared.name}/{policy.name} cannot be read", why=declared.broken[policy.name])
    if not _known(repo, policy.model):
        return None
    return versions.find_version(repo, policy.model, "latest")


def _same(repo: Repository, model: str, digest: str) -> str | None:
    """The version that holds this very model, if there is one: its proposal may still be under review."""
    for one in _known(repo, model):
        with contextlib.suppress(VersionError):
            if versions.find_version(repo, model, one).digest == digest:
                return one
    return None


def let_in(until: str, now: Any) -> dict[str, Any]:
    """The parameters that let months in up to `until`; where freshness is judged at a fixed time, that moves along.

    Raises `InputError` when it is no month.
    """
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", until)
    if found is None:
        raise InputError(f"`{until}` is no month", fix="write it like 2013-08")
    year, month = int(found[1]), int(found[2])
    year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return {"ingest.until": until} | ({"validate.freshness.now": f"{year:04d}-{month:02d}-02"} if now else {})


def _message(policy: Policy, settings: Mapping[str, Any]) -> str:
    what = "".join(f", {key} {value}" for key, value in settings.items())
    return f"Retrain {policy.model}{what}\n"


def _gate(
    repo: Repository,
    engine: Callable[[], Engine],
    declared: EnvironmentFiles,
    policy: Policy,
    candidate: ResolvedVersion,
    incumbent: ResolvedVersion | None,
) -> Gated:
    """Both models on the rows of the candidate's commit: the newest ones, and the same for both."""
    gate = policy.gate
    held = resolution.resolve_path(repo, candidate.commit, gate.data)
    rows = load_rows(next(iter(resolution.read(repo, held, limit=versions.READ_BYTES).values())), gate.data, gate.rows)
    declaration = declared.deployments.get(policy.name)
    env = dict(declaration.env) if declaration else {}
    env |= {"GITOPS_ML_ALLOW_PICKLE": "1"} if declaration and declaration.serve.allow_pickle else {}
    sides = {"candidate": candidate} | ({"incumbent": incumbent} if incumbent else {})
    panel = {name: ModelUnderTest(held=one, files=versions.artifact(repo, one), env=env) for name, one in sides.items()}
    with engine() as docker:
        answers = ask(docker, declared.project, panel, rows)
    manifest = panel["candidate"].manifest
    theirs = answers.get("incumbent")
    readable = incumbent is not None and not isinstance(theirs, NoAnswer)
    return judge_gate(
        gate,
        labelled(rows, gate.holdout(), manifest),
        ModelAnswers(manifest, answers["candidate"]),
        ModelAnswers(panel["incumbent"].manifest if readable else manifest, theirs) if theirs else None,
    )
