"""Images on a real engine: built once, found by name, and labelled with what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE, ensure_model_image, ensure_runtime, probe_image
from gitops_ml.clients.engine.types import EngineInfo
from gitops_ml.core.declaration.application import Application
from gitops_ml.core.generation import PROJECT, Generation, image_tag
from gitops_ml.errors import ModelRejected
from gitops_ml.serving.building.archive import pack
from tests.e2e.place import Place, place_fixture
from tests.e2e.workshop import ROOT

place = place_fixture
MANIFEST = b'{"name": "m", "inputs": [{"name": "x", "datatype": "FP64"}]}'
LOCK = (ROOT / "requirements" / "serving.txt").read_bytes()
FILES = {"requirements.txt": LOCK, "manifest.json": MANIFEST, "sub/weights.bin": bytes(1000)}


@pytest.fixture
def generation(place: Place) -> Iterator[Generation]:
    digest = "md5:" + "a" * 32 + ".dir"
    image = image_tag(place.project, place.project, "v1.0.0", digest, str(place.engine.image_id(BASE_IMAGE)), 1)
    yield Generation(
        fingerprint="0" * 12,
        deployment="m",
        model=place.project,
        version="v1.0.0",
        digest=digest,
        path="models/m",
        revision="b" * 40,
        commit="c" * 40,
        pattern="service",
        image=image,
    )
    assert place.engine.remove_image(image)


def test_a_model_image_holds_the_artifact_and_is_labelled(place: Place, generation: Generation) -> None:
    image = ensure_model_image(place.engine, generation, FILES, project=place.project)
    inspected = place.engine.inspect_image(image)
    assert inspected
    labels = inspected["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == "v1.0.0"
    assert labels["org.opencontainers.image.revision"] == "b" * 40
    assert labels["gitops-ml.digest"] == generation.digest
    assert labels["gitops-ml.project"] == place.project
    place.ensure_network()
    container = place.engine.create(place.spec("holds", image=image))
    assert place.engine.get(container, "/model") == FILES
    assert not place.engine.remove_image(generation.image)
    place.engine.remove(container)


def test_a_model_image_is_built_once(place: Place, generation: Generation) -> None:
    image = ensure_model_image(place.engine, generation, FILES, project=place.project)
    before = place.engine.calls
    assert ensure_model_image(place.engine, generation, FILES, project=place.project) == image
    assert place.engine.calls - before == 1


def test_a_model_without_requirements_is_rejected(place: Place, generation: Generation) -> None:
    with pytest.raises(ModelRejected, match=r"holds no requirements\.txt"):
        ensure_model_image(place.engine, generation, {"manifest.json": MANIFEST}, project=place.project)


def test_a_runtime_image_is_built_once_and_holds_the_probe(place: Place) -> None:
    tag, image = ensure_runtime(place.engine, b"")
    before = place.engine.calls
    assert ensure_runtime(place.engine, b"") == (tag, image)
    assert place.engine.calls - before == 2
    assert place.engine.inspect_image(probe_image(place.engine))


def test_an_engine_names_its_identity_and_its_clock(place: Place) -> None:
    info = place.engine.info()
    assert isinstance(info, EngineInfo)
    assert info.id and info.cpus >= 1 and info.memory > 2**28
    assert info.now.tzinfo is not None


def test_a_built_image_equals_a_loaded_one(
    place: Place, generation: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = place.engine.inspect_image(ensure_model_image(place.engine, generation, FILES, project=place.project))
    assert place.engine.remove_image(generation.image)

    info = msgspec.structs.replace(place.engine.info(), containerd_store=True)
    monkeypatch.setattr(place.engine, "info", lambda: info)
    monkeypatch.setattr(place.engine, "load", lambda *_: pytest.fail("the containerd store wants every layer"))
    built = place.engine.inspect_image(ensure_model_image(place.engine, generation, FILES, project=place.project))
    assert loaded and built
    for key in ("Labels", "Env", "User", "Cmd", "WorkingDir", "ExposedPorts", "Entrypoint"):
        assert loaded["Config"].get(key) == built["Config"].get(key), key
    assert loaded["RootFS"]["Layers"][:-1] == built["RootFS"]["Layers"][:-1]


def test_a_model_is_put_into_an_application_whose_image_has_no_shell(place: Place, generation: Generation) -> None:
    context = pack({"Dockerfile": b'FROM scratch\nCOPY start /bin/start\nCMD ["/bin/start"]\n', "start": b"\x7fELF"})
    below = place.engine.build(context, f"{place.project}:shop", labels={PROJECT: place.project})
    embedded = msgspec.structs.replace(
        generation, pattern="embed", application=Application(image=below), model_path="/srv/model"
    )
    image = ensure_model_image(place.engine, embedded, {"weights.bin": b"w"}, project=place.project)
    place.ensure_network()
    container = place.engine.create(place.spec("holds", image=image, command=None))
    files = place.engine.get(container, "/srv/model")
    identity = {"model": place.project, "version": "v1.0.0", "digest": generation.digest}
    assert json.loads(files.pop("gitops-ml.json")) == identity and files == {"weights.bin": b"w"}
    inspected = place.engine.inspect_image(image)
    assert inspected and inspected["Config"]["Cmd"] == ["/bin/start"]
    place.engine.remove(container)
