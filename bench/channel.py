"""A published model with 1,000 subscribers: how long until all have acknowledged a new version, memory, CPU.

Each is a `gitops_ml.subscriber.Subscriber`, in one of ten processes. Of 1,000, 100 need 5 s to load a model, and 10 die
before the new version is published. The time begins with the push of the bump. The container's memory and CPU are those
of the new version's channel, as the engine counts them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as processes
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import docker

from bench.support.scratch import machine, release_trees, scratch
from gitops_ml.core.generation import PROJECT, VERSION
from gitops_ml.subscriber import Subscriber
from tests.e2e.workshop import MODEL, Workshop

PROCESSES = 10
SLOW_SECONDS = 5.0
LONGEST = 600.0
PUBLISH: dict[str, Any] = {"serve": {"pattern": "publish"}}


def follow(
    url: str,
    folder: Path,
    names: Sequence[str],
    slow: int,
    dead: int,
    dies: Event,
    ends: Event,
    running: Synchronized[int],
) -> None:
    """Run some of the subscribers, the first `slow` of them slow ones; the last `dead` end when `dies` is set.

    `running` counts those that run a version which they loaded after `began`.
    """

    def load(place: Path, seconds: float) -> str:
        time.sleep(seconds)
        return place.name

    subscribers = []
    for number, name in enumerate(names):
        seconds = SLOW_SECONDS if number < slow else 0.0
        subscribers.append(Subscriber(url, folder / name, lambda place, s=seconds: load(place, s), name=name))
        subscribers[-1].start()
    while not ends.wait(0.1):
        if dies.is_set():
            for each in subscribers[len(subscribers) - dead :]:
                each.close()
        running.value = sum(s.current is not None and s.current.since > began.value for s in subscribers)


began = processes.Value("d", 0.0)
"""The moment of `time.monotonic` from which on loaded models count; one clock for all processes."""


def await_running(counts: Sequence[Synchronized[int]], wanted: int) -> list[tuple[float, int]]:
    """Wait until so many subscribers run the version; returns how many did after how many seconds."""
    start, seen = time.monotonic(), [(0.0, 0)]
    while seen[-1][1] < wanted:
        now = time.monotonic() - start
        if now > LONGEST:
            sys.exit(f"after {now:.0f} s only {seen[-1][1]} of {wanted} subscribers run the version")
        count = sum(each.value for each in counts)
        if count != seen[-1][1]:
            seen.append((now, count))
        time.sleep(0.05)
    return seen


def known(workshop: Workshop, version: str) -> int:
    """How many subscribers have told the channel that they run a version."""
    document = json.loads(workshop.run("status", "dev", "-o", "json").out)
    return sum(each["version"] == version for each in document["environments"][0]["subscribers"])


def usage(workshop: Workshop, version: str) -> tuple[float, float]:
    """Memory in MiB, and seconds of CPU so far, of the container that publishes a version."""
    client = docker.from_env(timeout=60)
    labels = [f"{PROJECT}={workshop.project}", f"{VERSION}={version}"]
    (container,) = client.containers.list(filters={"label": labels})
    stats: Any = container.stats(stream=False)
    client.close()
    memory = stats["memory_stats"]
    used = memory["usage"] - memory["stats"].get("inactive_file", 0)
    return used / 2**20, stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1000)
    options = parser.parse_args()
    each = options.subscribers // PROCESSES
    slow, dead = each // 10, each // 100
    with scratch("channel") as workshop, tempfile.TemporaryDirectory(prefix="gitops-ml-bench-") as folder:
        release_trees(workshop, "v1.0.0", 1)
        release_trees(workshop, "v1.1.0", 2)
        workshop.declare("v1.0.0", **PUBLISH)
        if workshop.run("sync", "dev").code != 0:
            sys.exit("v1.0.0 is not published")
        url = f"http://127.0.0.1:{workshop.ports['dev']}/{MODEL}/channel"
        dies, ends = processes.Event(), processes.Event()
        counts = [processes.Value("i", 0) for _ in range(PROCESSES)]
        workers = [
            processes.Process(
                target=follow,
                args=(url, Path(folder), [f"s{n}-{m}" for m in range(each)], slow, dead, dies, ends, count),
                daemon=True,
            )
            for n, count in enumerate(counts)
        ]
        for worker in workers:
            worker.start()
        first = await_running(counts, each * PROCESSES)
        print(f"{each * PROCESSES} subscribers run v1.0.0 after {first[-1][0]:.0f} s", file=sys.stderr)
        dies.set()
        time.sleep(2)
        began.value = time.monotonic()
        workshop.declare("v1.1.0", **PUBLISH)
        rollout = workshop.begin("sync", "dev")
        living = (each - dead) * PROCESSES
        seen = await_running(counts, living)
        rollout.communicate(timeout=LONGEST)
        if rollout.returncode != 0:
            sys.exit(f"sync ended with {rollout.returncode}")
        memory, cpu = usage(workshop, "v1.1.0")
        until = time.monotonic() + 60
        while known(workshop, "v1.1.0") < living:
            if time.monotonic() > until:
                sys.exit(f"only {known(workshop, 'v1.1.0')} of {living} subscribers have acknowledged")
        ends.set()
        for worker in workers:
            worker.join(30)
    report(seen, living, memory, cpu)


def report(seen: Sequence[tuple[float, int]], living: int, memory: float, cpu: float) -> None:
    published = next(at for at, count in seen if count)
    half = next(at for at, count in seen if count >= living / 2)
    print(f"first subscriber runs it after {published:.1f} s, half of {living} after {half:.1f} s, all after ", end="")
    print(f"{seen[-1][0]:.1f} s; the channel then uses {memory:.0f} MiB, and has used {cpu:.1f} s of CPU")
    print(machine())


if __name__ == "__main__":
    main()
