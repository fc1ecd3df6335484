"""Old images of a project's models are removed; what is used, spoken of or new is kept, and so is what is others'."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gitops_ml.clients.engine.building import model_images
from gitops_ml.clients.engine.building.image_pruning import KEPT_PER_MODEL, prune_model_images
from gitops_ml.clients.engine.building.model_images import BASE_IMAGE, TITLE
from gitops_ml.clients.engine.streams import pack
from gitops_ml.core.generation import PROJECT, ROLE
from tests.e2e.place import Place, place_fixture

place = place_fixture


BUILD = """
import sys
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.streams import pack
with Engine.connect(None) as engine:
    engine.build(pack({"Dockerfile": sys.argv[1].encode()}), sys.argv[2])
"""


def build(place: Place, project: str, number: int) -> str:
    tag = f"{project}:{number}"
    labels = {PROJECT: project, ROLE: "model", TITLE: "churn"}
    place.engine.build(pack({"Dockerfile": f"FROM {BASE_IMAGE}\nLABEL n={number}\n".encode()}), tag, labels=labels)
    return tag


def test_all_but_the_newest_images_that_nothing_speaks_of_are_removed(place: Place) -> None:
    tags = [build(place, place.project, number) for number in range(KEPT_PER_MODEL + 4)]
    used, spoken_of, *old = tags[:4]
    place.ensure_network()
    place.engine.create(place.spec("holds", image=used))
    removed = prune_model_images(place.engine, place.project, lambda: f"serves {spoken_of}")
    assert sorted(removed) == sorted(old)
    assert [tag for tag in tags if not place.engine.image_id(tag)] == old


def test_a_few_images_and_those_of_other_projects_are_left_alone(place: Place) -> None:
    tags = [build(place, place.project, number) for number in range(KEPT_PER_MODEL)]
    never = lambda: pytest.fail("nothing is old")  # noqa: E731  # a statement cannot be given
    assert prune_model_images(place.engine, place.project, never) == []
    assert prune_model_images(place.engine, f"{place.project}-2", never) == []
    assert all(map(place.engine.image_id, tags))


def test_a_killed_build_leaves_no_container_and_its_steps_go_with_a_build_an_hour_later(place: Place) -> None:
    ours = {PROJECT: place.project, ROLE: "build"}
    labels = " ".join(f"{key}={value}" for key, value in ours.items())
    dockerfile = f"FROM {BASE_IMAGE}\nLABEL {labels}\nRUN sleep 60\n"
    building = subprocess.Popen([sys.executable, "-c", BUILD, dockerfile, f"{place.project}:killed"])
    until(lambda: place.engine.list_containers(ours))
    building.kill()
    building.wait()
    until(lambda: not place.engine.list_containers(ours))
    assert place.engine.list_images(ours)
    for later, remain in ((timedelta(), True), (timedelta(hours=2), False)):
        info = place.engine.info()
        engine: Any = SimpleNamespace(
            info=lambda info=info, later=later: msgspec.structs.replace(info, now=info.now + later),
            list_images=lambda _: place.engine.list_images(ours),  # no build of anybody else's
            remove_image=place.engine.remove_image,
        )
        model_images._remove_old_steps(engine)
        assert bool(place.engine.list_images(ours)) is remain


def until(there: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)
