"""Images are built once each, and a slow build holds up no other image."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import pytest

from gitops_ml.clients import background
from gitops_ml.clients.engine.building.model_images import BASE_IMAGE, ensure_runtime
from gitops_ml.clients.engine.client import Engine

SLOW, QUICK = b"slow==1 --hash=sha256:0\n", b"quick==1 --hash=sha256:0\n"
SECONDS = 10


class Builder:
    """An engine that builds in memory, and whose first build waits until it is let go."""

    url = "unix:///nowhere"

    def __init__(self) -> None:
        self.images = {BASE_IMAGE: "sha256:base"}
        self.built: list[str] = []
        self.building, self.let_go = threading.Event(), threading.Event()

    def image_id(self, reference: str) -> str | None:
        return self.images.get(reference)

    def inspect_image(self, reference: str) -> dict[str, Any]:
        return {"Id": self.images[reference], "Config": {}}

    def list_images(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        return []

    def remove_image(self, reference: str) -> bool:
        return True

    def build(self, context: bytes, tag: str, **_: Any) -> str:
        if not tag.startswith("gitops-ml/runtime:"):
            return tag
        self.built.append(tag)
        if len(self.built) == 1:
            self.building.set()
            assert self.let_go.wait(SECONDS)
        self.images[tag] = f"sha256:{tag}"
        return self.images[tag]


@pytest.fixture
def builder() -> Builder:
    return Builder()


def ensure(builder: Builder, requirements: bytes) -> tuple[str, str]:
    return ensure_runtime(cast(Engine, builder), requirements)


def begin_slow(builder: Builder) -> Future[tuple[str, str]]:
    slow = background.begin(lambda: ensure(builder, SLOW))
    assert builder.building.wait(SECONDS)
    return slow


def test_another_image_is_built_while_a_slow_build_goes_on(builder: Builder) -> None:
    slow = begin_slow(builder)
    quick, _ = background.begin(lambda: ensure(builder, QUICK)).result(SECONDS)
    assert builder.built[1:] == [quick]
    assert background.begin(lambda: ensure(builder, QUICK)).result(SECONDS)[0] == quick
    assert not slow.done()
    builder.let_go.set()
    slow.result(SECONDS)


def test_one_image_is_built_once_whoever_asks(builder: Builder) -> None:
    slow = begin_slow(builder)
    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(ensure, builder, SLOW) for _ in range(3)]
        builder.let_go.set()
    assert {other.result(SECONDS) for other in others} == {slow.result(SECONDS)}
    assert len(builder.built) == 1
