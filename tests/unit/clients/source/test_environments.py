"""Reading the environments of a commit: a broken one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops_ml.clients.artifacts.source import read_declared
from gitops_ml.clients.files.environments import environment_names, read_environment, shared_ports
from gitops_ml.clients.files.records import read_records, write_record
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError, SourceError
from tests.unit.clients.source.conftest import FILES, MODEL, desired, write
from tests.unit.page.examples import READY, attempt, recorded


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


def test_a_commit_is_read_once(folder: Path) -> None:
    first = write(folder, {"environments/dev/models/churn.yaml": MODEL})
    with Repository.open(folder) as repo:
        read = read_environment(repo, first, "dev")
        assert read_environment(repo, first, "dev") is read
        second = write(folder, {"environments/dev/models/other.yaml": MODEL})
        assert read_environment(repo, second, "dev").deployments.keys() == {"churn", "other"}
        assert read_environment(repo, first, "dev") == read


def test_of_the_records_only_those_that_have_changed_are_read(folder: Path) -> None:
    texts = {name: write_record(recorded([attempt(1, READY)])).decode() for name in ("churn", "delay")}
    paths = {name: f"environments/dev/records/{name}.yaml" for name in texts}
    first = write(folder, {paths[name]: text for name, text in texts.items()})
    with Repository.open(folder) as repo:
        before = read_records(repo, read_environment(repo, first, "dev"))
        second = write(folder, {paths["churn"]: write_record(recorded([attempt(2, READY)])).decode()})
        after = read_records(repo, read_environment(repo, second, "dev"))
        assert after["delay"] is before["delay"] and after["churn"] != before["churn"]
        third = write(folder, {paths["churn"]: "no record\n"})
        assert read_records(repo, read_environment(repo, third, "dev")).keys() == {"delay"}


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
    assert caught.value.why == (
        "policy.require_signed_commits is set, and .gitops-ml/allowed_signers is absent, as are keys in .gitops-ml/gpg"
    )
    assert caught.value.fix == "commit .gitops-ml/allowed_signers"
