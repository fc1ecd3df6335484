"""Asking model servers from inside the environment's network, over the engine's API alone.

The gateway asks whether they are ready, and for one answer; a probe asks for more, and finds out what is wrong.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gitops_ml.clients import background
from gitops_ml.clients.engine.building.model_images import probe_image
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.container import WEB_PORT, gateway_name
from gitops_ml.clients.gateway.probing.channels import read_channels
from gitops_ml.clients.gateway.probing.probe import ProbeJob, ProbePlace, run_probe
from gitops_ml.clients.gateway.probing.readiness import LEFT_FOR_PROBE, ask_ready
from gitops_ml.clients.gateway.probing.samples import read_samples
from gitops_ml.clients.own_checks import run as own_checks
from gitops_ml.clients.own_checks.command import CommandPlace
from gitops_ml.control.request_counts import RequestCounts
from gitops_ml.control.session import CommandContext, Progress, Question
from gitops_ml.core.declaration.checks import OwnCheck
from gitops_ml.core.declaration.mapping import AnswerMapping
from gitops_ml.core.generation import MODEL_PATH, PORT, Generation, scoped
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.observed import Container
from gitops_ml.core.operator_settings import read_settings
from gitops_ml.core.planning import plan
from gitops_ml.core.subscribers import ChannelReport
from gitops_ml.core.verification.applications import Exchange, exchange_of, read_answers
from gitops_ml.core.verification.own_checks import CheckSubject
from gitops_ml.core.verification.probe_job import target_in_job
from gitops_ml.core.verification.probe_result import TargetResult, read_results, unanswered
from gitops_ml.core.verification.samples import Samples
from gitops_ml.core.verification.statistics.sequential import TrafficTest
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import GitopsError, ModelRejected

HOLDOUT_SECONDS = 300.0
_Mapped = tuple[AnswerMapping, Exchange]
"""How an application is asked, and what it is asked now."""
_log = logging.getLogger("gitops_ml")


@dataclass(frozen=True, kw_only=True)
class ServersPlace:
    """Where the model servers of one environment run.

    Args:
        base: the base image that the probe's image is built on.
        locked: whether the environment's lock is held; see `ProbePlace`.
    """

    engine: Engine
    project: str
    environment: str
    base: str
    locked: bool


class EngineServers:
    """The model servers of one environment on one engine.

    Args:
        gateway: gives the gateway's container, which may be replaced during a pass; empty without one.
        check: called before a probe is made; raises `LockLost` when a lock that was held is gone.
        now: the engine's clock.
    """

    def __init__(
        self,
        place: ServersPlace,
        gateway: Callable[[], str],
        check: Callable[[], None],
        now: Callable[[], datetime],
    ) -> None:
        self._place, self._engine = place, place.engine
        self._gateway, self._check, self._now = gateway, check, now

    def ask(self, question: Question, go_on: Callable[[], None]) -> Mapping[str, TargetResult]:
        """See `session.Servers.ask`. The gateway asks for readiness and the example; for all else there is a probe."""
        exchanges, refused = _exchanges(question)
        asked = [
            target_in_job(name, container.alias, generation, exchanges[name][1] if name in exchanges else None)
            for name, (container, generation) in question.targets.items()
            if name not in refused
        ]
        started = time.monotonic()
        self._check()
        if not question.bodies and not exchanges and not question.generation.version_path and self._gateway():
            results = self._ask_ready(question, asked, go_on)
            if results is not None:
                return _read(question, results)
        results = {**self._probe(question, asked, go_on, passed=time.monotonic() - started), **refused}
        for name, (mapping, exchange) in exchanges.items():
            results[name] = read_answers(mapping.request, mapping.response, results.get(name, {}), exchange)
        return _read(question, results)

    def _ask_ready(
        self, question: Question, asked: Sequence[Mapping[str, Any]], go_on: Callable[[], None]
    ) -> dict[str, Any] | None:
        """Have the gateway ask. None where the probe has to: the servers are not ready, or answer wrongly."""
        try:
            return ask_ready(
                self._engine,
                self._gateway(),
                asked,
                example=question.example,
                patience=question.generation.start_timeout - LEFT_FOR_PROBE,
                watch=_watched(question),
                go_on=go_on,
            )
        except GitopsError:
            raise
        except Exception as error:
            _log.warning("%s: malformed answers in the gateway", question.generation.deployment, exc_info=error)
            return None

    def _probe(
        self, question: Question, asked: Sequence[Mapping[str, Any]], go_on: Callable[[], None], passed: float
    ) -> Mapping[str, Any]:
        patience, bodies = question.generation.start_timeout, question.bodies
        left = max(patience - passed, min(patience, LEFT_FOR_PROBE))
        making = background.begin(lambda: probe_image(self._engine, self._place.base))
        image = background.result_within(making, math.inf, go_on)  # a build, where the engine has no image of ours
        place = ProbePlace(
            project=self._place.project, environment=self._place.environment, image=image, locked=self._place.locked
        )
        protocol = any("exchange" not in target for target in asked)  # an application is asked in its own form alone
        job = ProbeJob(
            targets=asked,
            seconds=left + (HOLDOUT_SECONDS if bodies else 0.0),
            ready_seconds=left,
            example=question.example if protocol else None,
            bodies=bodies if protocol else (),
        )
        return run_probe(self._engine, place, job, watch=_watched(question), go_on=go_on).targets

    def samples(self, live: Sequence[tuple[str, int]]) -> Samples:
        """See `session.Servers.samples`."""
        return read_samples(self._engine, self._gateway(), live)

    def address(self, container: Container, generation: Generation) -> str:
        """See `session.Servers.address`."""
        inspected = self._engine.inspect_container(container.id)
        networks = inspected["NetworkSettings"]["Networks"] if inspected else {}
        address = networks.get(scoped(self._place.project, self._place.environment), {}).get("IPAddress", "")
        return f"http://{address}:{generation.port}{_path(generation)}" if address else ""

    def inner_address(self, generation: Generation, container: Container | None) -> str:
        """See `session.Servers.inner_address`."""
        if container is None:
            gateway = gateway_name(self._place.project, self._place.environment)
            return f"http://{gateway}:{WEB_PORT}{MODEL_PATH}/{generation.deployment}"
        return f"http://{container.alias}:{generation.port}{_path(generation)}"

    def run_own_checks(
        self, checks: Sequence[OwnCheck], subject: CheckSubject, commands: CommandContext, go_on: Callable[[], None]
    ) -> list[CheckResult]:
        """See `session.Servers.run_own_checks`. What the host's operator does not permit is inconclusive."""
        settings = read_settings(os.environ)
        self._check()
        place = CommandPlace(
            engine=self._engine,
            project=self._place.project,
            environment=self._place.environment,
            image=lambda: probe_image(self._engine, self._place.base),
            files=commands.files,
            endpoint=commands.endpoint,
            permitted=settings.allow_commands,
            locked=self._place.locked,
        )
        return own_checks.run_own_checks(checks, subject, own_checks.Reach(settings.check_hosts, place), go_on)

    def count(self, watch: plan.Watch, attempt: Attempt, test: TrafficTest, live: Sequence[Container]) -> Progress:
        """See `session.Servers.count`."""
        counts = RequestCounts(self._engine, self._gateway(), self._now)
        return counts.count(watch, attempt, test, live)

    def channels(self, live: Sequence[Container]) -> list[ChannelReport]:
        """See `session.Servers.channels`."""
        return list(read_channels(self._engine, self._gateway(), [(c.alias, PORT) for c in live]).values())


