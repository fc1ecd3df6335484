"""DVC's configuration, read without DVC, means what DVC takes it for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dvc.config import Config
from dvc.config_schema import REMOTE_SCHEMAS

from gitops_ml.clients.artifacts.dvc_config import default_remote, dvc_settings, read_config, remote_names, remotes_of
from gitops_ml.core.reach import HOST_OPTIONS
from gitops_ml.errors import InputError

NAME_HOSTS = {"url", "endpointurl", "oss_endpoint", "connection_string", "data_proxy_target", "account_name"}
HARMLESS = """
    access_key_id account_key acl allow_agent allow_anonymous_login ask_passphrase ask_password auth cache_regions
    cert_path checksum_jobs client_id client_secret connect_timeout connection_timeout custom_auth_header
    exclude_environment_credential exclude_managed_identity_credential exclude_shared_token_cache_credential
    exclude_visual_studio_code_credential gdrive_acknowledge_abuse gdrive_client_id gdrive_client_secret
    gdrive_service_account_user_email gdrive_trash_only gdrive_use_service_account grant_full_control grant_read
    grant_read_acp grant_write_acp gss_auth jobs kerb_ticket kerberos kerberos_principal key_path keyfile
    listobjects max_sessions method no_traverse oss_key_id oss_key_secret passphrase password port profile
    projectname protected proxy_to read_timeout region replication sas_token secret_access_key session_token shared
    slow_link_warning sse sse_customer_algorithm sse_customer_key sse_kms_key_id ssl_verify tenant_id timeout token
    type use_https use_ssl user verify version_aware worktree
"""
"""Options of remotes that name no program and no host, by DVC's documentation of `dvc remote modify`."""

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


@pytest.mark.parametrize(
    ("option", "address"),
    [
        ("account_name = evil.example.org/x", "https://evil.example.org/x"),
        ("connection_string = A=b;BlobEndpoint=http://169.254.169.254/x;C=d", "http://169.254.169.254/x"),
        ("data_proxy_target = http://169.254.169.254", "http://169.254.169.254"),
    ],
)
def test_hosts_in_other_options_are_addresses(folder: Path, option: str, address: str) -> None:
    (folder / "config").write_text(f"['remote \"far\"']\nurl = azure://container\n{option}\n")
    (remote,) = remotes_of(read_config(folder))
    assert remote.addresses[0] == remote.url and remote.addresses[-1] == address


def test_the_name_of_an_account_is_no_address(folder: Path) -> None:
    (folder / "config").write_text("['remote \"far\"']\nurl = azure://container\naccount_name = models1\n")
    (remote,) = remotes_of(read_config(folder))
    assert remote.addresses == ("azure://container",)


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


@pytest.mark.parametrize("key", ["bearer_token_command", "gdrive_user_credentials_file"])
def test_programs_and_written_files_are_named_by_this_clone_alone(folder: Path, key: str) -> None:
    remote = f"['remote \"far\"']\n    url = webdavs://store/models\n    {key} = touch /tmp/x\n"
    (folder / "config").write_text(remote)
    with pytest.raises(InputError, match=f"sets `{key}` of the remote far"):
        read_config(folder)
    (folder / "config").unlink()
    (folder / "config.local").write_text(remote)
    assert key in read_config(folder)['remote "far"']


def test_every_option_of_dvc_s_remotes_was_judged() -> None:
    """A new option of DVC may name a program, or a host: then it belongs to the lists in `core.reach`."""
    options = {str(key) for kind, schema in REMOTE_SCHEMAS.items() if kind != "remote" for key in schema}
    assert options == HOST_OPTIONS | NAME_HOSTS | set(HARMLESS.split())


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
    command = caught.value.fix.rpartition(": ")[2].replace("<value>", "aws.ini").split()
    subprocess.run([f"{Path(sys.executable).parent}/{command[0]}", *command[1:]], cwd=folder.parent, check=True)
    assert read_config(folder)['remote "far"'][key].endswith("aws.ini")
