"""The user's DVC pipeline, run at a commit in a work tree of its own: what is being edited is neither used nor touched.

A linked work tree shares Git's objects with the clone, and DVC's cache is the clone's, so that nothing is copied and
what a run makes is where `register` and `sync` look for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
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
from gitops_ml.errors import InputError, SourceUnavailable

_KEPT_LINES = 60
_WHY_LINES = 8


class Pipeline:
    """A pipeline checked out at one commit. Made by `checked_out`."""

    def __init__(self, repo: Repository, folder: Path, report: Callable[[str], None]) -> None:
        self._repo = repo
        self.folder = folder
        self._report = report

    def set_params(self, values: Mapping[str, Any], file: str = "params.yaml") -> None:
        """Edit parameters by dotted key, and nothing else of the file. Raises `InputError`."""
        path = self.folder / file
        if not path.is_file():
            raise InputError(f"{file} is not in the repository", fix="leave --set and --until away")
        path.write_text(set_fields(path.read_text(), values, file))

    def params(self, key: str, file: str = "params.yaml") -> Any:
        """One parameter by dotted key; None where there is none."""
        path = self.folder / file
        return get_field(path.read_text(), key, file) if path.is_file() else None

    def reproduce(self) -> None:
        """Bring what is known already, and run what a change concerns. Raises `InputError` with a stage's own words."""
        known = ["pull", "--allow-missing"] if remote_names(self._repo) else ["checkout", "--allow-missing"]
        self._dvc(*known, "--quiet")
        code, said = self._dvc("repro")
        if code != 0:
            raise _failed(said)

    def push(self) -> None:
        """Push what the run made to the DVC remotes, if there are any. Raises `SourceUnavailable`."""
        if not remote_names(self._repo):
            return
        code, said = self._dvc("push")
        if code != 0:
            raise SourceUnavailable(
                "what was trained could not be pushed", why=" ".join(said[-3:]), fix="dvc push, then again"
            )

    def changes(self) -> dict[str, bytes | None]:
        """What Git sees changed, by path; None: removed."""
        done = self._repo.git.run(
            *("status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames"), folder=self.folder
        )
        found: dict[str, bytes | None] = {}
        for entry in done.out.decode("utf-8", "surrogateescape").split("\0"):
            path = entry[3:]
            # Ours, and it may hold credentials, whether or not the repository ignores it.
            if path and not path.startswith((".dvc/config.local", ".dvc/tmp/")):
                place = self.folder / path
                found[path] = place.read_bytes() if place.is_file() else None
        return found

    def _dvc(self, *arguments: str) -> tuple[int, list[str]]:
        """Run DVC; its exit code and last lines. The stages find this interpreter's programs first."""
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
                # A stage that trains on, in a folder that is being removed, would be nobody's.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        return process.returncode, list(lines)


@contextmanager
def checked_out(repo: Repository, commit: str, report: Callable[[str], None]) -> Iterator[Pipeline]:
    """The pipeline at a commit, in a work tree that is gone afterwards. Raises `InputError` when Git makes none."""
    with tempfile.TemporaryDirectory(prefix="gitops-ml-", ignore_cleanup_errors=True) as parent:
        folder = Path(parent) / "pipeline"
        done = repo.git.run("worktree", "add", "--quiet", "--detach", str(folder), commit, timeout=600.0)
        if done.code != 0:
            raise InputError("no work tree could be made", why=done.messages[-300:], fix="git worktree prune")
        try:
            _configure(repo, folder)
            yield Pipeline(repo, folder, report)
        finally:
            repo.git.run("worktree", "remove", "--force", str(folder), timeout=600.0)
            shutil.rmtree(folder, ignore_errors=True)
            repo.git.run("worktree", "prune")


def _configure(repo: Repository, folder: Path) -> None:
    """DVC's configuration of the clone, with paths that mean the same from here, and the clone's own cache."""
    if not (folder / ".dvc").is_dir():
        return
    store = store_of(repo)
    config = {section: dict(values) for section, values in store.config.items()}
    if store.caches:
        config.setdefault("cache", {})["dir"] = str(store.caches[0])
    lines = [f"['{s}']\n" + "".join(f'    {k} = "{v}"\n' for k, v in values.items()) for s, values in config.items()]
    (folder / ".dvc" / "config.local").write_text("".join(lines))


def _failed(said: Sequence[str]) -> InputError:
    """A stage's own error, if it is one of ours; else the last lines."""
    at = next((n for n, line in enumerate(said) if line.lstrip().startswith("fix:")), None)
    if at is not None and at > 0:
        what, _, why = said[at - 1].partition(": ")
        what, why = (f"{what}: {why.partition(': ')[0]}", why.partition(": ")[2]) if why else (what, "")
        return InputError(what, why=why, fix=said[at].strip().removeprefix("fix:").strip())
    own = [line for line in said if not line.startswith(("Running stage", ">", "Stage "))]
    return InputError("dvc repro failed", why="\n".join(own[-_WHY_LINES:]), fix="dvc repro")


def setting(text: str) -> tuple[str, Any]:
    """`key=value` of a command line, the value as YAML has it, but a date as its text. Raises `InputError`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"`{text}` is no setting", fix="write --set section.key=value")
    found = load(value.encode(), f"--set {key}")
    return key.strip(), found if isinstance(found, bool | int | float | str | list | dict) else value
