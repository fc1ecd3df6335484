"""Which forge a remote is on, and to whom a token is shown."""

from __future__ import annotations

import pytest

from gitops_ml.clients.forge.find import find_address, find_forge, number_in_ci, parse_remote
from gitops_ml.errors import InputError

GITHUB_JOB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_API_URL": "https://api.github.com",
    "GITHUB_REF": "refs/pull/42/merge",
    "GITHUB_TOKEN": "t",
}
GITEA_JOB = {
    **GITHUB_JOB,
    "GITEA_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://code.example.org:3000",
    "GITHUB_API_URL": "https://code.example.org:3000/api/v1",
}
GITLAB_JOB = {
    "CI_SERVER_URL": "https://code.example.org",
    "CI_API_V4_URL": "https://code.example.org/api/v4",
    "CI_MERGE_REQUEST_IID": "9",
    "GITLAB_TOKEN": "t",
}


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        ("git@github.com:acme/shop.git", ("github.com", "acme/shop")),
        ("https://user:pass@github.com/acme/shop.git/", ("github.com", "acme/shop")),
        ("ssh://git@gitlab.com:22/a/b/c.git", ("gitlab.com", "a/b/c")),
        ("https://code.example.org:3000/acme/shop", ("code.example.org:3000", "acme/shop")),
        ("GitHub.com:acme/shop", ("github.com", "acme/shop")),
    ],
)
def test_a_remote_is_a_host_and_a_repository(url: str, remote: tuple[str, str]) -> None:
    assert parse_remote(url) == remote


@pytest.mark.parametrize("url", ["../origin.git", "/srv/git/shop.git", "file:///srv/shop.git", "", "https://x/shop"])
def test_what_is_on_no_forge_is_said(url: str) -> None:
    with pytest.raises(InputError):
        parse_remote(url)


@pytest.mark.parametrize(
    ("url", "chosen", "variables", "kind", "api"),
    [
        ("git@github.com:a/b", None, {}, "github", "https://api.github.com"),
        ("git@acme.ghe.com:a/b", "github", {}, "github", "https://api.acme.ghe.com"),
        ("git@github.acme.org:a/b", None, {}, "github", "https://github.acme.org/api/v3"),
        ("git@gitlab.acme.org:a/b", None, {}, "gitlab", "https://gitlab.acme.org/api/v4"),
        ("git@codeberg.org:a/b", None, {}, "gitea", "https://codeberg.org/api/v1"),
        ("git@code.example.org:a/b", "forgejo", {}, "gitea", "https://code.example.org/api/v1"),
        ("git@code.example.org:a/b", "gitea=http://10.0.0.1/x/api/v1/", {}, "gitea", "http://10.0.0.1/x/api/v1"),
        ("https://code.example.org:3000/a/b", None, GITEA_JOB, "gitea", "https://code.example.org:3000/api/v1"),
        ("https://code.example.org/a/b", None, GITLAB_JOB, "gitlab", "https://code.example.org/api/v4"),
    ],
)
def test_the_forge_follows_from_host_option_and_job(
    url: str, chosen: str | None, variables: dict[str, str], kind: str, api: str
) -> None:
    address = find_address(url, chosen, variables)
    assert (address.kind, address.api) == (kind, api)


@pytest.mark.parametrize("chosen", [None, "bitbucket", "gitea=ftp://x", "gitea=https://u:p@x/api"])
def test_a_forge_that_is_not_known_says_how_to_name_it(chosen: str | None) -> None:
    with pytest.raises(InputError, match="--forge github, gitlab or gitea"):
        find_address("git@code.example.org:a/b", chosen, {})


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("git@github.com:a/b", {"GITHUB_TOKEN": "t"}),
        ("git@github.com:a/b", {"GH_TOKEN": "t"}),
        ("git@gitlab.com:a/b", {"GITLAB_TOKEN": "t"}),
        ("https://code.example.org/a/b", GITLAB_JOB),
        ("https://code.example.org:3000/a/b", GITEA_JOB),
        ("git@github.acme.org:a/b", {"GITOPS_ML_FORGE_TOKEN": "t"}),
    ],
)
def test_a_token_is_taken_from_the_forges_own_variables(url: str, variables: dict[str, str]) -> None:
    find_forge(url, None, variables)


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("git@github.evil.org:a/b", GITHUB_JOB),
        ("git@gitlab.evil.org:a/b", GITLAB_JOB),
        ("git@gitea.evil.org:a/b", GITEA_JOB),
        ("git@codeberg.org:a/b", GITHUB_JOB),
        ("git@github.com:a/b", {"GITHUB_TOKEN": " "}),
    ],
)
def test_a_token_of_one_forge_is_never_shown_to_another(url: str, variables: dict[str, str]) -> None:
    with pytest.raises(InputError, match="GITOPS_ML_FORGE_TOKEN"):
        find_forge(url, None, variables)


def test_a_token_with_a_line_break_is_refused_without_being_printed() -> None:
    with pytest.raises(InputError) as caught:
        find_forge("git@github.com:a/b", None, {"GITHUB_TOKEN": "abc\nX-Evil: 1"})
    assert "abc" not in str(caught.value)


def test_a_job_names_its_pull_request() -> None:
    assert number_in_ci(GITHUB_JOB) == 42
    assert number_in_ci(GITLAB_JOB) == 9
    assert number_in_ci({"GITHUB_REF": "refs/heads/main"}) is None
