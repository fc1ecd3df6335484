"""What may be read for a version's bytes: configured remotes that the operator permits, and nothing that runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gitops_ml.clients.artifacts.path_digests import resolve_path
from gitops_ml.clients.artifacts.resolution import places, read, resolve_at, resolve_version
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import ObjectMissing, VersionRefused
from tests.git.conftest import commit_file, git, run
from tests.git.models.objects import empty_cache


def test_only_the_remotes_that_the_operator_lists_are_read(
    repo: Repository, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_cache(project)
    storage = project.parent / "storage"
    monkeypatch.setenv("GITOPS_ML_DVC_REMOTES", f"s3://models,{storage}")
    with Repository.open(project) as permitted:
        assert read(permitted, resolve_version(permitted, "flight-delay", "v1.0.0"))
    monkeypatch.setenv("GITOPS_ML_DVC_REMOTES", f"s3://models,{storage}-2")
    with Repository.open(project) as refused:
        resolved = resolve_version(refused, "flight-delay", "v1.0.0")
        assert places(refused, resolved) == []
        with pytest.raises(ObjectMissing, match="the remote storage may not be read") as caught:
            read(refused, resolved)
        assert "GITOPS_ML_DVC_REMOTES" in caught.value.fix


@pytest.mark.parametrize("key", ["url", "endpointurl"])
def test_a_remote_whose_host_s_name_is_a_metadata_address_is_not_asked(
    repo: Repository, project: Path, key: str
) -> None:
    empty_cache(project)
    address = "http://2852039166/models"  # what resolvers read as 169.254.169.254
    run(project, "dvc", "remote", "add", "-q", "-f", "storage", address if key == "url" else "s3://models")
    run(project, "dvc", "remote", "modify", "-q", "storage", key, address)
    git(project, "commit", "-qam", "Keep models elsewhere")
    git(project, "push", "-q")
    repo.fetch()
    resolved = resolve_version(repo, "flight-delay", "v1.0.0")
    with pytest.raises(ObjectMissing, match=r"the remote storage may not be read: .*; 2852039166 resolves to it"):
        read(repo, resolved)
    assert places(repo, resolved) == []


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% {}", "--upload-pack=touch {}", "ssh://-oProxyCommand=touch {}/x", "file:///{}\n"]
)
def test_an_import_from_what_is_no_plain_address_is_refused_and_runs_nothing(
    repo: Repository, project: Path, tmp_path: Path, url: str
) -> None:
    mark = tmp_path / "touched"
    text = f"""\
deps:
- path: model
  repo: {{url: {url.format(mark)!r}, rev_lock: {"a" * 40}}}
