"""Whether the agent is alive, and whether it keeps each of its environments equal to Git: what a supervisor asks.

Pure: the status and the time are handed in.
"""

from __future__ import annotations

import msgspec

from gitops_ml.control.agent.status_board import AgentStatus, EnvironmentStatus
from gitops_ml.control.backoff import ENVIRONMENT
from gitops_ml.core.declaration.hosts import declared_by

LATE = 15.0
"""Seconds by which a turn of the loop may be late, on a machine that is overloaded or was suspended."""


class Liveness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the agent's loop turns; `late` is by how many seconds it is behind."""

    alive: bool
    late: float = 0.0


class EnvironmentReadiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the last pass over an environment that could work on it ended a short time ago.

    `seconds` is how long ago that was; None if no pass ever could. `reason` says why the environment is not ready.
    """

    ready: bool
    seconds: float | None = None
    reason: str = ""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the agent keeps all of its environments. `git`: why the remote cannot be read, empty if it can.

    An agent that cannot read the remote heals on from the commit that it fetched last, so it stays ready.
    """

    ready: bool
    reason: str = ""
    git: str = ""
    environments: dict[str, EnvironmentReadiness] = {}


def liveness(status: AgentStatus, now: float) -> Liveness:
    """Judge the loop by the moment at which it wanted to turn again at the latest."""
    late = max(0.0, now - status.next_turn)
    return Liveness(alive=late <= LATE, late=round(late, 1))


def readiness(status: AgentStatus, now: float, within: float) -> Readiness:
    """Judge each environment: its last good pass ended at most `within` seconds ago."""
    environments = {name: _readiness(environment, now, within) for name, environment in status.environments.items()}
    for name in sorted(status.absent - environments.keys()):
        reason = f"{declared_by(name)} is not in commit {status.commit[:12]}"
        environments[name] = EnvironmentReadiness(ready=False, reason=reason)
    reason = ""
    if not status.commit:
        reason = status.outage or "nothing has been fetched yet"
    elif not environments:
        reason = f"commit {status.commit[:12]} declares no environment"
    ready = not reason and all(environment.ready for environment in environments.values())
    return Readiness(ready=ready, reason=reason, git=status.outage, environments=environments)


def _readiness(status: EnvironmentStatus, now: float, within: float) -> EnvironmentReadiness:
    if status.succeeded is not None and now - status.succeeded <= within:
        return EnvironmentReadiness(ready=True, seconds=round(now - status.succeeded, 1))
    reason = "no pass has ended yet" if status.succeeded is None else f"no pass has ended well for {within:g} s"
    if ENVIRONMENT in status.trouble:
        reason = status.trouble[ENVIRONMENT].message
    elif status.began is not None:
        reason += f"; one has been under way for {now - status.began:.0f} s"
    seconds = None if status.succeeded is None else round(now - status.succeeded, 1)
    return EnvironmentReadiness(ready=False, seconds=seconds, reason=reason)
