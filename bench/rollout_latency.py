"""From the bump commit to all traffic on the new version, against starting the same container by hand.

Blue-green, smoke only, a scikit-learn model (boosted trees). Ours: after `gitops-ml bump` has pushed its commit,
`gitops-ml sync dev` is started, and the gateway is polled until only the new version answers. By hand: the same model
image is created and started by the engine's API, with the same limits, environment, security options and network and a
published port, and polled until it is ready. Both in turns, in one run: at most 1.3 times. Ours builds the model image
within that time; by hand the image exists already.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import docker

from bench.support.scratch import conclude, median, ratio, release_trees, scratch
from tests.e2e.workshop import GITOPS_ML, MODEL, Workshop
from tests.ports import free_port

LIMIT = 1.3
POLL = 0.02
Timeline = list[tuple[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    ours: list[float] = []
    by_hand: list[float] = []
    timelines: list[Timeline] = []
    with scratch("latency") as workshop:
        versions = [f"v1.{number}.0" for number in range(options.rounds + 1)]
        for number, version in enumerate(versions):
            release_trees(workshop, version, seed=number)
        workshop.declare(versions[0])
        workshop.sync()
        for version in versions[1:]:
            seconds, timeline = rollout(workshop, version)
            ours.append(seconds)
            timelines.append(timeline)
            by_hand.append(start_by_hand(workshop))
            print(f"{version}: {ours[-1]:.2f} s, by hand {by_hand[-1]:.2f} s", file=sys.stderr)
    report(timelines)
    print(f"\nMedians of {options.rounds} rounds\n\n| | gitops-ml | by hand | ratio |\n|---|---|---|---|")
    print(f"| seconds | {median(ours)} | {median(by_hand)} | {ratio(ours, by_hand):.2f} |")
    conclude("seconds, ratio", ratio(ours, by_hand), LIMIT)


def rollout(workshop: Workshop, version: str) -> tuple[float, Timeline]:
    """Seconds from the pushed bump to an answer of the new version that no answer of the old one follows."""
    workshop.pull()
    done = workshop.run("bump", "dev", MODEL, version, "--push")
    if done.code != 0:
        sys.exit(done.err)
    timeline: Timeline = []
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(GITOPS_ML), "sync", "dev"],
        cwd=workshop.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            timeline.append((line.split()[0], time.perf_counter() - began))

    listener = threading.Thread(target=listen)
    listener.start()
    while process.poll() is None and "ready" not in [word for word, _ in timeline]:
        time.sleep(POLL)
    arrived: float | None = None
    while process.poll() is None:
        if answering(workshop.url()) != version:
            arrived = None
        elif arrived is None:
            arrived = time.perf_counter() - began
            timeline.append(("(all traffic)", arrived))
        time.sleep(POLL)
    listener.join()
    timeline.append(("(end)", time.perf_counter() - began))
    if process.returncode != 0 or arrived is None:
        sys.exit(f"sync ended with {process.returncode}\n{''.join(said)}")
    return arrived, timeline


def answering(url: str) -> str | None:
    """The version that answers for the model, by its metadata, which costs the servers next to nothing; None when
    nothing answered."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(json.load(answer)["versions"][0])
    except (urllib.error.URLError, OSError):
        return None


def start_by_hand(workshop: Workshop) -> float:
    """Seconds from the call that makes a copy of the replica that serves now, to its readiness."""
    api: Any = docker.APIClient()
    mine = {"label": [f"gitops-ml.project={workshop.project}", "gitops-ml.role=replica"]}
    listed = api.containers(filters=mine)
    found = api.inspect_container(listed[0]["Id"])
    config, host, port = found["Config"], found["HostConfig"], free_port()
    network = next(iter(found["NetworkSettings"]["Networks"]))
    content = {
        "Image": found["Image"],
        "Env": config["Env"],
        "User": config["User"],
        "Cmd": config["Cmd"],
        "Entrypoint": config["Entrypoint"],
        "Labels": {"gitops-ml.project": workshop.project},
        "ExposedPorts": {"8080/tcp": {}},
        "HostConfig": host | {"PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}},
        "NetworkingConfig": {"EndpointsConfig": {network: {}}},
    }
    began = time.perf_counter()
    made = api.create_container_from_config(content)["Id"]
    api.start(made)
    ready = f"http://127.0.0.1:{port}/v2/models/{MODEL}/ready"
    while True:
        try:
            with urllib.request.urlopen(ready, timeout=5):
                break
        except OSError:
            time.sleep(POLL)
    seconds = time.perf_counter() - began
    api.remove_container(made, force=True, v=True)
    api.close()
    return seconds


def report(timelines: list[Timeline]) -> None:
    """Where the time goes: the median moment of each line that sync writes, and of the traffic's arrival."""
    moments: dict[str, list[float]] = {}
    for timeline in timelines:
        seen: dict[str, int] = {}
        for word, at in timeline:
            seen[word] = seen.get(word, 0) + 1
            moments.setdefault(word if seen[word] == 1 else f"{word} {seen[word]}", []).append(at)
    print("Seconds after the bump's push, medians\n")
    for word, found in sorted(moments.items(), key=lambda item: statistics.median(item[1])):
        print(f"    {statistics.median(found):6.2f}  {word}")


if __name__ == "__main__":
    main()
