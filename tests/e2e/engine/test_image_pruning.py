"""Old images of a project's models are removed; what is used, spoken of or new is kept, and so is what is others'."""

from __future__ import annotations

import pytest

from gitops_ml.clients.engine.building.image_pruning import KEPT_PER_MODEL, prune_model_images
from gitops_ml.clients.engine.building.model_images import BASE_IMAGE, TITLE
from gitops_ml.clients.engine.streams import pack
from gitops_ml.core.generation import PROJECT, ROLE
from tests.e2e.place import Place, place_fixture

place = place_fixture


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
