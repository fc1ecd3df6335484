"""What is asked of a forge. Each of the three has its own API, and none of it is seen outside of this folder."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from gitops_ml.core.pull_request.deployments import ForgeDeployment
from gitops_ml.core.pull_request.statuses import CommitStatus

Kind = Literal["github", "gitlab", "gitea"]
"""Gitea and Forgejo have the same API, as far as it is used here."""


class Comment(NamedTuple):
    """A comment under a pull request. `automatic`: its author is a program, and no person."""

    id: int
    author: str
    automatic: bool
    body: str
    url: str


class NewPullRequest(NamedTuple):
    """A pull request to open: from `branch` into `base`, both of this repository."""

    branch: str
    base: str
    title: str
    body: str


class Forge(Protocol):
    """One repository on a forge.

    Every method raises `ForgeRefused` (a person has to act) and `ForgeUnavailable` (a later try may succeed).
    """

    def own_name(self) -> str | None:
        """The name of the account whose token is used; None where the token may not ask, as in a job."""

    def comments(self, number: int) -> list[Comment]:
        """The comments under a pull request, the oldest first."""

    def add_comment(self, number: int, body: str) -> Comment:
        """Write a comment under a pull request."""

    def edit_comment(self, number: int, comment: int, body: str) -> Comment | None:
        """Replace the text of a comment; None where somebody deleted it."""

    def delete_comment(self, number: int, comment: int) -> None:
        """Delete a comment, unless that is done already."""

    def find_pull_request(self, branch: str) -> int | None:
        """The number of the newest open pull request of a branch of this repository."""

    def open_pull_request(self, wanted: NewPullRequest) -> str:
        """Open a pull request. Returns its address for people."""

    def edit_pull_request(self, number: int, wanted: NewPullRequest) -> str:
        """Replace title and text of a pull request. Returns its address for people."""

    def set_status(self, status: CommitStatus) -> None:
        """Set the status of a commit, in place of an earlier one of the same context."""

    def show_deployment(self, deployment: ForgeDeployment) -> None:
        """Show a deployment with its present stage, and those before it. Does nothing where no forge shows any."""
