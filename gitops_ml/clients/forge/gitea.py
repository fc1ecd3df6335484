"""The REST API of Gitea and Forgejo, version 1: https://docs.gitea.com/api/, and `/api/swagger` on each server."""

from __future__ import annotations

from typing import Any

import msgspec

from gitops_ml.clients.forge.forge import Comment, Proposal
from gitops_ml.clients.forge.http import Account, Api
from gitops_ml.core.pull_request.statuses import CommitStatus
from gitops_ml.errors import ForgeRefused

ACTIONS = ("gitea-actions", "forgejo-actions")
"""The accounts that a job's token writes comments as."""


class _User(msgspec.Struct, frozen=True):
    login: str = ""


class _Comment(msgspec.Struct, frozen=True):
    id: int
    user: _User | None = None
    body: str = ""
    html_url: str = ""


class _Branch(msgspec.Struct, frozen=True):
    ref: str = ""
    repo_id: int = 0


class _PullRequest(msgspec.Struct, frozen=True):
    number: int
    head: _Branch = _Branch()
    base: _Branch = _Branch()
    html_url: str = ""


class Gitea:
    """A repository on Gitea or Forgejo. See `forge.Forge`."""

    def __init__(self, account: Account, repository: str) -> None:
        self._api = Api(account)
        self._root = f"/repos/{repository}"

    def own_name(self) -> str | None:
        """See `Forge`."""
        try:
            return self._api.get("/user", _User).login
        except ForgeRefused:
            return None

    def comments(self, number: int) -> list[Comment]:
        """See `Forge`. The server gives all of them in one answer."""
        return [_of(c) for c in self._api.get(f"{self._root}/issues/{number}/comments", list[_Comment])]

    def add_comment(self, number: int, body: str) -> Comment:
        """See `Forge`."""
        path = f"{self._root}/issues/{number}/comments"
        return _of(self._api.send("POST", path, _Comment, {"body": body}))

    def edit_comment(self, number: int, comment: int, body: str) -> Comment | None:
        """See `Forge`."""
        path = f"{self._root}/issues/comments/{comment}"
        if self._api.call("PATCH", path, body={"body": body}) is None:
            return None
        # Some versions answer 204, without the comment.
        return _of(self._api.get(path, _Comment))

    def delete_comment(self, number: int, comment: int) -> None:
        """See `Forge`."""
        self._api.call("DELETE", f"{self._root}/issues/comments/{comment}")

    def find_pull_request(self, branch: str) -> int | None:
        """See `Forge`. The server cannot filter by branch."""
        opened = self._api.pages(f"{self._root}/pulls", _PullRequest, limit="limit", state="open")
        own = [p.number for p in opened if p.head.ref == branch and p.head.repo_id == p.base.repo_id]
        return max(own, default=None)

    def open_pull_request(self, proposal: Proposal) -> str:
        """See `Forge`."""
        body = {"title": proposal.title, "head": proposal.branch, "base": proposal.base, "body": proposal.body}
        return self._api.send("POST", f"{self._root}/pulls", _PullRequest, body).html_url

    def edit_pull_request(self, number: int, proposal: Proposal) -> str:
        """See `Forge`."""
        body = {"title": proposal.title, "body": proposal.body}
        return self._api.send("PATCH", f"{self._root}/pulls/{number}", _PullRequest, body).html_url

    def set_status(self, status: CommitStatus) -> None:
        """See `Forge`."""
        body = {
            "state": "error" if status.state == "cancelled" else status.state,
            "context": status.context,
            "description": status.description,
        }
        self._api.send("POST", f"{self._root}/statuses/{status.commit}", dict[str, Any], body)


def _of(comment: _Comment) -> Comment:
    login = comment.user.login if comment.user else ""
    return Comment(comment.id, login, login in ACTIONS, comment.body, comment.html_url)
