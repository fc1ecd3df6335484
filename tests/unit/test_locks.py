"""The locks agree: a model must be served with the versions that it was trained with."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from gitops_ml.clients.engine.building.base_images import GATEWAY, PYTHON, BaseImage
from gitops_ml.serving.building.requirements import OLDEST

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE))


def test_both_locks_have_the_same_versions() -> None:
    serving, dev = pins(ROOT / "requirements" / "serving.txt"), pins(ROOT / "requirements" / "dev.txt")
    assert {"scikit-learn", "pandas", "numpy", "skops", "uvicorn"} <= serving.keys()
    assert {name: dev.get(name) for name in serving} == serving


def test_the_action_installs_the_developers_versions_and_nothing_that_trains_or_tests() -> None:
    runtime, dev = pins(ROOT / "requirements" / "runtime.txt"), pins(ROOT / "requirements" / "dev.txt")
    assert {name: dev.get(name) for name in runtime} == runtime
    assert {"dvc", "docker", "cronsim"} <= runtime.keys()
    assert not {"pytest", "scikit-learn", "pandas", "mypy"} & runtime.keys()


def test_the_agents_image_has_the_actions_versions_and_notifications() -> None:
    agent, runtime = pins(ROOT / "requirements" / "agent.txt"), pins(ROOT / "requirements" / "runtime.txt")
    dev = pins(ROOT / "requirements" / "dev.txt")
    assert {name: dev.get(name) for name in agent} == agent
    assert agent.items() > runtime.items() and "apprise" in agent


def test_serving_input_is_the_extra() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["serving"]
    lines = (ROOT / "requirements" / "serving.in").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == extra


def test_the_oldest_versions_of_the_server_are_those_of_the_extra() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["serving"]
    assert {f"{name}>={version}" for name, version in OLDEST.items()} <= set(extra)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_have_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text and " @ " not in text
    for requirement in re.split(r"\n(?=[a-z0-9])", text.strip()):
        assert "--hash=sha256:" in requirement, requirement.splitlines()[0]


@pytest.mark.parametrize(
    ("base", "files"),
    [(PYTHON, ["setup/recipes/python"]), (GATEWAY, ["setup/recipes/gateway", "requirements/traefik.txt"])],
    ids=["python", "gateway"],
)
def test_a_base_image_made_from_packages_is_identified_by_its_recipe(base: BaseImage, files: list[str]) -> None:
    recipe = hashlib.sha256(b"".join((ROOT / file).read_bytes() for file in files)).hexdigest()
    assert base.recipe == recipe, "the recipe changed: set it in engine/building/base_images.py; every model rolls anew"
