"""What people are told of an agent's work: trouble that lasts, reminders of it, its end, and verdicts.

Pure: the status and the time are handed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gitops_ml.clients.receivers import Kind
from gitops_ml.control.agent.status_board import AgentStatus, EnvironmentStatus
from gitops_ml.control.backoff import ENVIRONMENT
from gitops_ml.control.environment.view import View
from gitops_ml.core.declaration.hosts import declared_by
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.records.verified import readable_span
from gitops_ml.core.text import clean_line

LASTS = 10.0
"""Seconds that trouble lasts before it is told: a replica that is replaced at once is no news."""
REMOTE = "the Git remote"
STEADY = 30.0
"""Seconds without trouble after which it is over: a replica that ends again and again is one trouble."""
_KINDS: dict[str, Kind] = {"Verified": "success", "Failed": "failure", "Inconclusive": "warning"}


@dataclass(frozen=True)
class Notice:
    """One message. `title` is one line."""

    kind: Kind
    title: str
    body: str


@dataclass(frozen=True)
class Condition:
    """What is wrong in one place. `state`: one word, such as `Degraded`. `text`: what is wrong.

    `told`: the end of its rollout has told it, so people are only reminded of it.
    """

    state: str
    text: str
    told: bool = False


@dataclass(frozen=True)
class _Lasting:
    """A condition since it began, with the times of the loop's clock. `states`: the words that were told of it."""

    condition: Condition
    since: float
    seen: float
    told: float | None
    states: frozenset[str] = frozenset()


def conditions(status: AgentStatus) -> dict[str, Condition]:
    """What is wrong now, by place: `REMOTE`, an environment, or `environment/deployment`."""
    wrong = {}
    if status.outage:
        wrong[REMOTE] = Condition("Error", clean_line(status.outage))
    for name in status.absent:
        wrong[name] = Condition("Missing", f"{declared_by(name)} is not in the commit that was fetched")
    for name, environment in status.environments.items():
        wrong |= _of_environment(name, environment)
    return wrong


def _of_environment(name: str, status: EnvironmentStatus) -> Iterator[tuple[str, Condition]]:
    for key, trouble in status.trouble.items():
        yield f"{name}/{key}" if key else name, Condition("Error", trouble.message)
    if status.view is None or ENVIRONMENT in status.trouble:
        return  # the last look says nothing of now
    for deployment in status.view.plan.statuses:
        place = f"{name}/{deployment.name}"
        if deployment.verification in ("Failed", "Inconclusive"):
            yield f"{place} verification", Condition(deployment.verification, deployment.message, told=True)
        if deployment.health in ("Degraded", "Missing"):
            ready = f"{deployment.replicas.ready} of {deployment.replicas.desired} replicas answer"
            error = str(deployment.error.what) if deployment.error else ""
            yield place, Condition(deployment.health, "; ".join(filter(None, (ready, deployment.message, error))))
    for broken, why in status.view.plan.broken.items():
        yield f"{name}/{broken}", Condition("Broken", clean_line(str(why)))


class Notices:
    """Turns what an agent's board shows into messages, each of them once.

    Args:
        remind: seconds after which trouble that lasts is told again.
    """

    def __init__(self, remind: float) -> None:
        self._remind = remind
        self._lasting: dict[str, _Lasting] = {}
        self._settled: dict[str, frozenset[str]] = {}

    def turn(self, status: AgentStatus, now: float) -> list[Notice]:
        """The messages that are due.

        Args:
            now: seconds, by a clock that never goes back.
        """
        wrong = conditions(status)
        notices = [*self._rollouts(status), *self._over(status, wrong, now), *self._wrong(wrong, now)]
        project = next((each.view.desired.project for each in status.environments.values() if each.view), "gitops-ml")
        return [replace(notice, title=clean_line(f"{project}: {notice.title}")) for notice in notices]

    def _wrong(self, wrong: Mapping[str, Condition], now: float) -> Iterator[Notice]:
        for place, condition in wrong.items():
            before = self._lasting.get(place)
            if before is None:
                before = _Lasting(condition, now, now, now if condition.told else None)
            elif before.told is not None and condition.state not in before.states:
                before = replace(before, told=now if condition.told else None)
            if before.told is None and now - before.since >= LASTS:
                yield Notice("failure", f"{place} {condition.state}", condition.text)
                before = replace(before, told=now)
            elif before.told is not None and now - before.told >= self._remind:
                span = readable_span(timedelta(seconds=now - before.since))
                yield Notice("warning", f"{place} still {condition.state}", f"for {span}\n{condition.text}")
                before = replace(before, told=now)
            states = before.states | {condition.state} if before.told is not None else before.states
            self._lasting[place] = replace(before, condition=condition, seen=now, states=states)

    def _over(self, status: AgentStatus, wrong: Mapping[str, Condition], now: float) -> Iterator[Notice]:
        for place, lasting in list(self._lasting.items()):
            environment, _, deployment = place.partition("/")
            if deployment and environment in wrong:
                continue  # how its deployments stand is not known
            if place not in wrong and now - lasting.seen >= STEADY:
                del self._lasting[place]
                if deployment and not _stands(status, environment, deployment, lasting.condition):
                    continue
                if lasting.told is not None and not lasting.condition.told:
                    span = readable_span(timedelta(seconds=lasting.seen - lasting.since))
                    yield Notice("success", f"{place} recovered", f"It was {lasting.condition.state} for {span}.")

    def _rollouts(self, status: AgentStatus) -> Iterator[Notice]:
        """Rollouts and reviews since the turn before; those before the agent's first look were told by others."""
        for name, environment in status.environments.items():
            if environment.view is None:
                continue
            settled = {attempt.id: attempt for attempt in _judged(environment.view)}
            before = self._settled.get(name, settled.keys())
            self._settled[name] = frozenset(settled)
            for id, attempt in settled.items():
                if id not in before:
                    yield rollout_notice(name, attempt)


def _stands(status: AgentStatus, environment: str, deployment: str, condition: Condition) -> bool:
    """Whether a deployment is still there to recover: one that was taken out of Git is gone, not well."""
    kept = status.environments.get(environment)
    if kept is None or kept.view is None or condition.state == "Error":  # an error may be of no deployment's
        return kept is not None
    return deployment.split(" ")[0] in {each.name for each in kept.view.plan.statuses}


def _judged(view: View) -> Iterator[Attempt]:
    for deployment in view.state.deployments.values():
        yield from (a for a in deployment.attempts if not a.boot and a.outcome != "superseded")


def rollout_notice(environment: str, attempt: Attempt) -> Notice:
    """How a rollout or a review ended: what serves now, and the checks that decided against the version."""
    incumbent = attempt.incumbent.version if attempt.incumbent else ""
    if attempt.outcome == "promoted":
        ended = f"It replaced {incumbent}" if incumbent else "It serves as the first version"
    elif attempt.outcome == "reviewed":
        ended = "It was judged again while it served"
    else:
        ended = f"{incumbent} goes on serving" if incumbent else "Nothing serves"
    took = ""
    if attempt.settled and attempt.outcome != "reviewed":
        span = datetime.fromisoformat(attempt.settled) - datetime.fromisoformat(attempt.started)
        took = f", {readable_span(span)} after it began"
    reasons = [f"{check.name}: {check.reason}" for check in attempt.checks if check.prevents_verified]
    verdict = attempt.verdict or "Unverified"
    title = f"{environment}/{attempt.deployment} {attempt.generation.version} {verdict}"
    return Notice(_KINDS.get(verdict, "info"), title, "\n".join([f"{ended}{took}.", *reasons]))
