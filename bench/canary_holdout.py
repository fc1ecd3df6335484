"""A pass over 10,000 held-out rows through the live endpoint: rows a second, and the model's own share of it.

It does what verification does: the probe, in its container, asks a serving replica for predictions and probabilities,
in batches. The model's own share is the time of `predict` alone for the same batches, in the same image under the
same limits: no HTTP, no JSON. Both in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))


from bench.support.scratch import machine, release_trees, scratch
from gitops_ml.artifacts.manifest import parse_manifest
from gitops_ml.clients.engine.building.model_images import probe_image
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.probing.probe import ProbeJob, ProbePlace, run_probe
from gitops_ml.clients.gateway.snapshot import list_environment
from gitops_ml.clients.rows.holdout import load_rows, requests
from gitops_ml.core.generation import ContainerSpec, owner_labels, scoped
from gitops_ml.core.observed import Container
from tests.e2e.workshop import MODEL, Workshop
from tests.serving.artifacts import rows

CPUS = 1.0
RESOURCES = {"cpus": CPUS, "memory": "1g"}
ALONE = """
import json, pathlib, time
from gitops_ml.serving.prediction.loader import load_model
from gitops_ml.serving.protocol import parse_request, read_columns
manifest, model = load_model(pathlib.Path("/model"))
bodies = [json.dumps(body).encode() for body in json.load(open("/probe/requests.json"))["bodies"]]
names = [spec.name for spec in manifest.outputs]
seconds = 0.0
for again in (False, True):
    for body in bodies:
        columns, _ = read_columns(*parse_request(body, None), manifest.inputs)
        started = time.perf_counter()
        model.predict(columns, names)
        seconds += (time.perf_counter() - started) * again
print(json.dumps(seconds))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=10_000)
    options = parser.parse_args()
    passes: list[float] = []
    probes: list[float] = []
    computes: list[float] = []
    with scratch("holdout") as workshop, Engine.connect(None) as engine:
        release_trees(workshop, "v1.0.0", seed=0)
        workshop.declare("v1.0.0", resources=RESOURCES)
        workshop.sync()
        data = rows(options.rows, seed=9).to_csv(index=False).encode()
        manifest = parse_manifest((workshop.folder / "models" / MODEL / "manifest.json").read_bytes())
        bodies = requests(load_rows(data, "holdout.csv"), manifest)
        everything = list_environment(engine, workshop.project, "dev")
        replica = next(c for c in everything if c.role == "replica")
        for _ in range(options.rounds):
            found, whole = through_endpoint(engine, workshop, replica, bodies)
            assert found["rows"] == options.rows, found["error"]
            passes.append(found["seconds"])
            probes.append(whole)
            computes.append(alone(engine, workshop, replica, bodies))
    took, own = statistics.median(passes), statistics.median(computes)
    share = statistics.median(own / whole for own, whole in zip(computes, passes, strict=True))
    print(f"{options.rows} rows in {len(bodies)} requests, medians of {options.rounds} rounds\n")
    print(f"through the endpoint: {took:.3f} s, {options.rows / took:,.0f} rows/s")
    print(f"the model's own compute: {own:.3f} s, {share:.0%} of it")
    print(f"the whole probe, its container made and removed: {statistics.median(probes):.2f} s")
    print(machine())


def through_endpoint(
    engine: Engine, workshop: Workshop, replica: Container, bodies: list[dict[str, Any]]
) -> tuple[dict[str, Any], float]:
    """What the probe reports of one pass over all rows, and the seconds that the whole probe took."""
    target = {"name": "live", "url": f"http://{replica.alias}:8080", "model": MODEL, "expect": {}}
    place = ProbePlace(project=workshop.project, environment="dev", image=probe_image(engine))
    result = run_probe(engine, place, ProbeJob(targets=[target], seconds=300.0, bodies=bodies))
    return dict(result.targets["live"]), result.seconds


def alone(engine: Engine, workshop: Workshop, replica: Container, bodies: list[dict[str, Any]]) -> float:
    """Seconds that the model takes for the same rows in a container of its own, with the replica's limits."""
    inspected = engine.inspect_container(replica.id)
    assert inspected
    made = engine.create(
        ContainerSpec(
            name=scoped(workshop.project, "dev", "alone"),
            image=inspected["Image"],
            labels=owner_labels(workshop.project, "dev", "bench"),
            network=None,
            command=("python", "-c", ALONE),
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            anonymous_volumes=("/probe",),
            memory=1024**3,
            cpus=CPUS,
            restart="no",
        )
    )
    try:
        engine.put(made, "/probe", {"requests.json": json.dumps({"bodies": bodies}).encode()})
        engine.start(made)
        until = time.monotonic() + 120
        while (code := engine.wait(made, timeout=30)) is None and time.monotonic() < until:
            pass
        if code != 0:
            sys.exit(engine.logs(made))
        return float(engine.logs(made).strip().splitlines()[-1])
    finally:
        engine.remove(made, force=True)


if __name__ == "__main__":
    main()
