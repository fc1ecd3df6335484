"""Many deployments of one model in one environment, started by `gitops-ml sync`."""

from __future__ import annotations

import sys
import time

import yaml

from tests.e2e.workshop import MODEL, Workshop


def grow(workshop: Workshop, count: int) -> None:
    """Declare `count` deployments in one commit, and sync. Ends the run if the sync fails."""
    workshop.pull()
    for number in range(count):
        content = {"schema": 1, "model": MODEL, "version": "v1.0.0", "resources": {"cpus": 0.5}}
        workshop.write(f"environments/dev/models/m{number:03d}.yaml", yaml.safe_dump(content))
    workshop.commit(f"Declare {count}")
    print(f"bringing up {count} deployments …", file=sys.stderr)
    began = time.monotonic()
    ran = workshop.run("sync", "dev", timeout=3600)
    if ran.code != 0:
        sys.exit(f"sync ended with {ran.code}\n{ran.err[-3000:]}")
    print(f"up after {time.monotonic() - began:.0f} s", file=sys.stderr)
    workshop.pull()
