"""A candidate with held-out rows replaces an image that brings no artifact, so that nobody knows what trained it."""

from __future__ import annotations

from gitops_ml.core.declaration.checks import Bound, Checks, Holdout
from tests.unit.builders import NAME, generation, wanted
from tests.unit.simulated_host import Host

IMAGE = "shop/scorer@sha256:" + "1" * 64


def test_rows_are_read_though_the_incumbent_is_an_image_without_an_artifact() -> None:
    host = Host()
    host.sync(host.declaring(wanted(of=generation("v1", pattern="image", image=IMAGE, digest=IMAGE, health="/health"))))
    held_out = Checks(holdout=Holdout(data="data/rows.csv", label="churned", metrics={"accuracy": Bound(min=0.5)}))
    result = host.sync(host.declaring(wanted("v2", verify=held_out, holdout="md5:" + "2" * 32)))
    assert result.errors == {}
    assert {check.name for check in host.state(NAME).attempts[-1].checks} == {"ready", "smoke", "holdout"}
