"""The agent as a process: it keeps environments equal to Git beside each other, whatever happens to Git and to it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import docker
import pytest

from tests.e2e.agent.running_agent import WITHIN, remove_replica, running, serves, until
from tests.e2e.engine.test_engine_ssh import host as ssh_host_fixture
from tests.e2e.host import Host
from tests.e2e.workshop import GITOPS_ML, MODEL, Workshop, serving_v1

ssh_host = ssh_host_fixture


@pytest.mark.alone
def test_environments_are_kept_equal_to_git_beside_each_other(workshop: Workshop, engine: docker.DockerClient) -> None:
    host = Host(engine, workshop.project)
    workshop.environment("dev", drain="1s")
    workshop.environment("staging", drain="1s")
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.declare("v1.0.0", environment="staging")
    with socket.socket() as other, running(workshop, "--listen", "127.0.0.1:0") as agent:
        other.bind(("127.0.0.1", workshop.ports["staging"]))  # so that staging's gateway cannot have its port
        other.listen()
        until(serves(workshop, "v1.0.0"), "dev serves")
        until(lambda: agent.says("error staging: "), "staging's trouble is said")
        until(lambda: '"dev":{"ready":true' in agent.asked("/readyz")[1], "dev is ready")
        assert agent.asked("/readyz")[0] == 503, "staging is not"

        away = workshop.remote.rename(workshop.remote.with_name("away.git"))
        until(lambda: agent.says("error: "), "the outage is said")
        assert "\ngitops_ml_agent_git_reachable 0.0\n" in agent.asked("/metrics")[1]
        remove_replica(host)
        healed = until(lambda: host.replicas() and serves(workshop, "v1.0.0")(), "dev is healed without the remote")
        assert healed < 15
        away.rename(workshop.remote)
        until(lambda: agent.says("recovered: the remote answers again"), "the end of the outage is said")
        assert [line.split(":")[1] for line in agent.lines if line.startswith("error: ")] == [
            " the remote origin could not be fetched"
        ]

        until(lambda: agent.says("record dev "), "the record is pushed after the outage")
        workshop.release("v1.1.0")
        workshop.declare("v1.1.0")
        until(serves(workshop, "v1.1.0"), "the new commit is rolled out")
        until(lambda: workshop.record()["serving"]["version"] == "v1.1.0", "its record is pushed")
        workshop.declare("v1.1.0", environment="prod")
        until(serves(workshop, "v1.1.0", "prod"), "the new environment is picked up")

        other.close()
        until(serves(workshop, "v1.0.0", "staging"), "staging recovers")
        until(lambda: agent.says("recovered staging"), "staging's recovery is said")
        assert agent.asked("/readyz")[0] == 200
        healthy = f'gitops_ml_deployment_health{{deployment="{MODEL}",environment="staging",state="Healthy"}} 1.0'
        until(lambda: healthy in agent.asked("/metrics")[1], "its metrics say so too")
        time.sleep(2)  # so that the records are pushed and nothing is under way
        assert agent.stop() < 2
        assert agent.process.returncode == 0
    assert not any("Traceback" in line for line in agent.lines)


def full_device() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def pipe_whose_reader_has_gone() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def pipe_that_nobody_reads() -> int:
    _, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    return writer


def closed() -> int:
    """Stands for neither stdout nor stderr."""
    return -1


@pytest.fixture(scope="module")
def serving_workshop(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with serving_v1(engine, tmp_path_factory.mktemp("agent"), "agent") as workshop:
        yield workshop


@pytest.mark.parametrize("stderr", [full_device, pipe_whose_reader_has_gone, pipe_that_nobody_reads, closed])
def test_an_agent_that_nobody_listens_to_goes_on_working(
    serving_workshop: Workshop, engine: docker.DockerClient, stderr: Callable[[], int]
) -> None:
    host = Host(engine, serving_workshop.project)
    command = f"exec '{GITOPS_ML}' agent --interval 1s" + " >&- 2>&-" * (stderr is closed)
    writer = None if stderr is closed else stderr()
    process = subprocess.Popen(["bash", "-c", command], cwd=serving_workshop.folder, stderr=writer)
    try:
        remove_replica(host)
        until(lambda: host.replicas() and serves(serving_workshop, "v1.0.0")(), "it is healed")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def test_a_killed_replica_is_replaced_long_before_the_interval_is_over(
    serving_workshop: Workshop, engine: docker.DockerClient
) -> None:
    host = Host(engine, serving_workshop.project)
    with running(serving_workshop, "--interval", "10m") as agent:
        until(lambda: agent.says("reconcile dev"), "it has begun")
        time.sleep(3)  # so that its first passes are over
        host.api.kill(host.replicas()[0]["Id"])
        until(lambda: agent.says("retire "), "the dead replica is replaced", 20)
        assert serves(serving_workshop, "v1.0.0")()


def test_the_metrics_of_each_replica_are_gathered(serving_workshop: Workshop) -> None:
    workshop = serving_workshop
    sample = re.compile(r'gitops_ml_inference_requests_total\{code="200",.*replica="(\d)".*\} (\d+)\.0')
    workshop.declare("v1.0.0", replicas=2)
    with running(workshop, "--listen", "127.0.0.1:0") as agent:

        def counts() -> dict[str, int]:
            return {replica: int(count) for replica, count in sample.findall(agent.asked("/metrics/models")[1])}

        until(lambda: agent.says("listen "), "it listens")
        until(lambda: agent.asked("/metrics/models")[1].count("gitops_ml_replica_up{") == 2, "two replicas run")
        until(lambda: workshop.serving() and len(counts()) == 2, "both have answered requests")
        until(lambda: agent.says("route "), "both are routed")
        time.sleep(2.1)  # so that no earlier reading is used again
        before = counts()
        for _ in range(20):
            assert workshop.serving() == "v1.0.0"
        until(lambda: sum(counts().values()) == sum(before.values()) + 20, "all requests are counted")
        assert all(count > before[replica] for replica, count in counts().items())
        discovered = json.loads(agent.asked("/sd")[1])
        assert [each["labels"]["replica"] for each in discovered] == ["0", "1"]
        status, text = agent.asked(discovered[1]["labels"]["__metrics_path__"])
        assert status == 200 and "gitops_ml_inference_requests_total" in text
        agent.stop()
    routed = f"http://127.0.0.1:{workshop.ports['dev']}/{MODEL}"
    assert http_status(f"{routed}/v2/health/ready") == 200
    for path in ("/metrics", "/metrics/", "//metrics", "/%6detrics", "/x/../metrics"):
        assert http_status(f"{routed}{path}") == 404, (
            "a scrape by the weighted route would meet another replica each time"
        )


def http_status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.alone
def test_an_environment_is_healed_while_a_check_of_another_takes_its_time(
    serving_workshop: Workshop, engine: docker.DockerClient
) -> None:
    workshop, staging = serving_workshop, Host(engine, serving_workshop.project, "staging")
    serving = str(workshop.serving())
    with socket.create_server(("127.0.0.1", 0)) as silent, running(workshop) as agent:
        workshop.declare(serving, environment="staging")
        until(lambda: agent.says("record staging "), "staging serves, and its record is pushed")
        workshop.release("v1.1.0")
        check = {"name": "orders", "url": f"http://127.0.0.1:{silent.getsockname()[1]}/", "timeout": "30s"}
        workshop.declare("v1.1.0", verify={"http": [check]})
        until(lambda: agent.says("begin dev/"), "dev's rollout begins")
        silent.settimeout(WITHIN)
        with silent.accept()[0]:  # the check is asked, and waits for an answer that never comes
            remove_replica(staging)
            healed = until(lambda: staging.replicas() and serves(workshop, serving, "staging")(), "staging is healed")
        assert healed < 20
        assert not agent.says("orders"), "dev's check was over before staging was healed"
        agent.stop()


@pytest.mark.alone
def test_an_agent_that_is_stopped_in_a_rollout_lets_go_of_it_and_the_next_start_goes_on(
    serving_workshop: Workshop, engine: docker.DockerClient
) -> None:
    workshop, host = serving_workshop, Host(engine, serving_workshop.project)
    workshop.release("v1.2.0", load_seconds=5)
    workshop.declare("v1.2.0")
    with running(workshop) as agent:
        until(lambda: agent.says(f"verify dev/{MODEL}"), "the candidate is verified")
        assert agent.stop() < 2
        assert agent.process.returncode == 0
    assert host.of_role("lock") == []
    assert workshop.serving() == "v1.0.0"
    with running(workshop) as agent:
        until(serves(workshop, "v1.2.0"), "the rollout goes on")
        agent.stop()


@pytest.mark.alone
def test_an_agent_that_is_stopped_while_an_image_is_pulled_ends_at_once(serving_workshop: Workshop) -> None:
    workshop = serving_workshop
    serving = workshop.serving()
    with socket.create_server(("127.0.0.1", 0)) as registry, running(workshop) as agent:
        image = f"127.0.0.1:{registry.getsockname()[1]}/shop@sha256:{'0' * 64}"
        workshop.declare("v1.0.0", serve={"pattern": "image", "image": image, "port": 8000})
        registry.settimeout(WITHIN)
        with registry.accept()[0]:  # the engine asks, and waits for an answer that never comes
            assert agent.stop() < 2
        assert agent.process.returncode == 0
    assert workshop.serving() == serving
    workshop.declare(str(serving))


@pytest.mark.alone
def test_an_engine_whose_tunnel_has_ended_is_met_again(
    workshop: Workshop, engine: docker.DockerClient, ssh_host: str
) -> None:
    host = Host(engine, workshop.project)
    workshop.environment(drain="1s", engine=f"ssh://{ssh_host}")
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    with running(workshop) as agent:
        until(serves(workshop, "v1.0.0"), "it serves")
        subprocess.run(["pkill", "-P", str(agent.process.pid), "ssh"], check=True)
        remove_replica(host)
        until(lambda: host.replicas() and serves(workshop, "v1.0.0")(), "it is healed through another tunnel", 20)
        agent.stop()
