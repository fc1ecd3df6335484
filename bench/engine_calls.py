"""Requests to the engine of a `sync` with nothing to do, at 1, 50 and 200 deployments: the same number.

A proxy on a Unix socket between the tool and the engine shows them (`engine:` names it). Each deployment is a running
model server; 200 of them need about 16 GB. `--sizes 1,20,50` needs less. Time and memory of the process are shown too.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.support.fleet import grow
from bench.support.scratch import machine, median, scratch, timed
from tests.e2e.engine_proxy import Call, EngineProxy
from tests.e2e.workshop import GITOPS_ML

REPEATS = 3
_VERSION_AND_IDS = re.compile(r"^/v[0-9.]+|[0-9a-f]{12,}")
SYNC = [str(GITOPS_ML), "sync", "dev"]
# A process's greatest memory is at least what its parent had when it was started, so a small parent starts it.
PARENT = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1,50,200")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    totals: dict[int, list[int]] = {}
    requests: list[str] = []

    def note(call: Call) -> None:
        if call.method != "SHELL":
            requests.append(f"{call.method} {_VERSION_AND_IDS.sub('', call.path.split('?')[0])}")

    with (
        tempfile.TemporaryDirectory(prefix="gitops-ml-proxy-") as folder,
        EngineProxy(note).listening(Path(folder) / "engine.sock"),
        scratch("calls") as workshop,
    ):
        workshop.release("v1.0.0")
        workshop.environment(engine=f"unix://{folder}/engine.sock")
        for size in sizes:
            grow(workshop, size)
            workshop.sync()  # what has just changed is inspected once
            totals[size] = []
            seconds: list[float] = []
            for _ in range(REPEATS):
                requests.clear()
                seconds.append(timed(SYNC, workshop.folder)[0])
                totals[size].append(len(requests))
            took = f"{median(seconds)} s, at most {peak_memory(workshop.folder) / 1e6:.0f} MB"
            print(f"\n{size} deployments: {totals[size]} requests, {took}", flush=True)
            for asked, number in sorted(Counter(requests).items()):
                print(f"    {number}  {asked}")
    print(f"\n{machine()}")
    if len({number for found in totals.values() for number in found}) != 1:
        sys.exit("MISSED: not the same number")
    print(f"kept: {totals[sizes[0]][0]} requests, whatever the number of deployments")


def peak_memory(folder: Path) -> int:
    """The most memory in bytes that a `sync` in `folder` takes at once."""
    ran = subprocess.run([sys.executable, "-c", PARENT, *SYNC], cwd=folder, capture_output=True, text=True, check=True)
    return int(ran.stdout)


if __name__ == "__main__":
    main()
