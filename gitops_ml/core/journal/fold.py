"""Fold the journal of an environment: from its entries to the state of each deployment.

Every intention, verdict and outcome is appended to the journal on the environment's volume before the mutation that it
justifies, and every pass folds the journal again. So any process, on any machine, continues where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from gitops_ml.core.journal.entries import (
    Applied,
    Built,
    Cleared,
    Counted,
    Intent,
    JournalEntry,
    Judged,
    Published,
    Retried,
    Settled,
    Stepped,
    Withdrawn,
)
from gitops_ml.core.journal.state import KEPT_ATTEMPTS, Attempt, DeploymentState, EnvironmentState
from gitops_ml.errors import InputError


class Reviewed(JournalEntry, frozen=True, kw_only=True, tag="reviewed"):
    """What serves was judged again, and its verdict is another one. The attempt is settled: nothing was rolled out."""

    attempt: Attempt


class Checkpoint(JournalEntry, frozen=True, kw_only=True, tag="checkpoint"):
    """The state that all earlier entries add up to; written when the journal is compacted."""

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
    | Published
    | Retried
    | Withdrawn
    | Reviewed
    | Checkpoint
)

_decoder = msgspec.json.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """One entry as the JSON of a journal file."""
    return msgspec.json.encode(entry)


def fold(files: Mapping[str, bytes]) -> EnvironmentState:
    """The state that a journal's entries add up to, in the order of their names.

    A file that is not whole JSON is an append that was cut off, and counts as never written: what it justified had not
    been done yet. One that is whole and not understood is another thing: to pass over it would be to forget what
    serves. Raises `InputError` for it.
    """
    entries = []
    for name in sorted(files):
        try:
            entries.append(_decoder.decode(files[name]))
        except msgspec.ValidationError as error:
            raise InputError(
                f"the journal's entry {name} is not understood",
                why=f"another version of gitops-ml wrote it: {error}",
                fix="use that version or a newer one",
            ) from error
        except msgspec.DecodeError:
            continue
    return fold_entries(entries)


def fold_entries(entries: Iterable[Entry], state: EnvironmentState | None = None) -> EnvironmentState:
    """The same, of entries that are decoded already, on top of `state`."""
    state = state or EnvironmentState()
    for entry in entries:
        state = _step(state, entry)
    return state


def _step(state: EnvironmentState, entry: Entry) -> EnvironmentState:
    match entry:
        case Checkpoint():
            return entry.state
        case Applied():
            return msgspec.structs.replace(state, applied=entry.commit)
        case Published():
            return _published(state, entry)
        case Intent():
            name = entry.generation.deployment
            return _put(state, name, _begun(state.of(name), entry))
        case Withdrawn():
            return _withdrawn(state, entry.deployment)
        case Reviewed():
            name = entry.attempt.deployment
            return _put(state, name, _reviewed(state.of(name), entry.attempt))
        case Retried():
            lifted = msgspec.structs.replace(state.of(entry.deployment), quarantine=())
            return _put(state, entry.deployment, lifted)
        case Built() | Judged() | Cleared() | Stepped() | Counted() | Settled():
            return _put(state, entry.deployment, _advanced(state.of(entry.deployment), entry))


def _put(state: EnvironmentState, name: str, deployment: DeploymentState) -> EnvironmentState:
    return msgspec.structs.replace(state, deployments={**state.deployments, name: deployment})


def _withdrawn(state: EnvironmentState, name: str) -> EnvironmentState:
    """Nothing of the deployment is left but the verdicts that Git does not hold yet."""
    unpublished = tuple(a for a in state.unpublished if a.deployment == name)
    rest = {k: v for k, v in state.deployments.items() if k != name}
    left = {name: DeploymentState(attempts=unpublished)} if unpublished else {}
    return msgspec.structs.replace(state, deployments=rest | left)


def _begun(deployment: DeploymentState, entry: Intent) -> DeploymentState:
    """An intent that was written twice counts once."""
    known = [*deployment.attempts, *([deployment.open] if deployment.open else [])]
    if any(attempt.id == entry.attempt for attempt in known):
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


def _advanced(
    deployment: DeploymentState, entry: Built | Judged | Cleared | Stepped | Counted | Settled
) -> DeploymentState:
    attempt = deployment.open
    if attempt is None or attempt.id != entry.attempt:
        return deployment
    replace = msgspec.structs.replace
    match entry:
        case Built():
            generation = replace(attempt.generation, image_id=entry.image_id)
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
            done = replace(attempt, outcome=entry.outcome, settled=entry.at)
            stays_out = entry.outcome in ("failed", "inconclusive")
            return replace(
                deployment,
                open=None,
                serving=attempt.generation if entry.outcome == "promoted" else deployment.serving,
                attempts=_kept((*deployment.attempts, done)),
                quarantine=(*deployment.quarantine, attempt.key)[-KEPT_ATTEMPTS:]
                if stays_out
                else deployment.quarantine,
            )


def _reviewed(deployment: DeploymentState, attempt: Attempt) -> DeploymentState:
    """A generation that failed a review is not tried again, as any other; one that is Verified again may be."""
    if any(known.id == attempt.id for known in deployment.attempts):
        return deployment
    quarantine = tuple(key for key in deployment.quarantine if key != attempt.key)
    if attempt.outcome == "failed" or (attempt.verdict != "Verified" and attempt.key in deployment.quarantine):
        quarantine = (*quarantine, attempt.key)[-KEPT_ATTEMPTS:]
    return msgspec.structs.replace(deployment, attempts=_kept((*deployment.attempts, attempt)), quarantine=quarantine)


def _kept(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """The newest of these, at most 20. Reviews go first: a verdict that comes and goes must not push out rollouts."""
    found = list(attempts)
    while len(found) > KEPT_ATTEMPTS:
        old = next((a for a in found[:-1] if a.outcome == "reviewed" and a.published), found[0])
        found.remove(old)
    return tuple(found)


def _published(state: EnvironmentState, entry: Published) -> EnvironmentState:
    replace = msgspec.structs.replace
    deployments = {}
    for name, deployment in state.deployments.items():
        attempts = tuple(
            replace(a, published=entry.commit) if a.id in entry.attempts else a for a in deployment.attempts
        )
        deployments[name] = replace(deployment, attempts=attempts)
    return replace(state, deployments=deployments)
