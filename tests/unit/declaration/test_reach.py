"""Which DVC remotes and Git repositories may be read: addresses that reach elsewhere than they seem to are refused."""

from __future__ import annotations

import pytest

from gitops_ml.core.operator_settings import read_settings
from gitops_ml.core.reach import host_of, why_unreachable
from gitops_ml.errors import InputError


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/models",
        "https://dvc.example.org/models",
        "ssh://ada@models.example.org:22/srv/dvc",
        "git@github.com:team/models.git",
        "/mnt/my models",
        "gs://b/a..b",
        "azure://container/x",
        "https://10.0.0.1/x",
    ],
)
def test_addresses_of_remotes_and_repositories_are_read(url: str) -> None:
    assert why_unreachable(url, None) == ""


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ext::sh -c touch% /tmp/x", "runs a program"),
        ("fd::17", "runs a program"),
        ("--upload-pack=touch /tmp/x", "no plain address"),
        ("-oProxyCommand=x", "no plain address"),
        ("ssh://-oProxyCommand=x/path", "no plain address"),
        ("ssh://git@-oProxyCommand=x/path", "no plain address"),
        ("git@-oProxyCommand=x:path", "no plain address"),
        ("https://a\nb/", "no plain address"),
        ("http://169.254.169.254/latest", "link-local"),
        ("https://[fe80::1]:8443/x", "link-local"),
        ("http://100.100.100.200/", "metadata"),
        ("ssh://user@169.254.0.1:22/x", "link-local"),
    ],
)
def test_addresses_that_run_programs_or_reach_the_machine_s_own_services_are_refused(url: str, says: str) -> None:
    assert says in why_unreachable(url, None)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://ada:secret@DVC.example.org:8443/x", "dvc.example.org"),
        ("ssh://ada@models.example.org/srv/dvc", "models.example.org"),
        ("git@github.com:team/models.git", "github.com"),
        ("github.com:team/models.git", "github.com"),
        ("C:/models", ""),
        ("webdavs://[fe80::1]:443/x", "fe80::1"),
        ("https://10.0.0.1:9000", "10.0.0.1"),
        ("s3://bucket/models", ""),
        ("azure://container/x", ""),
        ("remote://other/x", ""),
        ("/mnt/my models", ""),
        ("", ""),
    ],
)
def test_the_host_of_an_address_is_looked_up_and_a_bucket_is_not(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    "url", ["ssh://$(touch${IFS}x)/y", "ssh://`id`@host/y", "a;b@host:y", "git@a|b:y", "ssh://a b/y"]
)
def test_an_address_that_ssh_would_give_to_a_shell_is_refused(url: str) -> None:
    assert why_unreachable(url, None) == "it is no plain address"


PERMITTED = ("s3://models", "https://dvc.example.org/team/", "/mnt/dvc", "git@github.com:team", "ssh://store:2222")


@pytest.mark.parametrize(
    ("url", "reached"),
    [
        ("s3://models", True),
        ("s3://models/a/b", True),
        ("s3://models-of-others", False),
        ("https://dvc.example.org/team/x", True),
        ("https://user:word@DVC.example.org/team", True),
        ("https://dvc.example.org/others", False),
        ("https://dvc.example.org@evil.example.org/team/x", False),
        ("https://dvc.example.org/team/../others", False),
        ("https://dvc.example.org/team/%2e%2e/others", False),
        ("http://dvc.example.org/team/x", False),
        ("/mnt/dvc/x", True),
        ("/mnt/dvc/../other", False),
        ("/mnt/dvc2", False),
        ("git@github.com:team/models.git", True),
        ("ssh://git@github.com/team/models.git", True),
        ("git@github.com:team-two/models.git", False),
        ("ssh://ada@store:2222/srv", True),
        ("ssh://store/srv", False),
        ("ext::sh", False),
    ],
)
def test_only_what_the_operator_lists_is_reached(url: str, reached: bool) -> None:
    assert (why_unreachable(url, PERMITTED) == "") is reached


def test_the_operator_s_list_is_read() -> None:
    assert read_settings({}).dvc_remotes is None
    assert read_settings({"GITOPS_ML_DVC_REMOTES": ""}).dvc_remotes == ()
    assert read_settings({"GITOPS_ML_DVC_REMOTES": "s3://a, /mnt/b"}).dvc_remotes == ("s3://a", "/mnt/b")
    for wrong in ("models", "s3:/a", "ext::sh", "/", "https://"):
        with pytest.raises(InputError, match="GITOPS_ML_DVC_REMOTES"):
            read_settings({"GITOPS_ML_DVC_REMOTES": wrong})
