"""A team's repository for the demo: a bare remote, a clone of it, a place for data and models; and what its people do.

People type commands and edit files. Everything here is one such act, told by the narrator while it is done.
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

from gitops_ml.cli.demo.ground import Ground, engine, free_port
from gitops_ml.cli.demo.narrator import Narrator, Ran, Said, user_environment
from gitops_ml.cli.demo.steady_load import SteadyLoad
from gitops_ml.core.generation import DEPLOYMENT as DEPLOYMENT_LABEL
from gitops_ml.core.generation import PROJECT, ROLE
from gitops_ml.errors import GitopsError

DEPLOYMENT = "flight-delay"
DECLARATION = f"environments/dev/models/{DEPLOYMENT}.yaml"
EXAMPLE = f"models/{DEPLOYMENT}/example.json"


class Team:
    """The scratch clone, and the narrator who tells what is done in it."""

    def __init__(self, ground: Ground, narrator: Narrator) -> None:
        self.ground = ground
        self.tell = narrator
        self.port = free_port()
        self._env = user_environment(DVC_NO_ANALYTICS="true")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2/models/{DEPLOYMENT}"

    # --- the beginning

    def settle(self) -> str:
        """Make the remote and the clone; the commit that the clone begins with."""
        folder, source, remote = self.ground.folder, self.ground.source, self.ground.remote
        self._quietly("git", "init", "--quiet", "--bare", "--initial-branch=main", str(remote), folder=folder)
        # Fetched into, not pushed to: that runs no hook of the user's. Without tags, whose names the story uses.
        fetch = ("git", "fetch", "--quiet", "--no-tags", "--update-shallow", str(source), "HEAD:refs/heads/main")
        self._quietly(*fetch, folder=remote)
        self._quietly("git", "config", "receive.shallowUpdate", "true", folder=remote)
        shown = folder.relative_to(source)
        self.run("git", "clone", "--quiet", str(remote), str(self.ground.clone), folder=folder,
                 typed=f"git clone {shown}/remote.git {shown}/clone && cd {shown}/clone")  # fmt: skip
        mine = {
            "user.name": "Demo",
            "user.email": "demo@example.invalid",
            "commit.gpgSign": "false",
            "tag.gpgSign": "false",
            "core.hooksPath": str(remote / "hooks"),
        }
        for key, value in mine.items():
            self._quietly("git", "config", key, value)
        begin = self.git_says("rev-parse", "HEAD")
        self.ground.storage.mkdir()
        self.run("dvc", "remote", "add", "--quiet", "--default", "storage", str(self.ground.storage),
                 typed=f"dvc remote add --default storage {shown}/storage")  # fmt: skip
        return begin

    # --- what people type

    def run(
        self,
        *command: str,
        typed: str | None = None,
        said: Said = "all",
        only: Callable[[str], bool] = bool,
        expect: int = 0,
        folder: Path | None = None,
    ) -> Ran:
        """A command in the clone; shown as `typed`, or as it is."""
        return self.tell.run(
            command,
            folder=folder or self.ground.clone,
            env=self._env,
            typed=" ".join(command) if typed is None else typed,
            said=said,
            only=only,
            expect=expect,
        )

    def gitops_ml(self, *words: str, said: Said = "progress", expect: int = 0) -> Ran:
        return self.run("gitops-ml", *words, said=said, expect=expect)

    def edit(self, file: str, *changes: tuple[str, str]) -> None:
        """Replace passages of a file, each found once, as an editor does; an empty first one appends."""
        self.tell.command(f"$EDITOR {file}")
        path = self.ground.clone / file
        text = path.read_text()
        for old, new in changes:
            if old and text.count(old) != 1:
                raise GitopsError(
                    f"{file} holds `{old}` {text.count(old)} times, and the story changes it once",
                    why="the file has changed since the story was written",
                    fix="bring gitops_ml/cli/demo/story.py up to date",
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
        """Take what others, and gitops-ml itself, have committed meanwhile."""
        self.run("git", "pull", "--quiet", "--rebase", typed="git pull --rebase", said="nothing")

    def train(self, message: str) -> dict[str, float]:
        """Reproduce the pipeline, commit what it locked, push data and model; its metrics."""
        self.run("dvc", "repro", only=lambda line: line.split(":")[0] in _STAGES)
        changed = self.git_says("status", "--porcelain", "--", "dvc.lock")
        if changed:
            self.tell.command(f"git commit -am '{message}' && git push")
            self._quietly("git", "commit", "--quiet", "-am", message)
            self._quietly("git", "push", "--quiet")
        else:
            self.tell.output("dvc.lock is as committed: the same inputs have given the same bytes here")
        self.run("dvc", "push", only=lambda line: "pushed" in line)
        return dict(json.loads((self.ground.clone / "metrics.json").read_text()))

    def release(self, version: str, *, create: bool = False) -> None:
        """Register what was trained as a version, and declare it for dev."""
        self.run("gitops-ml", "register", DEPLOYMENT, "--version", version, "--push", only=_no_hint)
        more = ("--create",) if create else ("--commit", "--push")
        self.run("gitops-ml", "bump", "dev", DEPLOYMENT, version, *more, only=_no_hint)

    def sync(self, *, expect: int = 0) -> Ran:
        ran = self.run("gitops-ml", "sync", "dev", said="progress", only=Digest(), expect=expect)
        if expect:
            self.tell.output(f"exit code {ran.code}")
        return ran

    def predict(self) -> tuple[str, float]:
        """Ask through the gateway, as a user does: the version that answered, and the probability that it gave.

        From this process, since a user's machine may have no curl.
        """
        self.tell.command(f"curl {self.url.removeprefix('http://')}/infer -d @{EXAMPLE}")
        body = (self.ground.clone / EXAMPLE).read_bytes()
        request = urllib.request.Request(f"{self.url}/infer", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found = json.load(answer)
        except urllib.error.URLError as error:
            raise GitopsError(f"{self.url} does not answer", why=str(error), fix="gitops-ml status dev") from error
        outputs = {output["name"]: output["data"] for output in found["outputs"]}
        version, late = str(found["model_version"]), float(outputs["predict_proba"][-1])
        self.tell.output(f'{{"model_version": "{version}", … "predict_proba": [{1 - late:.3f}, {late:.3f}]}}')
        return version, late

    def usual_answer(self) -> float:
        """The median of what an answer takes when nobody else asks, in seconds; untold."""
        body = (self.ground.clone / EXAMPLE).read_bytes()
        request = urllib.request.Request(f"{self.url}/infer", body, {"Content-Type": "application/json"})
        taken = []
        for _ in range(_ASKED):
            began = time.monotonic()
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read()
            taken.append(time.monotonic() - began)
        return median(taken)

    def users(self, rate: float) -> SteadyLoad:
        """Users who ask `rate` times a second, however slowly they are answered; a context manager."""
        return SteadyLoad(f"{self.url}/infer", (self.ground.clone / EXAMPLE).read_bytes(), rate=rate)

    # --- what is looked at

    def status(self) -> dict[str, Any]:
        """The deployment's status, looked at without telling."""
        found = self.tell.run(
            ("gitops-ml", "status", "dev", "--json"),
            folder=self.ground.clone, env=self._env, typed=None, said="nothing",
        )  # fmt: skip
        return dict(json.loads(found.out)[0]["deployments"][0])

    def replicas(self) -> list[str]:
        """The names of the deployment's running containers."""
        with engine() as found:
            labels = {PROJECT: self.ground.project, ROLE: "replica", DEPLOYMENT_LABEL: DEPLOYMENT}
            there = [c for c in found.list_containers(labels) if c["State"] == "running"]
        return sorted(str(c["Names"][0]).removeprefix("/") for c in there)

    def git_says(self, *words: str) -> str:
        """What Git answers, without telling."""
        return self._quietly("git", *words).out.strip()

    def _quietly(self, *command: str, folder: Path | None = None) -> Ran:
        where = folder or self.ground.clone
        return self.tell.run(command, folder=where, env=self._env, typed=None, said="nothing")

    def _show_change(self, old: str, new: str) -> None:
        for sign, text in (("-", old), ("+", new)):
            for line in text.rstrip("\n").split("\n") if text else ():
                self.tell.output(f"{sign} {line}")


class Digest:
    """Chooses among the lines of a sync. Of what a canary says at each look, one in a while is enough."""

    def __init__(self) -> None:
        self._shown = 0.0

    def __call__(self, line: str) -> bool:
        """Whether a line is shown; told apart by what it says, and by when it was said."""
        if line.startswith("watch "):
            return False
        if line.endswith(": not enough to tell"):
            if time.monotonic() - self._shown < _A_WHILE:
                return False
            self._shown = time.monotonic()
        return bool(line)


_ASKED = 21
_A_WHILE = 8.0
_STAGES = ("ingest", "validate", "prepare", "train", "evaluate")


def _no_hint(line: str) -> bool:
    """What to type next is what the story does anyway."""
    return bool(line) and not line.startswith("next:")
