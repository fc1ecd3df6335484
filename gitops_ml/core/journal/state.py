"""What a journal adds up to: the attempts of each deployment, what serves, and what is quarantined.

A rollout is state of the host: no process remembers any of it. `fold` makes these types from entries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import msgspec

from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.declaration.values import differing
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.entries import Outcome
from gitops_ml.core.verification.statistics.sequential import Evidence
from gitops_ml.core.verification.verdict import CheckResult, Verdict

KEPT_ATTEMPTS = 20


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout, from its intent to its record in Git.

    `cleared`: the checks before traffic have passed. `stage` is the present stage of traffic, `routed` the time when
    its test began, `evidence` what was counted since, and `cursor` how far. `lost`: some requests were never read.
    `recorded` is the commit that records it. `unreverted`: it is recorded, and its revert was refused and is pending.
    Times are ISO 8601, by the engine's clock.
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
    recorded: str | None = msgspec.field(default=None, name="published")
    unreverted: bool = False

    @property
    def deployment(self) -> str:
        return self.generation.deployment


class Settlement(NamedTuple):
    """How one settled attempt ended. `generation`: its fingerprint."""

    id: str
    generation: str
    outcome: str | None
    verdict: Verdict | None


def lasting_attempts(settlements: Iterable[Settlement], generations: Collection[str]) -> set[str]:
    """The ids of the attempts that are kept however many follow: they say how `generations` stand.

    Of each generation these are its newest promotion as Verified, and its newest verdict.

    Args:
        settlements: the newest first.
    """
    promoted: dict[str, str] = {}
    judged: dict[str, str] = {}
    for settlement in settlements:
        if settlement.generation in generations and settlement.verdict in ("Verified", "Failed"):
            judged.setdefault(settlement.generation, settlement.id)
            if settlement.outcome == "promoted" and settlement.verdict == "Verified":
                promoted.setdefault(settlement.generation, settlement.id)
    return {*promoted.values(), *judged.values()}


class DeploymentState(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal says about one deployment.

    `attempts` are the settled ones, oldest first, at most KEPT_ATTEMPTS. `quarantine` holds their quarantine keys.
    """

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


class LastError(msgspec.Struct, frozen=True, kw_only=True):
    """The error that the last work on a deployment ended with; `healing`: its healing, and not its rollout.

    `at` is when it was met first, ISO 8601, by the engine's clock.
    """

    at: str
    what: str
    why: str = ""
    fix: str = ""
    healing: bool = False


class EnvironmentState(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal of one environment adds up to.

    `errors`, by deployment, hold at most one error of its rollout and one of its healing. They are kept beside
    `deployments`, since an error is no sign that anything was ever rolled out.
    """

    applied: str | None = None
    deployments: dict[str, DeploymentState] = {}
    errors: dict[str, tuple[LastError, ...]] = {}

    def of(self, deployment: str) -> DeploymentState:
        return self.deployments.get(deployment, DeploymentState())

    def error_of(self, deployment: str, *, healing: bool) -> LastError | None:
        """The error of a deployment's healing, or of its rollout."""
        return next((error for error in self.errors.get(deployment, ()) if error.healing == healing), None)

    @property
    def unrecorded(self) -> tuple[Attempt, ...]:
        """Settled attempts that are not in Git yet, oldest first. Superseded ones are not recorded."""
        return self._settled(lambda a: not a.recorded and a.outcome != "superseded")

    @property
    def unreverted(self) -> tuple[Attempt, ...]:
        """Recorded attempts whose revert was refused, oldest first."""
        return self._settled(lambda a: a.unreverted)

    def _settled(self, chosen: Callable[[Attempt], bool]) -> tuple[Attempt, ...]:
        attempts = [a for deployment in self.deployments.values() for a in deployment.attempts if chosen(a)]
        return tuple(sorted(attempts, key=lambda a: (a.settled or "", a.id)))


def quarantine_key(generation: Generation, declaration: Deployment, holdout: str | None) -> str:
    """The key of a failed generation: it is tried again once its key changes.

    The key covers the generation, how it is judged, and the digest of the held-out rows.
    """
    verify = msgspec.json.encode(differing(declaration.verify), order="sorted")
    parts = (generation.deployment.encode(), generation.fingerprint.encode(), verify, (holdout or "").encode())
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:16]
