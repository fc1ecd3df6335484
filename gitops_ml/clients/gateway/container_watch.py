"""Containers that are watched while their servers are asked: one that ends makes waiting pointless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.generation import ALIAS
from gitops_ml.core.verification.probe_result import Ended, unanswered

_LOG_LINES = 40


class Watched:
    """These containers, from now on."""

    def __init__(self, engine: Engine, containers: Iterable[str]) -> None:
        self._engine = engine
        self._restarts = {container: _restarts(engine.inspect_container(container)) for container in containers}

    def ended(self) -> list[Ended]:
        """Those that have ended since; one that the engine has started again since has ended too."""
        return [found for container in self._restarts if (found := self._ended(container))]

    def _ended(self, container: str) -> Ended | None:
        found = self._engine.inspect_container(container)
        if found is None:
            return Ended(container=container, code=None, logs="")
        state = found["State"]
        runs = state["Status"] in ("created", "running", "paused")
        if runs and _restarts(found) <= self._restarts[container]:
            return None
        return Ended(
            container=container,
            code=None if runs else int(state["ExitCode"]),
            logs=self._engine.logs(container, _LOG_LINES),
            out_of_memory=bool(state.get("OOMKilled")),
            restarted=runs,
        )


def results_of_ended(engine: Engine, targets: Iterable[Mapping[str, Any]], ended: Sequence[Ended]) -> dict[str, Any]:
    """What is known of each target of a job, by name, when it was given up because some of them ended."""
    by_alias: dict[str, Ended] = {}
    for one in ended:
        found = engine.inspect_container(one.container)
        labels = (found["Config"]["Labels"] or {}) if found else {}
        by_alias[labels.get(ALIAS, "")] = one
    results = {}
    for target in targets:
        end = by_alias.get(urlsplit(target["url"]).hostname or "")
        results[target["name"]] = unanswered("not asked any more: another one ended" if end is None else str(end))
    return results


def _restarts(inspected: Mapping[str, Any] | None) -> int:
    return int(inspected["RestartCount"]) if inspected else 0