def _path(generation: Generation) -> str:
    return f"{MODEL_PATH}/{generation.deployment}" if generation.pattern == "service" else ""


def _watched(question: Question) -> list[str]:
    judged = question.generation.fingerprint
    return [container.id for container, of in question.targets.values() if of.fingerprint == judged]


def _read(question: Question, results: Mapping[str, Any]) -> dict[str, TargetResult]:
    """Read the results. Malformed answers of a server that is only compared with leave that server without answers."""
    read: dict[str, TargetResult] = {}
    for name, (_, generation) in question.targets.items():
        try:
            read |= read_results({name: results.get(name, {})})
        except ModelRejected as error:
            if generation.fingerprint == question.generation.fingerprint:
                raise
            read[name] = TargetResult(error=str(error))
    return read


def _exchanges(question: Question) -> tuple[dict[str, _Mapped], dict[str, dict[str, Any]]]:
    """What is asked of the applications among the targets, in their own form; the results of those that cannot be.

    Raises `ModelRejected` where it is the judged generation's own mapping that does not fit its model.
    """
    exchanges: dict[str, _Mapped] = {}
    refused: dict[str, dict[str, Any]] = {}
    if question.example is None and not question.bodies:
        return exchanges, refused
    for name, (_, generation) in question.targets.items():
        if generation.mapping is None:
            continue
        try:
            exchange = exchange_of(generation.mapping.request, question.example, question.bodies)
            exchanges[name] = generation.mapping, exchange
        except ModelRejected as error:
            if generation.fingerprint == question.generation.fingerprint:
                raise
            refused[name] = unanswered(str(error))
    return exchanges, refused
