"""A team's repository for end-to-end tests: a clone, its bare remote, and a model whose versions behave as told.

The model is a Python predictor, so a version can really be slower or worse, or fail to load. Git itself tracks it: it
resolves like a DVC output, and a version takes milliseconds to make.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.conftest import SCRATCH, remove_project
from tests.forked_command import run_command
from tests.ports import free_port

if TYPE_CHECKING:
    import docker

ROOT = Path(__file__).parents[2]
GITOPS_ML = Path(sys.executable).with_name("gitops-ml")
MODEL = "churn"
ROWS, DAYS = 1200, 30

PREDICTOR = """
import json, os, pathlib, random, time
import numpy as np

class Churn:
    def __init__(self, folder):
        self.how = json.loads((pathlib.Path(folder) / "behaviour.json").read_text())
        if self.how.get("says"):
            print(self.how["says"], flush=True)
        if self.how.get("crash"):
            raise RuntimeError(self.how["crash"])
        time.sleep(self.how.get("load_seconds", 0))

    def predict(self, frame):
        time.sleep(self.how.get("seconds", 0))
        if self.how.get("error"):
            raise ValueError(self.how["error"])
        self.asked = getattr(self, "asked", 0) + 1
        if self.asked > 3 and random.random() < self.how.get("error_rate", 0):
            raise ValueError("an error among users only")
        x = frame["x"].to_numpy(float)
        if self.how.get("noise"):
            x = x + np.random.default_rng(0).normal(0, self.how["noise"], len(x))
        p = 1 / (1 + np.exp(-x))
        return {"predict": (p > 0.5).astype(int), "predict_proba": np.column_stack([1 - p, p])}
