"""The stream scorer of `examples/publish`, a process of its own, through a new model, a broken one and no channel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.pipeline import Pipeline

from tests.ports import free_port
from tests.serving.artifacts import rows, train, write_artifact
from tests.serving.channels import channel_of
from tests.serving.conftest import ROOT
from tests.serving.signing import CHANNEL, project_key, signed

SCORER = ROOT / "examples/publish/scorer.py"


class Scorer:
    """The example as a process. `score` sends it one event, and returns the event as it comes back."""

    def __init__(self, url: str, folder: Path, allowed_signers: Path) -> None:
        command = [sys.executable, str(SCORER), url, str(folder), "scorer-1", CHANNEL, str(allowed_signers)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        )
        self.events = [json.loads(line) for line in rows(100).to_json(orient="records", lines=True).splitlines()]
        self.sent = 0

    def score(self) -> dict[str, object]:
        assert self.process.stdin and self.process.stdout
        event = self.events[self.sent % len(self.events)] | {"id": self.sent}
        self.sent += 1
        self.process.stdin.write(json.dumps(event) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["id"] == event["id"] and 0 <= answer["score"] <= 1
        return dict(answer)

    def score_until(self, version: str) -> None:
        for _ in range(10_000):
            if self.score()["version"] == version:
                return
        raise AssertionError(f"{version} was never used")


@pytest.fixture
def scorer(tmp_path: Path) -> Iterator[Scorer]:
    port = free_port()
    started = Scorer(f"http://127.0.0.1:{port}/channel", tmp_path / "scorer", project_key(tmp_path))
    started.port = port  # type: ignore[attr-defined]
    yield started
    started.process.kill()
    started.process.wait()


def test_no_event_is_lost_while_models_come_and_go(scorer: Scorer, tmp_path: Path, pipeline: Pipeline) -> None:
    port: int = scorer.port  # type: ignore[attr-defined]
    models = {"v1": pipeline, "v2": train(1), "v3": None}
    folders = {version: write_artifact(tmp_path / version, model) for version, model in models.items()}
    (folders["v3"] / "model.skops").write_bytes(b"no model")
    for number, version in enumerate(["v1", "v2"]):
        statement = signed(folders[version], f"g{number}", version, key=tmp_path / "project", order=number + 1)
        with channel_of(folders[version], f"g{number}", version, port=port, signed=statement):
            scorer.score_until(version)
    statement = signed(folders["v3"], "g3", "v3", key=tmp_path / "project", order=3)
    with channel_of(folders["v3"], "g3", "v3", port=port, signed=statement) as broken:
        while not broken.heard("scorer-1").get("failed"):
            assert scorer.score()["version"] == "v2"
        assert broken.heard("scorer-1")["scored"] and "Untrusted" not in str(broken.heard("scorer-1")["error"])
    assert scorer.score()["version"] == "v2", "without a channel too"
