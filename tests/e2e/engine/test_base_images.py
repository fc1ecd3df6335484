"""Base images: pulled by digest from a registry, and the same image to us on every engine."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gitops_ml.clients.engine.building.base_images import BY_NAME, IDENTITY, BaseImage, base_identity, ensure_base
from gitops_ml.clients.engine.streams import pack
from gitops_ml.errors import EngineFailed
from tests.e2e.place import Place, place_fixture

place = place_fixture
_OCI = "application/vnd.docker."
_MANIFEST = f"{_OCI}distribution.manifest.v2+json"


class Registry:
    """A registry with one tiny image, as `docker pull` asks it."""

    def __init__(self) -> None:
        layer = pack({"hello": os.urandom(16)})
        packed = gzip.compress(layer)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Env": ["PATH=/"]},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            }
        ).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(f"{_OCI}container.image.v1+json", config),
            "layers": [_descriptor(f"{_OCI}image.rootfs.diff.tar.gzip", packed)],
        }
        content = json.dumps(manifest).encode()
        self.digest = _digest(content)
        self.asked: list[str] = []
        blobs = {_digest(config): config, _digest(packed): packed, self.digest: content}
        asked = self.asked

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                asked.append(self.path)
                body = b"{}" if self.path == "/v2/" else blobs.get(self.path.rpartition("/")[2])
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.send_header("Content-Type", _MANIFEST if "/manifests/" in self.path else "x/x")
                self.send_header("Docker-Content-Digest", self.path.rpartition("/")[2])
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(content), "digest": _digest(content)}


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    yield registry
    registry.server.shutdown()
    registry.server.server_close()


def pinned(registry: Registry, monkeypatch: pytest.MonkeyPatch, digest: str = "") -> BaseImage:
    image = BaseImage("test", f"{registry.address}/tiny:1", digest or registry.digest, "0" * 64)
    monkeypatch.setitem(BY_NAME, image.name, image)
    return image


def test_a_base_image_is_pulled_by_its_digest_which_identifies_it(
    place: Place, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pinned(registry, monkeypatch)
    assert base_identity(place.engine, image.name) is None
    made = ensure_base(place.engine, image.name)
    try:
        assert base_identity(place.engine, image.name) == registry.digest != made
        asked = len(registry.asked)
        assert ensure_base(place.engine, image.name) == made
        assert len(registry.asked) == asked
        assert place.engine.remove_image(image.pinned)
        assert base_identity(place.engine, image.name) == registry.digest
    finally:
        assert place.engine.remove_image(image.name)


def test_another_digest_than_the_pinned_one_is_refused(
    place: Place, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pinned(registry, monkeypatch, "sha256:" + "0" * 64)
    with pytest.raises(EngineFailed, match=r"tiny:1 \(sha256:0+\) is not on the engine"):
        ensure_base(place.engine, image.name)
    assert base_identity(place.engine, image.name) is None


def test_a_build_succeeds_while_another_process_removes_images(place: Place) -> None:
    """Without `nocache`, one build in four failed here: "unable to find image"."""
    finished = threading.Event()

    def build(name: str, number: int) -> None:
        label = f"LABEL gitops-ml.project={place.project} number={number}"
        tag = f"{place.project}:{name}"
        place.engine.build(pack({"Dockerfile": f"FROM scratch\n{label} of={name}\n".encode()}), tag)
        assert place.engine.remove_image(tag)

    def build_until_told(name: str) -> None:
        number = 0
        while not finished.is_set():
            number += 1
            build(name, number)

    with ThreadPoolExecutor() as pool:
        others = [pool.submit(build_until_told, f"other-{n}") for n in range(3)]
        try:
            for number in range(20):
                build("ours", number)
        finally:
            finished.set()
        for other in others:
            other.result()


def test_images_of_other_ids_have_the_same_identity(place: Place) -> None:
    images = {}
    for number in (1, 2):
        dockerfile = f"FROM scratch\nLABEL {IDENTITY}=recipe:abc number={number} gitops-ml.project={place.project}\n"
        tag = f"{place.project}:{number}"
        images[tag] = place.engine.build(pack({"Dockerfile": dockerfile.encode()}), tag)
    assert len(set(images.values())) == 2
    assert {base_identity(place.engine, tag) for tag in images} == {"recipe:abc"}
