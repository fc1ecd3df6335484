"""A runtime image is built from a package index: nothing of the packages runs, and nobody but the index is asked.

The index is a container on the engine's default network, so that builds reach it. Its log is what was asked.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import tarfile
import time
import zipfile
from collections.abc import Iterator

import pytest

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE, ensure_runtime, probe_image
from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.generation import ContainerSpec, owner_labels
from gitops_ml.errors import EngineFailed
from tests.e2e.place import Place, place_fixture

place = place_fixture
CALL = "import os, urllib.request; urllib.request.urlopen('http://{address}:8000/ran')"


class Index:
    """A package index of three packages that all try to run code of their own."""

    def __init__(self, place: Place) -> None:
        self.engine = place.engine
        self.container = self.engine.create(
            ContainerSpec(
                name=f"{place.project}.index",
                image=BASE_IMAGE,
                labels=owner_labels(place.project, "dev", "replica"),
                network="bridge",
                command=("python", "-u", "-m", "http.server", "8000", "--directory", "/srv/index"),
                anonymous_volumes=("/srv",),
                memory=64 << 20,
                restart="no",
            )
        )
        self.engine.start(self.container)
        inspected = self.engine.inspect_container(self.container)
        assert inspected
        self.address = str(inspected["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])
        self.files = {
            "careful-1.0-py3-none-any.whl": _wheel("careful", self.address, ""),
            "linking-1.0-py3-none-any.whl": _wheel(
                "linking", self.address, f"Requires-Dist: more @ http://{self.address}:8000/elsewhere/more-1.0.zip\n"
            ),
            "source-1.0.tar.gz": _source(self.address),
        }
        tree = {"index/simple/": b""}
        for name, content in self.files.items():
            tree |= {
                f"index/simple/{name.partition('-')[0]}/": b"",
                f"index/simple/{name.partition('-')[0]}/{name}": content,
            }
        self.engine.put(self.container, "/srv", tree)
        until = time.monotonic() + 60
        while "Serving HTTP" not in self.log():
            assert time.monotonic() < until
            time.sleep(0.1)

    def lock(self, name: str) -> bytes:
        """A lock of one package."""
        file = next(file for file in self.files if file.startswith(f"{name}-"))
        return f"{name}==1.0 --hash=sha256:{hashlib.sha256(self.files[file]).hexdigest()}\n".encode()

    def log(self) -> str:
        return self.engine.logs(self.container, 200)

    def asked(self) -> list[str]:
        """The paths that were asked for."""
        return [line.split('"')[1].split()[1] for line in self.log().splitlines() if '"GET ' in line]


def _wheel(name: str, address: str, requires: str) -> bytes:
    """A wheel whose `.pth` file runs code in each Python that starts beside it."""
    call = CALL.format(address=address)
    files = {
        f"{name}.py": call,
        f"{name}.pth": f"import os; exec({call!r})\n",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{name}-1.0.dist-info/RECORD"] = "".join(f"{file},,\n" for file in files)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
        archive.writestr("nonce", secrets.token_hex(8))
    return buffer.getvalue()


def _source(address: str) -> bytes:
    """A source archive whose setup.py runs code when it is built."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        content = f"{CALL.format(address=address)}\nfrom setuptools import setup\nsetup(name='source', version='1.0')\n"
        entry = tarfile.TarInfo("source-1.0/setup.py")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content.encode()))
    return buffer.getvalue()


@pytest.fixture
def index(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    index = Index(place)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://reader:s3cret@{index.address}:8000/simple")
    monkeypatch.setenv("PIP_TRUSTED_HOST", index.address)
    yield index
    assert "/ran" not in index.asked()
    assert not [path for path in index.asked() if path.startswith("/elsewhere")]


def steps(engine: Engine) -> set[str]:
    return {str(image["Id"]) for image in engine.list_images({"gitops-ml.role": "build"})}


def test_wheels_are_unpacked_without_running_them_and_stay_out_of_the_probe(index: Index) -> None:
    engine, before = index.engine, steps(index.engine)
    tag, image = ensure_runtime(engine, index.lock("careful"))
    try:
        assert set(index.asked()) == {"/simple/careful/", "/simple/careful/careful-1.0-py3-none-any.whl"}
        assert "s3cret" not in str(engine.inspect_image(image))
        assert steps(engine) <= before
        site = "/opt/gitops-ml/venv/lib/python3.11/site-packages"
        container = engine.create(ContainerSpec(name=f"{tag[-16:]}.look", image=image, labels={}, network=None))
        try:
            assert engine.get(container, f"{site}/careful.pth")
        finally:
            engine.remove(container)
        assert probe_image(engine) != image
    finally:
        assert engine.remove_image(tag)


def test_a_source_archive_is_not_built(index: Index) -> None:
    before = steps(index.engine)
    with pytest.raises(EngineFailed, match="could not be built"):
        ensure_runtime(index.engine, index.lock("source"))
    assert steps(index.engine) <= before


def test_an_address_among_a_packages_own_requirements_is_not_asked(index: Index) -> None:
    with pytest.raises(EngineFailed, match="could not be built") as caught:
        ensure_runtime(index.engine, index.lock("linking"))
    assert "more" in caught.value.why