outs:
- {{path: imported, md5: {"b" * 32}, hash: md5}}
""".replace("'file", '"file').replace("\\n'", '\\n"')
    commit = commit_file(project, "imported.dvc", text)
    resolved = resolve_path(repo, commit, "imported")
    with pytest.raises(VersionRefused, match="may not be read"):
        read(repo, resolved)
    assert places(repo, resolved) == [] and not mark.exists()


def test_imports_are_read_from_what_the_operator_lists(
    repo: Repository, project: Path, lone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(lone, "dvc", "init", "-q")
    run(lone, "dvc", "import", "-q", str(project), "model.txt", "-o", "one.txt")
    git(lone, "add", "-A")
    git(lone, "commit", "-qm", "Import the model")
    empty_cache(lone)
    monkeypatch.setenv("GITOPS_ML_DVC_REMOTES", "git@github.com:team")
    with Repository.open(lone) as refused:
        with pytest.raises(VersionRefused, match="not among those") as caught:
            read(refused, resolve_path(refused, refused.tip(), "one.txt"))
        assert "GITOPS_ML_DVC_REMOTES" in caught.value.fix
    monkeypatch.setenv("GITOPS_ML_DVC_REMOTES", str(project))
    with Repository.open(lone) as permitted:
        assert read(permitted, resolve_path(permitted, permitted.tip(), "one.txt")) == {"one.txt": b"depth: 5\n"}


def test_dvc_writes_nothing_where_the_repository_says(
    repo: Repository, project: Path, lone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_SITE_CACHE_DIR")
    run(lone, "dvc", "init", "-q")
    run(lone, "dvc", "import", "-q", str(project), "model.txt", "-o", "one.txt")
    evil = f"[core]\nsite_cache_dir = {tmp_path}/evil\n[cache]\ndir = {tmp_path}/evil-cache\n"
    (lone / ".dvc" / "config").write_text(evil)  # by hand: dvc itself would write there
    git(lone, "add", "-A")
    git(lone, "commit", "-qm", "Import the model, and say where to write")
    empty_cache(lone)
    with Repository.open(lone) as repository:
        assert read(repository, resolve_path(repository, repository.tip(), "one.txt"))
    assert not (tmp_path / "evil").exists() and not (tmp_path / "evil-cache").exists()


@pytest.mark.parametrize(
    ("extra", "key"),
    [
        ("repo:\n    config: {{core: {{site_cache_dir: '{}'}}}}", "core.site_cache_dir"),
        ("repo:\n    config: '{}'", "config"),
        (
            "repo:\n    config: {{remote: {{x: {{url: 'webdavs://a/b', bearer_token_command: 'touch {}'}}}}}}",
            "bearer_token_command",
        ),
        ("repo:\n    remote: {{url: 's3://bucket', configpath: '{}'}}", "configpath"),
        ("fs_config: {{bearer_token_command: 'touch {}'}}\n  repo:", "bearer_token_command"),
    ],
)
def test_an_import_says_nothing_of_this_machine(
    project: Path, lone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str, key: str
) -> None:
    """DVC would follow: it makes its `site_cache_dir`, and runs WebDAV's `bearer_token_command`."""
    monkeypatch.delenv("DVC_SITE_CACHE_DIR")
    run(lone, "dvc", "init", "-q")
    run(lone, "dvc", "import", "-q", str(project), "model.txt", "-o", "one.txt")
    mark = tmp_path / "mark"
    file = lone / "one.txt.dvc"
    file.write_text(file.read_text().replace("  repo:\n", f"  {extra.format(mark)}\n"))
    git(lone, "add", "-A")
    git(lone, "commit", "-qm", "Import the model, and name a file of this machine")
    empty_cache(lone)
    with Repository.open(lone) as repository:
        resolved = resolve_path(repository, repository.tip(), "one.txt")
        with pytest.raises(VersionRefused, match=f"one.txt.dvc sets `{key}`") as caught:
            read(repository, resolved)
        assert caught.value.fix == f"remove {key} from one.txt.dvc" and not mark.exists()


def test_the_remote_that_an_import_brings_is_no_metadata_address(repo: Repository, project: Path) -> None:
    text = f"""\
deps:
- path: model
  repo: {{url: {str(project)!r}, rev_lock: {"a" * 40}, remote: {{url: 'http://169.254.169.254/x'}}}}
outs:
- {{path: imported, md5: {"b" * 32}, hash: md5}}
"""
    commit = commit_file(project, "imported.dvc", text)
    with pytest.raises(VersionRefused, match=r"169\.254\.169\.254/x, which may not be read"):
        read(repo, resolve_path(repo, commit, "imported"))


def test_a_remote_of_an_older_commit_is_not_asked(repo: Repository, project: Path, tmp_path: Path) -> None:
    """DVC itself reads that commit's configuration; what may be read is what the tip configures."""
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(project.parent / "storage", elsewhere)
    digest = resolve_at(repo, "single", repo.tip()).digest.removeprefix("md5:")
    legacy = elsewhere / digest[:2] / digest[2:]
    legacy.parent.mkdir()
    legacy.write_bytes(b"depth: 5\n")
    run(project, "dvc", "remote", "add", "-q", "-d", "old", str(elsewhere))
    commit_file(project, "old.txt.dvc", f"outs:\n- {{md5: {digest}, path: old.txt, size: 9}}\n")
    git(project, "commit", "-qam", "Keep models elsewhere")
    old = repo.resolve("HEAD")
    run(project, "dvc", "remote", "remove", "old")
    git(project, "commit", "-qam", "No more")
    git(project, "push", "-q")
    repo.fetch()
    empty_cache(project)
    with pytest.raises(ObjectMissing):
        read(repo, resolve_path(repo, old, "old.txt"))
