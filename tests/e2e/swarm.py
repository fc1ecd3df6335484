"""A Docker Swarm on this machine: engines in network namespaces on one bridge, and a registry with a password."""

from __future__ import annotations

import base64
import contextlib
import crypt
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest

from tests.e2e.second_engine import SecondEngine

USER, PASSWORD = "deploy", "correct horse"
REGISTRY_PORT = 5000


@dataclass
class Node:
    """One engine of the Swarm; `address` is where the other nodes and this machine reach it."""

    engine: SecondEngine
    namespace: str
    address: str
    client: docker.DockerClient

    @property
    def id(self) -> str:
        return str(self.client.api.info()["Swarm"]["NodeID"])


@dataclass
class Swarm:
    """The nodes of a Swarm, a manager first, and the registry."""

    folder: Path
    number: int
    undo: contextlib.ExitStack
    nodes: list[Node] = field(default_factory=list)
    registry_process: subprocess.Popen[bytes] | None = None

    @property
    def manager(self) -> Node:
        return self.nodes[0]

    @property
    def registry(self) -> str:
        return f"{self._address(1)}:{REGISTRY_PORT}"

    def _address(self, host: int) -> str:
        return f"198.18.{self.number}.{host}"  # RFC 2544: no network of this machine has it

    def _connect(self, host: int, interface: str, *namespace: str) -> str:
        """Connect an interface to the nodes' bridge, and give it an address.

        The bridge has a namespace of its own: this machine's firewall lets no other engine's packets through.
        """
        hub, address = f"gm{self.number}-hub", self._address(host)
        if hub not in _ip("netns", "list"):
            self._add_namespace(hub)
            _ip("-n", hub, "link", "add", "bridge", "type", "bridge")
            _ip("-n", hub, "link", "set", "bridge", "up")
        _ip("link", "add", interface, "type", "veth", "peer", "name", f"port{host}", "netns", hub)
        _ip("-n", hub, "link", "set", f"port{host}", "master", "bridge", "up")
        if namespace:
            _ip("link", "set", interface, "netns", *namespace)
        inside = ("-n", *namespace) if namespace else ()
        _ip(*inside, "address", "add", f"{address}/24", "dev", interface)
        _ip(*inside, "link", "set", interface, "up")
        return address

    def _add_namespace(self, name: str) -> None:
        _ip("netns", "add", name)
        self.undo.callback(_ip, "netns", "delete", name)

    def connect_this_machine(self) -> None:
        """Give this machine an address among the nodes; its interface goes with the bridge's namespace."""
        self._connect(1, f"gm{self.number}")

    def add_node(self) -> Node:
        """Start an engine in a network namespace of its own, and let it join the Swarm."""
        n = len(self.nodes) + 1
        namespace = f"gm{self.number}-{n}"
        self._add_namespace(namespace)
        address = self._connect(10 + n, f"gm{self.number}n{n}", namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", namespace, "route", "add", "default", "via", self._address(1))
        folder = self.folder / str(n)
        folder.mkdir()
        # `ip netns exec` would hide the cgroups.
        inside = ("nsenter", f"--net=/var/run/netns/{namespace}")
        engine = SecondEngine(folder, folder / "data", inside, (f"--insecure-registry={self.registry}",))
        engine.start()
        client = docker.DockerClient(engine.url)
        node = Node(engine, namespace, address, client)
        self.nodes.append(node)
        self.undo.callback(engine.stop)
        if n == 1:
            client.api.init_swarm(advertise_addr=address, listen_addr=f"{address}:2377")
        else:
            token = self.manager.client.api.inspect_swarm()["JoinTokens"]["Worker"]
            client.api.join_swarm([f"{self.manager.address}:2377"], token, advertise_addr=address)
        return node

    def power_off(self, node: Node) -> None:
        """Kill an engine and all that it runs, as a machine without power does."""
        # Containers have namespaces of their own, below the engine's shims.
        for process in [below for pid in _ip("netns", "pids", node.namespace).split() for below in _below(int(pid))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        node.engine.stop()

    def power_on(self, node: Node) -> None:
        """Start an engine again that was powered off, with what it had on its disk. It joins the Swarm by itself."""
        (node.engine.folder / "pid").unlink(missing_ok=True)
        node.engine.start()
        until = time.monotonic() + 90
        while self._state(node) != "ready":
            assert time.monotonic() < until, f"{node.namespace} does not come back"
            time.sleep(0.5)

    def _state(self, node: Node) -> str:
        states = {each["ID"]: each["Status"]["State"] for each in self.manager.client.api.nodes()}
        return str(states[node.id])

    def start_registry(self) -> None:
        """Start the registry, with what it held before."""
        folder = self.folder / "registry"
        folder.mkdir(exist_ok=True)
        (folder / "users").write_text(f"{USER}:{crypt.crypt(PASSWORD, crypt.METHOD_BLOWFISH)}\n")
        content = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": self.registry},
            "auth": {"htpasswd": {"realm": "models", "path": str(folder / "users")}},
        }
        (folder / "config.yml").write_text(json.dumps(content))
        with (folder / "log").open("ab") as out:
            self.registry_process = subprocess.Popen(
                ["docker-registry", "serve", str(folder / "config.yml")], stdout=out, stderr=out
            )
        until = time.monotonic() + 20
        while not self._registry_answers():
            assert time.monotonic() < until, (folder / "log").read_text()[-2000:]
            time.sleep(0.1)

    def _registry_answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.registry}/v2/", timeout=5)
        except urllib.error.HTTPError as error:
            return error.code == 401
        except OSError:
            return False
        return True

    def stop_registry(self) -> None:
        if self.registry_process:
            self.registry_process.terminate()
            self.registry_process.wait(timeout=20)
            self.registry_process = None

    def docker_config(self, password: str = PASSWORD) -> str:
        """A folder for DOCKER_CONFIG, as `docker login` writes it."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {self.registry: {"auth": auth}}}))
        return str(folder)


@contextlib.contextmanager
def swarm(nodes: int) -> Iterator[Swarm]:
    """A Swarm of one manager and workers; skips the test where this machine cannot have one."""
    missing = [program for program in ("dockerd", "ip", "docker-registry") if not shutil.which(program)]
    if os.geteuid() or missing:
        pytest.skip(f"a Swarm needs root, dockerd, ip and docker-registry; missing: {missing or 'root'}")
    with contextlib.ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="gm-swarm-"))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        undo.callback(_unmount_below, folder)
        made = Swarm(folder, os.getpid() % 250 + 1, undo)
        made.connect_this_machine()
        undo.callback(made.stop_registry)
        made.start_registry()
        for _ in range(nodes):
            made.add_node()
        yield made


def _unmount_below(folder: Path) -> None:
    """Unmount what an engine that was killed has left mounted."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(f"{folder}/")]):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def _below(pid: int) -> list[int]:
    """A process, what it started, and what those started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return [pid]
    return [pid, *(below for child in children for below in _below(int(child)))]
