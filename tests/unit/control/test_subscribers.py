"""Who runs what, as `status` asks the channels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from gitops_ml.control.connection import Connection
from gitops_ml.control.environment.subscribers import read_subscribers
from gitops_ml.control.environment.view import View


class _NoEngine(Connection):
    def to(self, files: Any) -> Any:
        raise AssertionError("the engine was asked")


def test_a_gateway_that_does_not_run_is_not_asked() -> None:
    container = SimpleNamespace(state="running", alias="churn-0", deployment="churn")
    snapshot = SimpleNamespace(gateway=SimpleNamespace(id="g"), gateway_runs=False, replicas=lambda _: (container,))
    serving = SimpleNamespace(serving=SimpleNamespace(published=True), open=None)
    view = SimpleNamespace(snapshot=snapshot, state=SimpleNamespace(deployments={"churn": serving}))
    assert read_subscribers(_NoEngine(), cast(View, view)) == []
