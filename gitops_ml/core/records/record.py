"""What gitops-ml writes back into Git: one record for each deployment, and the revert of a failed version.

A record is made from the journal, so a failed push or a dead process loses no verdict. Attempts are keyed by their id,
so writing a record twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Literal

import msgspec

from gitops_ml.core.declaration.hosts import split_full_name
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.state import KEPT_ATTEMPTS, Attempt, DeploymentState, Settlement, lasting_attempts
from gitops_ml.core.text import clean, clean_line
from gitops_ml.core.verification.verdict import CheckResult, Verdict, clean_check

LOG_LINES = 20
LOG_COLUMNS = 500
MAX_LOGS = 1 << 20
"""Characters at the end of an attempt's logs that its last lines are taken from."""
FINGERPRINT_FIELDS = ("model", "version", "digest", "resources", "env", "secrets", "serve")
"""The keys of a declaration that a revert restores, and no others: those that the fingerprint depends on."""


class RecordedGeneration(msgspec.Struct, frozen=True, kw_only=True):
    """A generation in a record: enough to boot it on a blank host, from its commit."""

    generation: str
    version: str
    digest: str
    commit: str
    image: str | None = None


class RecordedAttempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rollout. `started` and `settled` are the engine's clock, ISO 8601."""

    id: str
    started: str
    settled: str | None
    generation: str
    version: str
    digest: str
    commit: str
    strategy: str
    outcome: str
    verdict: Verdict
    checks: tuple[CheckResult, ...] = ()
    key: str = ""
    incumbent: str | None = None
    logs: tuple[str, ...] = ()


class RetrainRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A failed rollout's request for a new model (`on_failure: [retrain]`). Pipelines answer it, never a host.

    `attempt` is the rollout, `at` the time when it was settled, and `answer` says what came of the request.
    """

    state: Literal["requested", "answered"]
    attempt: str
    at: str
    answer: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """`environments/<environment>/records/[<host>/]<deployment>.yaml`. `attempts` are the newest first, at most 20."""

    schema: int
    deployment: str
    engine: str
    verdict: Verdict
    serving: RecordedGeneration | None
    verified: RecordedGeneration | None
    attempts: tuple[RecordedAttempt, ...] = ()
    retrain: RetrainRequest | None = None


def updated(
    previous: Record | None, state: DeploymentState, deployment: str, engine: str, retrain: Collection[str] = ()
) -> Record:
    """The record of a deployment's journal, with older attempts of the previous record.

    Args:
        retrain: ids of attempts that ask for a new model. An attempt that is recorded already does not ask again.
    """
    in_journal = {a.id: _attempt(a) for a in state.attempts if a.outcome != "superseded"}
    by_id = {a.id: a for a in (previous.attempts if previous else ())} | in_journal
    serving = _generation(state.serving) if state.serving else None
    verified = _last_verified(state, previous)
    attempts = _newest(list(by_id.values()), {g.generation for g in (serving, verified) if g})
    return Record(
        schema=1,
        deployment=deployment,
        engine=engine,
        verdict=attempts[0].verdict if attempts else "Unverified",
        serving=serving,
        verified=verified,
        attempts=tuple(attempts),
        retrain=_request(previous, attempts, retrain),
    )


def _request(
    previous: Record | None, attempts: list[RecordedAttempt], retrain: Collection[str]
) -> RetrainRequest | None:
    recorded = {a.id for a in previous.attempts} if previous else set()
    asking = next((a for a in attempts if a.id in retrain and a.id not in recorded), None)
    if asking is None:
        return previous.retrain if previous else None
    return RetrainRequest(state="requested", attempt=asking.id, at=asking.settled or asking.started)


def answered(record: Record, attempt: str, answer: str) -> Record:
    """The record with the request of `attempt` answered. Unchanged if that is not the open request."""
    request = record.retrain
    if request is None or request.attempt != attempt or request.state == "answered":
        return record
    with_answer = RetrainRequest(state="answered", attempt=attempt, at=request.at, answer=clean_line(answer))
    return msgspec.structs.replace(record, retrain=with_answer)


def record_path(environment: str, deployment: str) -> str:
    """Where Git keeps the record of a deployment. `environment`: its full name; each host has records of its own."""
    name, host = split_full_name(environment)
    return f"environments/{name}/records/{f'{host}/' if host else ''}{deployment}.yaml"


def newest_first(attempts: Iterable[RecordedAttempt]) -> list[RecordedAttempt]:
    """The attempts in the order of a record."""
    return sorted(attempts, key=newest_key, reverse=True)


def newest_key(attempt: RecordedAttempt) -> tuple[str, str]:
    """What attempts are sorted by."""
    return attempt.settled or "", attempt.id


def _newest(attempts: list[RecordedAttempt], generations: Collection[str]) -> list[RecordedAttempt]:
    """The newest KEPT_ATTEMPTS, the newest first; and of each of `generations` those that tell its verdict.

    Reviews are dropped first: many reviews must not push out rollouts.
    """
    kept = newest_first(attempts)
    lasting = lasting_attempts((Settlement(a.id, a.generation, a.outcome, a.verdict) for a in kept), generations)
    while len(kept) > KEPT_ATTEMPTS:
        others = [a for a in reversed(kept[1:]) if a.id not in lasting]
        kept.remove(next((a for a in others if a.outcome == "reviewed"), others[0]))
    return kept


def _last_verified(state: DeploymentState, previous: Record | None) -> RecordedGeneration | None:
    """The last generation that was promoted as Verified and has not failed since; else that of the previous record."""
    newest: dict[str, Verdict] = {}
    for attempt in reversed(state.attempts):
        if attempt.verdict in ("Verified", "Failed"):
            newest.setdefault(attempt.generation.fingerprint, attempt.verdict)
        stands = newest.get(attempt.generation.fingerprint) == "Verified"
        if stands and attempt.outcome == "promoted" and attempt.verdict == "Verified":
            return _generation(attempt.generation)
    recorded = previous.verified if previous else None
    return recorded if recorded and newest.get(recorded.generation) != "Failed" else None


def _generation(generation: Generation) -> RecordedGeneration:
    return RecordedGeneration(
        generation=generation.fingerprint,
        version=generation.version,
        digest=generation.digest,
        commit=generation.commit,
        image=generation.image_id,
    )


def _attempt(attempt: Attempt) -> RecordedAttempt:
    failed = attempt.outcome != "promoted"
    logs = clean(attempt.logs, MAX_LOGS).splitlines()[-LOG_LINES:] if failed else []
    return RecordedAttempt(
        id=attempt.id,
        started=attempt.started,
        settled=attempt.settled,
        generation=attempt.generation.fingerprint,
        version=attempt.generation.version,
        digest=attempt.generation.digest,
        commit=attempt.generation.commit,
        strategy=attempt.strategy,
        outcome=attempt.outcome or "",
        verdict=attempt.verdict or "Unverified",
        checks=tuple(clean_check(check) for check in attempt.checks),
        key=attempt.key,
        incumbent=attempt.incumbent.version if attempt.incumbent else None,
        logs=tuple(line[:LOG_COLUMNS] for line in logs),
    )


def wants_retrain(attempt: Attempt, declaration: Deployment | None) -> bool:
    """Whether a settled attempt asks for a new model: it failed, and its declaration lists `retrain`."""
    asked = declaration is not None and "retrain" in declaration.on_failure
    return asked and attempt.verdict == "Failed" and not attempt.boot


def wants_revert(attempt: Attempt, declaration: Deployment, auto_revert: bool) -> bool:
    """Whether a settled attempt asks for a revert. Never for a first deployment: nothing was declared before it."""
    asked = auto_revert and "revert" in declaration.on_failure
    return asked and attempt.outcome == "failed" and attempt.incumbent is not None and not attempt.boot


def restored_fields(verified: Deployment) -> dict[str, Any]:
    """The fingerprint's fields in a verified declaration; None for a default, which the file need not say."""
    plain = msgspec.to_builtins(verified)
    defaults = msgspec.to_builtins(Deployment(schema=1, model=verified.model, version=verified.version))
    always = ("model", "version", "digest")
    return {key: plain[key] if key in always or plain[key] != defaults[key] else None for key in FINGERPRINT_FIELDS}


