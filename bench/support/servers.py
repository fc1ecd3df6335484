"""The two model servers that are compared, each in its own virtual environment, and the models that both serve."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
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

from tests.ports import free_port
from tests.serving.artifacts import INPUTS, body, rows, train, write_artifact

ROOT = Path(__file__).parents[2]
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


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a server and its children: neighbours on a busy machine stretch it less than time on the
    wall."""
    spent = [one.cpu_times() for one in family(process)]
    return sum(one.user + one.system for one in spent)


def request_body(model: Model, load: Load, seed: int = 1) -> dict[str, Any]:
    # Rows without missing values: MLServer's string codec does not take null.
    frame = rows(load.count, seed).fillna({"carrier": "AA", "distance": 1000.0})
    known = {spec["name"] for spec in model.inputs}
    inputs = [tensor for tensor in body(frame)["inputs"] if tensor["name"] in known]
    return {"inputs": inputs, "outputs": [{"name": name} for name in load.outputs]}
