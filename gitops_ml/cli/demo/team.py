"""The demo's team: its repository (a bare remote, a clone, a DVC remote) and what its people do.

People type commands and edit files. Each method is one such step, and the narrator tells it while it happens.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from gitops_ml.cli.demo.narrator import Narrator, Presentation, Ran, Shown, user_environment
from gitops_ml.cli.demo.place import DemoPlace, engine, free_port
from gitops_ml.cli.demo.steady_load import SteadyLoad
from gitops_ml.core.generation import DEPLOYMENT as DEPLOYMENT_LABEL
from gitops_ml.core.generation import PROJECT, ROLE
from gitops_ml.errors import GitopsError

DEPLOYMENT = "flight-delay"
DECLARATION = f"environments/dev/models/{DEPLOYMENT}.yaml"
EXAMPLE = f"models/{DEPLOYMENT}/example.json"


class Team:
    """People who work in the scratch clone; `tell` narrates what they do."""

    def __init__(self, place: DemoPlace, narrator: Narrator) -> None:
        self.place = place
        self.tell = narrator
        self.port = free_port()
        self._env = user_environment(DVC_NO_ANALYTICS="true")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2/models/{DEPLOYMENT}"

    # --- set-up

    def settle(self) -> str:
        """Create the remote and the clone. Returns the commit that the clone begins with."""
        folder, source, remote = self.place.folder, self.place.source, self.place.remote
        self._quietly("git", "init", "--quiet", "--bare", "--initial-branch=main", str(remote), folder=folder)
        # Fetch, since a push would run the user's hooks. Leave out tags: the story makes tags with the same names.
        fetch = ("git", "fetch", "--quiet", "--no-tags", "--update-shallow", str(source), "HEAD:refs/heads/main")
        self._quietly(*fetch, folder=remote)
        self._quietly("git", "config", "receive.shallowUpdate", "true", folder=remote)
        shown = folder.relative_to(source)
        self.run("git", "clone", "--quiet", str(remote), str(self.place.clone), folder=folder,
                 typed=f"git clone {shown}/remote.git {shown}/clone && cd {shown}/clone")  # fmt: skip
        settings = {
            "user.name": "Demo",
            "user.email": "demo@example.invalid",
            "commit.gpgSign": "false",
            "tag.gpgSign": "false",
            "core.hooksPath": str(remote / "hooks"),
        }
        for key, value in settings.items():
            self._quietly("git", "config", key, value)
        begin = self.git_says("rev-parse", "HEAD")
        self.place.storage.mkdir()
        self.run("dvc", "remote", "add", "--quiet", "--default", "storage", str(self.place.storage),
                 typed=f"dvc remote add --default storage {shown}/storage")  # fmt: skip
        return begin

    # --- what people type

    def run(
        self,
        *command: str,
        typed: str | None = None,
        shown: Shown = "all",
        only: Callable[[str], bool] = bool,
        expect: int = 0,
        folder: Path | None = None,
    ) -> Ran:
        """Run a command in the clone; it is presented as `typed`, or as it is. See `Presentation`."""
        present = Presentation(typed or " ".join(command), shown, only, expect)
        return self.tell.run(command, folder=folder or self.place.clone, env=self._env, present=present)

    def gitops_ml(self, *words: str, shown: Shown = "progress", expect: int = 0) -> Ran:
        """Run a command of gitops-ml, of which progress is shown."""
        return self.run("gitops-ml", *words, shown=shown, expect=expect)

    def edit(self, file: str, *changes: tuple[str, str]) -> None:
        """Replace passages of a file (old, new). Each must occur once; an empty old one appends the new one."""
        self.tell.command(f"$EDITOR {file}")
        path = self.place.clone / file
        text = path.read_text()
        for old, new in changes:
            if old and text.count(old) != 1:
                raise GitopsError(
                    f"{file} holds `{old}` {text.count(old)} times; the story needs it once",
                    why="the file has changed since the story was written",
                    fix="update gitops_ml/cli/demo/story.py",
                )
            text = text.replace(old, new) if old else text + new
            self._show_change(old, new)
        path.write_text(text)

    def commit(self, message: str, *paths: str) -> None:
        """Commit these files, and push."""
        self.tell.command(f"git add {' '.join(paths)} && git commit -m '{message}' && git push")
        self._quietly("git", "add", *paths)
        self._quietly("git", "commit", "--quiet", "-m", message)
        self._quietly("git", "push", "--quiet")

    def pull(self) -> None:
        """Pull what others, and gitops-ml itself, have committed meanwhile."""
        self.run("git", "pull", "--quiet", "--rebase", typed="git pull --rebase", shown="nothing")

    def train(self, message: str) -> dict[str, float]:
        """Reproduce the pipeline, commit dvc.lock, push data and model. Returns the metrics."""
        self.run("dvc", "repro", only=lambda line: line.split(":")[0] in _STAGES)
        changed = self.git_says("status", "--porcelain", "--", "dvc.lock")
        if changed:
            self.tell.command(f"git commit -am '{message}' && git push")
            self._quietly("git", "commit", "--quiet", "-am", message)
            self._quietly("git", "push", "--quiet")
        else:
            self.tell.output("dvc.lock is as committed: the same inputs gave the same bytes here")
        self.run("dvc", "push", only=lambda line: "pushed" in line)
        return dict(json.loads((self.place.clone / "metrics.json").read_text()))

    def release(self, version: str, *, create: bool = False) -> None:
        """Register the trained model as a version, and declare it in dev."""
        self.run("gitops-ml", "register", DEPLOYMENT, "--version", version, "--push", only=_no_hint)
        more = ("--create",) if create else ("--commit", "--push")
        self.run("gitops-ml", "bump", "dev", DEPLOYMENT, version, *more, only=_no_hint)

    def sync(self, *, expect: int = 0) -> Ran:
        """Sync dev, and tell the main lines of it."""
        ran = self.run("gitops-ml", "sync", "dev", shown="progress", only=SyncLines(), expect=expect)
        if expect:
            self.tell.output(f"exit code {ran.code}")
        return ran

    def predict(self) -> tuple[str, float]:
        """Send the example through the gateway, as a user does. Returns the version that answered, and its probability.

        The request is sent by this process, since the machine may lack curl.
        """
        self.tell.command(f"curl {self.url.removeprefix('http://')}/infer -d @{EXAMPLE}")
        body = (self.place.clone / EXAMPLE).read_bytes()
        request = urllib.request.Request(f"{self.url}/infer", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = json.load(answer)
        except urllib.error.URLError as error:
            raise GitopsError(f"{self.url} does not answer", why=str(error), fix="gitops-ml status dev") from error
        outputs = {output["name"]: output["data"] for output in content["outputs"]}
        version, late = str(content["model_version"]), float(outputs["predict_proba"][-1])
        self.tell.output(f'{{"model_version": "{version}", … "predict_proba": [{1 - late:.3f}, {late:.3f}]}}')
        return version, late

    def usual_answer(self) -> float:
        """The median latency without other users, in seconds. Not part of the story."""
        body = (self.place.clone / EXAMPLE).read_bytes()
        request = urllib.request.Request(f"{self.url}/infer", body, {"Content-Type": "application/json"})
        seconds = []
        for _ in range(_REQUESTS):
            began = time.monotonic()
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read()
            seconds.append(time.monotonic() - began)
        return median(seconds)

    def users(self, rate: float) -> SteadyLoad:
        """Users who send `rate` requests a second, however slow the answers are. A context manager."""
        return SteadyLoad(f"{self.url}/infer", (self.place.clone / EXAMPLE).read_bytes(), rate=rate)

    # --- what the story checks

    def status(self) -> dict[str, Any]:
        """The status of the deployment, without telling."""
        ran = self._quietly("gitops-ml", "status", "dev", "-o", "json")
        return dict(json.loads(ran.out)["environments"][0]["deployments"][0])

    def replicas(self) -> list[str]:
        """The names of the deployment's running containers."""
        labels = {PROJECT: self.place.project, ROLE: "replica", DEPLOYMENT_LABEL: DEPLOYMENT}
        with engine() as own:
            running = [c for c in own.list_containers(labels) if c["State"] == "running"]
        return sorted(str(c["Names"][0]).removeprefix("/") for c in running)

    def git_says(self, *words: str) -> str:
        """What Git prints, without telling."""
        return self._quietly("git", *words).out.strip()

    def _quietly(self, *command: str, folder: Path | None = None) -> Ran:
        return self.tell.run(command, folder=folder or self.place.clone, env=self._env, present=Presentation())

    def _show_change(self, old: str, new: str) -> None:
        for sign, text in (("-", old), ("+", new)):
            for line in text.rstrip("\n").split("\n") if text else ():
                self.tell.output(f"{sign} {line}")


class SyncLines:
    """Chooses the lines of a sync to show. Of the lines that repeat while a canary is watched, a few are enough."""

    def __init__(self) -> None:
        self._shown = 0.0

    def __call__(self, line: str) -> bool:
        """Whether to show this line, now."""
        if line.startswith("watch "):
            return False
        if line.endswith(": not enough to tell"):
            if time.monotonic() - self._shown < _A_WHILE:
                return False
            self._shown = time.monotonic()
        return bool(line)


_REQUESTS = 21
_A_WHILE = 8.0
_STAGES = ("ingest", "validate", "prepare", "train", "evaluate")


def _no_hint(line: str) -> bool:
    """Leave out what to type next: the story does that anyway."""
    return bool(line) and not line.startswith("next:")
