"""Which replicas are taken for hanging: those that are silent for much longer than the gateway waits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.types import ExecResult
from gitops_ml.clients.gateway.probing.liveness import find_unresponsive
from gitops_ml.core.planning.route import HEALTH_TIMEOUT
from tests.unit.builders import generation, replica

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


class Asked(Engine):
    """An engine whose gateway finds every server silent; `scripts` are the words of each script and its time-out."""

    def __init__(self) -> None:
        self.scripts: list[tuple[Sequence[str], float]] = []

    def exec_script(
        self, container: str, script: str, words: Sequence[str], timeout: float = 0.0, limit: int = 0
    ) -> ExecResult:
        self.scripts.append((words, timeout))
        return ExecResult(code=0, stdout="\n".join(words[2:]).encode(), stderr=b"")

    def inspect_container(self, container: str) -> dict[str, Any] | None:
        return {"State": {"Status": "running", "StartedAt": "2026-11-23T08:00:00+00:00"}}


def test_a_server_is_waited_for_much_longer_than_the_gateway_waits() -> None:
    replicas = [replica(generation("v1"), n) for n in range(3)]
    engine = Asked()
    health = {c.alias: f"http://{c.alias}/" for c in replicas}
    silent = find_unresponsive(engine, "gateway", replicas, health, NOW)
    assert silent == {c.id: 3600.0 for c in replicas}
    ((words, timeout),) = engine.scripts
    tries, seconds = int(words[0]), int(words[1])
    assert seconds >= float(HEALTH_TIMEOUT.removesuffix("s")) + 2
    assert tries >= 3 and tries * seconds >= 15
    assert tries * seconds < timeout < 30, "all are asked at once, and one look is bounded"
