"""A team that types the lines of docs/adopt.md in a copy of an example."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.e2e.workshop import ROOT, Ran
from tests.forked_command import run_command
from tests.ports import free_port

BIN = Path(sys.executable).parent
PAGE = (ROOT / "docs" / "adopt.md").read_text()
WRITTEN_PORT = "8081"


class Team:
    """A copy of an example, as a repository with a remote, that has never seen gitops-ml."""

    def __init__(self, folder: Path, project: str, example: str) -> None:
        self.folder = folder / project  # `adopt` names the project after the folder
        self.port = free_port()
        shutil.copytree(ROOT / "examples" / example, self.folder)
        self.shell("git init -q -b main")
        self.shell(f"git init -q --bare -b main ../{project}.git && git remote add origin ../{project}.git")

    def shell(self, command: str) -> str:
        """Run a command line as a person types it. Returns all output, and fails where the command does."""
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "200"}
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def run(self, *arguments: str, code: int = 0) -> Ran:
        """Run `gitops-ml`."""
        done = run_command(arguments, self.folder, 400)
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return Ran(done.returncode, done.stdout, done.stderr)

    def follow(self, example: str) -> float:
        """Type the page's lines, and compare what each prints with what stands there.

        Returns:
            the seconds from `gitops-ml adopt` to the answer.
        """
        begun = 0.0
        ended = 0.0
        for command, shown in transcript(example):
            if command.startswith("gitops-ml adopt"):
                begun = time.monotonic()
            output = self.shell(command.replace(WRITTEN_PORT, str(self.port)))
            lines = [" ".join(line.split()) for line in output.splitlines()]
            for line in shown:
                pattern = ".*".join(re.escape(part.strip()) for part in " ".join(line.split()).split("…"))
                assert any(re.fullmatch(pattern, printed) for printed in lines), f"{command}\n{line}\n{output}"
            if command.startswith("gitops-ml adopt"):
                self.use_free_port()
            if command.startswith("curl") and not ended:
                ended = time.monotonic()
        return ended - begun

    def use_free_port(self) -> None:
        """Another port than the one that is written, since tests run side by side."""
        file = self.folder / "environments/dev/environment.yaml"
        file.write_text(re.sub(r"port: \d+", f"port: {self.port}", file.read_text()))
        self.shell("git commit -qam 'Take another port' && git push -q")

    def ask(self, deployment: str, request: Any) -> dict[str, Any]:
        """The outputs for an inference request, by name."""
        url = f"http://127.0.0.1:{self.port}/v2/models/{deployment}/infer"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(request).encode()), timeout=30) as answer:
            outputs = json.load(answer)["outputs"]
        return {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in outputs}

    def ask_example(self, deployment: str, folder: str) -> tuple[pd.DataFrame, dict[str, Any]]:
        """The row of an example, and the outputs for it."""
        request = json.loads((self.folder / folder / "example.json").read_text())
        row = pd.DataFrame({tensor["name"]: tensor["data"] for tensor in request["inputs"]})
        return row, self.ask(deployment, request)


def transcript(example: str) -> list[tuple[str, list[str]]]:
    """The commands of the page for one example, each with the lines that it shows."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(rf"```console {example}\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps
