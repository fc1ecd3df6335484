"""Runs `gitops-ml` or `dvc` in a process of its own without importing everything again each time.

Two thirds of a command's CPU time go into imports. A server process imports them once, and forks for each command: a
new process with its own arguments, folder, environment, output and exit, as the console script has. `begin` of a
workshop, and the tests of start-up, interrupts and the demo, start the console script itself.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parents[1]
_PACKAGES = ("gitops_ml.cli", "gitops_ml.control", "gitops_ml.clients", "gitops_ml.core", "gitops_ml.retraining")
_DVC = ("dvc.repo", "dvc.cli.parser", "dvc.data_cloud", "dulwich.worktree", "networkx", "pygit2")
_LAZY = ("git", "numpy", "pyarrow.csv", "pyarrow.parquet", *_DVC)
"""Imported by functions only."""


def run_command(
    arguments: Sequence[str],
    folder: Path,
    timeout: float,
    *,
    program: Literal["gitops-ml", "dvc"] = "gitops-ml",
    env: Mapping[str, str] = os.environ,
) -> subprocess.CompletedProcess[str]:
    """Run a program with these arguments. Raises `subprocess.TimeoutExpired` after killing the command."""
    command = [program, *arguments]
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with theirs:
            socket.send_fds(_server(), [b"."], [theirs.fileno(), out.fileno(), err.fileno()])
        request = {"command": command, "folder": str(folder), "env": dict(env)}
        ours.sendall(json.dumps(request).encode() + b"\n")
        answers = ours.makefile("r")
        process = int(answers.readline())
        overdue = threading.Timer(timeout, os.kill, (process, signal.SIGKILL))
        overdue.start()
        code = int(answers.readline())
        in_time = overdue.is_alive()
        overdue.cancel()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
        if not in_time:
            raise subprocess.TimeoutExpired(command, timeout, *texts)
        return subprocess.CompletedProcess(command, code, *texts)


@functools.cache
def _server() -> socket.socket:
    """The socket of this process's server, which ends when the socket is closed."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-m", "tests.forked_command", str(theirs.fileno())]
        subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    return ours


# --- the server


def _import_all() -> None:
    import importlib
    import pkgutil

    for name in _PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    for name in _LAZY:
        importlib.import_module(name)


def _serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork for each request. Returns the request in the command's process, None in the server when it is to end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that wait for commands
    while True:
        content, files, _, _ = socket.recv_fds(control, 1, 3)
        if not content:
            return None
        if os.fork() == 0:
            control.close()
            return _start(*files)
        for file in files:
            os.close(file)


def _start(caller: int, out: int, err: int) -> dict[str, Any]:
    """Fork the command. Returns in its process only; this one waits for it, tells the caller its end, and ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with socket.socket(fileno=caller) as connection:
        request: dict[str, Any] = json.loads(connection.makefile("r").readline())
        command = os.fork()
        if command:
            connection.sendall(f"{command}\n".encode())
            code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
            connection.sendall(f"{code}\n".encode())
            os._exit(0)
    for source, target in ((out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)
    return request


def _become(request: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["folder"])
    sys.argv = request["command"]
    sys.path.remove(str(ROOT))  # `-m` put the checkout there, which a console script does not have


if __name__ == "__main__":
    _import_all()
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        import dvc.cli

        import gitops_ml.cli.main

        _become(asked)
        if sys.argv[0] == "dvc":
            sys.exit(dvc.cli.main())
        gitops_ml.cli.main.main()
