"""What tests of commits and pushes share: paths, hooks, and the state of a work tree."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.git.conftest import git

RECORD = "environments/dev/records/m.yaml"
DECLARATION = "environments/dev/models/m.yaml"


def state(folder: Path) -> tuple[str, str, str, str]:
    """Everything of a work tree that its user could notice."""
    stash = subprocess.run(["git", "write-tree"], cwd=folder, capture_output=True, text=True, check=True).stdout
    return git(folder, "status", "--porcelain"), git(folder, "rev-parse", "HEAD"), stash, git(folder, "diff")


def hook(bare: Path, name: str, script: str) -> None:
    place = bare / "hooks" / name
    place.write_text(f"#!/bin/sh\n{script}\n")
    place.chmod(0o755)
