"""What tests of verdicts share: a version that is served, and what `verify` says of it."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.workshop import Workshop


def http_check(url: str) -> dict[str, Any]:
    return {"http": [{"name": "orders", "url": url, "contains": "well"}]}


def start(workshop: Workshop, version: str, **declared: Any) -> None:
    workshop.release(version)
    workshop.declare(version, **declared)
    workshop.sync()


def verify(workshop: Workshop, expect: int = 0) -> dict[str, Any]:
    """Run `gitops-ml verify dev -o json`. Returns its part on the only deployment."""
    ran = workshop.run("verify", "dev", "-o", "json")
    assert ran.code == expect, f"exit {ran.code}, expected {expect}\n{ran.out}\n{ran.err}"
    found = json.loads(ran.out)["deployments"]
    return dict(found[0]) if found else {"err": ran.err}


def results(found: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["result"] for check in found["checks"]}
