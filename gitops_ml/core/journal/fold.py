"""Fold the journal of an environment: from its entries to the state of each deployment.

Every intention, verdict and outcome is appended to the journal on the environment's volume before the mutation that it
justifies, and every pass folds the journal again. So any process, on any machine, continues where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from gitops_ml.artifacts.decoding import decoder
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.entries import (
    Applied,
    Built,
    Cleared,
    Counted,
    Erred,
    Intent,
    JournalEntry,
    Judged,
    Recorded,
    Retried,
    Settled,
    Stepped,
    Withdrawn,
)
from gitops_ml.core.journal.last_errors import forget_error, note_error
from gitops_ml.core.journal.state import (
    KEPT_ATTEMPTS,
    Attempt,
    DeploymentState,
    EnvironmentState,
    Settlement,
    lasting_attempts,
)
from gitops_ml.core.text import clean, clean_line
from gitops_ml.core.verification.verdict import clean_check
from gitops_ml.errors import InputError


class Reviewed(JournalEntry, frozen=True, kw_only=True, tag="reviewed"):
    """The serving generation was judged again, with a new verdict. The attempt is settled: nothing was rolled out."""

    attempt: Attempt


class Checkpoint(JournalEntry, frozen=True, kw_only=True, tag="checkpoint"):
    """The state that all earlier entries add up to. It replaces them when the journal is compacted."""

    state: EnvironmentState


Entry = (
    Intent
    | Built
    | Judged
    | Cleared
    | Stepped
    | Counted
    | Settled
    | Applied
    | Recorded
    | Retried
    | Erred
    | Withdrawn
    | Reviewed
    | Checkpoint
)

_decoder: msgspec.json.Decoder[Entry] = decoder(Entry)  # type: ignore[arg-type]  # a union is no type to mypy


def encode(entry: Entry) -> bytes:
    """Encode one entry as a journal file. Its text is cleaned: models and logs may hold what no JSON can."""
    return msgspec.json.encode(_clean(entry))


def _clean(entry: Entry) -> Entry:
    replace = msgspec.structs.replace
    match entry:
        case Judged():
            return replace(entry, checks=tuple(map(clean_check, entry.checks)), logs=clean(entry.logs))
        case Cleared():
            return replace(entry, checks=tuple(map(clean_check, entry.checks)))
        case Erred():
            return replace(entry, what=clean_line(entry.what), why=clean_line(entry.why), fix=clean_line(entry.fix))
        case Reviewed():
            attempt = entry.attempt
            cleaned = replace(attempt, checks=tuple(map(clean_check, attempt.checks)), logs=clean(attempt.logs))
            return replace(entry, attempt=cleaned)
        case _:
            return entry


def fold(files: Mapping[str, bytes], environment: str) -> EnvironmentState:
    """Fold the files of a journal, by name, into the environment's state.

    A whole file that is not understood raises `InputError`, since skipping it could forget what serves.
    """
    state, unread = fold_readable(files)
    for name, reason in unread.items():
        raise InputError(
            f"the entry {name} of {environment}'s journal is not understood",
            why=f"another version of gitops-ml wrote it: {reason}",
            fix=f"use that version or a newer one; or begin without it: gitops-ml sync {environment} --rebuild-journal",
        )
    return state


def fold_readable(files: Mapping[str, bytes]) -> tuple[EnvironmentState, dict[str, str]]:
    """Fold the files that are understood; the others, by name, with the reason.

    A file that is not whole JSON is an append that was cut off. It is skipped: what it justifies was never done.
    """
    entries, unread = [], {}
    for name in sorted(files):
        try:
            entries.append(_decoder.decode(files[name]))
        except msgspec.ValidationError as error:
            unread[name] = clean_line(str(error))
        except msgspec.DecodeError:
            continue
    return fold_entries(entries), unread


def rebuilt(state: EnvironmentState, routes: Mapping[str, bytes]) -> EnvironmentState:
    """The state to go on with where some entries are not understood.

    Open rollouts are forgotten: they begin anew. So is a deployment whose users are sent to another generation than the
    readable entries say: the last verified version of its record takes its place, as on a blank host.

    Args:
        routes: the route files, by deployment.
    """
    for name, deployment in state.deployments.items():
        serving, route = deployment.serving, routes.get(name)
        if route is not None and (serving is None or serving.fingerprint.encode() not in route):
            state = _withdraw(state, name)
        else:
            state = _put(state, name, msgspec.structs.replace(deployment, open=None))
    return state


def fold_entries(entries: Iterable[Entry], state: EnvironmentState | None = None) -> EnvironmentState:
    """Fold decoded entries on top of `state`."""
    state = state or EnvironmentState()
    for entry in entries:
        state = _apply(state, entry)
    return state


def _apply(state: EnvironmentState, entry: Entry) -> EnvironmentState:
    match entry:
        case Checkpoint():
            return entry.state
        case Applied():
            return msgspec.structs.replace(state, applied=entry.commit)
        case Recorded():
            return _record(state, entry)
        case Erred():
            return note_error(state, entry)
        case Intent():
            name = entry.generation.deployment
            return forget_error(_put(state, name, _begin(state.of(name), entry)), name, healing=False)
        case Withdrawn():
            state = _withdraw(state, entry.deployment)
            for healing in (False, True):
                state = forget_error(state, entry.deployment, healing=healing)
            return state
        case Reviewed():
            name = entry.attempt.deployment
            return _put(state, name, _review(state.of(name), entry.attempt))
        case Retried():
            return _put(state, entry.deployment, _retry(state.of(entry.deployment)))
        case Settled():
            name = entry.deployment
            return forget_error(_put(state, name, _advance(state.of(name), entry)), name, healing=False)
        case Built() | Judged() | Cleared() | Stepped() | Counted():
            return _put(state, entry.deployment, _advance(state.of(entry.deployment), entry))


def _put(state: EnvironmentState, name: str, deployment: DeploymentState) -> EnvironmentState:
    return msgspec.structs.replace(state, deployments={**state.deployments, name: deployment})


def _withdraw(state: EnvironmentState, name: str) -> EnvironmentState:
    """Forget the deployment, except the verdicts that are not in Git yet."""
    unrecorded = tuple(a for a in state.unrecorded if a.deployment == name)
    others = {other: deployment for other, deployment in state.deployments.items() if other != name}
    remaining = {name: DeploymentState(attempts=unrecorded)} if unrecorded else {}
    return msgspec.structs.replace(state, deployments=others | remaining)


def _begin(deployment: DeploymentState, entry: Intent) -> DeploymentState:
    """Open an attempt. An intent that was written twice counts once."""
    attempts = [*deployment.attempts, *([deployment.open] if deployment.open else [])]
    if any(attempt.id == entry.attempt for attempt in attempts):
        return deployment
    attempt = Attempt(
        id=entry.attempt,
        generation=entry.generation,
        incumbent=entry.incumbent,
        strategy=entry.strategy,
        key=entry.key,
        started=entry.at,
        boot=entry.boot,
    )
    return msgspec.structs.replace(deployment, open=attempt)


def _advance(
    deployment: DeploymentState, entry: Built | Judged | Cleared | Stepped | Counted | Settled
) -> DeploymentState:
    """Apply an entry to the open attempt. An entry of another attempt is ignored."""
    attempt = deployment.open
    if attempt is None or attempt.id != entry.attempt:
        return deployment
    replace = msgspec.structs.replace
    match entry:
        case Built():
            generation = replace(attempt.generation, image_id=entry.image_id, signed=entry.signed)
            return replace(deployment, open=replace(attempt, generation=generation))
        case Judged():
            judged = replace(attempt, verdict=entry.verdict, checks=entry.checks, logs=entry.logs)
            return replace(deployment, open=judged)
        case Cleared():
            return replace(deployment, open=replace(attempt, cleared=True, checks=entry.checks))
        case Stepped():
            begun = {"routed": entry.at, "evidence": None, "cursor": entry.at} if entry.anew else {}
            return replace(deployment, open=replace(attempt, stage=entry.stage, **begun))
        case Counted():
            counted = replace(attempt, evidence=entry.evidence, cursor=entry.cursor, lost=attempt.lost or entry.lost)
            return replace(deployment, open=counted)
        case Settled():
            quarantine = deployment.quarantine
            if entry.outcome in ("failed", "inconclusive"):
                quarantine = (*quarantine, attempt.key)[-KEPT_ATTEMPTS:]
            settled = replace(attempt, outcome=entry.outcome, settled=entry.at)
            serving = attempt.generation if entry.outcome == "promoted" else deployment.serving
            return replace(
                deployment,
                open=None,
                serving=serving,
                attempts=_keep_newest((*deployment.attempts, settled), serving),
                quarantine=quarantine,
            )


def _retry(deployment: DeploymentState) -> DeploymentState:
    """Lift the quarantine. The failed version is tried again, so a revert that was refused is not wanted any more."""
    attempts = tuple(msgspec.structs.replace(a, unreverted=False) for a in deployment.attempts)
    return msgspec.structs.replace(deployment, quarantine=(), attempts=attempts)


def _review(deployment: DeploymentState, attempt: Attempt) -> DeploymentState:
    """Add a review: a failed one quarantines its generation, and a Verified one lifts the quarantine."""
    if any(earlier.id == attempt.id for earlier in deployment.attempts):
        return deployment
    quarantine = tuple(key for key in deployment.quarantine if key != attempt.key)
    if attempt.outcome == "failed" or (attempt.verdict != "Verified" and attempt.key in deployment.quarantine):
        quarantine = (*quarantine, attempt.key)[-KEPT_ATTEMPTS:]
    return msgspec.structs.replace(
        deployment,
        attempts=_keep_newest((*deployment.attempts, attempt), deployment.serving),
        quarantine=quarantine,
    )


def _keep_newest(attempts: tuple[Attempt, ...], serving: Generation | None) -> tuple[Attempt, ...]:
    """The newest KEPT_ATTEMPTS, and those that say how `serving` stands.

    Recorded reviews are dropped first, since many reviews must not push out rollouts, and what is not in Git last.
    """
    kept = list(attempts)
    settlements = (Settlement(a.id, a.generation.fingerprint, a.outcome, a.verdict) for a in reversed(kept))
    lasting = lasting_attempts(settlements, {serving.fingerprint} if serving else ())
    while len(kept) > KEPT_ATTEMPTS:
        others = [a for a in kept[:-1] if a.id not in lasting]
        recorded = [a for a in others if a.recorded]
        kept.remove(next((a for a in recorded if a.outcome == "reviewed"), [*recorded, *others][0]))
    return tuple(kept)


def _record(state: EnvironmentState, entry: Recorded) -> EnvironmentState:
    replace = msgspec.structs.replace
    deployments = {}
    for name, deployment in state.deployments.items():
        attempts = tuple(
            replace(
                a,
                recorded=entry.commit if a.id in entry.attempts else a.recorded,
                unreverted=a.id in entry.unreverted,
            )
            for a in deployment.attempts
        )
        deployments[name] = replace(deployment, attempts=attempts)
    return replace(state, deployments=deployments)
