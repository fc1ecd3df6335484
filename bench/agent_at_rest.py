"""`gitops-ml agent` over 200 deployments for an hour, one replica killed each minute: its CPU, its memory, its slope.

The deployments are small web servers (`pattern: image`), so that the engine has room for 200 of them. The agent listens
for hooks and serves its page. CPU and memory are those of the agent and all its children; the first five minutes, in
which it reads everything once, do not count. At most 1 % of a core and 150 MiB. The time to heal is the time from the
death of the replica to the next answer through the gateway.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import docker
import psutil
import yaml

from bench.support.scratch import machine, scratch
from tests.e2e.file_server import serve_files
from tests.e2e.workshop import Workshop

CPU_LIMIT, MEMORY_LIMIT = 0.01, 150 * 2**20
WARM_UP = 5  # minutes
WITHIN = 60.0  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--minutes", type=int, default=60)
    options = parser.parse_args()
    with scratch("rest") as workshop:
        declare(workshop, options.count)
        print("bringing up …", file=sys.stderr)
        ran = workshop.run("sync", "dev", timeout=3600)
        if ran.code != 0:
            sys.exit(f"sync ended with {ran.code}\n{ran.err[-3000:]}")
        agent = workshop.begin("agent", "dev", "--listen", "127.0.0.1:0", "-q")
        try:
            kept = watch(workshop, psutil.Process(agent.pid), options.count, options.minutes)
        finally:
            agent.terminate()
            agent.wait(60)
    print(machine())
    sys.exit(0 if kept else 1)


def declare(workshop: Workshop, count: int) -> None:
    """Declare `count` deployments of one image, and push."""
    engine = docker.from_env(timeout=600)
    serve = serve_files(engine, workshop.project)
    engine.close()
    workshop.release("v1.0.0")
    workshop.environment(drain="1s")
    for number in range(count):
        content = {"schema": 1, "model": "churn", "version": "v1.0.0", "serve": serve}
        workshop.write(f"environments/dev/models/m{number:03d}.yaml", yaml.safe_dump(content))
    workshop.commit(f"Declare {count}")


def watch(workshop: Workshop, agent: psutil.Process, count: int, minutes: int) -> bool:
    """Kill one replica each minute, print what the agent takes, and tell whether it kept its limits."""
    engine = docker.from_env(timeout=120)
    chosen = random.Random(0)
    memory: list[int] = []
    healed: list[float] = []
    began = before = 0.0
    for minute in range(WARM_UP + minutes):
        if minute == WARM_UP:
            began, before = time.monotonic(), cpu_seconds(agent)
        next_minute = time.monotonic() + 60
        healed.append(heal(workshop, engine, f"m{chosen.randrange(count):03d}"))
        time.sleep(max(0.0, next_minute - time.monotonic()))
        memory.append(resident(agent))
        print(f"{minute}: {memory[-1] / 2**20:.0f} MiB, healed in {healed[-1]:.2f} s", file=sys.stderr)
    engine.close()
    share = (cpu_seconds(agent) - before) / (time.monotonic() - began)
    counted = memory[WARM_UP:]
    slope = statistics.linear_regression(range(len(counted)), counted).slope * 60 / 2**20
    print(f"{count} deployments, {minutes} minutes, {len(healed)} replicas killed\n")
    print("| CPU, of one core | most memory | its slope | healed within, median | slowest |\n|---|---|---|---|---|")
    print(
        f"| {share:.2%} | {max(counted) / 2**20:.0f} MiB | {slope:+.1f} MiB/h "
        f"| {statistics.median(healed):.2f} s | {max(healed):.2f} s |"
    )
    kept = share <= CPU_LIMIT and max(counted) <= MEMORY_LIMIT
    print(f"\nlimits {CPU_LIMIT:.0%}, {MEMORY_LIMIT / 2**20:.0f} MiB: {'kept' if kept else 'MISSED'}")
    return kept


def heal(workshop: Workshop, engine: docker.DockerClient, deployment: str) -> float:
    """Seconds from the kill of a deployment's replica to the next answer through the gateway."""
    labels = [f"gitops-ml.project={workshop.project}", f"gitops-ml.deployment={deployment}", "gitops-ml.role=replica"]
    (replica,) = engine.containers.list(filters={"label": labels})
    url = f"http://127.0.0.1:{workshop.ports['dev']}/{deployment}/index.html"
    began = time.monotonic()
    replica.kill()
    replica.wait()
    while time.monotonic() - began < WITHIN:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                answer.read()
                return time.monotonic() - began
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    sys.exit(f"{deployment} was not healed within {WITHIN:.0f} s")


def cpu_seconds(agent: psutil.Process) -> float:
    """CPU seconds of the agent, of its children that live, and of those that have ended."""
    processes = [agent, *agent.children(recursive=True)]
    times = [process.cpu_times() for process in processes]
    return sum(t.user + t.system for t in times) + times[0].children_user + times[0].children_system


def resident(agent: psutil.Process) -> int:
    """Bytes of memory that the agent and its children hold, shared pages counted once for each."""
    return sum(process.memory_info().rss for process in [agent, *agent.children(recursive=True)])


if __name__ == "__main__":
    main()
