"""An engine on another host: its socket, forwarded by the user's own `ssh`.

The SDK's own SSH transport always needs paramiko and a Docker command line on the other host, and starts an `ssh` for
each connection. One forwarded socket needs none of that, obeys `~/.ssh/config` and carries all calls. The other host
runs `cat` on our pipe, so that the tunnel ends with this process, however that ends.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from gitops_ml.clients.engine.address import Address
from gitops_ml.clients.engine.errors import unavailable
from gitops_ml.errors import InputError

SOCKET = "/var/run/docker.sock"


class Tunnel:
    """A local socket that leads to the engine's socket. Make it with `open`, and close it."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self._process = process
        self._directory = directory
        self.socket = directory / "engine.sock"

    @classmethod
    def open(cls, address: Address, timeout: float) -> Tunnel:
        """Forward the socket of `ssh://[user@]host[:port][/path/to/socket]`. Raises `EngineUnavailable`."""
        directory = Path(tempfile.mkdtemp(prefix="gitops-ml-"))
        command = _command(address.url, directory / "engine.sock", timeout)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                # Ctrl-C must not reach ssh: the work that ends in order then still needs the tunnel.
                start_new_session=True,
            )
        except FileNotFoundError as error:
            shutil.rmtree(directory, ignore_errors=True)
            raise InputError(
                f"`{address.url}` needs ssh, which is not installed", fix="install openssh-client"
            ) from error
        tunnel = cls(process, directory)
        atexit.register(tunnel.close)  # a command may end without closing its engine
        until = time.monotonic() + timeout
        while not tunnel.socket.exists():
            if process.poll() is not None or time.monotonic() > until:
                tunnel.close()
                message = process.stderr.read().decode(errors="replace") if process.stderr else ""
                raise unavailable(address, message.strip() or f"no answer in {timeout:.0f} s")
            time.sleep(0.01)
        return tunnel

    def close(self) -> None:
        atexit.unregister(self.close)
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def _command(url: str, socket: Path, timeout: float) -> list[str]:
    parts = urlsplit(url)
    if not parts.hostname or parts.hostname.startswith("-") or (parts.username or "").startswith("-"):
        raise InputError(f"`{url}` names no host", fix="write ssh://user@host")
    command = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"]
    command += ["-o", f"ConnectTimeout={max(1, round(timeout))}", "-o", "ServerAliveInterval=15"]
    command += ["-L", f"{socket}:{parts.path or SOCKET}"]
    if parts.port:
        command += ["-p", str(parts.port)]
    if parts.username:
        command += ["-l", parts.username]
    return [*command, "--", parts.hostname, "cat"]