"""
MANIFEST = {
    "schema": 1,
    "name": MODEL,
    "format": "predictor",
    "file": "model.py",
    "predictor": "model:Churn",
    "python": "3.11",
    "task": "classification",
    "classes": [0, 1],
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1]}],
    "outputs": [
        {"name": "predict", "datatype": "INT64", "shape": [-1]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]},
    ],
    "trusted_types": [],
    "training": {"time_column": None, "from": None, "to": None, "rows": 100},
    "target": {"name": "churned", "positive": 1},
}
EXAMPLE = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [0.5]}]}


@dataclass
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    def require_clear(self) -> None:
        """Check that its error names what, why and fix, without a traceback."""
        error = next((line for line in self.err.splitlines() if line.startswith("error: ")), "")
        assert ": " in error.removeprefix("error: "), self.err
        assert "\n  fix: " in self.err, self.err
        assert "Traceback" not in self.err, self.err


class Workshop:
    """A clone with a remote, under a project name of its own."""

    def __init__(self, folder: Path, project: str, *, remote: bool = True) -> None:
        self.project = project
        self.folder = folder / "clone"
        self.remote = folder / "remote.git"
        self.ports: dict[str, int] = {}
        self.host = "127.0.0.1"
        self.folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.write("environments/project.yaml", f"schema: 1\nname: {project}\n")
        self.write("dvc.yaml", f"artifacts:\n  {MODEL}: {{path: models/{MODEL}, type: model}}\n")
        self.write("data/holdout.csv", _holdout())
        self.commit("Begin")
        if remote:
            subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.remote)], check=True)
            self.git("remote", "add", "origin", str(self.remote))
            self.git("push", "-q", "-u", "origin", "main")

    def git(self, *arguments: str) -> str:
        """Run Git in the clone. Returns its output."""
        done = subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def another_clone(self, folder: Path) -> Workshop:
        """A colleague's clone of the remote; without a remote, of this clone as it is now."""
        theirs = Workshop.__new__(Workshop)
        theirs.project, theirs.ports, theirs.host = self.project, self.ports, self.host
        theirs.folder, theirs.remote = folder / "clone", self.remote
        source = self.remote if self.git("remote") else self.folder
        subprocess.run(["git", "clone", "-q", str(source), str(theirs.folder)], check=True)
        if source != self.remote:
            theirs.git("remote", "remove", "origin")
        return theirs

    def commit(self, message: str) -> str:
        """Commit everything, and push if there is a remote."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        if self.git("remote"):
            self.git("push", "-q", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD")

    def pull(self) -> None:
        """Pull what gitops-ml has committed meanwhile."""
        if not self.git("remote"):
            return
        self.git("pull", "-q", "--rebase", "--autostash", "origin", "main")

    def fetch(self) -> None:
        """Fetch; once more where an agent's push moves the same ref of this clone at this moment."""
        try:
            self.git("fetch", "-q", "origin")
        except subprocess.CalledProcessError:
            self.git("fetch", "-q", "origin")

    def release(self, version: str, **behaviour: Any) -> None:
        """Commit and tag a version of the model with this behaviour."""
        self.pull()
        place = f"models/{MODEL}"
        self.write(f"{place}/model.py", PREDICTOR)
        self.write(f"{place}/manifest.json", json.dumps(MANIFEST))
        self.write(f"{place}/example.json", json.dumps(EXAMPLE))
        self.write(f"{place}/behaviour.json", json.dumps({"version": version} | behaviour))
        shutil.copy(ROOT / "requirements" / "serving.txt", self.folder / place / "requirements.txt")
        self.commit(f"Train {version}")
        self.git("tag", "-a", f"{MODEL}@{version}", "-m", version)
        if self.git("remote"):
            self.git("push", "-q", "origin", f"{MODEL}@{version}")

    def environment(self, name: str = "dev", drain: str = "10s", **more: Any) -> None:
        """Declare an environment on a free port."""
        self.ports.setdefault(name, free_port())
        content = {
            "schema": 1,
            "engine": "unix:///var/run/docker.sock",
            "gateway": {"port": self.ports[name], "drain": drain},
        } | more
        self.write(f"environments/{name}/environment.yaml", yaml.safe_dump(content))

    def declare(self, version: str, deployment: str = MODEL, environment: str = "dev", **more: Any) -> None:
        """Declare a version, commit and push."""
        self.pull()
        if environment not in self.ports:
            self.environment(environment)
        content = {"schema": 1, "model": MODEL, "version": version} | more
        self.write(f"environments/{environment}/models/{deployment}.yaml", yaml.safe_dump(content))
        self.commit(f"Declare {environment}/{deployment} {version}")

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `gitops-ml` in the clone, with its stderr as a pipe."""
        command = [str(GITOPS_ML), *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=1
        )

    def run(self, *arguments: str, timeout: float = 400.0) -> Ran:
        """Run `gitops-ml` in the clone."""
        done = run_command(arguments, self.folder, timeout)
        return Ran(done.returncode, done.stdout, done.stderr)

    def sync(self, environment: str = "dev", *more: str, expect: int = 0) -> Ran:
        """Sync an environment. Fails the test, with all output, on another exit code than `expect`."""
        ran = self.run("sync", environment, *more)
        assert ran.code == expect, f"exit {ran.code}, expected {expect}\n{ran.out}\n{ran.err}"
        return ran

    def status(self, environment: str = "dev", deployment: str = MODEL) -> dict[str, Any]:
        """The status of one deployment."""
        ran = self.run("status", environment, "-o", "json")
        assert ran.code == 0, ran.err
        found = json.loads(ran.out)["environments"][0]["deployments"]
        return next(dict(d) for d in found if d["name"] == deployment)

    def url(self, environment: str = "dev", deployment: str = MODEL) -> str:
        return f"http://{self.host}:{self.ports[environment]}/v2/models/{deployment}"

    def serving(self, environment: str = "dev", deployment: str = MODEL, request_id: str = "") -> str | None:
        """The version that users get through the gateway; None if nothing answers."""
        url, headers = self.url(environment, deployment) + "/infer", {"X-Request-Id": request_id} if request_id else {}
        request = urllib.request.Request(url, json.dumps(EXAMPLE).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return str(json.load(answer)["model_version"])
        except urllib.error.HTTPError as error:
            if error.code in (404, 502, 503, 504):
                return None
            raise

    def gateway_log(self, status: int, environment: str = "dev") -> list[str]:
        """The lines of the gateway's access log with this status."""
        name = f"{self.project}.{environment}.gateway"
        log = subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=True).stdout
        return [line for line in log.splitlines() if f'"DownstreamStatus":{status}' in line]

    def record(self, environment: str = "dev", deployment: str = MODEL) -> dict[str, Any]:
        """The record at the remote's tip (the branch's, without a remote)."""
        tip = self.git("ls-remote", "origin", "main").split()[0] if self.git("remote") else "main"
        if self.git("remote"):
            self.fetch()
        return dict(yaml.safe_load(self.git("show", f"{tip}:environments/{environment}/records/{deployment}.yaml")))

    def declared(self, environment: str = "dev", deployment: str = MODEL) -> dict[str, Any]:
        """The declaration at the remote's tip (the branch's, without a remote)."""
        tip = "main"
        if self.git("remote"):
            self.fetch()
            tip = "origin/main"
        return dict(yaml.safe_load(self.git("show", f"{tip}:environments/{environment}/models/{deployment}.yaml")))


def _holdout() -> str:
    import numpy as np

    random = np.random.default_rng(7)
    x = random.normal(0, 1.5, ROWS)
    churned = (random.random(ROWS) < 1 / (1 + np.exp(-x))).astype(int)
    lines = [f"{a:.6f},{b},{n % DAYS}" for n, (a, b) in enumerate(zip(x, churned, strict=True))]
    return "x,churned,day\n" + "\n".join(lines) + "\n"


HOLDOUT = {
    "holdout": {"data": "data/holdout.csv", "group": "day", "metrics": {"roc_auc": {"min": 0.7, "max_drop": 0.02}}}
}


@contextmanager
def scratch_workshop(
    engine: docker.DockerClient, folder: Path, stem: str, *, remote: bool = True
) -> Iterator[Workshop]:
    """A workshop that several tests share; its objects on the engine are removed at the end."""
    project = f"{SCRATCH}-{stem}-{secrets.token_hex(3)}"
    try:
        yield Workshop(folder, project, remote=remote)
    finally:
        remove_project(engine, project)


@contextmanager
def serving_v1(engine: docker.DockerClient, folder: Path, stem: str) -> Iterator[Workshop]:
    """A scratch workshop whose dev serves v1.0.0."""
    with scratch_workshop(engine, folder, stem) as workshop:
        workshop.environment(drain="1s")
        workshop.release("v1.0.0")
        workshop.declare("v1.0.0")
        workshop.sync()
        yield workshop
