"""The REST API of Gitea and Forgejo, version 1: https://docs.gitea.com/api/, and `/api/swagger` on each server."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gitops_ml.clients.forge.forge import Comment
from gitops_ml.clients.forge.github import ForgeComment, GitHub, User
from gitops_ml.core.pull_request.deployments import ForgeDeployment

ACTIONS = ("gitea-actions", "forgejo-actions")
"""The accounts that a job's token writes comments as."""


class _Branch(msgspec.Struct, frozen=True):
    ref: str = ""
    repo_id: int = 0


class _PullRequest(msgspec.Struct, frozen=True):
    number: int
    head: _Branch = _Branch()
    base: _Branch = _Branch()


class Gitea(GitHub):
    """A repository on Gitea or Forgejo, whose API has GitHub's paths and bodies. See `forge.Forge`."""

    headers: Mapping[str, str] = {}

    def comments(self, number: int) -> list[Comment]:
        """See `Forge`. The server gives all of them in one answer."""
        return [self._of(c) for c in self._api.get(f"{self._root}/issues/{number}/comments", list[ForgeComment])]

    def edit_comment(self, number: int, comment: int, body: str) -> Comment | None:
        """See `Forge`."""
        path = f"{self._root}/issues/comments/{comment}"
        if self._api.call("PATCH", path, body={"body": body}) is None:
            return None
        # Some versions answer 204, without the comment.
        return self._of(self._api.get(path, ForgeComment))

    def find_pull_request(self, branch: str) -> int | None:
        """See `Forge`. The server cannot filter by branch."""
        opened = self._api.pages(f"{self._root}/pulls", _PullRequest, limit="limit", state="open")
        own = [p.number for p in opened if p.head.ref == branch and p.head.repo_id == p.base.repo_id]
        return max(own, default=None)

    def show_deployment(self, deployment: ForgeDeployment) -> None:
        """See `Forge`. The server shows none."""

    def _is_program(self, user: User) -> bool:
        return user.login in ACTIONS
