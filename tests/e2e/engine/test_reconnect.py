"""The last known engine is connected to in advance; a wrong memory of it costs nothing but time."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops_ml.clients.engine import reconnect
from gitops_ml.errors import EngineUnavailable
from tests.e2e.place import Place, place_fixture
from tests.e2e.workshop import Workshop

place = place_fixture


def test_a_remembered_engine_has_a_shell_in_its_gateway(place: Place, tmp_path: Path) -> None:
    gateway = place.ensure_gateway()
    reconnect.remember(tmp_path, "dev", place.engine.url, gateway)
    engine = reconnect.begin(tmp_path, ["dev", "staging"])["dev"].engine(place.engine.url)
    assert engine is not None
    with engine:
        assert engine.has_shell(gateway)


def test_without_a_name_all_remembered_engines_are_connected_to(place: Place, tmp_path: Path) -> None:
    for name in ("dev", "staging"):
        reconnect.remember(tmp_path, name, place.engine.url, "gone")
    reconnections = reconnect.begin(tmp_path, [])
    assert sorted(reconnections) == ["dev", "staging"]
    for reconnection in reconnections.values():
        engine = reconnection.engine(place.engine.url)
        assert engine is not None and not engine.has_shell("gone")
        engine.close()


def test_a_connection_to_another_engine_than_the_declared_one_is_not_used(tmp_path: Path) -> None:
    reconnect.remember(tmp_path, "dev", f"unix://{tmp_path}/nobody.sock", "gone")
    assert reconnect.begin(tmp_path, ["dev"])["dev"].engine(None) is None


def test_an_engine_that_does_not_answer_is_reported_when_it_is_needed(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/nobody.sock"
    reconnect.remember(tmp_path, "dev", url, "gone")
    with pytest.raises(EngineUnavailable):
        reconnect.begin(tmp_path, ["dev"])["dev"].engine(url)


@pytest.mark.parametrize("content", ["", "{", '{"engine": 1}', "[]"])
def test_an_unreadable_file_counts_as_no_memory(tmp_path: Path, content: str) -> None:
    reconnect.remember(tmp_path, "dev", None, "gone")
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    assert reconnect.begin(tmp_path, ["dev"]) == {}


def test_a_wrong_memory_changes_nothing_in_a_sync(workshop: Workshop) -> None:
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.sync()
    (file,) = (workshop.folder / ".git" / "gitops-ml").glob("engine-dev.json")
    remembered = file.read_bytes()
    folder = file.parent
    reconnect.remember(folder, "dev", f"unix://{folder}/nobody.sock", "gone")
    workshop.sync()
    assert file.read_bytes() == remembered
    reconnect.remember(folder, "dev", None, "gone")
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0")
    workshop.sync()
    assert workshop.serving() == "v1.1.0"
    assert file.read_bytes() == remembered


def test_a_sync_finds_an_engine_that_comes_back_meanwhile(workshop: Workshop) -> None:
    """A failed connection is not used again by the later tries."""
    lost = workshop.folder / ".git" / "engine.sock"
    workshop.environment(engine=f"unix://{lost}")
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    reconnect.remember(workshop.folder / ".git" / "gitops-ml", "dev", f"unix://{lost}", "gone")
    process = workshop.begin("sync", "dev")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("retry dev")
    lost.symlink_to("/var/run/docker.sock")
    _, output = process.communicate(timeout=120)
    assert process.returncode == 0, output
