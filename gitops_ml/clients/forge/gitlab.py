"""GitLab's REST API, version 4: https://docs.gitlab.com/api/rest/. A comment is called a note there."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from gitops_ml.clients.forge.forge import Comment, NewPullRequest
from gitops_ml.clients.forge.http import Account, Api
from gitops_ml.clients.forge.links import Links
from gitops_ml.core.pull_request.deployments import ForgeDeployment
from gitops_ml.core.pull_request.statuses import CommitStatus
from gitops_ml.errors import ForgeRefused

_STATES = {"pending": "pending", "success": "success", "failure": "failed", "cancelled": "canceled"}


class _User(msgspec.Struct, frozen=True):
    username: str = ""


class _Note(msgspec.Struct, frozen=True):
    id: int
    author: _User = _User()
    body: str = ""
    system: bool = False


class _MergeRequest(msgspec.Struct, frozen=True):
    iid: int
    web_url: str = ""


class GitLab:
    """A project on GitLab. See `forge.Forge`.

    Args:
        page: the project's address for people, for links to notes: the API gives none.
    """

    def __init__(self, account: Account, project: str, page: str, links: Links) -> None:
        self._api = Api(account)
        self._links = links
        self._root = f"/projects/{quote(project, safe='')}"
        self._page = page

    def own_name(self) -> str | None:
        """See `Forge`."""
        try:
            return self._api.get("/user", _User).username
        except ForgeRefused:
            return None

    def comments(self, number: int) -> list[Comment]:
        """See `Forge`."""
        query = {"order_by": "created_at", "sort": "asc", "activity_filter": "only_comments"}
        notes = self._api.pages(self._notes(number), _Note, **query)
        return [self._of(number, note) for note in notes if not note.system]

    def add_comment(self, number: int, body: str) -> Comment:
        """See `Forge`."""
        return self._of(number, self._api.send("POST", self._notes(number), _Note, {"body": body}))

    def edit_comment(self, number: int, comment: int, body: str) -> Comment | None:
        """See `Forge`."""
        edited = self._api.send_if_there("PUT", f"{self._notes(number)}/{comment}", _Note, {"body": body})
        return self._of(number, edited) if edited else None

    def delete_comment(self, number: int, comment: int) -> None:
        """See `Forge`."""
        self._api.call("DELETE", f"{self._notes(number)}/{comment}")

    def find_pull_request(self, branch: str) -> int | None:
        """See `Forge`."""
        query = {"source_branch": branch, "state": "opened", "order_by": "created_at", "sort": "desc"}
        opened = self._api.get(f"{self._root}/merge_requests", list[_MergeRequest], **query)
        return opened[0].iid if opened else None

    def open_pull_request(self, wanted: NewPullRequest) -> str:
        """See `Forge`."""
        body = {
            "source_branch": wanted.branch,
            "target_branch": wanted.base,
            "title": wanted.title,
            "description": wanted.body,
        }
        return self._api.send("POST", f"{self._root}/merge_requests", _MergeRequest, body).web_url

    def edit_pull_request(self, number: int, wanted: NewPullRequest) -> str:
        """See `Forge`."""
        body = {"title": wanted.title, "description": wanted.body}
        return self._api.send("PUT", f"{self._root}/merge_requests/{number}", _MergeRequest, body).web_url

    def set_status(self, status: CommitStatus) -> None:
        """See `Forge`. A status that is so already is refused there, and that is no error."""
        body = {"state": _STATES[status.state], "name": status.context, "description": status.description}
        if address := self._links.of_status(status):
            body["target_url"] = address
        try:
            self._api.send("POST", f"{self._root}/statuses/{status.commit}", dict[str, Any], body)
        except ForgeRefused as error:
            if "Cannot transition status" not in error.why:
                raise

    def show_deployment(self, deployment: ForgeDeployment) -> None:
        """See `Forge`. GitLab's own are made by its jobs, and have no state for what was replaced."""

    def _notes(self, number: int) -> str:
        return f"{self._root}/merge_requests/{number}/notes"

    def _of(self, number: int, note: _Note) -> Comment:
        url = f"{self._page}/-/merge_requests/{number}#note_{note.id}"
        return Comment(note.id, note.author.username, False, note.body, url)
