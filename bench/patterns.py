"""A bump and its way back for a service, an embedded and a published model: until all users have it, and what is lost.

Five users each ask 20 times a second: the model server, the application that the model is embedded in, or their own
subscriber. The time begins before the declaration is pushed, and ends when each user has had an answer of the version.
Each round bumps the version and takes it back, as a revert does; both are a `gitops-ml sync` with blue-green.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.support.scratch import machine, scratch
from gitops_ml.clients.engine.building.model_images import ensure_runtime
from gitops_ml.clients.engine.client import Engine
from gitops_ml.serving.building.requirements import read_lock, with_server
from gitops_ml.subscriber import Subscriber
from tests.e2e.workshop import EXAMPLE, MODEL, ROOT, Workshop

USERS = 5
EVERY = 0.05
LONGEST = 300.0
APPLICATION = """
import json
from pathlib import Path
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

loaded = json.loads(Path("/model/gitops-ml.json").read_text())

async def score(request):
    rows = (await request.json())["rows"]
    return JSONResponse({"model_version": loaded["version"], "labels": [int(row["x"] > 0) for row in rows]})

async def version(_):
    return JSONResponse({"version": loaded["version"]})

app = Starlette(routes=[Route("/score", score, methods=["POST"]), Route("/version", version)])
"""
SERVE: dict[str, dict[str, Any]] = {
    "service": {"pattern": "service"},
    "embed": {
        "pattern": "embed",
        "build": {"context": "app"},
        "model_path": "/model",
        "port": 8000,
        "health": "/version",
        "version_path": "/version",
        "request": {"path": "/score", "body": {"rows": "${rows}"}},
        "response": {"predict": "labels"},
    },
    "publish": {"pattern": "publish"},
}
Ask = Callable[[], str]


@dataclass
class User:
    """Asks again and again. `answers` are (moment, version), an empty version for a request that was lost."""

    ask: Ask
    answers: list[tuple[float, str]] = field(default_factory=list)

    def run(self, ends: threading.Event) -> None:
        while not ends.wait(EVERY):
            try:
                self.answers.append((time.monotonic(), self.ask()))
            except Exception as error:
                print(f"lost: {error!r}", file=sys.stderr)
                self.answers.append((time.monotonic(), ""))

    def first(self, version: str, since: float) -> float | None:
        return next((at for at, answered in self.answers if answered == version and at >= since), None)


def post(url: str, body: bytes) -> str:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["model_version"])


@contextlib.contextmanager
def users_of(workshop: Workshop, pattern: str) -> Iterator[list[User]]:
    """Users of a deployment, each in a thread."""
    ends, base = threading.Event(), f"http://127.0.0.1:{workshop.ports['dev']}"
    with tempfile.TemporaryDirectory(prefix="gitops-ml-bench-") as folder, contextlib.ExitStack() as opened:

        def version_in(place: Path) -> str:
            return str(json.loads((place / "behaviour.json").read_text())["version"])

        def ask(number: int) -> Ask:
            if pattern == "service":
                return lambda: post(f"{base}/v2/models/{MODEL}/infer", json.dumps(EXAMPLE).encode())
            if pattern == "embed":
                return lambda: post(f"{base}/{MODEL}/score", b'{"rows": [{"x": 1.0}]}')
            url = f"{base}/{MODEL}/channel"
            subscriber = Subscriber(url, Path(folder) / str(number), version_in, name=f"user-{number}")
            opened.callback(subscriber.close)
            subscriber.start()
            subscriber.wait(60)
            return lambda: subscriber.wait(0).model

        users = [User(ask(number)) for number in range(USERS)]
        threads = [threading.Thread(target=user.run, args=(ends,), daemon=True) for user in users]
        for thread in threads:
            thread.start()
        yield users
        ends.set()
        for thread in threads:
            thread.join(40)


def until_all(workshop: Workshop, users: Sequence[User], version: str, more: dict[str, Any]) -> float:
    """Declare a version, and return the seconds until all users have had an answer of it."""
    began = time.monotonic()
    workshop.declare(version, **more)
    ran = workshop.run("sync", "dev")
    if ran.code != 0:
        sys.exit(f"sync ended with {ran.code}\n{ran.err}")
    while None in (moments := [user.first(version, began) for user in users]):
        if time.monotonic() > began + LONGEST:
            sys.exit(f"{moments.count(None)} users never had {version}")
        time.sleep(EVERY)
    return max(at for at in moments if at is not None) - began


def measure(pattern: str, rounds: int) -> str:
    with scratch(pattern) as workshop:
        if pattern == "embed":
            with Engine.connect(None) as engine:
                pins = read_lock((ROOT / "requirements" / "serving.txt").read_bytes())
                runtime, _ = ensure_runtime(engine, with_server(pins))
            command = '"python", "-m", "uvicorn", "--app-dir", "/app", "--host", "0.0.0.0", "--port", "8000", "app:app"'
            workshop.write("app/Dockerfile", f"FROM {runtime}\nCOPY app.py /app/\nCMD [{command}]\n")
            workshop.write("app/app.py", APPLICATION)
        more = {"serve": SERVE[pattern]}
        for number in range(rounds + 1):
            workshop.release(f"v1.{number}.0")
        workshop.declare("v1.0.0", **more)
        workshop.sync()
        bumps, backs = [], []
        with users_of(workshop, pattern) as users:
            for number in range(1, rounds + 1):
                bumps.append(until_all(workshop, users, f"v1.{number}.0", more))
                backs.append(until_all(workshop, users, "v1.0.0", more))
                print(f"{pattern}: bump {bumps[-1]:.1f} s, back {backs[-1]:.1f} s", file=sys.stderr)
        answers = [version for user in users for _, version in user.answers]
    lost = answers.count("")
    return (
        f"{pattern}: bump to all users {statistics.median(bumps):.1f} s ({min(bumps):.1f}-{max(bumps):.1f}), back "
        f"{statistics.median(backs):.1f} s ({min(backs):.1f}-{max(backs):.1f}), {lost} of {len(answers)} answers lost"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patterns", nargs="*", default=list(SERVE))
    options = parser.parse_args()
    lines = [measure(pattern, options.rounds) for pattern in options.patterns]
    print("\n".join(lines))
    print(machine())
    if any(" 0 of " not in line for line in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
