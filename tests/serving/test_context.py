"""Build contexts: equal inputs give equal bytes, secrets stay out, and paths stay inside the artifact."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from gitops_ml.errors import InputError
from gitops_ml.serving import SERVING_SOURCE, SERVING_VERSION
from gitops_ml.serving.context import (
    build_args,
    model_context,
    pip_certificates,
    runtime_context,
    runtime_key,
    server_sources,
    source_digest,
)
from tests.serving.conftest import ROOT

LOCKED = b"msgspec==0.22.0 --hash=sha256:00\n"


def contents(tar: bytes) -> dict[str, tuple[int, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        entries = [entry for entry in archive if entry.isfile()]
        return {entry.name: (entry.mode, archive.extractfile(entry).read()) for entry in entries}  # type: ignore[union-attr]


def test_serving_version_is_raised_when_the_servers_source_changes() -> None:
    assert source_digest() == SERVING_SOURCE, (
        f"the model server's source changed. If its behaviour did, raise SERVING_VERSION above {SERVING_VERSION}; "
        f'then set SERVING_SOURCE = "{source_digest()}" in gitops_ml/serving/__init__.py'
    )


def test_the_runtime_context_holds_only_the_server() -> None:
    files = contents(runtime_context(LOCKED, "python:3.11-slim-bookworm", b"PEM"))
    ours = {name for name in files if name.startswith("gitops_ml/")}
    assert ours == {
        "gitops_ml/__init__.py",
        "gitops_ml/errors.py",
        "gitops_ml/artifacts/__init__.py",
        "gitops_ml/artifacts/manifest.py",
        "gitops_ml/artifacts/skops_types.py",
        *(f"gitops_ml/serving/{path.name}" for path in server_sources() if path.parent.name == "serving"),
    }
    assert files["build/requirements.txt"][1] == LOCKED
    assert files["build/certificates.pem"][1] == b"PEM"
    dockerfile = files["Dockerfile"][1].decode()
    built, final = dockerfile.split("\nFROM ")
    assert "--require-hashes --only-binary=:all:" in built
    assert "ARG" not in final and "PIP_" not in final and "/build" not in final
    assert {mode for mode, _ in files.values()} == {0o444}


def test_contexts_have_the_same_bytes_each_time_and_in_any_order(tmp_path: Path) -> None:
    assert runtime_context(LOCKED, "base", b"") == runtime_context(LOCKED, "base", b"")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b.txt").write_bytes(b"2")
    (tmp_path / "a.txt").write_bytes(b"1")
    by_hand = model_context([("sub/b.txt", b"2"), ("a.txt", b"1")], "runtime:1")
    assert model_context(tmp_path, "runtime:1") == by_hand
    assert contents(by_hand) == {
        "Dockerfile": (0o444, b"FROM runtime:1\nCOPY model /model\n"),
        "model/a.txt": (0o444, b"1"),
        "model/sub/b.txt": (0o444, b"2"),
    }


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "a\0b", "a\\b"])
def test_a_file_that_leaves_the_artifact_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="would leave the artifact"):
        model_context([(name, b"")], "runtime:1")


def test_a_link_in_the_artifact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.skops").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="a link or a special file"):
        model_context(tmp_path, "runtime:1")


def test_an_artifacts_own_dockerfile_is_data(tmp_path: Path) -> None:
    files = contents(model_context([("Dockerfile", b"FROM evil"), (".dockerignore", b"*")], "runtime:1"))
    assert files["Dockerfile"][1].startswith(b"FROM runtime:1")
    assert {"model/Dockerfile", "model/.dockerignore"} < set(files)


@pytest.mark.parametrize("reference", ["", "base\nRUN evil", "a b"])
def test_a_reference_cannot_add_instructions(reference: str) -> None:
    with pytest.raises(InputError, match="not an image reference"):
        runtime_context(LOCKED, reference, b"")
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
        "import sys; import gitops_ml.serving.context, gitops_ml.serving.probe;"
        "heavy = {'numpy', 'pandas', 'sklearn', 'starlette', 'uvicorn', 'skops', 'prometheus_client', 'msgspec'};"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
