"""Tells at once when a replica or the gateway of one environment stops serving, by the engine's events."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

from gitops_ml.clients import background
from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.generation import ENVIRONMENT, PROJECT, ROLE, scoped

_ACTIONS = ("die", "pause", "disconnect")
_SERVING_ROLES = ("replica", "gateway")


class EngineWatch:
    """Calls `changed` whenever something stops serving, from a thread of its own, until `close`.

    It is called at the beginning too, since nobody tells what happened before, and when the connection is lost. Where
    an engine gives no events, passes at their interval see the same, only later.

    Args:
        url: the engine, as `Engine.connect` takes it.

    Attributes:
        began: when it was made, in seconds of the monotonic clock.
    """

    def __init__(self, url: str | None, project: str, environment: str, changed: Callable[[], None]) -> None:
        self.url = url
        self.began = time.monotonic()
        self._labels = {PROJECT: project, ENVIRONMENT: environment}
        self._network = scoped(project, environment)
        self._changed = changed
        self._stream: Any = None
        self._closed = False
        self._thread = background.begin(self._follow)

    @property
    def alive(self) -> bool:
        """Whether events still come."""
        return not self._thread.done()

    def close(self) -> None:
        """End the thread soon. Raises nothing."""
        self._closed = True
        if self._stream is not None:
            with contextlib.suppress(Exception):  # what is lost may fail in any way when it is closed
                self._stream.close()

    def _follow(self) -> None:
        with Engine.connect(self.url) as engine:
            self._stream = engine.events_to_come(_ACTIONS)
            try:
                if not self._closed:
                    self._changed()
                    for line in self._stream:
                        if self._concerns(json.loads(line)):
                            self._changed()
            finally:
                if not self._closed:
                    self._changed()

    def _concerns(self, event: dict[str, Any]) -> bool:
        """Whether an event is about what serves this environment. The engine names a network's events by its name."""
        attributes = event["Actor"]["Attributes"]
        if event["Type"] == "network":
            return bool(attributes.get("name") == self._network)
        ours = all(attributes.get(label) == value for label, value in self._labels.items())
        return ours and attributes.get(ROLE) in _SERVING_ROLES
