"""Build contexts: equal inputs give equal bytes, secrets stay out, and paths stay inside the artifact."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest

from gitops_ml.errors import InputError
from gitops_ml.serving import SERVING_SOURCE, SERVING_VERSION
from gitops_ml.serving.building.archive import pack
from gitops_ml.serving.building.context import (
    ARTIFACT_SOURCES,
    PACKAGE,
    build_args,
    download_context,
    install_context,
    pip_certificates,
    runtime_context,
    runtime_key,
    server_sources,
    source_digest,
)
from gitops_ml.serving.building.model_layer import model_archive, model_context
from tests.serving.conftest import ROOT

LOCKED = b"msgspec==0.22.0 --hash=sha256:00\n"


def contents(tar: bytes) -> dict[str, tuple[int, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        entries = [entry for entry in archive if entry.isfile()]
        return {entry.name: (entry.mode, archive.extractfile(entry).read()) for entry in entries}  # type: ignore[union-attr]


def whole(pieces: Iterable[bytes]) -> bytes:
    return b"".join(pieces)


def test_serving_version_is_raised_when_the_servers_source_changes() -> None:
    assert source_digest() == SERVING_SOURCE, (
        f"the model server's source changed. If its behaviour did, raise SERVING_VERSION above {SERVING_VERSION}; "
        f'then set SERVING_SOURCE = "{source_digest()}" in gitops_ml/serving/__init__.py'
    )


def test_the_steps_of_a_runtime_image_hold_what_each_needs() -> None:
    fetched = contents(download_context(LOCKED, "base:1", b"PEM"))
    installed = contents(install_context("wheels:1"))
    final = contents(runtime_context("base:1", "installed:1"))
    assert set(fetched) == {"Dockerfile", "build/requirements.txt", "build/certificates.pem"}
    assert fetched["build/requirements.txt"][1] == LOCKED
    assert {name.removeprefix("opt/gitops-ml/gitops_ml/") for name in installed} == {
        "Dockerfile",
        "__init__.py",
        "errors.py",
        *(f"artifacts/{name}" for name in ARTIFACT_SOURCES),
        *(str(path.relative_to(PACKAGE)) for path in server_sources() if "serving" in path.relative_to(PACKAGE).parts),
    }
    assert set(final) == {"Dockerfile"}
    assert {mode for files in (fetched, installed, final) for mode, _ in files.values()} == {0o444}


def test_no_step_runs_as_root_and_only_the_first_knows_the_index() -> None:
    contexts = download_context(LOCKED, "base:1", b"PEM"), install_context("wheels:1"), runtime_context("b:1", "i:1")
    fetch, install, final = (contents(context)["Dockerfile"][1].decode() for context in contexts)
    for dockerfile in (fetch, install):
        assert "RUN " not in dockerfile.partition("USER 65532:65532")[0]
        assert "--require-hashes --only-binary=:all:" in dockerfile
    assert "RUN " not in final
    assert "--no-deps" in fetch
    assert "--no-index" in install
    assert "PIP_" not in install + final


def test_contexts_have_the_same_bytes_each_time_and_in_any_order(tmp_path: Path) -> None:
    assert download_context(LOCKED, "base", b"") == download_context(LOCKED, "base", b"")
    assert install_context("wheels") == install_context("wheels")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b.txt").write_bytes(b"2")
    (tmp_path / "a.txt").write_bytes(b"1")
    by_hand = whole(model_context([("sub/b.txt", b"2"), ("a.txt", b"1")], "runtime:1"))
    assert whole(model_context(tmp_path, "runtime:1")) == by_hand
    assert contents(by_hand) == {
        "Dockerfile": (0o444, b"FROM runtime:1\nCOPY model /model\n"),
        "model/a.txt": (0o444, b"1"),
        "model/sub/b.txt": (0o444, b"2"),
    }


def test_a_large_model_is_packed_without_holding_it_twice() -> None:
    size = 64 << 20
    model = [("weights.bin", bytes(size))]
    runtime = {"RootFS": {"Layers": []}, "Architecture": "amd64", "Os": "linux", "Created": "", "Config": {}}
    tracemalloc.start()
    try:
        archive = sum(map(len, model_archive(model, runtime, "model:1", {})))
        context = sum(map(len, model_context(model, "runtime:1")))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert min(archive, context) > size
    assert peak < size / 8


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 9216, 10240, 3 << 20])
def test_a_tar_in_pieces_equals_one_of_tarfile(size: int) -> None:
    files = {"folder/": b"", "folder/" + "long name " * 20 + "é": bytes(size), "x": b"y"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.mode = 0o444
            if name.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    assert pack(files) == buffer.getvalue()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "a\0b", "a\\b"])
def test_a_file_that_leaves_the_artifact_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="would leave the artifact"):
        model_context([(name, b"")], "runtime:1")


def test_a_link_in_the_artifact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.skops").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="a link or a special file"):
        whole(model_context(tmp_path, "runtime:1"))


def test_an_artifacts_own_dockerfile_is_data(tmp_path: Path) -> None:
    files = contents(whole(model_context([("Dockerfile", b"FROM evil"), (".dockerignore", b"*")], "runtime:1")))
    assert files["Dockerfile"][1].startswith(b"FROM runtime:1")
    assert {"model/Dockerfile", "model/.dockerignore"} < set(files)


@pytest.mark.parametrize("reference", ["", "base\nRUN evil", "a b"])
def test_a_reference_cannot_add_instructions(reference: str) -> None:
    with pytest.raises(InputError, match="not an image reference"):
        download_context(LOCKED, reference, b"")
    with pytest.raises(InputError, match="not an image reference"):
        install_context(reference)
    with pytest.raises(InputError, match="not an image reference"):
        model_context([("a", b"")], reference)


def test_the_runtime_key_covers_requirements_and_base() -> None:
    keys = {runtime_key(*arguments) for arguments in ((LOCKED, "sha256:1"), (LOCKED, "sha256:2"), (b"x", "sha256:1"))}
    assert len(keys) == 3
    assert runtime_key(LOCKED, "sha256:1") in keys


def test_build_arguments_are_pip_settings_that_name_no_local_files(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.write_bytes(b"PEM")
    env = {
        "PIP_INDEX_URL": "https://user:pass@index.example/simple",
        "PIP_EXTRA_INDEX_URL": "file:///srv/simple https://more.example/simple",
        "PIP_FIND_LINKS": "/srv/wheels",
        "PIP_CERT": str(pem),
        "HTTPS_PROXY": "http://proxy.example:3128",
        "HOME": "/root",
    }
    assert build_args(env) == {
        "PIP_INDEX_URL": "https://user:pass@index.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://more.example/simple",
        "HTTPS_PROXY": "http://proxy.example:3128",
    }
    assert pip_certificates(env) == b"PEM"
    assert pip_certificates({"PIP_CERT": str(tmp_path / "gone")}) == b""
    assert build_args({"PIP_EXTRA_INDEX_URL": "file:///srv/simple"}) == {}


def test_contexts_are_made_without_the_servers_dependencies() -> None:
    """Contexts are made on machines where the server's dependencies are not installed."""
    code = (
        "import sys; import gitops_ml.serving.building.context, gitops_ml.serving.probe;"
        "heavy = {'numpy', 'pandas', 'sklearn', 'starlette', 'uvicorn', 'skops', 'prometheus_client', 'msgspec'};"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
