"""The user's config.json of the Docker command line: it matters where an image is pulled, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.streams import pack
from gitops_ml.errors import EngineFailed, InputError

NONE = "127.0.0.1:9/none:1"
BROKEN = [
    "[]",
    "null",
    '{"auths": {"a": 5}}',
    '{"auths": {"a": {"auth": "!!"}}}',
    '{"proxies": "x"}',
    '{"proxies": {"default": 5}}',
    '{"HttpHeaders": 5}',
]
BROKEN_FOR_PULLS = ['{"credsStore": 5}', '{"credHelpers": 5}']


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "docker-credential-locked"
    program.write_text("#!/bin/sh\necho 'the keychain is locked'; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.filterwarnings("ignore:docker-credential-none")
@pytest.mark.parametrize("store", ["none", "locked"])
def test_a_failing_credential_helper_stops_pulls_alone(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    helper(tmp_path, monkeypatch)
    config.write_text(f'{{"credsStore": "{store}"}}')
    tag = f"gitops-ml-test-config:{os.getpid()}"
    with Engine.connect(None) as engine:
        engine.build(pack({"Dockerfile": f"FROM {BASE_IMAGE}\nLABEL a=b\n".encode()}), tag)
        assert engine.remove_image(tag)
        with pytest.raises(EngineFailed, match=r"no credentials for 127\.0\.0\.1:9") as caught:
            engine.pull(NONE)
    assert str(config) in caught.value.fix


@pytest.mark.parametrize("content", BROKEN)
def test_a_malformed_config_is_named(config: Path, content: str) -> None:
    config.write_text(content)
    with pytest.raises(InputError, match=f"{config} cannot be used"):
        Engine.connect(None)


@pytest.mark.parametrize("content", BROKEN_FOR_PULLS)
def test_malformed_credentials_are_named_when_an_image_is_pulled(config: Path, content: str) -> None:
    config.write_text(content)
    with Engine.connect(None) as engine, pytest.raises(InputError, match=f"{config} cannot be used"):
        engine.pull(NONE)


@pytest.mark.parametrize("content", ["{", "\x00", "{}"])
def test_a_config_that_says_nothing_is_as_none(config: Path, content: str) -> None:
    config.write_text(content)
    with Engine.connect(None) as engine:
        assert engine.info().id
