"""A host that serves v1.0.0, for input that must change nothing there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
import pytest
import yaml

from tests.e2e.host import Host
from tests.e2e.workshop import MODEL, Workshop, serving_v1

CHURN = f"environments/dev/models/{MODEL}.yaml"
DEV = "environments/dev/environment.yaml"


@dataclass
class Standing:
    """A workshop whose only deployment serves v1.0.0, and its host."""

    workshop: Workshop
    host: Host

    @contextmanager
    def declaring(self, files: dict[str, str]) -> Iterator[None]:
        """Push these files; push the former ones at the end."""
        workshop = self.workshop
        workshop.pull()
        before = workshop.git("rev-parse", "HEAD")
        for path, text in files.items():
            workshop.write(path, text)
        workshop.commit("Declare what cannot be")
        try:
            yield
        finally:
            workshop.pull()
            workshop.git("revert", "--no-edit", f"{before}..HEAD")
            workshop.git("push", "-q", "origin", "HEAD:main")

    def refused(self, *arguments: str) -> str:
        """Run a command that must exit with 1 and change nothing on the host. Returns its error: what, why, fix."""
        before = self.host.objects()
        ran = self.workshop.run(*(arguments or ("sync", "dev")))
        assert ran.code == 1, f"exit {ran.code}\n{ran.out}\n{ran.err}"
        ran.require_clear()
        assert self.host.objects() == before
        assert self.workshop.serving() == "v1.0.0"
        return ran.err


@pytest.fixture(scope="module")
def standing(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with serving_v1(engine, tmp_path_factory.mktemp("bad"), "bad-input") as workshop:
        yield Standing(workshop, Host(engine, workshop.project))


def churn_file(**more: Any) -> dict[str, str]:
    """The declaration of dev/churn v1.0.0 with these fields, by path."""
    return {CHURN: yaml.safe_dump({"schema": 1, "model": MODEL, "version": "v1.0.0"} | more)}
