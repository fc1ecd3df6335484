"""Our model server against MLServer 1.7.1, without its workers: speed, memory, cold start.

Two models (boosted trees over text and numbers, where the prediction is most of the work, and a linear model,
where the server is), one payload for both servers, the same versions of scikit-learn,
pandas, numpy and scipy, one worker each. The server runs on one CPU, this client on another. Rounds alternate
between the two, the figures are medians over rounds, and every answer of the one is compared with the other's
before anything is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import joblib
import psutil
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench._closed_loop import ask, drive  # noqa: E402  (needs the path above)
from tests.serving.artifacts import INPUTS, body, rows, train, write_artifact  # noqa: E402  (needs the path above)

WORK = ROOT / ".run" / "bench-serving"
SHARED = ("scikit-learn", "pandas", "numpy", "scipy", "joblib", "threadpoolctl")
IDENTITY = {
    "GITOPS_ML_DEPLOYMENT": "delays",
    "GITOPS_ML_MODEL": "flight-delay",
    "GITOPS_ML_VERSION": "v1",
    "GITOPS_ML_DIGEST": "md5:0",
    "GITOPS_ML_GENERATION": "bench",
}


@dataclass(frozen=True)
class Load:
    """What one measurement sends: `connections` clients, each with one request of `count` rows in flight."""

    name: str
    count: int
    connections: int
    outputs: tuple[str, ...] = ("predict_proba",)


@dataclass(frozen=True)
class Model:
    """One model to serve, its input columns, and what is sent to it."""

    name: str
    estimator: Any
    inputs: tuple[dict[str, Any], ...]
    loads: tuple[Load, ...]


@dataclass(frozen=True)
class Contender:
    """How to start one server of one model."""

    name: str
    command: list[str]
    folder: Path
    env: dict[str, str]
    port: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    options = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        sys.exit("two CPUs are needed: one for the server, one for the client")
    os.sched_setaffinity(0, {cpus[1]})
    busy = os.getloadavg()[0]
    figures: dict[str, dict[str, list[float]]] = {}
    for model in models():
        contenders = [ours(model), mlserver(model)]
        compare(contenders, model, cpus[0])
        for number in range(options.rounds):
            for contender in contenders if number % 2 == 0 else contenders[::-1]:
                print(f"{model.name}, round {number + 1}: {contender.name}", file=sys.stderr)
                for key, value in measure(contender, model, cpus[0], options.seconds).items():
                    figures.setdefault(contender.name, {}).setdefault(key, []).append(value)
    report(figures, options.rounds)
    if busy > 0.5:
        print(f"\nThe machine was busy with other work (load {busy:.1f}): only CPU time and memory are comparable.")


def models() -> list[Model]:
    """Boosted trees behind a ColumnTransformer, and a linear model over numbers."""
    loads = (
        Load("1 row, 1 client", 1, 1),
        Load("1 row, 8 clients", 1, 8),
        Load("1 row, 8 clients, 2 outputs", 1, 8, ("predict", "predict_proba")),
        Load("1,000 rows, 2 clients", 1000, 2),
    )
    numbers = tuple(spec for spec in INPUTS if spec["datatype"] != "BYTES")
    frame = rows(2000)[[str(spec["name"]) for spec in numbers]].fillna(1000.0)
    linear = LogisticRegression().fit(frame, frame["hour"] > 12)
    return [
        Model("trees", train(), tuple(INPUTS), loads),
        Model("linear", linear, numbers, (loads[1], loads[3])),
    ]


def ours(model: Model) -> Contender:
    """Our server in a virtual environment of nothing but the locked serving requirements."""
    python = environment("gitops-ml", ["--require-hashes", "-r", str(ROOT / "requirements/serving.txt")])
    folder = write_artifact(WORK / model.name, model.estimator, inputs=model.inputs)
    (folder / "example.json").write_text(json.dumps(request_body(model, Load("", 1, 1))))
    port = free_port()
    env = {
        **IDENTITY,
        "GITOPS_ML_HOST": "127.0.0.1",
        "GITOPS_ML_PORT": str(port),
        "GITOPS_ML_MODEL_DIR": str(folder),
        "PYTHONPATH": str(ROOT),
    }
    return Contender("gitops-ml", [str(python), "-m", "gitops_ml.serving.server"], folder, env, port)


def mlserver(model: Model) -> Contender:
    """MLServer with its scikit-learn runtime, told to read the same payload into a DataFrame."""
    locked = (ROOT / "requirements/serving.txt").read_text()
    pins = [re.search(rf"^{name}==[^ ]+", locked, re.MULTILINE) for name in SHARED]
    same = [pin.group() for pin in pins if pin]
    python = environment("mlserver", ["mlserver==1.7.1", "mlserver-sklearn==1.7.1", *same])
    folder = WORK / f"{model.name}-mlserver"
    folder.mkdir(exist_ok=True)
    joblib.dump(model.estimator, folder / "model.joblib")
    content = {"BYTES": "str", "FP64": "np", "INT64": "np"}
    settings = {
        "name": "delays",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "inputs": [{**spec, "parameters": {"content_type": content[str(spec["datatype"])]}} for spec in model.inputs],
        "parameters": {"uri": "./model.joblib", "version": "v1", "content_type": "pd"},
    }
    port = free_port()
    server = {
        "parallel_workers": 0,
        "debug": False,
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
    }
    (folder / "model-settings.json").write_text(json.dumps(settings))
    (folder / "settings.json").write_text(json.dumps(server))
    return Contender("MLServer", [str(python.parent / "mlserver"), "start", "."], folder, {}, port)


def environment(name: str, requirements: list[str]) -> Path:
    """Python of a virtual environment with `requirements`, made once."""
    folder = WORK / f"venv-{name}"
    python = folder / "bin/python"
    done = folder / "complete"
    if not done.exists() or done.read_text() != " ".join(requirements):
        print(f"installing {name} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *requirements], check=True)
        done.write_text(" ".join(requirements))
    return python


@contextlib.contextmanager
def running(contender: Contender, cpu: int) -> Iterator[tuple[psutil.Process, float]]:
    """The contender's process once it answers ready, and the seconds that took."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **contender.env}
    started = time.monotonic()
    process = subprocess.Popen(
        ["taskset", "-c", str(cpu), *contender.command],
        cwd=contender.folder,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            if process.poll() is not None:
                sys.exit(f"{contender.name} ended with {process.returncode} before it was ready")
            with contextlib.suppress(OSError):
                path = "/v2/models/delays/ready"
                if urlopen(f"http://127.0.0.1:{contender.port}{path}", timeout=5).status == 200:
                    break
            time.sleep(0.01)
        yield psutil.Process(process.pid), time.monotonic() - started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def compare(contenders: list[Contender], model: Model, cpu: int) -> None:
    """Ends the run where the two do not predict the same for the same rows."""
    answers = []
    request = message(model, Load("", 500, 1, ("predict", "predict_proba")), seed=5)
    for contender in contenders:
        with running(contender, cpu):
            answer = json.loads(asyncio.run(ask(contender.port, request)))
            answers.append([output["data"] for output in answer["outputs"]])
    if answers[0] != answers[1]:
        sys.exit("the two servers do not give the same predictions")
    print(f"{model.name}, 500 rows: both servers give the same predictions", file=sys.stderr)


def measure(contender: Contender, model: Model, cpu: int, seconds: float) -> dict[str, float]:
    """Figures of one start of one contender, by row of the table."""
    found: dict[str, float] = {}
    with running(contender, cpu) as (process, cold):
        found[f"{model.name}: cold start, s"] = cold
        found[f"{model.name}: cold start, CPU s"] = cpu_seconds(process)
        for load in model.loads:
            asyncio.run(drive(contender.port, message(model, load), load.connections, seconds / 4))
            spent = cpu_seconds(process)
            times, wall = asyncio.run(drive(contender.port, message(model, load), load.connections, seconds))
            spent = cpu_seconds(process) - spent
            found[f"{model.name}, {load.name}: requests/s"] = len(times) / wall
            found[f"{model.name}, {load.name}: CPU ms a request"] = spent / len(times) * 1e3
            found[f"{model.name}, {load.name}: p50, ms"] = statistics.median(times) * 1e3
            found[f"{model.name}, {load.name}: p99, ms"] = statistics.quantiles(times, n=100)[98] * 1e3
        memory = [one.memory_full_info().uss for one in (process, *process.children(recursive=True))]
        found[f"{model.name}: memory after load, MiB (USS)"] = sum(memory) / 2**20
    return found


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a server and its children: what neighbours on a busy machine cannot stretch."""
    spent = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in spent)


def request_body(model: Model, load: Load, seed: int = 1) -> dict[str, Any]:
    # Rows without missing values: MLServer's string codec does not take null.
    frame = rows(load.count, seed).fillna({"carrier": "AA", "distance": 1000.0})
    known = {spec["name"] for spec in model.inputs}
    inputs = [tensor for tensor in body(frame)["inputs"] if tensor["name"] in known]
    return {"inputs": inputs, "outputs": [{"name": name} for name in load.outputs]}


def message(model: Model, load: Load, seed: int = 1) -> bytes:
    """One HTTP request, head and body."""
    content = json.dumps(request_body(model, load, seed)).encode()
    head = (
        "POST /v2/models/delays/infer HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def report(figures: dict[str, dict[str, list[float]]], rounds: int) -> None:
    names = list(figures)
    medians: dict[str, Any] = {
        name: {key: statistics.median(values) for key, values in found.items()} for name, found in figures.items()
    }
    print(f"\nMedians of {rounds} rounds, one CPU, {platform.python_implementation()} {platform.python_version()}\n")
    print(f"| | {' | '.join(names)} | ratio |\n|---|---|---|---|")
    for key in medians[names[0]]:
        first, second = (medians[name][key] for name in names)
        print(f"| {key} | {first:.2f} | {second:.2f} | {first / second:.2f} |")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    main()
