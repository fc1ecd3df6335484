"""The agent over four environments, of which one hangs: how long the other three take to heal, with and without it.

It hangs in three ways: its engine takes connections and never answers; a check of its candidate waits for an answer
that never comes; the registry of its image never answers. In turns, with a new agent each time, one replica of each
other environment is killed. The time to heal is the time from the death of the replica to the next answer through its
gateway. At most 1.5 times what it is where nothing hangs.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import docker
import yaml

from bench.support.scratch import conclude, median, ratio, scratch
from tests.e2e.file_server import serve_files
from tests.e2e.workshop import Workshop

LIMIT = 1.5
OTHERS = ("one", "two", "three")
HANGS = "stuck"
MODES = ("nothing", "engine", "check", "registry")
LOCAL = "unix:///var/run/docker.sock"
WITHIN = 120.0  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    times: dict[str, list[float]] = {mode: [] for mode in MODES}
    with scratch("hangs") as workshop, contextlib.closing(docker.from_env(timeout=120)) as engine:
        serve = serve_files(engine, workshop.project)
        workshop.release("v1.0.0")
        for environment in (*OTHERS, HANGS):
            declare(workshop, environment, serve)
        workshop.commit("Declare four environments")
        for environment in (*OTHERS, HANGS):
            workshop.sync(environment)
        for number in range(options.rounds):
            for mode in MODES:
                healed = heal_beside(workshop, engine, mode, serve, number)
                times[mode] += healed
                print(f"{mode}: {', '.join(f'{each:.2f}' for each in healed)} s", file=sys.stderr)
    print(f"{options.rounds} rounds, {len(OTHERS)} replicas killed in each\n")
    print("| what hangs in the fourth environment | seconds to heal in the others | ratio |\n|---|---|---|")
    for mode, healed in times.items():
        print(f"| {mode} | {median(healed)} | {ratio(healed, times['nothing']):.2f} |")
    conclude("the worst ratio", max(ratio(healed, times["nothing"]) for healed in times.values()), LIMIT)


def declare(workshop: Workshop, environment: str, serve: dict[str, Any], engine: str = LOCAL, **more: Any) -> None:
    """Write an environment with one deployment, `web`, without a commit."""
    workshop.environment(environment, drain="1s", engine=engine)
    content = {"schema": 1, "model": "churn", "version": "v1.0.0", "serve": serve} | more
    workshop.write(f"environments/{environment}/models/web.yaml", yaml.safe_dump(content))


def heal_beside(
    workshop: Workshop, engine: docker.DockerClient, mode: str, serve: dict[str, Any], number: int
) -> list[float]:
    """Seconds that each of the others takes to heal, while the fourth environment hangs."""
    workshop.pull()
    with hanging(workshop, mode, serve, number) as listener:
        workshop.write("round", f"{mode} {number}\n")
        workshop.commit(f"Let {mode} hang, round {number}")
        agent = workshop.begin("agent", "--listen", "127.0.0.1:0")
        try:
            address = read_address(agent)
            wait_ready(address)
            if listener is None:
                return [heal(workshop, engine, environment) for environment in OTHERS]
            with listener.accept()[0]:  # it was asked, and never answers
                return [heal(workshop, engine, environment) for environment in OTHERS]
        finally:
            agent.kill()
            agent.wait()


@contextlib.contextmanager
def hanging(workshop: Workshop, mode: str, serve: dict[str, Any], number: int) -> Iterator[socket.socket | None]:
    """Declare the fourth environment so that it hangs, and yield what is asked and never answers."""
    if mode == "nothing":
        declare(workshop, HANGS, serve)
        yield None
    elif mode == "engine":
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{folder}/silent.sock")
            listener.listen()
            listener.settimeout(WITHIN)
            declare(workshop, HANGS, serve, engine=f"unix://{folder}/silent.sock")
            yield listener
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(WITHIN)
            place = f"127.0.0.1:{listener.getsockname()[1]}"
            if mode == "check":
                check = {"name": "orders", "url": f"http://{place}/", "timeout": "5m"}
                declare(workshop, HANGS, serve, env={"CHECK": str(number)}, verify={"http": [check]})
            else:
                declare(workshop, HANGS, serve | {"image": f"{place}/shop@sha256:{'0' * 64}"})
            yield listener


def read_address(agent: Any) -> str:
    """Where the agent listens, by its own words; the rest of them is read by nobody."""
    for line in agent.stderr:
        if line.startswith("listen "):
            return str(line.removeprefix("listen ").strip())
    sys.exit("the agent ended")


def wait_ready(address: str) -> None:
    """Wait until a pass over each of the others has ended well."""
    began = time.monotonic()
    while time.monotonic() - began < WITHIN:
        answer = read(f"{address}/readyz")
        if all(f'"{environment}":{{"ready":true' in answer for environment in OTHERS):
            return
        time.sleep(0.1)
    sys.exit(f"the agent is not ready: {answer}")


def read(url: str) -> str:
    """The answer of a URL, whatever its status; empty where nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError:
        return ""


def heal(workshop: Workshop, engine: docker.DockerClient, environment: str) -> float:
    """Seconds from the kill of an environment's replica to the next answer through its gateway."""
    names = [f"project={workshop.project}", f"environment={environment}", "role=replica"]
    (replica,) = engine.containers.list(filters={"label": [f"gitops-ml.{name}" for name in names]})
    replica.kill()
    replica.wait()
    began = time.monotonic()
    while time.monotonic() - began < WITHIN:
        if read(f"http://127.0.0.1:{workshop.ports[environment]}/web/index.html") == "hello\n":
            return time.monotonic() - began
        time.sleep(0.02)
    sys.exit(f"{environment} was not healed within {WITHIN:.0f} s")


if __name__ == "__main__":
    main()
