"""The GitHub workflows that plan on pull requests, sync on merge and verify by the hour, for another repository."""

from __future__ import annotations

import re
from pathlib import Path

from gitops_ml.errors import InputError

NAMES = ("plan.yml", "sync.yml", "verify.yml")
FOLDER = ".github/workflows"
_OWN = re.compile(r"uses: \./$", re.MULTILINE)
_ACTION = re.compile(r"[\w.-]+/[\w.-]+@[\w./-]+")


def workflow_files(action: str) -> dict[str, bytes]:
    """The content of the workflows, by path.

    Args:
        action: where the action comes from, as `owner/repository@commit`.

    Raises:
        InputError: `action` is no such reference.
    """
    if not _ACTION.fullmatch(action):
        raise InputError(
            f"--workflows {action} names no action",
            why="a workflow fetches the action from a repository, at a commit or a tag",
            fix="write --workflows OWNER/REPOSITORY@COMMIT, of the repository that you install from",
        )
    return {f"{FOLDER}/{name}": _OWN.sub(f"uses: {action}", (_source() / name).read_text()).encode() for name in NAMES}


def _source() -> Path:
    """Where an installed package has them, else where a clone of gitops-ml has them."""
    installed = Path(__file__).with_name("github")
    return installed if installed.is_dir() else Path(__file__).parents[2] / FOLDER
