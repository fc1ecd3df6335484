"""`gitops-ml sync` with nothing to do over 50 deployments against `docker-compose up -d` for as many: at most half.

Whole processes, in turns, in one run. docker-compose 1.29 (Debian's package, which must be installed) has 50 services
of the same image, network and limits. Ours has 50 model servers behind the gateway, and a clone with a remote to
fetch. Both find everything as declared and change nothing.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import docker
import yaml

from bench.support.fleet import grow
from bench.support.scratch import conclude, median, ratio, scratch, timed
from tests.e2e.workshop import GITOPS_ML, Workshop

LIMIT = 0.5
Filters = dict[str, str | list[str] | bool]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--count", type=int, default=50)
    options = parser.parse_args()
    program = shutil.which("docker-compose")
    if program is None:
        sys.exit("docker-compose is not installed\n  fix: apt-get install docker-compose")
    version = subprocess.run([program, "version", "--short"], capture_output=True, text=True, check=True).stdout.strip()
    walls: tuple[list[float], list[float]] = ([], [])
    cpus: tuple[list[float], list[float]] = ([], [])
    with scratch("noop") as workshop:
        workshop.release("v1.0.0")
        workshop.environment()
        grow(workshop, options.count)
        compose = [program, "-p", f"{workshop.project}-compose", "-f", str(compose_file(workshop, options.count))]
        try:
            timed([*compose, "up", "-d"], workshop.folder)
            commands: list[list[str]] = [[str(GITOPS_ML), "sync", "dev"], [*compose, "up", "-d"]]
            for command in commands:
                timed(command, workshop.folder)
            for number in range(options.rounds):
                for side, command in list(enumerate(commands))[:: 1 if number % 2 == 0 else -1]:
                    wall, cpu = timed(command, workshop.folder)
                    walls[side].append(wall)
                    cpus[side].append(cpu)
                print(f"{walls[0][-1]:.2f} s, docker-compose {walls[1][-1]:.2f} s", file=sys.stderr)
        finally:
            subprocess.run([*compose, "down", "-t", "0"], capture_output=True, check=False)
    print(f"Medians of {options.rounds} rounds, {options.count} deployments\n")
    print(f"| | gitops-ml | docker-compose {version} | ratio |\n|---|---|---|---|")
    print(f"| seconds | {median(walls[0])} | {median(walls[1])} | {ratio(*walls):.2f} |")
    print(f"| CPU seconds of the process | {median(cpus[0])} | {median(cpus[1])} | {ratio(*cpus):.2f} |")
    conclude("seconds, ratio", ratio(*walls), LIMIT)


def compose_file(workshop: Workshop, count: int) -> Path:
    """Services with the image, environment and limits of what ours runs, but which only sleep, to save memory."""
    client = docker.from_env()
    mine: Filters = {"label": [f"gitops-ml.project={workshop.project}", "gitops-ml.role=replica"]}
    found = client.containers.list(filters=mine)[0].attrs
    client.close()
    service = {
        "image": found["Image"],
        "command": ["sleep", "100000"],
        "cpus": 0.5,
        "mem_limit": found["HostConfig"]["Memory"],
        "read_only": True,
        "environment": dict(pair.split("=", 1) for pair in found["Config"]["Env"]),
        "restart": "unless-stopped",
        "stop_grace_period": "1s",
    }
    path = workshop.folder.parent / "docker-compose.yml"
    path.write_text(yaml.safe_dump({"version": "2.4", "services": {f"m{n:03d}": service for n in range(count)}}))
    return path


if __name__ == "__main__":
    main()
