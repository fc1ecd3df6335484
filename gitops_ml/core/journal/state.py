"""What a journal adds up to: the attempts of each deployment, what serves, and what is quarantined.

A rollout is host state, and nothing of it lives in a process. How entries add up to these types is in `fold`.
"""

from __future__ import annotations

import hashlib

import msgspec

from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.generation import Generation, differing
from gitops_ml.core.journal.entries import Outcome
from gitops_ml.core.verification.sequential import Evidence
from gitops_ml.core.verification.verdict import CheckResult, Verdict

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


class EnvironmentState(msgspec.Struct, frozen=True, kw_only=True):
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
