"""Deployments on GitHub: one for each commit and place, each stage told once, and links that people can follow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gitops_ml.clients.forge.find import find_forge
from gitops_ml.clients.forge.forge import Forge
from gitops_ml.clients.forge.links import job_address, require_address
from gitops_ml.core.pull_request.deployments import DeploymentStage, ForgeDeployment
from gitops_ml.core.pull_request.statuses import CommitStatus, RecordPlace
from gitops_ml.errors import ForgeRefused, InputError
from tests.unit.clients.forge.server import PREFIX, TOKEN, Fault, LocalForge, served

COMMIT = "c" * 40
RUN = {"GITHUB_RUN_ID": "77", "GITHUB_REPOSITORY": "team/shop", "GITHUB_SERVER_URL": "https://git.example.org"}
RECORD = RecordPlace("d" * 40, "environments/prod/records/churn.yaml")
PAGE = "https://ml.example.org/prod/churn/index.html"
QUEUED = DeploymentStage("queued", "canary of v2 is under way")
AT_WORK = DeploymentStage("in_progress", "canary of v2 is under way")
SUCCESS = DeploymentStage("success", "v2 is Verified and serves")
FAILURE = DeploymentStage("failure", "v2 is failed; v1 serves")
INACTIVE = DeploymentStage("inactive", "v2 is no longer declared")


@pytest.fixture(params=["github", "gitlab", "gitea"])
def local(request: pytest.FixtureRequest) -> Iterator[LocalForge]:
    with served(LocalForge(kind=request.param)) as forge:
        yield forge
    assert forge.violations == []


@pytest.fixture
def github() -> Iterator[LocalForge]:
    with served(LocalForge(kind="github")) as forge:
        yield forge
    assert forge.violations == []


def client(local: LocalForge, **variables: str) -> Forge:
    address = f"{local.kind}={local.url}{PREFIX}"
    return find_forge("git@git.example.org:team/shop.git", address, {"GITOPS_ML_FORGE_TOKEN": TOKEN, **variables})


def deployment(*stages: DeploymentStage, commit: str = COMMIT, **fields: str) -> ForgeDeployment:
    return ForgeDeployment(commit=commit, place="prod/churn", stages=stages, record=RECORD, **fields)


def states(local: LocalForge, number: int = 0) -> list[str]:
    return [status["state"] for status in reversed(local.deployments[number]["statuses"])]


def test_a_deployment_is_made_once_and_goes_through_its_stages(github: LocalForge) -> None:
    for stages in ((QUEUED,), (AT_WORK,), (SUCCESS,)):
        client(github).show_deployment(deployment(*stages))
    (made,) = github.deployments
    assert (made["ref"], made["environment"], made["auto_merge"]) == (COMMIT, "prod/churn", False)
    assert made["required_contexts"] == [], "the verdict waits for no other check"
    assert states(github) == ["queued", "in_progress", "success"]
    assert [status["auto_inactive"] for status in made["statuses"]] == [True, False, False]


def test_what_is_told_already_is_not_told_again(github: LocalForge) -> None:
    for _ in range(3):
        client(github).show_deployment(deployment(FAILURE))
    client(github).show_deployment(deployment(FAILURE, INACTIVE))
    client(github).show_deployment(deployment(FAILURE, INACTIVE))
    assert states(github) == ["failure", "inactive"]


def test_a_stage_that_was_missed_is_told_first(github: LocalForge) -> None:
    client(github).show_deployment(deployment(AT_WORK))
    client(github).show_deployment(deployment(FAILURE, INACTIVE))
    assert states(github) == ["in_progress", "failure", "inactive"]


def test_a_second_try_begins_again(github: LocalForge) -> None:
    for stages in ((FAILURE,), (AT_WORK,), (FAILURE,)):
        client(github).show_deployment(deployment(*stages))
    assert states(github) == ["failure", "in_progress", "failure"]


def test_each_commit_has_its_own_and_a_job_s_are_left_alone(github: LocalForge) -> None:
    job = {"id": 9, "ref": COMMIT, "environment": "prod/churn", "task": "deploy", "statuses": []}
    github.deployments.append(job)
    client(github).show_deployment(deployment(AT_WORK))
    client(github).show_deployment(deployment(AT_WORK, commit="e" * 40))
    assert len(github.deployments) == 3 and not job["statuses"]


def test_links_name_the_record_or_the_job_and_where_users_reach_it(github: LocalForge) -> None:
    url = "http://models.example.org:8080/v2/models/churn"
    client(github).show_deployment(deployment(SUCCESS, url=url))
    first = github.deployments[0]["statuses"][0]
    assert first["environment_url"] == url
    assert first["log_url"] == f"https://git.example.org/team/shop/blob/{'d' * 40}/{RECORD.path}"
    client(github, **RUN).show_deployment(ForgeDeployment(commit=COMMIT, place="prod/churn", stages=(AT_WORK,)))
    second = github.deployments[0]["statuses"][0]
    assert second["log_url"] == "https://git.example.org/team/shop/actions/runs/77"
    assert "environment_url" not in second


@pytest.mark.parametrize(("kind", "files"), [("github", "blob"), ("gitlab", "-/blob"), ("gitea", "src/commit")])
def test_a_commit_status_links_to_the_record(kind: str, files: str) -> None:
    status = CommitStatus(commit=COMMIT, context="c", state="success", description="v2 serves", record=RECORD)
    with served(LocalForge(kind=kind)) as local:
        client(local).set_status(status)
        told = local.statuses[0][1]
    assert told["target_url"].endswith(f"/team/shop/{files}/{'d' * 40}/{RECORD.path}")
    assert local.violations == []


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitea"])
def test_the_page_comes_first_in_a_commit_status(kind: str) -> None:
    status = CommitStatus(commit=COMMIT, context="c", state="success", description="d", record=RECORD, page=PAGE)
    with served(LocalForge(kind=kind)) as local:
        client(local).set_status(status)
        assert local.statuses[0][1]["target_url"] == PAGE
    assert local.violations == []


def test_a_deployment_links_to_page_and_record(github: LocalForge) -> None:
    client(github, **RUN).show_deployment(deployment(AT_WORK, SUCCESS, page=PAGE))
    done, at_work = github.deployments[0]["statuses"]
    assert done["log_url"].endswith(RECORD.path) and done["environment_url"] == PAGE
    assert "environment_url" not in at_work
    client(github, **RUN).show_deployment(
        ForgeDeployment(commit="e" * 40, place="prod/churn", stages=(AT_WORK,), page=PAGE)
    )
    assert github.deployments[0]["statuses"][0]["log_url"] == PAGE


@pytest.mark.parametrize(
    "url", ["ml.example.org", "ftp://ml.example.org", "https://", "https://a:b@c", "https://c/?a=b", "https://c/ d"]
)
def test_what_is_no_address_of_a_page_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="is no address of a page"):
        require_address(url)
    assert require_address("https://ml.example.org/page/") == "https://ml.example.org/page"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (RUN, "https://git.example.org/team/shop/actions/runs/77"),
        ({"CI_JOB_URL": "https://gitlab.com/team/shop/-/jobs/5"}, "https://gitlab.com/team/shop/-/jobs/5"),
        ({"CI_JOB_URL": "javascript:alert(1)"}, ""),
        ({"GITHUB_RUN_ID": "7/../8", "GITHUB_REPOSITORY": "team/shop"}, ""),
        ({}, ""),
    ],
)
def test_the_address_of_a_job(variables: dict[str, str], expected: str) -> None:
    assert job_address(variables) == expected


def test_a_token_without_the_right_is_refused_and_nothing_is_repeated(github: LocalForge) -> None:
    github.faults = [Fault("POST", 403)]
    with pytest.raises(ForgeRefused):
        client(github).show_deployment(deployment(AT_WORK))
    assert github.deployments == []


def test_other_forges_are_not_asked(local: LocalForge) -> None:
    client(local).show_deployment(deployment(AT_WORK))
    assert bool(local.asked) == (local.kind == "github")
