"""The entries of an environment's journal. Each is written before the mutation that it justifies.

An entry is never changed. These types must still read what older versions wrote: new fields have defaults, and no
field is removed. `fold` adds entries up.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gitops_ml.core.generation import Generation
from gitops_ml.core.signed_statement import SignedStatement
from gitops_ml.core.verification.statistics.sequential import Evidence
from gitops_ml.core.verification.verdict import CheckResult, Verdict

Outcome = Literal["promoted", "failed", "inconclusive", "superseded", "reviewed"]


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One entry of the journal. `at` is the engine's clock, ISO 8601."""

    at: str


class Intent(JournalEntry, frozen=True, kw_only=True, tag="intent"):
    """A candidate is about to be started. `boot`: a generation that was verified before, on a blank host."""

    attempt: str
    generation: Generation
    incumbent: Generation | None
    strategy: str
    key: str
    boot: bool = False


class Built(JournalEntry, frozen=True, kw_only=True, tag="built"):
    """The candidate's image is on the engine, and what its channel will publish is signed where a key is set."""

    attempt: str
    deployment: str
    image_id: str
    signed: SignedStatement | None = None


class Judged(JournalEntry, frozen=True, kw_only=True, tag="judged"):
    """The checks have decided. `logs` are the last log lines of a candidate that failed."""

    attempt: str
    deployment: str
    verdict: Verdict
    checks: tuple[CheckResult, ...]
    logs: str = ""


class Cleared(JournalEntry, frozen=True, kw_only=True, tag="cleared"):
    """The checks before user traffic have passed, and traffic decides next."""

    attempt: str
    deployment: str
    checks: tuple[CheckResult, ...]


class Stepped(JournalEntry, frozen=True, kw_only=True, tag="stepped"):
    """The candidate is about to get the traffic of this stage, counted from 0. `anew`: a new test begins with it."""

    attempt: str
    deployment: str
    stage: int
    anew: bool = False


class Counted(JournalEntry, frozen=True, kw_only=True, tag="counted"):
    """The evidence of all requests up to `cursor`, a time in the gateway's log. `lost`: some were never read."""

    attempt: str
    deployment: str
    evidence: Evidence
    cursor: str
    lost: bool = False


class Settled(JournalEntry, frozen=True, kw_only=True, tag="settled"):
    """The rollout is over."""

    attempt: str
    deployment: str
    outcome: Outcome


class Applied(JournalEntry, frozen=True, kw_only=True, tag="applied"):
    """A pass acted on this commit; older commits are refused from now on."""

    commit: str


class Recorded(JournalEntry, frozen=True, kw_only=True, tag="published"):
    """Git holds the record of these attempts. `unreverted`: all attempts whose revert was refused, and is pending.

    In the journal's files it is called `published`, as older versions wrote it.
    """

    attempts: tuple[str, ...]
    commit: str
    unreverted: tuple[str, ...] = ()


class Retried(JournalEntry, frozen=True, kw_only=True, tag="retried"):
    """A person asked for `--retry`: the deployment's quarantine is lifted."""

    deployment: str


class Erred(JournalEntry, frozen=True, kw_only=True, tag="erred"):
    """Work on a deployment ended with this error, `healing` or its rollout; without `what`, it ended well again.

    Written when the error comes and when it goes, and not again at each pass that meets the same error.
    """

    deployment: str
    healing: bool = False
    what: str = ""
    why: str = ""
    fix: str = ""


class Withdrawn(JournalEntry, frozen=True, kw_only=True, tag="withdrawn"):
    """The deployment is no longer declared, and its containers are gone."""

    deployment: str
