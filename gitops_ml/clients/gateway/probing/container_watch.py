"""Watches containers while their servers are asked: once one has ended, waiting is pointless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.generation import ALIAS
from gitops_ml.core.verification.probe_result import Ended, unanswered

_LOG_LINES = 40


class ContainerWatch:
    """Watches these containers from now on."""

    def __init__(self, engine: Engine, containers: Iterable[str]) -> None:
        self._engine = engine
        self._restarts = {container: _restarts(engine.inspect_container(container)) for container in containers}

    def ended(self) -> list[Ended]:
        """The containers that have ended since, or that the engine has started again since."""
        return [ended for container in self._restarts if (ended := self._ended(container))]

    def _ended(self, container: str) -> Ended | None:
        inspected = self._engine.inspect_container(container)
        if inspected is None:
            return Ended(container=container, code=None, logs="")
        state = inspected["State"]
        runs = state["Status"] in ("created", "running", "paused")
        if runs and _restarts(inspected) <= self._restarts[container]:
            return None
        return Ended(
            container=container,
            code=None if runs else int(state["ExitCode"]),
            logs=self._engine.logs(container, _LOG_LINES),
            out_of_memory=bool(state.get("OOMKilled")),
            restarted=runs,
        )


def results_of_ended(engine: Engine, targets: Iterable[Mapping[str, Any]], ended: Sequence[Ended]) -> dict[str, Any]:
    """The result of each target of a job, by name, when the job was given up because some containers ended."""
    by_alias: dict[str, Ended] = {}
    for end in ended:
        inspected = engine.inspect_container(end.container)
        labels = (inspected["Config"]["Labels"] or {}) if inspected else {}
        by_alias[labels.get(ALIAS, "")] = end
    results = {}
    for target in targets:
        own_end = by_alias.get(urlsplit(target["url"]).hostname or "")
        error = "not asked any more, because another container ended" if own_end is None else str(own_end)
        results[target["name"]] = unanswered(error)
    return results


def _restarts(inspected: Mapping[str, Any] | None) -> int:
    return int(inspected["RestartCount"]) if inspected else 0
