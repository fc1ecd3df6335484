"""The agent's metrics, for Prometheus. Their names and labels are a contract, which docs/agent.md lists.

Each scrape is made from one reading of the status board: what is no longer declared is no longer told.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from gitops_ml import __version__
from gitops_ml.control.agent.health import readiness
from gitops_ml.control.agent.status_board import PASS_SECONDS, AgentStatus, EnvironmentStatus, StatusBoard
from gitops_ml.control.agent.web.answers import Answer, Question
from gitops_ml.control.agent.web.exposition import Families, counter, gauge, scrape
from gitops_ml.control.backoff import deployment_of
from gitops_ml.core.planning.deployment_status import DeploymentStatus, Health, Sync
from gitops_ml.core.verification.verdict import Verdict

_DEPLOYMENT = ("environment", "deployment")


class Metrics:
    """Answers `/metrics`.

    Args:
        ready_within: see `readiness`.
        more: further families of metrics, such as those of hooks.
    """

    def __init__(
        self, board: StatusBoard, ready_within: float, more: Callable[[], Iterable[Metric]] = lambda: ()
    ) -> None:
        self._board, self._within, self._more = board, ready_within, more
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(Families(self.families))

    def answer(self, question: Question) -> Answer:
        """The metrics now, in the text format or as OpenMetrics."""
        return scrape(self._registry, question.headers.get("accept", ""))

    def families(self) -> Iterator[Metric]:
        """All families but those of the process."""
        status, now = self._board.read(), self._board.now()
        yield from _agent_families(status)
        ready = readiness(status, now, self._within).environments
        yield gauge(
            "gitops_ml_agent_ready",
            "Whether the environment's last good pass is recent enough, as /readyz tells.",
            ("environment",),
            [((name,), float(each.ready)) for name, each in ready.items()],
        )
        yield from _pass_families(status)
        yield from _deployment_families(status)
        yield from self._more()


def _agent_families(status: AgentStatus) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "gitops_ml_agent",
        "The agent's version, and the commit that was fetched last.",
        value={
            "version": __version__,
            "commit": status.commit,
        },
    )
    yield counter(
        "gitops_ml_agent_fetches",
        "Fetches of the clone.",
        ("result",),
        [
            (("success",), status.fetches - status.fetch_failures),
            (("failure",), status.fetch_failures),
        ],
    )
    reachable = float(bool(status.fetches) and not status.outage)
    yield gauge("gitops_ml_agent_git_reachable", "Whether the last fetch read the remote.", (), [((), reachable)])
    yield gauge(
        "gitops_ml_agent_last_fetch_timestamp_seconds",
        "When the remote was last read.",
        (),
        [] if status.fetched_at is None else [((), status.fetched_at)],
    )


def _pass_families(status: AgentStatus) -> Iterator[Metric]:
    environments = status.environments.items()
    yield counter(
        "gitops_ml_agent_passes",
        "Passes; a failed one could not work on the environment at all.",
        (
            "environment",
            "result",
        ),
        [
            sample
            for name, each in environments
            for sample in (((name, "success"), each.passes - each.failures), ((name, "failure"), each.failures))
        ],
    )
    seconds = HistogramMetricFamily("gitops_ml_agent_pass_seconds", "How long passes took.", labels=["environment"])
    for name, each in environments:
        bounds = [*(str(bound) for bound in PASS_SECONDS), "+Inf"]
        buckets = list(zip(bounds, itertools.accumulate(each.took), strict=True))
        seconds.add_metric([name], buckets, each.seconds)
    yield seconds
    yield gauge(
        "gitops_ml_agent_last_success_timestamp_seconds",
        "When the last good pass ended.",
        ("environment",),
        [((name,), each.succeeded_at) for name, each in environments if each.succeeded_at is not None],
    )
    yield gauge(
        "gitops_ml_agent_last_look_timestamp_seconds",
        "When the environment was last observed: how old the states of its deployments are.",
        ("environment",),
        [((name,), each.looked_at) for name, each in environments if each.looked_at is not None],
    )
    yield gauge(
        "gitops_ml_agent_last_review_timestamp_seconds",
        "When a review of what serves last ended without an error.",
        ("environment",),
        [((name,), each.reviewed_at) for name, each in environments if each.reviewed_at is not None],
    )
    yield gauge(
        "gitops_ml_agent_errors",
        "What fails now and is tried again; deployment is empty for what concerns the whole environment.",
        _DEPLOYMENT,
        [((name, deployment), count) for name, each in environments for deployment, count in _errors(each).items()],
    )
    yield counter(
        "gitops_ml_rollouts",
        "Rollouts that settled since the agent began.",
        (*_DEPLOYMENT, "verdict", "outcome"),
        [((name, *rollout), count) for name, each in environments for rollout, count in each.rollouts.items()],
    )


def _errors(status: EnvironmentStatus) -> dict[str, float]:
    """How many errors each deployment has, 0 for those without."""
    counts = dict.fromkeys(["", *(each.name for each in _deployments(status))], 0.0)
    for name in status.trouble:
        about = deployment_of(name)
        counts[about] = counts.get(about, 0.0) + 1
    return counts


def _deployments(status: EnvironmentStatus) -> tuple[DeploymentStatus, ...]:
    return tuple(status.view.plan.statuses) if status.view else ()


def _deployment_families(status: AgentStatus) -> Iterator[Metric]:
    deployments = [(name, each) for name, status_ in status.environments.items() for each in _deployments(status_)]
    labels = ("model", "version", "generation")
    yield gauge(
        "gitops_ml_deployment_info",
        "The generation that serves; the declared one where none does.",
        (*_DEPLOYMENT, *labels),
        [((name, each.name, each.model, each.version, each.generation), 1.0) for name, each in deployments],
    )
    states: dict[str, tuple[str, tuple[str, ...], Callable[[DeploymentStatus], str]]] = {
        "sync": ("Whether what runs is what Git declares", get_args(Sync), lambda each: each.sync),
        "health": ("Whether what serves answers", get_args(Health), lambda each: each.health),
        "verification": ("The verdict on what is declared", get_args(Verdict), lambda each: each.verification),
    }
    for kind, (text, values, state_of) in states.items():
        yield gauge(
            f"gitops_ml_deployment_{kind}",
            f"{text}: 1 for the present state, 0 for the others.",
            (*_DEPLOYMENT, "state"),
            [
                ((name, each.name, value), float(value == state_of(each)))
                for name, each in deployments
                for value in values
            ],
        )
    numbers: dict[str, tuple[str, Callable[[DeploymentStatus], float]]] = {
        "on_hold": ("Whether a person holds the deployment.", lambda each: float(each.hold is not None)),
        "replicas_desired": ("Replicas that are declared.", lambda each: each.replicas.desired),
        "replicas_ready": ("Replicas of the serving generation that answer.", lambda each: each.replicas.ready),
    }
    for kind, (text, number_of) in numbers.items():
        yield gauge(
            f"gitops_ml_deployment_{kind}",
            text,
            _DEPLOYMENT,
            [((name, each.name), number_of(each)) for name, each in deployments],
        )
