"""Requests to the engine of a `sync` with nothing to do, at 1, 50 and 200 deployments: the same number.

A proxy on a Unix socket between the tool and the engine counts them (`engine:` names it). Each deployment is a running
model server; 200 of them need about 16 GB. `--sizes 1,20,50` needs less.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.support.fleet import grow
from bench.support.proxy import counting
from bench.support.scratch import machine, scratch

REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1,50,200")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    totals: dict[int, list[int]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="gitops-ml-proxy-") as folder,
        counting(Path(folder) / "engine.sock") as counted,
        scratch("calls") as workshop,
    ):
        workshop.release("v1.0.0")
        workshop.environment(engine=f"unix://{folder}/engine.sock")
        for size in sizes:
            grow(workshop, size)
            workshop.sync()  # what has just changed is inspected once
            totals[size] = []
            for _ in range(REPEATS):
                counted.reset()
                workshop.sync()
                totals[size].append(counted.total)
            print(f"\n{size} deployments: {totals[size]} requests", flush=True)
            for asked, number in sorted(counted.requests.items()):
                print(f"    {number}  {asked}")
    print(f"\n{machine()}")
    if len({number for found in totals.values() for number in found}) != 1:
        sys.exit("MISSED: not the same number")
    print(f"kept: {totals[sizes[0]][0]} requests, whatever the number of deployments")


if __name__ == "__main__":
    main()
