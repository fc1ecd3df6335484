"""GitHub's REST API, version 2022-11-28: https://docs.github.com/en/rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gitops_ml.clients.forge.forge import Comment, NewPullRequest
from gitops_ml.clients.forge.http import Account, Api
from gitops_ml.clients.forge.links import Links
from gitops_ml.core.pull_request.deployments import ForgeDeployment
from gitops_ml.core.pull_request.statuses import CommitStatus
from gitops_ml.errors import ForgeRefused

TASK = "gitops-ml"
"""What tells our deployments from those that GitHub itself makes for a job's environment."""
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


class User(msgspec.Struct, frozen=True):
    """An account, as an answer has it."""

    login: str = ""
    type: str = ""


class ForgeComment(msgspec.Struct, frozen=True):
    """A comment, as an answer has it."""

    id: int
    user: User | None = None
    body: str | None = ""
    html_url: str = ""


class OpenedPullRequest(msgspec.Struct, frozen=True):
    """A pull request, as an answer has it."""

    number: int
    html_url: str = ""


class ShownDeployment(msgspec.Struct, frozen=True):
    """A deployment, as an answer has it."""

    id: int


class ShownStage(msgspec.Struct, frozen=True):
    """A status of a deployment, as an answer has it."""

    state: str = ""
    description: str = ""


class GitHub:
    """A repository on GitHub. See `forge.Forge`."""

    headers: Mapping[str, str] = HEADERS

    def __init__(self, account: Account, repository: str, links: Links) -> None:
        self._api = Api(account, self.headers)
        self._links = links
        self._root = f"/repos/{repository}"
        self._owner = repository.partition("/")[0]

    def own_name(self) -> str | None:
        """See `Forge`. The token of a workflow's job is an app's, which has no user."""
        try:
            return self._api.get("/user", User).login
        except ForgeRefused:
            return None

    def comments(self, number: int) -> list[Comment]:
        """See `Forge`."""
        return [
            self._of(comment) for comment in self._api.pages(f"{self._root}/issues/{number}/comments", ForgeComment)
        ]

    def add_comment(self, number: int, body: str) -> Comment:
        """See `Forge`."""
        path = f"{self._root}/issues/{number}/comments"
        return self._of(self._api.send("POST", path, ForgeComment, {"body": body}))

    def edit_comment(self, number: int, comment: int, body: str) -> Comment | None:
        """See `Forge`."""
        path = f"{self._root}/issues/comments/{comment}"
        edited = self._api.send_if_there("PATCH", path, ForgeComment, {"body": body})
        return self._of(edited) if edited else None

    def delete_comment(self, number: int, comment: int) -> None:
        """See `Forge`."""
        self._api.call("DELETE", f"{self._root}/issues/comments/{comment}")

    def find_pull_request(self, branch: str) -> int | None:
        """See `Forge`."""
        query = {"head": f"{self._owner}:{branch}", "state": "open", "sort": "created", "direction": "desc"}
        opened = self._api.get(f"{self._root}/pulls", list[OpenedPullRequest], **query)
        return opened[0].number if opened else None

    def open_pull_request(self, wanted: NewPullRequest) -> str:
        """See `Forge`."""
        body = {"title": wanted.title, "head": wanted.branch, "base": wanted.base, "body": wanted.body}
        return self._api.send("POST", f"{self._root}/pulls", OpenedPullRequest, body).html_url

    def edit_pull_request(self, number: int, wanted: NewPullRequest) -> str:
        """See `Forge`."""
        body = {"title": wanted.title, "body": wanted.body}
        return self._api.send("PATCH", f"{self._root}/pulls/{number}", OpenedPullRequest, body).html_url

    def set_status(self, status: CommitStatus) -> None:
        """See `Forge`."""
        body = {
            "state": "error" if status.state == "cancelled" else status.state,
            "context": status.context,
            "description": status.description,
            **_if_known(target_url=self._links.of_status(status)),
        }
        self._api.send("POST", f"{self._root}/statuses/{status.commit}", dict[str, Any], body)

    def show_deployment(self, deployment: ForgeDeployment) -> None:
        """See `Forge`. A success makes the earlier ones of its environment inactive."""
        place = f"{self._root}/deployments"
        query = {"sha": deployment.commit, "environment": deployment.place, "task": TASK}
        known = self._api.get(place, list[ShownDeployment], **query)
        stages = list(deployment.stages)
        if known:
            number = known[0].id
            told = self._api.get(f"{place}/{number}/statuses", list[ShownStage], per_page=1)  # the newest first
            present = [n for n, stage in enumerate(stages) if told and told[0] == ShownStage(*stage)]
            stages = stages[present[-1] + 1 :] if present else stages
        else:
            body = {
                "ref": deployment.commit,
                "environment": deployment.place,
                "task": TASK,
                "description": "by gitops-ml",
                # Not what GitHub guesses from the place's name: a verdict waits for no other job, and merges nothing.
                "auto_merge": False,
                "required_contexts": [],
                "production_environment": False,
            }
            number = self._api.send("POST", place, ShownDeployment, body).id
        for stage in stages:
            body = {
                "state": stage.state,
                "description": stage.description,
                "auto_inactive": stage.state == "success",
                **_if_known(
                    log_url=self._links.of_log(deployment),
                    environment_url=(deployment.url or deployment.page) if stage.state == "success" else "",
                ),
            }
            self._api.send("POST", f"{place}/{number}/statuses", dict[str, Any], body)

    def _of(self, comment: ForgeComment) -> Comment:
        user = comment.user or User()
        return Comment(comment.id, user.login, self._is_program(user), comment.body or "", comment.html_url)

    def _is_program(self, user: User) -> bool:
        return user.type == "Bot"


def _if_known(**addresses: str) -> dict[str, str]:
    return {name: address for name, address in addresses.items() if address}
