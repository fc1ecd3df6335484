"""A rollout is host state: what the entries of the environment's journal add up to.

Nothing about a rollout lives in a process. What was intended, judged and settled is appended to the journal on the
environment's volume before the mutation that it justifies, and every pass folds the journal anew. So any process, on
any machine, goes on where the last one stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.generation import Generation, differing
from gitops_ml.core.journal.entries import (
    Applied,
    Built,
    Cleared,
    Counted,
    Intent,
    JournalEntry,
    Judged,
    Outcome,
    Published,
    Retried,
    Settled,
    Stepped,
    Withdrawn,
)
from gitops_ml.core.verification.sequential import Evidence
from gitops_ml.core.verification.verdict import CheckResult, Verdict
from gitops_ml.errors import InputError

__all__ = [
    "KEPT_ATTEMPTS",
    "Applied",
    "Attempt",
    "Built",
    "Checkpoint",
    "Cleared",
    "Counted",
    "DeploymentState",
    "Entry",
    "Intent",
    "Judged",
    "Outcome",
    "Published",
    "Retried",
    "Reviewed",
    "Settled",
    "State",
    "Stepped",
    "Withdrawn",
    "encode",
    "fold",
    "fold_entries",
    "quarantine_key",
]

KEPT_ATTEMPTS = 20


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout, from its intent to its record in Git.

    `cleared` once the checks before traffic have passed; `stage` is the stage of traffic it is in, `routed` when its
    test began, `evidence` and `cursor` what has been counted since.
    """

    id: str
    generation: Generation
    incumbent: Generation | None
    strategy: str
    key: str
    started: str
    boot: bool = False
    cleared: bool = False
    stage: int | None = None
    routed: str | None = None
    evidence: Evidence | None = None
    cursor: str = ""
    lost: bool = False
    verdict: Verdict | None = None
    checks: tuple[CheckResult, ...] = ()
    logs: str = ""
    outcome: Outcome | None = None
    settled: str | None = None
    published: str | None = None

    @property
    def deployment(self) -> str:
        return self.generation.deployment


class DeploymentState(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal says of one deployment. `attempts` are the settled ones, oldest first, at most 20."""

    serving: Generation | None = None
    open: Attempt | None = None
    attempts: tuple[Attempt, ...] = ()
    quarantine: tuple[str, ...] = ()

    @property
    def last(self) -> Attempt | None:
        """The newest settled attempt."""
        return self.attempts[-1] if self.attempts else None

    def of_key(self, key: str) -> Attempt | None:
        """The newest attempt with this quarantine key that was not superseded."""
        return next((a for a in reversed(self.attempts) if a.key == key and a.outcome != "superseded"), None)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal of one environment adds up to."""

    applied: str | None = None
    deployments: dict[str, DeploymentState] = {}

    def of(self, deployment: str) -> DeploymentState:
        return self.deployments.get(deployment, DeploymentState())

    @property
    def unpublished(self) -> tuple[Attempt, ...]:
        """Settled attempts that Git does not hold yet, oldest first. A superseded one is no news."""
        found = [a for d in self.deployments.values() for a in d.attempts if not a.published]
        return tuple(
            sorted(
                (a for a in found if a.outcome != "superseded"),
                key=lambda a: (a.settled or "", a.id),
            )
        )


class Reviewed(JournalEntry, frozen=True, kw_only=True, tag="reviewed"):
    """What serves was judged again, and its verdict is another one. The attempt is settled: nothing was rolled out."""

    attempt: Attempt


class Checkpoint(JournalEntry, frozen=True, kw_only=True, tag="checkpoint"):
    """The state that all earlier entries add up to; written when the journal is compacted."""

    state: State


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


def quarantine_key(generation: Generation, declaration: Deployment, holdout: str | None) -> str:
    """What must change before a failed generation is tried again (DESIGN §9): itself, or how it is judged."""
    verify = msgspec.json.encode(differing(declaration.verify), order="sorted")
    content = b"\n".join(
        (
            generation.deployment.encode(),
            generation.fingerprint.encode(),
            verify,
            (holdout or "").encode(),
        )
    )
    return hashlib.sha256(content).hexdigest()[:16]


def fold(files: Mapping[str, bytes]) -> State:
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


def fold_entries(entries: Iterable[Entry], state: State | None = None) -> State:
    """The same, of entries that are decoded already, on top of `state`."""
    state = state or State()
    for entry in entries:
        state = _step(state, entry)
    return state


def _step(state: State, entry: Entry) -> State:
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


def _put(state: State, name: str, deployment: DeploymentState) -> State:
    return msgspec.structs.replace(state, deployments={**state.deployments, name: deployment})


def _withdrawn(state: State, name: str) -> State:
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


def _published(state: State, entry: Published) -> State:
    replace = msgspec.structs.replace
    deployments = {}
    for name, deployment in state.deployments.items():
        attempts = tuple(
            replace(a, published=entry.commit) if a.id in entry.attempts else a for a in deployment.attempts
        )
        deployments[name] = replace(deployment, attempts=attempts)
    return replace(state, deployments=deployments)
