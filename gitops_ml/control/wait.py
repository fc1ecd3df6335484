"""Waiting until the verdict on what the tip declares is in, whoever rolls it out: an agent, a job, another person.

Nothing is changed. A deployment is settled when no action is left for it: its record is in Git then too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gitops_ml.control.environment.view import Options, View
from gitops_ml.core.planning.deployment_status import DeploymentStatus
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.errors import InputError, SourceError, Temporary

_WORST_FIRST: tuple[Verdict, ...] = ("Failed", "Inconclusive", "Unverified", "Verified")


class Visible(Protocol):
    """One environment that can be looked at again and again."""

    @property
    def environment(self) -> str: ...

    @property
    def report(self) -> Callable[[str], None]: ...

    def look(self, options: Options) -> View:
        """Fetch, read, observe and plan."""
        ...

    def monotonic(self) -> float:
        """The present in seconds, from any origin."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait between two looks."""
        ...


@dataclass(frozen=True)
class WaitResult:
    """What waiting came to.

    Args:
        verdicts: the verdict on the generation that was declared when the waiting began, by deployment.
    """

    view: View
    verdicts: Mapping[str, Verdict]

    @property
    def statuses(self) -> list[DeploymentStatus]:
        """The states of the deployments that were waited for."""
        return [status for status in self.view.plan.statuses if status.name in self.verdicts]

    @property
    def exit_code(self) -> int:
        """0 serves as declared · 3 verification failed · 4 inconclusive or on hold."""
        if "Failed" in self.verdicts.values():
            return 3
        waiting = [status for status in self.statuses if status.sync == "OutOfSync"]
        return 4 if waiting or "Inconclusive" in self.verdicts.values() else 0


def wait(environment: Visible, deployment: str | None, *, timeout: float, interval: float) -> WaitResult:
    """Look until nothing is left to do for `deployment`, or for all deployments.

    Where a newer commit declares something else meanwhile, it is waited for; the revert of a failed version is not: the
    verdict on that version is what was asked for.

    Args:
        timeout, interval: in seconds: how long to wait in all, and between two looks.

    Raises:
        InputError: the deployment is not declared, or its declaration is broken.
        SourceError: there is no verdict in time.
        Stalled: the environment cannot be looked at, and a person has to act.
    """
    began, shown = environment.monotonic(), dict[str, str]()
    first: dict[str, str] = {}
    trouble: Temporary | None = None
    pending: list[str] = []
    while True:
        try:
            view = environment.look(Options())
        except Temporary as error:
            if trouble is None or trouble.what != error.what:
                environment.report(f"{environment.environment}: {error.what}")
            trouble = error
        else:
            trouble = None
            _require_declared(view, deployment)
            for name, wanted in view.wanted.items():
                first.setdefault(name, wanted.generation.fingerprint)
            pending = _pending(view, deployment)
            if not pending:
                return WaitResult(view, _verdicts(view, deployment, first))
            _report_changes(environment, view, deployment, shown)
        if environment.monotonic() + interval > began + timeout:
            raise trouble or SourceError(
                f"no verdict on {environment.environment}/{deployment or '*'} within {timeout:g} s",
                why=f"still to be done: {'; '.join(pending)}",
                fix=f"gitops-ml sync {environment.environment}, unless an agent or a job does that",
            )
        environment.sleep(interval)


def _require_declared(view: View, deployment: str | None) -> None:
    name = view.desired.full_name
    broken = view.plan.broken
    chosen = sorted(broken) if deployment is None else [deployment] if deployment in broken else []
    if chosen:
        what, _, fix = broken[chosen[0]].partition("\n  fix: ")
        raise InputError(f"{name}/{chosen[0]}: {what}", fix=fix)
    if deployment is not None and deployment not in view.wanted:
        raise InputError(
            f"{name}/{deployment} is not declared in commit {view.desired.commit[:12]}",
            why=f"declared: {', '.join(sorted(view.wanted)) or 'none'}",
            fix=f"gitops-ml status {name}",
        )


def worst_verdicts(verdicts: Iterable[Mapping[str, Verdict]]) -> dict[str, Verdict]:
    """The worst verdict on each deployment: it is waited for on several hosts."""
    worst: dict[str, Verdict] = {}
    for each in verdicts:
        for name, verdict in each.items():
            worst[name] = min(worst.get(name, verdict), verdict, key=_WORST_FIRST.index)
    return worst


def _pending(view: View, deployment: str | None) -> list[str]:
    """The actions that are left, as the plan prints them, and the rollouts that wait for other hosts."""
    names = view.plan.statuses if deployment is None else [s for s in view.plan.statuses if s.name == deployment]
    unsettled = {status.name for status in names if view.state.of(status.name).open}
    chosen = [a for a in view.plan.actions if deployment in (None, a.deployment) or not a.deployment]
    open_rollouts = [f"the rollout of {view.desired.full_name}/{name}" for name in sorted(unsettled)]
    hosts = [f"{view.desired.full_name}/{s.name}: {s.waiting.sentence}" for s in names if s.waiting and s.waiting.hosts]
    return [action.line(view.desired.full_name) for action in chosen] or open_rollouts or hosts


def _verdicts(view: View, deployment: str | None, first: Mapping[str, str]) -> dict[str, Verdict]:
    """The verdict on each deployment's first generation, where that has one; else on what is declared now."""
    verdicts: dict[str, Verdict] = {}
    for status in view.plan.statuses:
        if deployment not in (None, status.name):
            continue
        attempts = [a for a in view.state.of(status.name).attempts if a.generation.fingerprint == first[status.name]]
        declared = view.wanted[status.name].generation.fingerprint
        judged = [a.verdict for a in attempts if a.verdict] if declared != first[status.name] else []
        verdicts[status.name] = judged[-1] if judged and judged[-1] == "Failed" else status.verification
    return verdicts


def _report_changes(environment: Visible, view: View, deployment: str | None, shown: dict[str, str]) -> None:
    """Report each state that is another one than at the look before."""
    for status in view.plan.statuses:
        if deployment not in (None, status.name):
            continue
        line = f"{status.version} {status.sync}, {status.health}, {status.verification}"
        line += f": {status.message}" if status.message else ""
        line += f"; last error: {status.error.what}" if status.error else ""
        if shown.get(status.name) != line:
            shown[status.name] = line
            environment.report(f"{environment.environment}/{status.name} {line}")
