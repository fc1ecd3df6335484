"""Which engine the caller means: as the Docker command line finds it, and each wrong setting named."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from gitops_ml.clients.engine.address import LOCAL, resolve_address
from gitops_ml.errors import InputError

SOCKET = "unix:///run/user/1000/docker.sock"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of the Docker command line."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def make_context(config: Path, name: str, host: str) -> None:
    folder = config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    content = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(content))
    (config / "config.json").write_text(json.dumps({"currentContext": name}))


def test_the_current_context_is_the_callers_engine(config: Path) -> None:
    make_context(config, "rootless", SOCKET)
    assert resolve_address(None, {}).url == SOCKET
    assert resolve_address(None, {"DOCKER_CONTEXT": "default"}).url == LOCAL
    assert resolve_address(None, {"DOCKER_HOST": "ssh://a@b"}).url == "ssh://a@b"
    assert resolve_address("unix:///declared.sock", {"DOCKER_HOST": "ssh://a@b"}).url == "unix:///declared.sock"


def test_a_context_with_certificates_brings_its_own(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_context(config, "far", "tcp://far.example:2376")
    folder = config / "contexts" / "tls" / hashlib.sha256(b"far").hexdigest() / "docker"
    folder.mkdir(parents=True)
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (folder / name).write_text("PEM")
    address = resolve_address(None, {})
    assert (address.url, address.tls.ca_cert) == ("tcp://far.example:2376", str(folder / "ca.pem"))


@pytest.mark.usefixtures("config")
def test_without_any_setting_the_local_socket_is_meant() -> None:
    assert resolve_address(None, {}).url == LOCAL


@pytest.mark.parametrize(
    ("env", "names", "fix"),
    [
        ({"DOCKER_HOST": "/var/run/docker.sock"}, "DOCKER_HOST", "unix:///var/run/docker.sock in DOCKER_HOST"),
        ({"DOCKER_HOST": "http://127.0.0.1:2375"}, "DOCKER_HOST", "in DOCKER_HOST"),
        ({"DOCKER_HOST": "tcp://127.0.0.1:2375", "DOCKER_CERT_PATH": "/none"}, "DOCKER_HOST", "DOCKER_CERT_PATH"),
        ({"DOCKER_CONTEXT": "gone"}, "DOCKER_CONTEXT", "docker context ls"),
    ],
)
@pytest.mark.usefixtures("config")
def test_the_setting_that_is_wrong_is_named(env: dict[str, str], names: str, fix: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve_address(None, env)
    assert names in f"{caught.value.what} {caught.value.why}"
    assert fix in caught.value.fix


@pytest.mark.parametrize("content", ["{", "[]", '{"Name": "x"}', '{"Name": "x", "Metadata": {}, "Endpoints": 5}'])
def test_a_malformed_context_is_named(config: Path, content: str) -> None:
    make_context(config, "bent", SOCKET)
    next(config.glob("contexts/meta/*/meta.json")).write_text(content)
    with pytest.raises(InputError, match="the Docker context 'bent' cannot be read") as caught:
        resolve_address(None, {})
    assert caught.value.fix == "docker context inspect bent"
    assert '"Host"' not in docker(caught.value.fix).stdout


def docker(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as it was printed."""
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=False)


def test_a_context_that_is_gone_is_replaced_as_printed(config: Path) -> None:
    make_context(config, "rootless", SOCKET)
    (config / "config.json").write_text('{"currentContext": "gone"}')
    with pytest.raises(InputError, match="'gone' does not exist") as caught:
        resolve_address(None, {})
    show, use = (command.split("`")[1] for command in caught.value.fix.split(";"))
    assert "rootless" in docker(show).stdout
    assert docker(use).returncode == 0
    assert resolve_address(None, {}).url == LOCAL
