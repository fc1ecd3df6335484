"""DVC's configuration, read without DVC, means what DVC takes it for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dvc.config import Config

from gitops_ml.clients.artifacts.dvc_config import default_remote, dvc_settings, read_config, remote_names, remotes_of
from gitops_ml.errors import InputError

CONFIG = """\
[core]
    remote = far   # the default one
    autostage = true
['remote "near"']
    url = ../storage
['remote "far"']
    url = s3://bucket/models
    profile = 'team a'
['remote "inner"']
    url = remote://near/inner
['remote "versions"']
    url = /versions
    version_aware = true
['remote "empty"']
"""


@pytest.fixture(autouse=True)
def _no_other_levels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for level in ("SYSTEM", "GLOBAL"):
        monkeypatch.setenv(f"DVC_{level}_CONFIG_DIR", str(tmp_path / level.lower()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's `.dvc` folder."""
    folder = tmp_path / "project" / ".dvc"
    folder.mkdir(parents=True)
    (folder.parent / "storage").mkdir()
    (folder / "config").write_text(CONFIG)
    return folder


def test_remotes_with_their_folders_the_preferred_and_the_default_first(folder: Path) -> None:
    project = folder.parent
    remotes = {remote.name: remote for remote in remotes_of(read_config(folder), preferred="inner")}
    assert list(remotes) == ["inner", "far", "near", "versions"]
    assert remotes["near"].folder == project / "storage"
    assert remotes["inner"].folder == project / "storage" / "inner"
    assert (remotes["far"].url, remotes["far"].folder) == ("s3://bucket/models", None)
    assert remotes["versions"].folder is None


def test_dvc_reads_the_same(folder: Path) -> None:
    config = read_config(folder)
    ours = dvc_settings(config, remote_names(config), folder)["remote"]
    theirs = Config(str(folder), validate=False)["remote"]
    for name in ("far", "inner", "versions"):
        assert ours[name] == {key: str(value) for key, value in theirs[name].items()}
    assert Path(ours["near"]["url"]).samefile(folder / str(theirs["near"]["url"]))


def test_a_clone_s_own_file_wins_over_the_project_s_and_that_over_the_user_s(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "global").mkdir()
    (tmp_path / "global" / "config").write_text("[core]\nremote = mine\n['remote \"mine\"']\nurl = models\n")
    (folder / "config.local").write_text("[core]\nremote = near\n")
    config = read_config(folder)
    assert default_remote(config) == "near"
    assert config['remote "mine"']["url"] == str(tmp_path / "global" / "models")
    committed = read_config(folder, b"['remote \"other\"']\nurl = x\n")
    assert [remote.name for remote in remotes_of(committed)] == ["mine", "other"]


def test_names_of_remotes_are_read_in_lower_case_as_dvc_does(folder: Path) -> None:
    (folder / "config").write_text(
        "[core]\nremote = Far\n['remote \"FAR\"']\nurl = s3://x\n['REMOTE \"b\"']\nurl=remote://FAR/y\n"
    )
    assert [(r.name, r.url) for r in remotes_of(read_config(folder), "B")] == [("b", "s3://x/y"), ("far", "s3://x")]
    assert list(Config(str(folder), validate=False)["remote"]) == ["far", "b"]


def test_dvc_is_told_only_what_reading_needs(folder: Path, tmp_path: Path) -> None:
    """Whoever merges writes this file: DVC would write where it says, and ask a person who is not there."""
    (folder / "config").write_text(
        "[core]\nremote = far\nsite_cache_dir = /etc/evil\nanalytics = true\nhardlink_lock = true\n"
        "['remote \"far\"']\nurl = ssh://x/y\nask_password = true\nask_passphrase = true\nuser = ada\n"
        "['remote \"other\"']\nurl = s3://z\n[exp]\nauto_push = true\n"
    )
    told = dvc_settings(read_config(folder), ["far"], tmp_path)
    assert told == {
        "core": {"site_cache_dir": str(tmp_path), "autostage": False, "remote": "far"},
        "remote": {"far": {"url": "ssh://x/y", "user": "ada"}},
    }


def test_endpoints_of_a_remote_and_of_those_that_it_refers_to_are_addresses(folder: Path) -> None:
    (folder / "config").write_text(
        "['remote \"base\"']\nurl = s3://bucket\nendpointurl = http://169.254.169.254\n"
        "['remote \"inner\"']\nurl = remote://base/x\n"
    )
    for remote in remotes_of(read_config(folder)):
        assert remote.addresses == (remote.url, "http://169.254.169.254")


def test_remotes_that_refer_to_each_other_are_left_out(folder: Path) -> None:
    (folder / "config").write_text("['remote \"a\"']\nurl = remote://b/x\n['remote \"b\"']\nurl = remote://a/y\n")
    assert remotes_of(read_config(folder)) == []


@pytest.mark.parametrize("value", ["a\0b", "a\x1b[31m"])
def test_control_characters_are_refused_with_their_line(folder: Path, value: str) -> None:
    (folder / "config").write_text(f"[core]\nremote = {value}\n")
    with pytest.raises(InputError, match=r"config:2 holds a control character"):
        read_config(folder)


@pytest.mark.parametrize(
    "text", ["[", "=", "]\n[[x]]\na", "url", "~nobody", "[core]\nremote = \n", "['remote \"a\"']\nurl = ~x"]
)
def test_any_text_is_read(folder: Path, text: str) -> None:
    (folder / "config").write_text(text)
    remotes_of(read_config(folder))


@pytest.mark.parametrize("key", ["configpath", "credentialpath"])
def test_only_this_clone_says_where_credentials_come_from(folder: Path, key: str) -> None:
    """AWS's library runs the `credential_process` of such a file."""
    remote = f"['remote \"far\"']\n    url = s3://bucket/models\n    {key} = ../aws.ini\n"
    (folder / "config.local").write_text(remote)
    assert read_config(folder)['remote "far"'][key] == str(folder.parent / "aws.ini")
    for shared in (None, remote.encode()):
        (folder / "config").write_text(remote)
        with pytest.raises(InputError, match=f"sets `{key}` of the remote far") as caught:
            read_config(folder, shared)
    (folder / "config").write_text("['remote \"far\"']\n    url = s3://bucket/models\n")
    (folder / "config.local").unlink()
    command = caught.value.fix.rpartition(": ")[2].replace("<path>", "aws.ini").split()
    subprocess.run([f"{Path(sys.executable).parent}/{command[0]}", *command[1:]], cwd=folder.parent, check=True)
    assert read_config(folder)['remote "far"'][key].endswith("aws.ini")
