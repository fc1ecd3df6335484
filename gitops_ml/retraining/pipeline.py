"""Runs the user's DVC pipeline at a commit, in a linked work tree; the user's own is neither read nor changed.

The linked work tree uses Git's objects and DVC's cache of the clone. So nothing is copied, and `register` and `sync`
find what the run made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gitops_ml.clients.artifacts.resolution import remote_names
from gitops_ml.clients.artifacts.store import store_of
from gitops_ml.clients.files.yaml_data import load
from gitops_ml.clients.files.yaml_edit import get_field, set_fields
from gitops_ml.clients.git.process import environment
from gitops_ml.clients.git.repository import Repository
from gitops_ml.clients.process_group import kill_group
from gitops_ml.errors import InputError, SourceUnavailable

_KEPT_LINES = 60
"""Lines of DVC's output that are kept, from its end."""
_WHY_LINES = 8
"""Lines of them in an error."""


class PipelineCheckout:
    """A pipeline checked out at one commit. Made by `checked_out`."""

    def __init__(self, repo: Repository, folder: Path, report: Callable[[str], None]) -> None:
        self._repo = repo
        self.folder = folder
        self._report = report

    def set_params(self, values: Mapping[str, Any], file: str = "params.yaml") -> None:
        """Edit parameters by dotted key; the rest of the file stays as it is. Raises `InputError`."""
        path = self.folder / file
        if not path.is_file():
            raise InputError(f"{file} is not in the repository", fix="run it without --set and --until")
        path.write_text(set_fields(path.read_text(), values, file))

    def params(self, key: str, file: str = "params.yaml") -> Any:
        """A parameter by dotted key; None if it is missing."""
        path = self.folder / file
        return get_field(path.read_text(), key, file) if path.is_file() else None

    def reproduce(self) -> None:
        """Get the outputs that exist, and run the stages that a change concerns. Raises `InputError`."""
        self._dvc("pull" if remote_names(self._repo) else "checkout", "--allow-missing", "--quiet")
        code, lines = self._dvc("repro")
        if code != 0:
            raise _stage_error(lines)

    def push(self) -> None:
        """Push the run's outputs to the DVC remotes, if there are any. Raises `SourceUnavailable`."""
        if not remote_names(self._repo):
            return
        code, lines = self._dvc("push")
        if code != 0:
            raise SourceUnavailable(
                "the trained model could not be pushed", why=" ".join(lines[-3:]), fix="dvc push, then again"
            )

    def changes(self) -> dict[str, bytes | None]:
        """Content of the changed files, by path; None for a removed file."""
        status = self._repo.git.run(
            *("status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames"), folder=self.folder
        )
        changed: dict[str, bytes | None] = {}
        for entry in status.out.decode("utf-8", "surrogateescape").split("\0"):
            path = entry[3:]
            # `_configure` wrote config.local, which may hold credentials.
            if path and not path.startswith((".dvc/config.local", ".dvc/tmp/")):
                file = self.folder / path
                changed[path] = file.read_bytes() if file.is_file() else None
        return changed

    def _dvc(self, *arguments: str) -> tuple[int, list[str]]:
        """Run DVC; its exit code and last lines. This interpreter's programs come first in PATH."""
        bin_folder = str(Path(sys.executable).parent)
        env = environment({"DVC_NO_ANALYTICS": "true"})
        env["PATH"] = f"{bin_folder}{os.pathsep}{env.get('PATH', '')}"
        lines: deque[str] = deque(maxlen=_KEPT_LINES)
        with subprocess.Popen(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if line.strip():
                        lines.append(line.rstrip())
                        self._report(f"  {line.rstrip()}")
            except BaseException:
                # Otherwise the stage would go on training, in a folder that is being removed.
                kill_group(process)
                raise
        return process.returncode, list(lines)


@contextmanager
def checked_out(repo: Repository, commit: str, report: Callable[[str], None]) -> Iterator[PipelineCheckout]:
    """Check the pipeline out at a commit, in a work tree that is removed afterwards. Raises `InputError`."""
    with tempfile.TemporaryDirectory(prefix="gitops-ml-", ignore_cleanup_errors=True) as parent:
        folder = Path(parent) / "pipeline"
        added = repo.git.run("worktree", "add", "--quiet", "--detach", str(folder), commit, timeout=600.0)
        if added.code != 0:
            raise InputError("no work tree could be made", why=added.messages[-300:], fix="git worktree prune")
        try:
            _configure(repo, folder)
            yield PipelineCheckout(repo, folder, report)
        finally:
            repo.git.run("worktree", "remove", "--force", str(folder), timeout=600.0)
            shutil.rmtree(folder, ignore_errors=True)
            repo.git.run("worktree", "prune")


def _configure(repo: Repository, folder: Path) -> None:
    """Give the work tree the clone's DVC configuration, with absolute paths, and the clone's cache."""
    if not (folder / ".dvc").is_dir():
        return
    store = store_of(repo)
    config = {section: dict(values) for section, values in store.config.items()}
    if store.caches:
        config.setdefault("cache", {})["dir"] = str(store.caches[0])
    lines = [f"['{s}']\n" + "".join(f'    {k} = "{v}"\n' for k, v in values.items()) for s, values in config.items()]
    (folder / ".dvc" / "config.local").write_text("".join(lines))


def _stage_error(lines: Sequence[str]) -> InputError:
    """The error that one of our stages printed; else the last lines."""
    at = next((n for n, line in enumerate(lines) if line.lstrip().startswith("fix:")), None)
    if at is not None and at > 0:
        what, _, why = lines[at - 1].partition(": ")
        what, why = (f"{what}: {why.partition(': ')[0]}", why.partition(": ")[2]) if why else (what, "")
        return InputError(what, why=why, fix=lines[at].strip().removeprefix("fix:").strip())
    output = [line for line in lines if not line.startswith(("Running stage", ">", "Stage "))]
    return InputError("dvc repro failed", why="\n".join(output[-_WHY_LINES:]), fix="dvc repro")


def setting(text: str) -> tuple[str, Any]:
    """Parse `key=value` of a command line: the value as YAML, but a date as text. Raises `InputError`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"`{text}` is not a setting", fix="write --set section.key=value")
    parsed = load(value.encode(), f"--set {key}")
    return key.strip(), parsed if isinstance(parsed, bool | int | float | str | list | dict) else value
