"""Opens a pull request of a pushed branch with GitHub's `gh` if it is installed; else says where to open it."""

from __future__ import annotations

import re
import shutil
import subprocess

from gitops_ml.clients.git.repository import Repository

_HOSTED = re.compile(r"(?:git@|ssh://git@|https://(?:[^/@]+@)?)([^/:]+)[:/]([^/]+/[^/]+?)(?:\.git)?/?")
SECONDS = 60.0


def open_pull_request(repo: Repository, branch: str, title: str, body: str) -> str:
    """Open a pull request and return its address; if that is impossible, what a person can do instead."""
    url = repo.config.get(f"remote.{repo.remote}.url", "")
    hosted = _HOSTED.fullmatch(url)
    if hosted is None:
        return f"open a pull request of {branch} to {repo.branch}"
    host, name = hosted.groups()
    compare = f"https://{host}/{name}/compare/{repo.branch}...{branch}?expand=1"
    program = shutil.which("gh")
    if program is None:
        return f"open a pull request: {compare}"
    command = [program, "pr", "create", "--repo", f"{host}/{name}", "--head", branch, "--base", repo.branch]
    try:
        result = subprocess.run(
            [*command, "--title", title, "--body", body],
            cwd=repo.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"gh opened no pull request ({error}); open it: {compare}"
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()
        return f"gh opened no pull request ({lines[-1] if lines else result.returncode}); open it: {compare}"
    return result.stdout.strip()
