"""From a commit to the desired state of an environment, read with real Git: one broken file never stops the others."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gitops_ml.clients.artifacts.source import read_declared
from gitops_ml.clients.files.environments import environment_names, shared_ports
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.observation.observe import read_source
from gitops_ml.core.declaration.schema import Desired
from gitops_ml.errors import InputError, SourceError

MD5 = "0123456789abcdef0123456789abcdef"
MODEL = "schema: 1\nmodel: churn\nversion: v1.0.0\n"
FILES = {
    "environments/project.yaml": "schema: 1\nname: shop\n",
    "environments/dev/environment.yaml": "schema: 1\ngateway: {port: 8081}\n",
    "dvc.yaml": "stages:\n  train: {cmd: train, outs: [models/churn]}\nartifacts:\n  churn: {path: models/churn}\n",
    "dvc.lock": "schema: '2.0'\nstages:\n  train:\n    cmd: train\n    outs:\n"
    f"    - {{path: models/churn, md5: {MD5}.dir, size: 1, nfiles: 1}}\n",
    "data/rows.csv.dvc": f"outs:\n- {{md5: {MD5}, size: 1, path: rows.csv}}\n",
}
Commit = Callable[[dict[str, str]], str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that declares a project, an environment and a model `churn`, with a version v1.0.0."""
    for key in [k for k in os.environ if k.startswith("GIT_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ada@example.org")
    git(tmp_path, "init", "-q", "-b", "main")
    write(tmp_path, FILES)
    git(tmp_path, "tag", "-a", "-m", "first", "churn@v1.0.0")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def write(folder: Path, files: dict[str, str]) -> str:
    """Commit these files; the commit."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Declare")
    return git(folder, "rev-parse", "HEAD")


def desired(folder: Path, models: dict[str, str], environment: str = "dev") -> Desired:
    """The desired state once these files are committed below the environment's `models/`."""
    commit = write(folder, {f"environments/dev/models/{name}": text for name, text in models.items()})
    with Repository.open(folder) as repo:
        return read_source(repo, read_declared(repo, commit, environment)).desired


# --- what is declared ------------------------------------------------------------------------------------------------


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


def test_the_environments_of_a_commit(folder: Path) -> None:
    commit = write(folder, {"environments/prod/environment.yaml": "schema: 1\n", "environments/notes/readme.md": "x\n"})
    with Repository.open(folder) as repo:
        assert environment_names(repo, commit) == ["dev", "prod"]


def test_two_environments_on_one_port_are_listed(folder: Path) -> None:
    same = "schema: 1\ngateway: {port: 8081}\n"
    commit = write(
        folder,
        {"environments/prod/environment.yaml": same, "environments/broken/environment.yaml": "gateway: {port: 8081}\n"},
    )
    with Repository.open(folder) as repo:
        assert shared_ports(repo, commit) == {("unix:///var/run/docker.sock", 8081): ["dev", "prod"]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("unix:///var/run/docker.sock", "unix:///run/docker.sock"),
        ("unix:///var/run/docker.sock", "unix:///var/run//docker.sock"),
        ("ssh://ada@host", "ssh://bob@HOST:22/var/run/docker.sock"),
        ("tcp://host:2376", "tcp://Host:2376"),
    ],
)
def test_two_spellings_are_one_engine(folder: Path, one: str, other: str) -> None:
    text = "schema: 1\nengine: {}\ngateway: {{port: 9000}}\n"
    files = {"environments/a/environment.yaml": text.format(one), "environments/b/environment.yaml": text.format(other)}
    commit = write(folder, files)
    with Repository.open(folder) as repo:
        assert ["a", "b"] in shared_ports(repo, commit).values()


def test_different_engines_may_have_the_same_port(folder: Path) -> None:
    engines = ("ssh://host", "ssh://host:2222", "ssh://host/run/user/1000/docker.sock", "tcp://host:2376", "ssh://two")
    text = "schema: 1\nengine: {}\ngateway: {{port: 9000}}\n"
    files = {f"environments/e{n}/environment.yaml": text.format(engine) for n, engine in enumerate(engines)}
    commit = write(folder, files)
    with Repository.open(folder) as repo:
        assert all(len(names) == 1 for names in shared_ports(repo, commit).values())


# --- a broken deployment does not stop the others --------------------------------------------------------------------


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


# --- a broken environment is refused ----------------------------------------------------------------------------------


def test_an_undeclared_environment_is_refused(folder: Path) -> None:
    with pytest.raises(SourceError) as caught:
        desired(folder, {"churn.yaml": MODEL}, environment="prod")
    assert "environment `prod` is not in commit" in caught.value.what
    assert caught.value.why == "environments/prod/environment.yaml is absent; declared: dev"
    assert caught.value.fix == "restore environments/prod/, or name one that is declared"


