"""An engine over SSH, with the real programs: our own sshd on loopback, and the user's `ssh`."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops_ml.clients.engine.client import Engine
from gitops_ml.errors import EngineUnavailable, InputError
from tests.e2e.place import Place, place_fixture
from tests.ports import free_port

place = place_fixture
SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`user@127.0.0.1:port` of an sshd that lets this user in, and an `ssh` that knows it."""
    if not SSHD or not shutil.which("ssh"):
        pytest.skip("openssh-server or openssh-client is not installed")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / key], check=True)
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nPidFile {tmp_path}/pid\n"
        f"AuthorizedKeysFile {tmp_path}/user.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
    )
    (tmp_path / "ssh_config").write_text(
        f"IdentityFile {tmp_path}/user\nIdentitiesOnly yes\nUserKnownHostsFile {tmp_path}/known\n"
        "StrictHostKeyChecking accept-new\nLogLevel ERROR\n"
    )
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/ssh_config "$@"\n')
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    server = subprocess.Popen([str(SSHD), "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while subprocess.run(["ssh", "-p", str(port), "127.0.0.1", "true"], check=False).returncode != 0:
        assert time.monotonic() < until and server.poll() is None, "sshd does not start"
        time.sleep(0.1)
    yield f"{getpass.getuser()}@127.0.0.1:{port}"
    server.terminate()
    server.wait()


def test_all_calls_work_through_the_tunnel(place: Place, host: str) -> None:
    with Engine.connect(f"ssh://{host}") as engine:
        assert engine.info().id == place.engine.info().id
        far = Place(engine, place.project, port=place.port)
        far.ensure_gateway()
        assert [c.role for c in far.look().containers] == ["gateway"]
        assert engine.exec(far.gateway, ["sh", "-c", "echo hello; exit 3"]).code == 3


def test_the_tunnel_ends_with_its_process(host: str) -> None:
    script = (
        "import os, signal\nfrom gitops_ml.clients.engine.client import Engine\n"
        f"print(Engine.connect('ssh://{host}')._tunnel._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    tunnel = Path(f"/proc/{int(ran.stdout)}/cmdline")
    until = time.monotonic() + 60
    while tunnel.exists() and b"ssh" in tunnel.read_bytes():
        assert time.monotonic() < until, "ssh outlives the process that started it"
        time.sleep(0.05)


def test_a_process_that_does_not_close_its_engine_leaves_no_folder(host: str) -> None:
    script = (
        f"from gitops_ml.clients.engine.client import Engine\nprint(Engine.connect('ssh://{host}')._tunnel.socket)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not Path(ran.stdout.strip()).parent.exists()


def test_a_host_that_refuses_connections_is_unavailable(host: str) -> None:
    with pytest.raises(EngineUnavailable, match="refused"):
        Engine.connect("ssh://127.0.0.1:9", timeout=5)


def test_a_missing_socket_is_unavailable(host: str) -> None:
    with pytest.raises(EngineUnavailable):
        Engine.connect(f"ssh://{host}/none.sock", timeout=5)


@pytest.mark.parametrize("url", ["ssh://", "ssh://-oProxyCommand=evil", "ssh://-l@host"])
def test_an_address_that_looks_like_an_option_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        Engine.connect(url)