def commit_message(environment: str, attempts: list[Attempt], reverted: dict[str, str]) -> str:
    """The message of a record commit, made only from the record.

    Args:
        reverted: the version that is declared again, by deployment.
    """
    lines = []
    for attempt in attempts:
        name, version = attempt.deployment, attempt.generation.version
        verdict = (attempt.verdict or "Unverified").lower()
        line = f"{environment}/{name} {version}: {verdict}"
        if name in reverted and attempt.outcome == "failed":
            same = reverted[name] == version
            line += ", its spec reverted" if same else f", reverted to {reverted[name]}"
        lines.append(line)
    body = []
    for attempt in attempts:
        body += [f"- {attempt.deployment}: {c.name} {c.result}, {c.reason}" for c in map(clean_check, attempt.checks)]
    ids = [f"Gitops-ML-Attempt: {a.id}" for a in attempts]
    return "\n".join([*_subject(lines), "", *body, "", *ids]) + "\n"


def revert_message(environment: str, reverts: list[tuple[Attempt, str]]) -> str:
    """The message of a commit that only reverts: failed attempts, each with the version that is declared again."""
    lines = [f"{environment}/{a.deployment} from {a.generation.version} to {back}" for a, back in reverts]
    subject = f"Revert {lines[0]}" if len(lines) == 1 else "\n".join([f"Revert {len(lines)} declarations", "", *lines])
    decisive = [
        (a.deployment, check) for a, _ in reverts for check in map(clean_check, a.checks) if check.result == "fail"
    ]
    body = [f"- {name}: {check.name} {check.result}, {check.reason}" for name, check in decisive]
    return "\n".join([subject, "", *body, "", *(f"Gitops-ML-Attempt: {a.id}" for a, _ in reverts)]) + "\n"


def _subject(lines: list[str]) -> list[str]:
    if len(lines) == 1:
        return [f"Record {lines[0]}"]
    return [f"Record {len(lines)} verdicts", "", *lines]
