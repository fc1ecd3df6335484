"""20 blue-green rollouts under an open-loop load of 200 requests a second: none failed, none refused, none cut.

Requests are sent by the clock, however slow the answers are, and never retried. Every tenth uses a new connection, the
others kept-alive ones. In addition two requests a second take 5 s each, so about ten are in flight at each switch. Each
rollout is a complete `gitops-ml sync dev` to another version and image. The clients' counts are compared with the
gateway's log; `sync` itself reports requests that a drain cut off.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.support.scratch import gateway_lines, machine, release_predictor, scratch
from gitops_ml.cli.demo.steady_load import Report, SteadyLoad
from tests.e2e.workshop import EXAMPLE

PREDICTOR = """
import asyncio
import numpy as np

class Churn:
    def __init__(self, folder):
        pass

    async def predict(self, frame):
        x = frame["x"].to_numpy(float)
        await asyncio.sleep(5 if (x > 100).any() else 0)
        p = 1 / (1 + np.exp(-x))
        return {"predict": (p > 0.5).astype(int), "predict_proba": np.column_stack([1 - p, p])}
"""
SLOW = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1000.0]}]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=20)
    parser.add_argument("--rate", type=float, default=200.0)
    options = parser.parse_args()
    with scratch("load") as workshop:
        versions = [f"v1.{number}.0" for number in range(options.rollouts + 1)]
        for version in versions:
            release_predictor(workshop, version, PREDICTOR)
        workshop.declare(versions[0])
        workshop.sync()
        url = workshop.url() + "/infer"
        cut: list[str] = []
        took: list[float] = []
        began = time.monotonic()
        with (
            SteadyLoad(url, json.dumps(EXAMPLE).encode(), rate=options.rate, workers=128) as steady,
            SteadyLoad(url, json.dumps(SLOW).encode(), rate=2, workers=40, fresh=3) as slow,
        ):
            time.sleep(1)
            for version in versions[1:]:
                workshop.declare(version)
                started = time.monotonic()
                ran = workshop.run("sync", "dev")
                took.append(time.monotonic() - started)
                if ran.code != 0:
                    sys.exit(f"sync ended with {ran.code}\n{ran.err}")
                cut += [line for line in ran.err.splitlines() if line.startswith("cut")]
                print(f"{version} after {took[-1]:.1f} s, failed so far: {steady.report.errors}", file=sys.stderr)
            time.sleep(1)
            seconds = time.monotonic() - began
        lines = gateway_lines(workshop)
        for line in [line for line in lines if line["DownstreamStatus"] != 200][:20]:
            print(json.dumps(line), file=sys.stderr)
        logged = Counter(line["DownstreamStatus"] for line in lines)
        report(steady.report, slow.report, cut, seconds, logged, options.rate)


def report(steady: Report, slow: Report, cut: list[str], seconds: float, logged: Counter[int], rate: float) -> None:
    """A table, and the end of the run: 1 where anything was lost."""
    print(f"\n{len(steady.versions) - 1} rollouts in {seconds:.0f} s\n\n| | short requests | of 5 s |\n|---|---|---|")
    print(f"| sent | {steady.sent} ({steady.sent / seconds:.0f}/s) | {slow.sent} |")
    print(f"| failed, refused | {steady.failed} {steady.errors or ''} | {slow.failed} {slow.errors or ''} |")
    print(f"| versions that answered | {len(steady.versions)} | {len(slow.versions)} |")
    for share in (0.5, 0.99, 1.0):
        print(f"| latency, quantile {share:g} | {steady.quantile(share) * 1e3:.1f} ms | {slow.quantile(share):.2f} s |")
    print(f"\ncut at the end of a drain: {len(cut)}; the gateway's log: {dict(sorted(logged.items()))}")
    print(machine())
    lost = steady.failed + slow.failed + len(cut) + sum(n for status, n in logged.items() if status != 200)
    slower = steady.sent / seconds < 0.97 * rate
    if lost or slower:
        sys.exit(f"MISSED: {lost} lost" + (", and the load was not held" if slower else ""))
    print("kept: none failed, none refused, none cut")


if __name__ == "__main__":
    main()
