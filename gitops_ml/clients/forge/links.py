"""Where statuses and deployments link to: the page, the record of a verdict in Git, the job that is at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from gitops_ml.core.pull_request.deployments import ForgeDeployment
from gitops_ml.core.pull_request.statuses import CommitStatus, RecordPlace
from gitops_ml.core.text import clean_line
from gitops_ml.errors import InputError

_LONGEST = 2_000


class Links(NamedTuple):
    """The addresses that one repository's statuses link to.

    Args:
        files: the address below which the forge shows files of a commit.
        job: the address of this job's log; empty outside of one.
    """

    files: str
    job: str = ""

    def of_status(self, status: CommitStatus) -> str:
        """The page, which links to the record; without it the record, else the job. Empty if there is none."""
        return status.page or self._of_record(status.record) or self.job

    def of_log(self, deployment: ForgeDeployment) -> str:
        """The record; without it the page, else the job. Empty if there is none."""
        return self._of_record(deployment.record) or deployment.page or self.job

    def _of_record(self, record: RecordPlace | None) -> str:
        return f"{self.files}/{record.commit}/{record.path}" if record else ""


def job_address(variables: Mapping[str, str]) -> str:
    """The address of the job of GitHub or GitLab that this process runs in; empty outside of one."""
    run, repository = variables.get("GITHUB_RUN_ID", ""), variables.get("GITHUB_REPOSITORY", "")
    address = variables.get("CI_JOB_URL", "")
    if run.isdecimal() and repository:
        address = f"{variables.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}/actions/runs/{run}"
    return address if _is_plain(address) else ""


def require_address(url: str) -> str:
    """An address for people, without `/` at its end. Raises `InputError` for what a forge would not link to."""
    parts = urlsplit(url)
    if not _is_plain(url) or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InputError(
            f"`{clean_line(url)}` is no address of a page", why="a forge links to it", fix="write https://HOST[/PATH]"
        )
    return url.rstrip("/")


def _is_plain(address: str) -> bool:
    plain = address.isascii() and address.isprintable() and " " not in address and len(address) <= _LONGEST
    return plain and address.startswith(("https://", "http://"))
