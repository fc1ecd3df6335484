"""Repeated canaries of one image. One environment variable makes each of them a new generation."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from gitops_ml.cli.demo.steady_load import SteadyLoad
from tests.e2e.workshop import EXAMPLE, MODEL, Workshop


def declare(workshop: Workshop, names: Sequence[str], version: str, number: int, rollout: dict[str, Any]) -> None:
    """Declare all deployments again in one commit. The same version with another `number` is another generation."""
    workshop.pull()
    for name in names:
        content = {"schema": 1, "model": MODEL, "version": version, "env": {"ROUND": str(number)}} | rollout
        workshop.write(f"environments/dev/models/{name}.yaml", yaml.safe_dump(content))
    workshop.commit(f"Round {number}")


@contextlib.contextmanager
def load_on(workshop: Workshop, names: Sequence[str], rate: float) -> Iterator[list[SteadyLoad]]:
    """Steady requests to each of the deployments, `rate` a second, for as long as the context lasts."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                SteadyLoad(f"{workshop.url(deployment=name)}/infer", json.dumps(EXAMPLE).encode(), rate=rate)
            )
            for name in names
        ]
