"""From a team's repository to a verified answer, by the lines of docs/adopt.md: commands, lines by hand, seconds.

Each starting point is copied from examples/ and taken through its transcript twice: the first time may build the image
of the model's packages, the second finds it. Counted are the commands from `gitops-ml adopt` to the answer.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import docker

from bench.support.scratch import isolated
from tests.conftest import remove_project
from tests.e2e.adopting import Team, transcript

POINTS = {
    "plain-script": "script with joblib, Git only",
    "dvc-stages": "DVC stages, a version of GTO from before",
    "registry": "registry in Git with GTO's stages, two models",
    "monorepo": "two pipelines in one repository",
    "xml-stages": "prepare, featurize, train, evaluate over XML",
    "mlflow-folder": "folder of MLflow",
    "onnx": "ONNX graph",
}


def main() -> None:
    print("| starting point | commands | lines by hand | first time | with its packages' image |")
    print("|---|---|---|---|---|")
    for example, title in POINTS.items():
        seconds = [run(example) for _ in range(2)]
        print(f"| {title} | {commands(example)} | 0 | {seconds[0]:.0f} s | {seconds[1]:.0f} s |", flush=True)


def commands(example: str) -> int:
    """How many commands stand between `gitops-ml adopt` and the answer, both counted."""
    typed = [command for command, _ in transcript(example)]
    first = next(number for number, command in enumerate(typed) if command.startswith("gitops-ml adopt"))
    last = next(number for number, command in enumerate(typed) if command.startswith("curl"))
    return last - first + 1


def run(example: str) -> float:
    """Take one starting point to its answer; the seconds. What was made is removed."""
    with tempfile.TemporaryDirectory(prefix="gitops-ml-bench-adopt-") as folder:
        isolated(Path(folder))
        project = f"bench-adopt-{secrets.token_hex(3)}"
        try:
            return Team(Path(folder), project, example).follow(example)
        finally:
            client = docker.from_env(timeout=120)
            remove_project(client, project)
            client.close()


if __name__ == "__main__":
    main()
