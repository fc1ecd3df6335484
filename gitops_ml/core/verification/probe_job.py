"""What a probe's job says of one target; docs/serving.md describes it."""

from __future__ import annotations

from typing import Any

from gitops_ml.core.generation import Generation
from gitops_ml.core.verification.applications import Exchange


def target_in_job(name: str, alias: str, generation: Generation, exchange: Exchange | None = None) -> dict[str, Any]:
    """One server of a generation, at a name of its network: a model server, or an application.

    Args:
        exchange: what an application is asked in its own form; None asks for its health alone.
    """
    target: dict[str, Any] = {"name": name, "url": f"http://{alias}:{generation.port}"}
    expect = {"version": generation.version, "digest": generation.digest}
    if generation.pattern == "service":
        return target | {"model": generation.deployment, "expect": expect}
    target["health"] = generation.health
    if generation.version_path:
        target |= {"version_path": generation.version_path, "expect": expect}
    if exchange and generation.mapping:
        request = generation.mapping.request
        asked = {"example": exchange.example, "bodies": exchange.bodies}
        target["exchange"] = {"method": request.method, "path": request.path} | asked
    return target
