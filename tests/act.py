"""Runs this repository's workflows with act, as GitHub's runner would, in a clone that has them and the action.

The actions that install Python and keep a cache are left out, and gitops-ml is on the PATH already.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.unit.clients.forge.server import PREFIX, TOKEN, LocalForge

ROOT = Path(__file__).parents[1]
_STEP = re.compile(r"(uses: \./\n +with:\n)(?! +install:)")
_REMOTE_ACTION = re.compile(r"uses: (actions/(?:setup-python|cache)@[0-9a-f]{40})")


def add_workflow(work: Path, name: str, edits: Mapping[str, str] = MappingProxyType({})) -> None:
    """Copy a workflow and the action into a clone; the caller commits them. `edits`: texts that its owner replaces."""
    shutil.copytree(ROOT / ".github/action", work / ".github/action", dirs_exist_ok=True)
    shutil.copy(ROOT / "action.yml", work)
    text = _STEP.sub(r"\1          install: false\n", (ROOT / ".github/workflows" / name).read_text())
    for before, after in edits.items():
        assert before in text
        text = text.replace(before, after)
    target = work / ".github/workflows" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def act(work: Path, event: str, workflow: str, payload: dict[str, object], *options: str) -> tuple[int, str]:
    """Run a workflow for an event. Returns its exit code, and what it printed."""
    stub = work.parent / "stub"
    stub.mkdir(exist_ok=True)
    (stub / "action.yml").write_text("runs: {using: composite, steps: [{run: ':', shell: sh}]}\n")
    (work.parent / "event.json").write_text(json.dumps(payload))
    texts = [(ROOT / "action.yml").read_text(), (work / ".github/workflows" / workflow).read_text()]
    remote = {action for text in texts for action in _REMOTE_ACTION.findall(text)}
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(work.parent / "cache"),
    }
    words = ["act", event, "-W", f".github/workflows/{workflow}", "-e", str(work.parent / "event.json")]
    words += ["-P", "ubuntu-latest=-self-hosted", "--no-cache-server", *options]
    words += [word for each in sorted(remote) for word in ("--local-repository", f"{each}={stub}")]
    done = subprocess.run(words, cwd=work, env=environment, capture_output=True, text=True, timeout=400)
    return done.returncode, done.stdout + done.stderr


def on_forge(forge: LocalForge) -> tuple[str, ...]:
    """The options with which a job of a GitHub on loopback runs."""
    variables = {"GITOPS_ML_FORGE": f"github={forge.url}{PREFIX}", "GITHUB_REPOSITORY": "acme/shop"}
    chosen = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    return (*chosen, "-s", f"GITHUB_TOKEN={TOKEN}")
