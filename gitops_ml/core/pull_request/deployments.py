"""Deployments on a forge: what it shows of where each version runs, and since when.

They follow the verdict, as commit statuses do. A deployment is queued when its rollout is due, in progress until it is
judged, then a success or a failure; and inactive once something else serves, or its failure was reverted.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Literal, NamedTuple

import msgspec

from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.state import Attempt, DeploymentState, EnvironmentState
from gitops_ml.core.planning.deployment_status import DeploymentStatus
from gitops_ml.core.planning.plan import Begin, Plan
from gitops_ml.core.pull_request.statuses import LONGEST, RecordPlace, is_recent, record_of, under_way, verdict_on
from gitops_ml.core.text import clean_line

_ATTEMPTS = 2
"""How many of the newest attempts are told: the one that serves or failed, and the one before."""


State = Literal["queued", "in_progress", "success", "failure", "inactive"]


class DeploymentStage(NamedTuple):
    """One state of a deployment, with a sentence about it."""

    state: State
    description: str


class ForgeDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """What a forge is to show of a generation. `place` names environment and deployment, `commit` declares it.

    `stages` are its states until now, the present one last. `url` is where users reach it; empty where only its own
    host does. `record` is what Git has of its end. `page` is the address of its page; empty if the page has none.
    """

    commit: str
    place: str
    stages: tuple[DeploymentStage, ...]
    url: str = ""
    record: RecordPlace | None = None
    page: str = ""


def forge_deployments(planned: Plan, state: EnvironmentState) -> list[ForgeDeployment]:
    """The deployments that follow from one look at an environment, the oldest first.

    Args:
        planned: what a pass does after the look: a rollout that it begins is queued.
    """
    shown: dict[tuple[str, str], ForgeDeployment] = {}

    def show(deployment: ForgeDeployment) -> None:
        key = (deployment.commit, deployment.place)
        shown.pop(key, None)  # the order is that of the newest stages
        shown[key] = deployment

    for status in planned.statuses:
        place, deployment = f"{planned.environment}/{status.name}", state.of(status.name)
        for attempt in deployment.attempts[-_ATTEMPTS:]:
            if not attempt.boot and attempt.outcome != "reviewed" and is_recent(attempt, planned.at):
                stages, record = _settled(attempt, deployment, status), record_of(planned.environment, attempt)
                show(
                    ForgeDeployment(
                        commit=attempt.generation.commit,
                        place=place,
                        stages=stages,
                        url=_reachable(status.endpoint),
                        record=record,
                    )
                )
        if deployment.open and not deployment.open.boot:
            at_work = _stage("in_progress", under_way(deployment.open))
            show(ForgeDeployment(commit=deployment.open.generation.commit, place=place, stages=(at_work,)))
    for begin in planned.actions:
        if isinstance(begin, Begin) and not begin.attempt.boot:
            place = f"{planned.environment}/{begin.deployment}"
            queued = _stage("queued", f"{begin.attempt.strategy} of {begin.generation.version} begins: {begin.because}")
            show(ForgeDeployment(commit=begin.generation.commit, place=place, stages=(queued,)))
    return list(shown.values())


def _settled(attempt: Attempt, deployment: DeploymentState, status: DeploymentStatus) -> tuple[DeploymentStage, ...]:
    version, description = attempt.generation.version, verdict_on(attempt)[1]
    if attempt.outcome == "superseded":
        return (_stage("inactive", description),)
    if attempt.outcome == "promoted":
        success = _stage("success", description)
        if _serves(deployment, attempt.generation):
            return (success,)
        now = f"{deployment.serving.version} serves now" if deployment.serving else "nothing serves now"
        return success, _stage("inactive", f"{version} was replaced: {now}")
    failure = _stage("failure", description)
    # Where all is as declared and this one does not serve, the declaration no longer asks for it.
    reverted = status.sync == "Synced" and not _serves(deployment, attempt.generation)
    return (failure, _stage("inactive", f"{version} is no longer declared")) if reverted else (failure,)


def _stage(state: State, description: str) -> DeploymentStage:
    return DeploymentStage(state, clean_line(description, LONGEST))


def _serves(deployment: DeploymentState, generation: Generation) -> bool:
    return deployment.serving is not None and deployment.serving.fingerprint == generation.fingerprint


def _reachable(endpoint: str) -> str:
    """The endpoint, unless it names the host's own loopback or no address at all."""
    match = re.match(r"https?://(?:\[([^\]]+)\]|([^:/]+))", endpoint)
    address = ipaddress.ip_address(match[1] or match[2]) if match else None
    return "" if address is None or address.is_loopback or address.is_unspecified else endpoint