def test_a_folder_that_is_no_dns_label_is_refused(folder: Path) -> None:
    commit = write(folder, {"environments/Prod_1/environment.yaml": FILES["environments/dev/environment.yaml"]})
    with Repository.open(folder) as repo, pytest.raises(InputError) as caught:
        read_declared(repo, commit, "Prod_1")
    assert str(caught.value) == (
        "environments/Prod_1/: `Prod_1` is not an environment's name: "
        "it must be a DNS label: a-z, 0-9 and -, at most 40 characters\n  fix: rename the folder"
    )


def test_a_wrong_environment_file_is_refused_with_its_line(folder: Path) -> None:
    commit = write(folder, {"environments/dev/environment.yaml": "schema: 1\ngatway: {port: 8081}\n"})
    with Repository.open(folder) as repo, pytest.raises(InputError) as caught:
        read_declared(repo, commit, "dev")
    assert str(caught.value) == (
        "environments/dev/environment.yaml:2: unknown key `gatway`: did you mean `gateway`?\n"
        "  fix: edit environments/dev/environment.yaml"
    )


def test_a_missing_project_file_is_refused(folder: Path) -> None:
    (folder / "environments/project.yaml").unlink()
    with pytest.raises(SourceError) as caught:
        desired(folder, {"churn.yaml": MODEL})
    assert "environments/project.yaml is not in commit" in caught.value.what
    # `init` overwrites nothing, so it would refuse this folder.
    assert caught.value.fix == "write environments/project.yaml: schema: 1, name: <project>"


def test_signed_commits_need_a_list_of_signers(folder: Path) -> None:
    strict = "schema: 1\ngateway: {port: 8081}\npolicy: {require_signed_commits: true}\n"
    commit = write(folder, {"environments/dev/environment.yaml": strict})
    with Repository.open(folder) as repo, pytest.raises(SourceError) as caught:
        read_declared(repo, commit, "dev")
    assert caught.value.why == "policy.require_signed_commits is set, and .gitops-ml/allowed_signers is absent"
    assert caught.value.fix == "commit .gitops-ml/allowed_signers"


# --- wrong documents of DVC -------------------------------------------------------------------------------------

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("files", "says"),
    [
        pytest.param(
            {"dvc.lock": "stages:\n  train: now\n"}, "dvc.lock:2: stages.train: expected `object`", id="stage"
        ),
        pytest.param({"dvc.lock": "stages:\n- train\n"}, "dvc.lock:1: stages: expected `object | null`", id="stages"),
        pytest.param(
            {"dvc.lock": "stages:\n  train:\n    outs:\n    - models/churn\n"},
            "dvc.lock:4: stages.train.outs[0]: expected `object`, got `str`",
            id="output",
        ),
        pytest.param(
            {"dvc.lock": "stages:\n  train:\n    outs:\n    - {path: 7}\n"},
            "dvc.lock:4: stages.train.outs[0].path: expected `str`, got `int`",
            id="path",
        ),
        pytest.param({"dvc.lock": f"stages: {DEEP}"}, "dvc.lock:1 is nested too deep", id="deep lock"),
        pytest.param({"dvc.lock": "- a\n"}, "dvc.lock:1: the file: expected `object`", id="a list"),
        pytest.param({"dvc.lock": "a: [\n"}, "dvc.lock:2 is not valid YAML", id="no YAML"),
        pytest.param({"dvc.yaml": DEEP}, "dvc.yaml:1 is nested too deep", id="deep pipeline"),
        pytest.param({"dvc.yaml": "artifacts: [churn]\n"}, "dvc.yaml:1: artifacts: expected `object", id="artifacts"),
        pytest.param({"dvc.yaml": "artifacts:\n  churn: x\n"}, "dvc.yaml: artifacts.churn has no path", id="artifact"),
        pytest.param({"models/churn.dvc": "outs: churn\n"}, "models/churn.dvc:1: outs: expected", id=".dvc file"),
        pytest.param({"models/churn.dvc": DEEP}, "models/churn.dvc:1 is nested too deep", id="deep .dvc file"),
    ],
)
def test_a_wrong_document_breaks_only_the_deployments_that_need_it(
    folder: Path, files: dict[str, str], says: str
) -> None:
    write(folder, files)
    git(folder, "tag", "-a", "-m", "next", "churn@v2.0.0")
    read = desired(folder, {"churn.yaml": MODEL, "next.yaml": MODEL.replace("v1.0.0", "v2.0.0")})
    assert (set(read.deployments), set(read.broken)) == ({"churn"}, {"next"})
    assert says in read.broken["next"]
    assert "fix: " in read.broken["next"]
