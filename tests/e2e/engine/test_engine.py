"""The engine's calls against a real engine: containers are made as asked for, and errors name their fix."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitops_ml.clients.engine.building.base_images import ensure_base
from gitops_ml.clients.engine.building.model_images import BASE_IMAGE
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.types import NameTaken
from gitops_ml.core.planning.drift import container_drift
from gitops_ml.errors import EngineFailed, EngineUnavailable, InputError
from tests.e2e.place import Place, place_fixture

place = place_fixture


def test_a_new_container_has_no_drift(place: Place, tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("s")
    place.ensure_network()
    place.engine.ensure_volume(place.volume, {"gitops-ml.project": place.project})
    spec = place.spec(
        "all",
        env={"LANG": "C.UTF-8", "LOG_LEVEL": "info"},  # the image sets the first one too
        binds={"/run/secrets/KEY": str(secret)},
        volumes={place.volume: "/data"},
        ports={8080: ("127.0.0.1", place.port)},
        cpus=0.5,
        tmpfs=("/tmp", "/scratch"),
    )
    container = place.engine.create(spec)
    (seen,) = place.look().containers
    assert seen.id == container
    assert seen.facts
    assert container_drift(spec, seen, place.engine.image_id(BASE_IMAGE)) == ()
    assert seen.facts.env == spec.env


def test_a_container_is_locked_down(place: Place) -> None:
    place.ensure_network()
    container = place.engine.create(place.spec("locked"))
    place.engine.start(container)
    result = place.engine.exec(
        container, ["sh", "-c", "id -u; touch /x; touch /tmp/x && echo fine; cat /proc/1/status"]
    )
    lines = result.stdout.decode().splitlines()
    assert lines[:2] == ["65532", "fine"]
    assert b"Read-only file system" in result.stderr
    assert "CapEff:\t0000000000000000" in lines
    assert "NoNewPrivs:\t1" in lines


def test_a_command_returns_its_exit_code_and_both_outputs(place: Place) -> None:
    place.ensure_network()
    container = place.engine.create(place.spec("runs"))
    place.engine.start(container)
    script = "head -c 300000 /dev/zero; echo oops >&2; exit 7"
    result = place.engine.exec(container, ["sh", "-c", script])
    assert (result.code, len(result.stdout), result.stderr) == (7, 300000, b"oops\n")


def test_files_are_written_to_and_read_from_a_container_that_never_ran(place: Place) -> None:
    place.ensure_network()
    container = place.engine.create(place.spec("files", anonymous_volumes=("/data",)))
    place.engine.put(container, "/data", {"a/": b"", "a/b.txt": b"1", "c": bytes(range(256))})
    assert place.engine.get(container, "/data") == {"a/b.txt": b"1", "c": bytes(range(256))}
    assert place.engine.get(container, "/data/c") == {"c": bytes(range(256))}
    assert place.engine.get(container, "/data/none") == {}
    place.engine.remove(container)
    with pytest.raises(EngineFailed):
        place.engine.get(container, "/data")


def test_a_missing_secret_is_named_and_not_created(place: Place, tmp_path: Path) -> None:
    place.ensure_network()
    missing = tmp_path / "api_key"
    with pytest.raises(EngineFailed, match=str(missing)):
        place.engine.start(place.engine.create(place.spec("secretive", binds={"/run/secrets/KEY": str(missing)})))
    assert not missing.exists()


def test_a_taken_port_is_named(place: Place) -> None:
    place.ensure_network()
    publish = {8080: ("127.0.0.1", place.port)}
    place.engine.start(place.engine.create(place.spec("first", ports=publish)))
    with pytest.raises(EngineFailed, match=f"port {place.port} on the engine's host is taken") as caught:
        place.engine.start(place.engine.create(place.spec("second", ports=publish)), "second")
    look, or_, _ = caught.value.fix.partition(" or ")
    assert or_ and "first" in subprocess.run(look.strip("`").split(), capture_output=True, text=True, check=True).stdout


def test_a_second_container_of_the_same_name_is_refused(place: Place) -> None:
    place.ensure_network()
    place.engine.create(place.spec("one"))
    with pytest.raises(NameTaken):
        place.engine.create(place.spec("one"))


def test_calls_on_a_container_that_is_gone_succeed(place: Place) -> None:
    place.ensure_network()
    container = place.engine.create(place.spec("gone"))
    place.engine.remove(container)
    place.engine.remove(container, force=True)
    place.engine.stop(container, 1)
    place.engine.kill(container)
    assert place.engine.state(container) is None
    assert place.engine.logs(container) == ""
    assert place.engine.wait(container, 1) is None
    place.engine.remove_network(place.network)
    place.engine.remove_network(place.network)


def test_waiting_returns_the_exit_code_or_none_after_the_time_out(place: Place) -> None:
    place.ensure_network()
    container = place.engine.create(place.spec("waits", command=("sh", "-c", "sleep 1; exit 5"), restart="no"))
    place.engine.start(container)
    assert place.engine.wait(container, 0.2) is None
    assert place.engine.wait(container, 10) == 5


def test_a_network_is_made_once(place: Place) -> None:
    place.ensure_network()
    place.ensure_network()
    assert len(place.engine.list_networks({"gitops-ml.project": place.project})) == 1


def test_an_engine_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"No such file|does not answer"):
        Engine.connect(f"unix://{tmp_path}/none.sock")


@pytest.mark.parametrize("url", ["http://127.0.0.1:2375", "podman"])
def test_an_unknown_kind_of_address_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        Engine.connect(url)


def test_tcp_without_certificates_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"ca\.pem"):
        Engine.connect("tcp://127.0.0.1:2376")


def test_an_image_that_cannot_be_pulled_names_the_fix(place: Place) -> None:
    with pytest.raises(EngineFailed, match="could not be pulled") as caught:
        ensure_base(place.engine, "127.0.0.1:9/none:1")
    assert "make setup" in caught.value.fix


def test_a_build_that_fails_shows_its_last_lines(place: Place) -> None:
    from gitops_ml.clients.engine.streams import pack

    context = pack({"Dockerfile": f"FROM {BASE_IMAGE}\nRUN echo telling && false\n".encode()})
    with pytest.raises(EngineFailed, match="telling"):
        place.engine.build(context, f"{place.project}:x")
    assert place.engine.image_id(f"{place.project}:x") is None


def test_a_full_disk_during_a_build_is_named(place: Place) -> None:
    from gitops_ml.clients.engine.streams import pack

    context = pack({"Dockerfile": f"FROM {BASE_IMAGE}\nRUN head -c 100m /dev/zero >/dev/shm/full\n".encode()})
    with pytest.raises(EngineFailed, match="disk is full") as caught:
        place.engine.build(context, f"{place.project}:x")
    assert "docker image prune" in caught.value.fix
