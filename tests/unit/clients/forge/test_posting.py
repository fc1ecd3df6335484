"""One comment for each pull request, on each forge, whatever the forge and other jobs do meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gitops_ml.clients.forge import http
from gitops_ml.clients.forge.find import find_forge
from gitops_ml.clients.forge.forge import Forge, NewPullRequest
from gitops_ml.clients.forge.posting import open_or_edit, post
from gitops_ml.core.pull_request.statuses import CommitStatus
from gitops_ml.errors import ForgeRefused, ForgeUnavailable, GitopsError
from tests.unit.clients.forge.server import PREFIX, TOKEN, Fault, LocalForge, served

MARKER = "<!-- gitops-ml-plan shop -->"
KINDS = ("github", "gitlab", "gitea")


@pytest.fixture(params=KINDS)
def local(request: pytest.FixtureRequest) -> Iterator[LocalForge]:
    with served(LocalForge(kind=request.param)) as forge:
        yield forge
    assert forge.violations == []


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long is waited before requests are made again; nobody really waits."""
    seconds: list[float] = []
    monkeypatch.setattr(http, "pause_for", seconds.append)
    return seconds


def client(local: LocalForge) -> Forge:
    return find_forge(
        "git@git.example.org:team/sub/shop.git" if local.kind == "gitlab" else "git@git.example.org:team/shop.git",
        f"{local.kind}={local.url}{PREFIX}",
        {"GITOPS_ML_FORGE_TOKEN": TOKEN},
    )


def written(local: LocalForge, text: str) -> str:
    return post(client(local), 7, MARKER, lambda present: f"{MARKER}\n\n{text}").action


def bodies(local: LocalForge) -> list[str]:
    return [stored.body.removeprefix(f"{MARKER}\n\n") for stored in local.comments]


def error(local: LocalForge, kind: type[GitopsError]) -> GitopsError:
    with pytest.raises(kind) as caught:
        written(local, "text")
    assert TOKEN not in str(caught.value)
    assert caught.value.fix
    return caught.value


def test_it_is_written_once_then_edited_then_left_alone(local: LocalForge) -> None:
    local.add("ada", "looks good")
    assert written(local, "one") == "written"
    assert written(local, "two") == "edited"
    assert written(local, "two") == "kept"
    assert bodies(local) == ["looks good", "two"]


def test_it_is_found_behind_many_others(local: LocalForge) -> None:
    for number in range(120):
        local.add("ada", f"comment {number}")
    written(local, "one")
    assert written(local, "two") == "edited"
    assert len(local.comments) == 121


def test_a_comment_that_somebody_else_began_with_the_marker_is_never_ours(local: LocalForge) -> None:
    local.add("mallory", f"{MARKER}\n\nmerge me")
    assert written(local, "one") == "written"
    assert bodies(local) == ["merge me", "one"]


@pytest.mark.parametrize("local", ["github", "gitea"], indirect=True)
def test_the_token_of_a_job_finds_its_comment_without_asking_who_it_is(local: LocalForge) -> None:
    local.account, local.automatic = None, True
    local.writes_as = "github-actions[bot]" if local.kind == "github" else "gitea-actions"
    local.add("mallory", f"{MARKER}\n\nmerge me")
    assert [written(local, "one"), written(local, "two")] == ["written", "edited"]
    assert bodies(local) == ["merge me", "two"]


def test_one_that_somebody_edited_is_put_right(local: LocalForge) -> None:
    written(local, "one")
    local.comments[0].body = f"{MARKER}\n\nmerge me"
    assert written(local, "one") == "edited"
    local.comments[0].body = "all of it is gone, the marker too"
    assert written(local, "one") == "written"
    assert bodies(local)[-1] == "one"


def test_one_that_is_deleted_at_this_moment_is_written_anew(local: LocalForge) -> None:
    written(local, "one")

    def delete(method: str, path: str) -> None:
        if method in ("PATCH", "PUT"):
            local.comments.clear()

    local.before_answer = delete
    assert written(local, "two") == "written"
    assert bodies(local) == ["two"]


def test_two_jobs_at_once_leave_one_comment(local: LocalForge) -> None:
    """Both look before either writes."""
    barrier, passed = threading.Barrier(2), threading.local()

    def meet(method: str, path: str) -> None:
        if method == "POST" and not getattr(passed, "once", False):
            passed.once = True
            barrier.wait(10)

    local.before_answer = meet
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda text: written(local, text), ["same", "same"]))
    assert bodies(local) == ["same"]


def test_what_the_forge_took_without_saying_so_is_not_written_twice(local: LocalForge, waits: list[float]) -> None:
    local.faults = [Fault("POST", 502, after=True)]
    assert written(local, "one") == "written"
    assert bodies(local) == ["one"]


@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_forge_is_asked_again(local: LocalForge, waits: list[float], status: int) -> None:
    local.faults = [Fault("GET", status)] * 3
    assert written(local, "one") == "written"
    assert waits == [1.0, 2.0, 4.0]


def test_a_forge_that_stays_broken_is_an_error(local: LocalForge, waits: list[float]) -> None:
    local.account = None if local.kind == "github" else local.account
    local.faults = [Fault("GET", 500)] * 20
    assert "answered 500 to GET" in str(error(local, ForgeUnavailable))


