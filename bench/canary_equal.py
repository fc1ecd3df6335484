"""Rollbacks of a canary that is as good as the incumbent, in at least 100 real canaries on the engine.

Candidate and incumbent are one image that fails one request in twenty, so every rollback is a false alarm. Four
deployments roll out side by side, again and again, each under its own steady load. Prints the rate of rollbacks with
the 95 % interval of Clopper and Pearson (1934). bench/verdicts.py simulates the same test thousands of times; this
checks that the real thing behaves as the simulation.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.support.canaries import declare, load_on
from bench.support.scratch import machine, scratch

NAMES = ("a", "b", "c", "d")
ALPHA = 0.05
CANARY = {
    "rollout": {"strategy": "canary", "steps": [50]},
    "verify": {"traffic": {"max_bad_increase": 0.2, "timeout": "120s"}},  # some 300 requests to each candidate
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--canaries", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second to each deployment")
    options = parser.parse_args()
    outcomes: Counter[str] = Counter()
    requests = bad = 0
    began = time.monotonic()
    with scratch("equal") as workshop:
        workshop.environment(policy={"auto_revert": False})
        workshop.release("v1.0.0", error_rate=0.05)
        declare(workshop, NAMES, "v1.0.0", 0, CANARY)
        workshop.sync()
        with load_on(workshop, NAMES, options.rate):
            for number in range(1, -(-options.canaries // len(NAMES)) + 1):
                declare(workshop, NAMES, "v1.0.0", number, CANARY)
                ran = workshop.run("sync", "dev", timeout=600)
                for name in NAMES:
                    attempt = workshop.record(deployment=name)["attempts"][0]
                    figures: dict[str, int] = next(
                        (c["figures"] for c in attempt["checks"] if c["name"] == "traffic"), {}
                    )
                    outcomes[attempt["outcome"]] += 1
                    requests += figures.get("candidate_requests", 0)
                    bad += figures.get("candidate_bad", 0)
                    if attempt["outcome"] != "promoted":
                        print(f"round {number}, {name}: {attempt}", file=sys.stderr)
                if ran.code == 1:
                    sys.exit(ran.err)
                print(f"{time.monotonic() - began:.0f} s: {dict(outcomes)}", file=sys.stderr, flush=True)
    report(outcomes, requests, bad)


def report(outcomes: Counter[str], requests: int, bad: int) -> None:
    """The rate of rollbacks and its interval; the run ends with 1 where even its lower end exceeds alpha."""
    number, stopped = outcomes.total(), outcomes["failed"]
    low, high = clopper_pearson(stopped, number)
    print(f"{number} canaries of an equal model: {dict(outcomes)}")
    print(f"candidate requests counted: {requests}, bad: {bad} ({bad / max(1, requests):.1%})")
    print(f"rollbacks: {stopped} of {number} = {stopped / number:.1%}, 95 % interval {low:.1%} to {high:.1%}")
    print(machine())
    if low > ALPHA:
        sys.exit(f"MISSED: more than {ALPHA:.0%}")


def clopper_pearson(hits: int, number: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a rate of which `hits` of `number` were seen (Clopper & Pearson 1934)."""
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, number - hits + 1))
    high = 1.0 if hits == number else float(beta.ppf(1 - tail, hits + 1, number - hits))
    return low, high


if __name__ == "__main__":
    main()
