"""Reading the deployments of a commit: one broken file never stops the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops_ml.clients.artifacts.source import read_declared
from gitops_ml.clients.git.repository import Repository
from tests.unit.clients.source.conftest import MD5, MODEL, desired, git, write


def test_a_deployment_with_what_its_version_holds(folder: Path) -> None:
    read = desired(
        folder, {"eu-churn.yaml": MODEL + "verify: {holdout: {data: data/rows.csv, metrics: {roc_auc: {min: 0.7}}}}\n"}
    )
    assert (read.project, read.name, read.broken) == ("shop", "dev", {})
    assert read.commit == git(folder, "rev-parse", "HEAD")
    one = read.deployments["eu-churn"]
    assert (one.digest, one.path) == (f"md5:{MD5}", "models/churn")
    assert one.revision == git(folder, "rev-parse", "churn@v1.0.0^{commit}")
    assert one.holdout == f"md5:{MD5}"


def test_the_work_tree_is_not_read(folder: Path) -> None:
    commit = write(folder, {"environments/dev/models/churn.yaml": MODEL})
    (folder / "environments/dev/models/churn.yaml").write_text("nonsense: [")
    (folder / "environments/dev/models/other.yaml").write_text(MODEL)
    with Repository.open(folder) as repo:
        read = read_declared(repo, commit, "dev")
    assert list(read.deployments) == ["churn"] and read.broken == {}


def test_other_files_are_no_declarations(folder: Path) -> None:
    read = desired(folder, {".gitkeep": "", "README.md": "hello\n", "old/churn.yaml": "nonsense"})
    assert (read.deployments, read.broken) == ({}, {})


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        pytest.param(
            "bad.yaml",
            MODEL + "replica: 2\n",
            "environments/dev/models/bad.yaml:4: unknown key `replica`: did you mean `replicas`?\n"
            "  fix: edit environments/dev/models/bad.yaml",
            id="unknown key",
        ),
        pytest.param(
            "bad.yaml", "a: [", "environments/dev/models/bad.yaml:2 is not valid YAML: did not find", id="no YAML"
        ),
        pytest.param("bad.yaml", "#" * 300_000, "environments/dev/models/bad.yaml is too large: at most", id="large"),
        pytest.param(
            "bad.yml",
            MODEL,
            "environments/dev/models/bad.yml does not end in .yaml: a deployment has one file\n"
            "  fix: git mv environments/dev/models/bad.yml environments/dev/models/bad.yaml",
            id="another ending",
        ),
        pytest.param(
            "Bad_One.yaml",
            MODEL,
            "environments/dev/models/Bad_One.yaml: `Bad_One` is not a deployment's name: it must be a DNS label",
            id="no DNS label",
        ),
        pytest.param("bad.yaml", MODEL.replace("v1.0.0", "v9.9.9"), "churn@v9.9.9", id="no such version"),
        pytest.param("bad.yaml", MODEL.replace("churn", "forecast"), "forecast", id="no such model"),
        pytest.param("bad.yaml", MODEL + f"digest: md5:{'f' * 32}.dir\n", "churn@v1.0.0", id="a moved tag"),
        pytest.param(
            "bad.yaml",
            MODEL + "verify: {holdout: {data: data/none.csv, metrics: {roc_auc: {min: 0.7}}}}\n",
            "data/none.csv",
            id="no such rows",
        ),
        pytest.param(
            "bad.yaml",
            MODEL + "verify: {traffic: {}}\n",
            "bad: verify.traffic does not go with blue-green: no user traffic reaches the candidate before it is "
            "promoted\n  fix: use canary, or remove verify.traffic",
            id="traffic before promotion",
        ),
        pytest.param(
            "bad.yaml",
            MODEL + "serve: {pattern: image, image: 'nginx:1', port: 80}\n",
            "bad: serve.pattern is image: it needs `image:` by digest (name@sha256:…, or an image "
            "ID of that engine) and `port:`\n"
            "  fix: add them to serve",
            id="an image without its digest",
        ),
    ],
)
def test_a_broken_deployment_does_not_stop_the_others(folder: Path, name: str, text: str, expected: str) -> None:
    read = desired(folder, {name: text, "good.yaml": MODEL})
    assert list(read.deployments) == ["good"]
    stem = name.rpartition(".")[0]
    assert list(read.broken) == [stem]
    assert expected in read.broken[stem]
    assert "\n  fix: " in read.broken[stem]


def test_two_files_of_one_deployment_are_one_broken_deployment(folder: Path) -> None:
    read = desired(folder, {"churn.yaml": MODEL, "churn.yml": MODEL})
    assert (list(read.deployments), list(read.broken)) == ([], ["churn"])


def test_a_link_declares_its_deployment_and_is_not_followed(folder: Path) -> None:
    (folder / "environments/dev/models").mkdir(parents=True)
    (folder / "environments/dev/models/bad.yaml").symlink_to("/etc/passwd")
    read = desired(folder, {"good.yaml": MODEL})
    assert list(read.deployments) == ["good"]
    assert read.broken["bad"].startswith("environments/dev/models/bad.yaml is no regular file: links are not followed")


def test_an_image_is_its_own_version(folder: Path) -> None:
    image = f"ghcr.io/acme/churn@sha256:{'a' * 64}"
    read = desired(
        folder,
        {"churn.yaml": MODEL.replace("v1.0.0", "v3") + f"serve: {{pattern: image, image: '{image}', port: 80}}\n"},
    )
    assert read.broken == {}
    assert read.deployments["churn"].digest == image
