"""From the request that decides against a canary to all traffic back on the incumbent: at most 1 s.

The candidate fails every request, at half of the traffic, under a steady load. The journal names the deciding request:
the last one counted before the verdict. Start and end come from the gateway's own log: when the deciding request was
logged, and when the last request to the candidate began. Every failed request must be an error of the candidate itself:
none may be refused, cut or lost on the way back.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.support.canaries import declare, load_on
from bench.support.scratch import conclude, gateway_lines, scratch
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.access_log import _epoch
from tests.e2e.workshop import Workshop

LIMIT = 1.0
MOST_REQUESTS = 20
NAMES = ("a",)
CANARY = {
    "rollout": {"strategy": "canary", "steps": [50]},
    "verify": {"traffic": {"max_bad_increase": 0.2, "timeout": "60s"}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--rate", type=float, default=100.0)
    options = parser.parse_args()
    with scratch("worse") as workshop:
        workshop.environment(policy={"auto_revert": False})
        workshop.release("v1.0.0")
        workshop.release("v2.0.0", error_rate=1.0)
        declare(workshop, NAMES, "v1.0.0", 0, CANARY)
        workshop.sync()
        counted: list[int] = []
        decided: dict[str, float] = {}
        with load_on(workshop, NAMES, options.rate) as (load,):
            for number in range(1, options.rounds + 1):
                declare(workshop, NAMES, "v2.0.0", number, CANARY)
                ran = workshop.run("sync", "dev", timeout=600)
                if ran.code != 3:
                    sys.exit(f"sync ended with {ran.code}\n{ran.err}")
                checks = {c["name"]: c for c in workshop.record(deployment="a")["attempts"][0]["checks"]}
                counted.append(checks["traffic"]["figures"]["candidate_requests"])
                decided |= decisions(workshop)  # each round, since a long journal is summed up
        lines = gateway_lines(workshop)
        seconds = [back(lines, generation, at) for generation, at in decided.items()]
    for value in seconds:
        print(f"    {value:.3f} s", file=sys.stderr)
    own = [line for line in lines if line["DownstreamStatus"] == 500 and line.get("OriginStatus") == 500]
    failed = [line for line in lines if line["DownstreamStatus"] != 200]
    for line in [line for line in failed if line not in own][:20]:
        print(json.dumps(line), file=sys.stderr)
    print(
        f"{len(seconds)} canaries stopped, after {statistics.median(counted)} of their requests (median), "
        f"at most {max(counted)}"
    )
    print(f"back on the incumbent: median {statistics.median(seconds):.3f} s, at most {max(seconds):.3f} s")
    print(f"requests: {load.report.sent} sent, {load.report.failed} failed {load.report.errors}")
    print(f"the gateway's log: {dict(Counter(line['DownstreamStatus'] for line in lines))}, {len(own)} by candidates")
    if len(failed) != len(own) or load.report.failed != len(own) or len(seconds) < options.rounds:
        sys.exit("MISSED: a request failed that no candidate answered, or a decision is missing")
    if max(counted) > MOST_REQUESTS:
        sys.exit(f"MISSED: a candidate that always errs was stopped after more than {MOST_REQUESTS} of its requests")
    conclude("seconds, the slowest", max(seconds), LIMIT)


def decisions(workshop: Workshop) -> dict[str, float]:
    """When the deciding request was logged (epoch seconds), by the generation that it decided against."""
    found: dict[str, float] = {}
    for entry in journal(workshop):
        if entry.get("cursor"):
            found[entry["attempt"].split("-")[0]] = _epoch(entry["cursor"])
    return found


def journal(workshop: Workshop) -> list[dict[str, Any]]:
    """The entries of the environment's journal, in their order."""
    with Engine.connect(None) as engine:
        files = engine.get(f"{workshop.project}.dev.gateway", "/gateway/journal")
    return [json.loads(content) for _, content in sorted(files.items())]


def back(lines: list[dict[str, Any]], generation: str, decided: float) -> float:
    """Seconds from then to the start of the last request that was sent to this generation."""
    starts = [_start(line) for line in lines if generation in line.get("ServiceName", "")]
    return max(0.0, max(starts) - decided)


def _start(line: dict[str, Any]) -> float:
    return _epoch(datetime.fromisoformat(line["StartUTC"][:26].rstrip("Z")).isoformat() + "+00:00")


if __name__ == "__main__":
    main()