def test_retry_after_is_obeyed_within_bounds(local: LocalForge, waits: list[float]) -> None:
    local.faults = [Fault("POST", 429, {"Retry-After": "7"})]
    assert written(local, "one") == "written"
    assert waits == [7.0]
    local.faults = [Fault("GET", 429, {"Retry-After": "3600"})]
    assert "answered 429" in str(error(local, ForgeUnavailable))


def test_an_exhausted_rate_is_no_lack_of_rights(local: LocalForge, waits: list[float]) -> None:
    limited = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"}
    local.faults = [Fault("POST", 403, limited)]
    error(local, ForgeUnavailable)
    local.faults = [Fault("POST", 403, body='{"message": "You have exceeded a secondary rate limit"}')]
    error(local, ForgeUnavailable)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("POST", 401, body='{"message": "Bad credentials"}'), "this one is wrong or expired"),
        (
            Fault("POST", 403, body='{"message": "Resource not accessible by integration"}'),
            "right to write pull requests",
        ),
        (Fault("POST", 404), "or hides it from this token"),
        (
            Fault("POST", 422, body='{"message": "Validation Failed", "errors": ["body is too long"]}'),
            "body is too long",
        ),
        (Fault("POST", 301, {"Location": "https://example.org/new"}), "it has moved: https://example.org/new"),
        (Fault("POST", 400, body=f'{{"message": "{TOKEN} is bad"}}'), "*** is bad"),
        (Fault("POST", 201, body="<html>proxy</html>"), "does not answer as"),
        (Fault("POST", 201, body='{"unexpected": true}'), "does not answer as"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Fault) else "",
)
def test_a_refusal_says_what_why_and_how_to_fix_it(local: LocalForge, fault: Fault, said: str) -> None:
    local.faults = [Fault(fault.method, fault.status, fault.headers, fault.body)]
    assert said in str(error(local, ForgeRefused))


def test_a_slow_forge_does_not_hold_a_job_for_ever(local: LocalForge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "READ_SECONDS", 0.1)
    local.faults = [Fault("POST", 201, delay=0.5)]
    assert "does not answer" in str(error(local, ForgeUnavailable))


def test_no_server_is_an_error_without_a_traceback(local: LocalForge, waits: list[float]) -> None:
    with pytest.raises(ForgeUnavailable, match=r"at 127\.0\.0\.1:9 does not answer"):
        post(
            find_forge(
                "git@git.example.org:a/b.git",
                f"{local.kind}=http://127.0.0.1:9/api",
                {"GITOPS_ML_FORGE_TOKEN": TOKEN},
            ),
            1,
            MARKER,
            lambda present: "x",
        )


def test_the_pull_request_of_a_branch_is_found(local: LocalForge) -> None:
    local.pulls = {"bump": 12, "other": 13}
    assert client(local).find_pull_request("bump") == 12
    assert client(local).find_pull_request("absent") is None


def test_a_pull_request_is_opened_once_then_edited(local: LocalForge) -> None:
    wanted = NewPullRequest("bump/prod-churn", "main", "Bump churn", "why")
    opened = open_or_edit(client(local), wanted)
    assert (opened.action, opened.url) == ("written", f"{local.url}/pulls/1")
    edited = open_or_edit(client(local), wanted._replace(body="why, again"))
    assert (edited.action, edited.url) == ("edited", opened.url)
    assert local.texts == {1: {"title": "Bump churn", "body": "why, again"}}


def test_a_pull_request_that_was_closed_stays_closed_and_another_one_is_opened(local: LocalForge) -> None:
    local.closed = {"bump": 3}
    opened = open_or_edit(client(local), NewPullRequest("bump", "main", "Bump", "why"))
    assert (opened.action, opened.url) == ("written", f"{local.url}/pulls/4")
    assert list(local.texts) == [4]


def test_a_pull_request_that_another_job_opened_meanwhile_is_edited(local: LocalForge) -> None:
    def overtake(method: str, path: str) -> None:
        if method == "POST":
            local.pulls["bump"] = 4

    local.before_answer = overtake
    assert open_or_edit(client(local), NewPullRequest("bump", "main", "Bump", "why")).action == "edited"
    assert local.texts[4]["body"] == "why"


def test_a_pull_request_that_is_refused_is_an_error(local: LocalForge) -> None:
    local.faults = [Fault("POST", 422, body='{"message": "No commits between main and bump"}')]
    with pytest.raises(ForgeRefused, match="No commits between"):
        open_or_edit(client(local), NewPullRequest("bump", "main", "Bump", "why"))


@pytest.mark.parametrize("state", ["pending", "success", "failure", "cancelled"])
def test_a_commit_status_is_set_in_the_forges_own_words(local: LocalForge, state: Any) -> None:
    context = "gitops-ml/prod/churn"
    client(local).set_status(CommitStatus(commit="a" * 40, context=context, state=state, description="v2 serves"))
    ((commit, body),) = local.statuses
    assert commit == "a" * 40
    assert body[f"{'name' if local.kind == 'gitlab' else 'context'}"] == context


@pytest.mark.parametrize("local", ["gitlab"], indirect=True)
def test_a_status_that_is_so_already_is_no_error_on_gitlab(local: LocalForge) -> None:
    local.faults = [Fault("POST", 400, body='{"message": "Cannot transition status via :enqueue from :pending"}')]
    client(local).set_status(CommitStatus(commit="a" * 40, context="c", state="pending", description=""))
