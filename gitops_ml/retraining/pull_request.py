"""A pull request of a branch that was pushed: by GitHub's own program where it is installed, else where to go."""

from __future__ import annotations

import re
import shutil
import subprocess

from gitops_ml.clients.git.repository import Repository

_HOSTED = re.compile(r"(?:git@|ssh://git@|https://(?:[^/@]+@)?)([^/:]+)[:/]([^/]+/[^/]+?)(?:\.git)?/?")
SECONDS = 60.0


def open_pull_request(repo: Repository, branch: str, title: str, body: str) -> str:
    """Open it, and return its address; where that cannot be done, what a person may do instead."""
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
        done = subprocess.run(
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
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        return f"gh opened no pull request ({said[-1] if said else done.returncode}); open it: {compare}"
    return done.stdout.strip()
