"""A malformed artifact is a verdict on its own deployment, and the canary beside it is watched all the same."""

from __future__ import annotations

import json
from typing import Any

from gitops_ml.cli.demo.steady_load import SteadyLoad
from tests.e2e.workshop import EXAMPLE, MODEL, Workshop

CANARY: dict[str, Any] = {
    "rollout": {"strategy": "canary", "steps": [25, 50]},
    "verify": {"traffic": {"max_bad_increase": 0.2, "timeout": "90s"}},
}
MALFORMED: dict[str, str] = {"v2.0.0": '{"rows": 1}', "v2.1.0": "[" * 100_000}


def release_malformed(workshop: Workshop, version: str, example: str) -> None:
    workshop.write(f"models/{MODEL}/example.json", example)
    workshop.commit(f"Train {version} with a malformed example")
    workshop.git("tag", "-a", f"{MODEL}@{version}", "-m", version)
    workshop.git("push", "-q", "origin", f"{MODEL}@{version}")


def test_a_malformed_artifact_is_failed_and_a_bad_canary_beside_it_is_stopped(workshop: Workshop) -> None:
    workshop.environment(drain="1s")
    workshop.release("v1.0.0")
    for name in (MODEL, "beside", "third"):
        workshop.declare("v1.0.0", name)
    workshop.sync()
    workshop.release("v1.1.0", error_rate=1.0)
    for (version, example), name in zip(MALFORMED.items(), ("beside", "third"), strict=True):
        release_malformed(workshop, version, example)
        workshop.declare(version, name)
    workshop.declare("v1.1.0", **CANARY)

    with SteadyLoad(workshop.url() + "/infer", json.dumps(EXAMPLE).encode(), rate=60):
        ran = workshop.sync(expect=3)

    assert "Traceback" not in ran.err
    for name in (MODEL, "beside", "third"):
        assert workshop.serving(deployment=name) == "v1.0.0"
        assert workshop.declared(deployment=name)["version"] == "v1.0.0", "the revert is in Git"
        assert workshop.record(deployment=name)["attempts"][0]["verdict"] == "Failed"
    for name in ("beside", "third"):
        checks = workshop.record(deployment=name)["attempts"][0]["checks"]
        assert [(c["name"], c["result"]) for c in checks] == [("artifact", "fail")]
        assert "example.json" in checks[0]["reason"]
