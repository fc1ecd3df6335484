"""`serve: {pattern: embed}`: what it may say, and what makes another generation."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.core.declaration.application import Application
from gitops_ml.core.declaration.schema import Deployment, ResolvedDeployment
from gitops_ml.core.generation import Generation, generation_of, replica_spec
from gitops_ml.core.planning.validation import require_plausible
from gitops_ml.errors import InputError
from tests.e2e.workshop import ROOT

IMAGE = f"shop@sha256:{'a' * 64}"
SHOP = Application(context="shop", dockerfile="Dockerfile", commit="c" * 40, tree="d" * 40)
SERVE: dict[str, Any] = {"pattern": "embed", "build": {"context": "shop"}, "model_path": "/model", "port": 8000}


def declaration(**serve: Any) -> Deployment:
    text = msgspec.json.encode({"schema": 1, "model": "wines", "version": "v1.0.0", "serve": SERVE | serve})
    return parse(text, "wines.yaml", Deployment)


def made(application: Application = SHOP, digest: str = "md5:1", **serve: Any) -> Generation:
    resolved = ResolvedDeployment(
        name="wines",
        declaration=declaration(**serve),
        digest=digest,
        revision="r" * 40,
        path="models/wines",
        application=application,
    )
    return generation_of(resolved, project="shop", commit="e" * 40, base="base", serving_version=1)


def test_the_example_and_the_docs_declare_the_same_which_is_accepted() -> None:
    example = (ROOT / "examples" / "embed" / "wines.yaml").read_text()
    assert f"```yaml\n{example}```" in (ROOT / "docs" / "applications.md").read_text()
    require_plausible("wines", parse(example.encode(), "wines.yaml", Deployment))


@pytest.mark.parametrize(
    "changed",
    [
        {"digest": "md5:2"},
        {"application": msgspec.structs.replace(SHOP, tree="f" * 40)},
        {"application": msgspec.structs.replace(SHOP, dockerfile="Dockerfile.slim")},
        {"application": Application(image=IMAGE)},
        {"model_path": "/srv/model"},
        {"version_path": "/version"},
    ],
)
def test_another_model_or_application_is_another_generation_and_image_except_for_how_it_is_asked(
    changed: dict[str, Any],
) -> None:
    assert made(**changed).fingerprint != made().fingerprint
    assert (made(**changed).image == made().image) is ("version_path" in changed)


def test_the_same_files_in_another_commit_or_folder_are_the_same_generation() -> None:
    moved = msgspec.structs.replace(SHOP, context="apps/shop", commit="9" * 40)
    again = made(moved, build={"context": "apps/shop", "commit": "9" * 40})
    assert (again.fingerprint, again.image) == (made().fingerprint, made().image)


def test_the_application_learns_its_version_from_the_models_files_alone() -> None:
    spec = replica_spec(made(), project="shop", environment="dev", replica=0, suffix="a", drain=1.0)
    assert not {"GITOPS_ML_VERSION", "GITOPS_ML_DIGEST"} & set(spec.env)
    assert spec.command is None and spec.read_only


@pytest.mark.parametrize(
    ("serve", "why"),
    [
        ({"build": None}, "needs the application"),
        ({"build": None, "image": "shop:latest"}, "needs the application"),
        ({"model_path": None}, "`model_path:` and `port:`"),
        ({"image": IMAGE}, "both `image:` and `build:`"),
        ({"pattern": "image", "image": IMAGE}, "both"),
        ({"pattern": "image", "image": IMAGE, "build": None}, "serve.model_path does not go with serve.pattern image"),
        ({"pattern": "service"}, "serve.build does not go with serve.pattern service"),
        ({"model_path": "/tmp/model"}, "not below /tmp"),
        ({"model_path": "/srv/../etc"}, "a folder in the container"),
        ({"model_path": "model"}, "a folder in the container"),
        ({"build": {"context": "."}}, "below its root"),
        ({"build": {"context": "../shop"}}, "below its root"),
        ({"build": {"context": "environments/dev"}}, "not in environments/"),
        ({"build": {"context": "shop", "commit": "main"}}, "a full commit id"),
        ({"version_path": "version"}, "the path of a URL"),
        ({"request": {"path": "/", "body": "${rows}"}}, "no `response:`"),
        ({"request": {"path": "/", "body": "{% for row in rows %}"}}, "is no template"),
    ],
)
def test_what_cannot_work_is_refused(serve: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=re.escape(why)):
        require_plausible("wines", declaration(**serve))
