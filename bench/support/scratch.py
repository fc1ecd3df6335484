"""A repository and a project name for one measurement, removed from disk and engine when it ends or fails."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker

from tests.conftest import remove_project
from tests.e2e.workshop import EXAMPLE, MANIFEST, MODEL, ROOT, Workshop
from tests.serving.artifacts import train, write_artifact

GIT_CONFIG = "[user]\n\tname = Bench\n\temail = bench@example.invalid\n[init]\n\tdefaultBranch = main\n"


def isolated(folder: Path) -> None:
    """Let Git and DVC read nothing of whoever runs this."""
    config = folder / "gitconfig"
    config.write_text(GIT_CONFIG)
    os.environ |= {"GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_NOSYSTEM": "1", "DVC_NO_ANALYTICS": "true"}


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Workshop]:
    """A clone with a bare remote, under a project name that nothing else on the engine carries."""
    with tempfile.TemporaryDirectory(prefix=f"gitops-ml-bench-{name}-") as folder:
        isolated(Path(folder))
        project = f"bench-{name}-{secrets.token_hex(3)}"
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            yield Workshop(Path(folder) / "place", project)
        finally:
            client = docker.from_env(timeout=120)
            remove_project(client, project)
            client.close()


def release_trees(workshop: Workshop, version: str, seed: int) -> dict[str, Any]:
    """Commit and tag a scikit-learn model as the stages write one, and return its example request."""
    place = workshop.folder / "models" / MODEL
    if place.exists():
        shutil.rmtree(place)
    write_artifact(place, train(seed), name=MODEL)
    _tag(workshop, version)
    return dict(json.loads((place / "example.json").read_text()))


def release_predictor(workshop: Workshop, version: str, code: str) -> None:
    """Commit and tag a model that is this Python code, whose class is `Churn`; each version is an image of its own."""
    place = f"models/{MODEL}"
    workshop.write(f"{place}/model.py", f"# {version}\n{code}")
    workshop.write(f"{place}/manifest.json", json.dumps(MANIFEST))
    workshop.write(f"{place}/example.json", json.dumps(EXAMPLE))
    _tag(workshop, version)


def _tag(workshop: Workshop, version: str) -> None:
    locked = workshop.folder / "models" / MODEL / "requirements.txt"
    shutil.copy(ROOT / "requirements" / "serving.txt", locked)
    workshop.commit(f"Train {version}")
    workshop.git("tag", "-a", f"{MODEL}@{version}", "-m", version)
    workshop.git("push", "-q", "origin", f"{MODEL}@{version}")


def gateway_lines(workshop: Workshop) -> list[dict[str, Any]]:
    """What the gateway of `dev` has logged of requests."""
    client = docker.from_env(timeout=120)
    log = client.containers.get(f"{workshop.project}.dev.gateway").logs(stdout=True, stderr=False)
    client.close()
    return [json.loads(line) for line in log.splitlines() if line.startswith(b"{") and b'"DownstreamStatus"' in line]


def timed(command: Sequence[str | Path], folder: Path, env: dict[str, str] | None = None) -> tuple[float, float]:
    """Seconds on the wall, and of CPU, that a command took. Ends the run with its output when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def median(values: Sequence[float]) -> str:
    """The median with the range, in seconds."""
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of measurements that were made in turns."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def conclude(what: str, value: float, limit: float) -> None:
    """Say whether a figure keeps to its limit; ends with 1 where it does not."""
    kept = value <= limit
    print(f"\n{what}: {value:.2f}, limit {limit:g}: {'kept' if kept else 'MISSED'}")
    print(machine())
    if not kept:
        sys.exit(1)


def machine() -> str:
    """What was measured on, and how busy it was."""
    stamp = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    load = os.getloadavg()[0]
    return f"{stamp}, {os.cpu_count()} CPUs, Python {platform.python_version()}, load {load:.1f} at the end"
